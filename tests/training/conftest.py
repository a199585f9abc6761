"""What tests of trials share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.suite import Suite
from bench.training.trial import complaint


@pytest.fixture
def tried(make_suite: Callable[..., Suite], tmp_path: Path) -> Callable[..., str]:
    """What is said of the last model and loss of a suite; empty: nothing."""

    def of(**changes: Any) -> str:
        return complaint(make_suite(**{"baseline": None, **changes}).runs()[0].text, tmp_path)

    return of
