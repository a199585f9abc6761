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


def test_a_report_is_renewed_only_where_the_suite_has_been_mirrored(results: Path) -> None:
    suite = make_suite()
    make_results(results, suite)
    uri = default_uri(results)
    report = results / "report.md"
    report.write_text("superior")
    before = dump(uri)
    assert not Mirror(suite, results, uri).renew_report([report], "ce: baseline")
    assert dump(uri) == before
    mirror = Mirror(suite, results, uri)
    mirror.sync()
    assert Mirror(suite, results, uri).renew_report([report], "ce: baseline")
    parent, _ = mirrored(uri)
    assert [file.path for file in client_of(uri).list_artifacts(parent.info.run_id)] == ["report.md"]


def test_figures_keep_their_folder(results: Path) -> None:
    suite = make_suite()
    make_results(results, suite)
    uri = default_uri(results)
    files = [results / "small" / "report.md", results / "small" / "figures" / "intervals.png"]
    files[1].parent.mkdir(parents=True)
    for file in files:
        file.write_text("superior")
    Mirror(suite, results, uri).attach_report(files, "ce: baseline")
    parent, _ = mirrored(uri)
    [copy] = (results / "mlartifacts" / "small" / parent.info.run_id).rglob("*.png")
    assert copy.parts[-3:] == ("artifacts", "figures", "intervals.png")


def test_a_note_that_is_too_long_ends_with_a_paragraph_and_says_where_the_rest_is(results: Path) -> None:
    suite = make_suite()
    Mirror(suite, results, default_uri(results)).attach_report([], "\n\n".join(["| a | b |"] * 2000))
    parent, _ = mirrored(default_uri(results))
    *kept, last = parent.data.tags["mlflow.note.content"].split("\n\n")
    assert set(kept) == {"| a | b |"}
    assert "report.html" in last
    assert 7000 < len(parent.data.tags["mlflow.note.content"]) <= 8000


def test_the_question_is_shown_as_it_is(results: Path) -> None:
    suite = make_suite(question="# Is <b>a_b</b> *better* & why?")
    make_results(results, suite)
    Mirror(suite, results, default_uri(results)).sync()
    parent, _ = mirrored(default_uri(results))
    expected = r"\# Is &lt;b\>a\_b&lt;/b\> \*better\* &amp; why?"
    assert parent.data.tags["mlflow.note.content"] == expected
    experiment = client_of(default_uri(results)).get_experiment(parent.info.experiment_id)
    assert experiment.tags["mlflow.note.content"] == expected
