"""Suites whose runs are made up, for bundles of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import as_asked
from invented import invent

Suite = tuple[Path, Path]
"""A suite file, and the results folder with its runs."""


@pytest.fixture
def study(write_suite: Callable[..., Path], tmp_path: Path) -> Callable[..., Suite]:
    """A suite of six seeds with invented runs; keywords are those of its file."""

    def make(name: str = "study", results: str = "results", **changes: Any) -> Suite:
        file = write_suite(name, **{"seeds": 6, "metrics": ["accuracy", "nll"], **changes})
        invent(as_asked(file, tmp_path / results), tmp_path / results, images=60, epochs=2)
        return file, tmp_path / results

    return make
