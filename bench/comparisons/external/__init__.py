"""Anybody's table → what was measured: its file is read (``reading``), the roles of its columns are found out
(``layout``), rows become runs (``rows``), and what stands there whole numbers (``scores``)."""
