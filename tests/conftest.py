"""What tests share: a small suite on real digits, and the command in this process."""

from __future__ import annotations

import os
import sys

# One thread, before anything imports torch: what workers do as well.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", MLFLOW_DISABLE_TELEMETRY="true")

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

from bench.suite import Suite, load

# The same examples each time, however slow: what fails here fails for whoever looks into it.
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

SMALL: dict[str, Any] = {
    "question": "Does it run?",
    "datasets": {"digits": {"train_size": 200, "test_size": 100}},
    "models": "vgg5-tiny",
    "losses": ["ce", "mix_ent"],
    "baseline": "ce",
    "seeds": 2,
    "recipe": {"epochs": 2, "batch_size": 32, "optimizer": {"adam": {"lr": 0.003}}},
    "selection": "last",
}


@pytest.fixture(autouse=True, scope="session")
def _tried_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a trial has found holds for all tests, and none of it is left on this machine."""
    os.environ["BENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _numbers_as_small_as_they_are() -> Iterator[None]:
    """What trains in this process takes the smallest numbers for zero, and statistics must not."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture
def write_suite(tmp_path: Path) -> Callable[..., Path]:
    """Write a suite file: SMALL, with the given top-level keys replaced (None removes one)."""

    def write(name: str = "small", **changes: Any) -> Path:
        values = {key: value for key, value in {**SMALL, **changes}.items() if value is not None}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return path

    return write


@pytest.fixture
def make_suite(write_suite: Callable[..., Path]) -> Callable[..., Suite]:
    """As ``write_suite``, loaded."""
    return lambda **changes: load(write_suite(**changes))


@pytest.fixture
def bench(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process: exit status, standard output, standard error."""

    from bench import cli

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "results"))
        monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))
        monkeypatch.setattr(sys, "path", list(sys.path))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call
