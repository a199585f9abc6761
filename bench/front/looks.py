"""Plan and status in Python's hands: the same documents, which print as the command prints them."""

from __future__ import annotations

from bench.launch import plan, status
from bench.launch.text import plan_text, status_text


class Plan(plan.Plan):
    """What would run: the fields of ``bench plan --json``."""

    def __repr__(self) -> str:
        return plan_text(self)

    __str__ = __repr__


class Status(status.Status):
    """How a suite stands: the fields of ``bench status --json``."""

    def __repr__(self) -> str:
        return status_text(self)

    __str__ = __repr__
