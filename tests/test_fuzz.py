"""Some of the thousands of cases that the script is for: every kind of damage, and every verb."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).parents[1] / "benchmarks" / "fuzz_results.py"


def test_a_damaged_results_folder_harms_nobody() -> None:
    done = subprocess.run(
        [sys.executable, str(FUZZ), "--cases", "120", "--seed", "3"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cases: 120, seed 3; found: 0" in done.stdout
