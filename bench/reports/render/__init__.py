"""Blocks in, text out: one module a form. None reads what another has written."""
