"""The report on the suite's own run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mirrored import client_of, dump, make_results, make_suite, mirrored
from servers import free_port

from bench.tracking.background import BackgroundMirror
from bench.tracking.mirror import Mirror
from bench.tracking.store import default_uri


def test_the_report_is_attached(results: Path) -> None:
    suite = make_suite()
    make_results(results, suite)
    uri = default_uri(results)
    mirror = Mirror(suite, results, uri)
    mirror.sync()
    report = results / "report.md"
    report.write_text("superior")
    mirror.attach_report([report], "ce: baseline")
    before = dump(uri)
    Mirror(suite, results, uri).attach_report([report], "ce: baseline")
    assert dump(uri) == before
    parent, _ = mirrored(uri)
    assert parent.data.tags["mlflow.note.content"] == "ce: baseline"
    assert [file.path for file in client_of(uri).list_artifacts(parent.info.run_id)] == ["report.md"]
    [copy] = (results / "mlartifacts" / "small").rglob("report.md")
    assert copy.read_text() == "superior"


def test_in_the_background_it_catches_up_and_keeps_its_warnings(results: Path, capfd: Any) -> None:
    suite = make_suite()
    uri = default_uri(results)
    background = BackgroundMirror(Mirror(suite, results, uri), seconds=0.05)
    background.start()
    make_results(results, suite)
    report = results / "report.md"
    report.write_text("superior")
    background.finish([report], "ce: baseline")
    assert background.warning is None
    parent, runs = mirrored(uri)
    assert len(runs) == 4
    assert [file.path for file in client_of(uri).list_artifacts(parent.info.run_id)] == ["report.md"]

    background = BackgroundMirror(Mirror(suite, results, f"http://127.0.0.1:{free_port()}"), seconds=0.05)
    background.start()
    background.finish(timeout=60)
    assert "does not answer" in (background.warning or "")
    assert capfd.readouterr() == ("", "")
