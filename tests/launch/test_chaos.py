"""A few kills of the twenty and more that the script is for; README shows what those came to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHAOS = Path(__file__).parents[2] / "benchmarks" / "chaos.py"


def test_nothing_is_lost_or_doubled_by_kills() -> None:
    done = subprocess.run(
        [sys.executable, str(CHAOS), "--kills", "4", "--seed", "7"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills: 4 " in done.stdout
    assert "FAIL" not in done.stdout
