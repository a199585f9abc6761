"""What TensorBoard is given: the same curves and scores as MLflow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mirrored import EPOCHS, add_epochs, begin, finish, make_suite

from bench.tracking.tensorboard import export_logs

Bench = Callable[..., tuple[int, str, str]]


def test_curves_scores_and_descriptions_are_there(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    suite = make_suite(losses=["ce", {"mae": {"label": "a/b"}}, {"gce": {"label": "a_b"}}], seeds=1)
    for run in suite.runs():
        folder = begin(tmp_path, run)
        add_epochs(folder, 1, EPOCHS)
        finish(folder)
    logs = tmp_path / "logs"
    for _ in range(2):  # what is there is replaced
        assert export_logs(suite, tmp_path, logs) == 3
    files = [*logs.rglob("events.out.tfevents.*")]
    other = f"vgg5-tiny/a_b/seed 0 {suite.cells[2].runs[0].id}"  # beside a/b, whose folder it would have
    assert sorted(file.parent.relative_to(logs).as_posix() for file in files) == sorted(
        ["vgg5-tiny/a_b/seed 0", other, "vgg5-tiny/ce/seed 0"]
    )
    events = EventAccumulator(str(logs / "vgg5-tiny" / "ce" / "seed 0")).Reload()
    assert [(e.step, round(e.value, 6)) for e in events.Scalars("test_accuracy")] == [
        (epoch, epoch / 10) for epoch in range(1, EPOCHS + 1)
    ]
    [score] = events.Scalars("score/accuracy")
    assert score.value == pytest.approx(0.7)
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_without_tensorboard_it_is_said_what_to_install(
    bench: Bench, write_suite: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    status, _, said = bench("export-logs", write_suite(), "--tensorboard", tmp_path / "logs")
    assert status == 2
    assert said.strip().endswith("TensorBoard is not installed; pip install tensorboard")
