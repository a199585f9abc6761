"""The examples of suites/trainers: each trains, in one run, what its suite asks for."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from own_trainer import attempt, reason

from bench.launch.preflight import check_names
from bench.suite import load

EXAMPLES = Path(__file__).parents[2] / "suites" / "trainers"


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.yaml")))
def test_an_example_trains(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    shutil.copytree(EXAMPLES, tmp_path / "there")
    path = tmp_path / "there" / f"{name}.yaml"
    values: dict[str, Any] = yaml.safe_load(path.read_text())
    if "epochs" in values["recipe"]:
        values["recipe"]["epochs"] = 3
    path.write_text(yaml.safe_dump({**values, "seeds": 1}))
    monkeypatch.syspath_prepend(str(tmp_path / "there"))
    suite = load(path)
    check_names(suite)
    folder = attempt(suite, tmp_path / "results", suite.runs()[-1])
    assert folder.done, reason(folder)
    result = folder.result(check_details=True)
    assert result is not None
    assert result.accuracy is not None
    assert result.accuracy > 0.15  # better than a guess
    assert folder.metrics() or name in ("sklearn", "transformers")


def test_examples_are_short() -> None:
    for path in EXAMPLES.iterdir():
        assert path.is_dir() or len(path.read_text().splitlines()) < 40, path
