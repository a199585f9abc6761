"""The report on the suite's own run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mirrored import client_of, dump, make_results, make_suite, mirrored
from servers import free_port

from bench.tracking.answer import Answer
from bench.tracking.background import BackgroundMirror
from bench.tracking.mirror import Mirror
from bench.tracking.store import default_uri

SAID = Answer(
    "Is it mirrored?",
    "Nothing is better than ce.",
    "# Is it mirrored?\n\nNothing is better than ce.\n\n| loss | verdict |",
    {("digits", "vgg5-tiny", "ce"): "baseline", ("digits", "vgg5-tiny", "label_smoothing"): "undecided"},
    {"label_smoothing/delta": -0.01},
)


def artifacts(uri: str, run: Any, folder: str = "results") -> list[str]:
    return [file.path for file in client_of(uri).list_artifacts(run.info.run_id, folder)]


def test_the_report_is_attached(results: Path) -> None:
    suite = make_suite()
    make_results(results, suite)
    uri = default_uri(results)
    mirror = Mirror(suite, results, uri)
    mirror.sync()
    report = results / "report.md"
    report.write_text("superior")
    mirror.attach_report([report], SAID)
    before = dump(uri)
    Mirror(suite, results, uri).attach_report([report], SAID)
    assert dump(uri) == before
    parent, _ = mirrored(uri)
    assert parent.data.tags["mlflow.note.content"] == SAID.text
    assert artifacts(uri, parent) == ["results/report.md"]
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
    background.finish([report], SAID)
    assert background.warning is None
    parent, runs = mirrored(uri)
    assert len(runs) == 4
    assert artifacts(uri, parent) == ["results/report.md"]

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
    assert not Mirror(suite, results, uri).renew_report([report], SAID)
    assert dump(uri) == before
    mirror = Mirror(suite, results, uri)
    mirror.sync()
    assert Mirror(suite, results, uri).renew_report([report], SAID)
    parent, _ = mirrored(uri)
    assert artifacts(uri, parent) == ["results/report.md"]


def test_figures_keep_their_folder(results: Path) -> None:
    suite = make_suite()
    make_results(results, suite)
    uri = default_uri(results)
    files = [results / "small" / "report.md", results / "small" / "figures" / "intervals.png"]
    files[1].parent.mkdir(parents=True)
    for file in files:
        file.write_text("superior")
    Mirror(suite, results, uri).attach_report(files, SAID)
    parent, _ = mirrored(uri)
    [copy] = (results / "mlartifacts" / "small" / parent.info.run_id).rglob("*.png")
    assert copy.parts[-4:] == ("artifacts", "results", "figures", "intervals.png")


def test_a_note_that_is_too_long_ends_with_a_paragraph_and_says_where_the_rest_is(results: Path) -> None:
    said = Answer("Is it mirrored?", "It is.", "\n\n".join(["| a | b |"] * 2000))
    Mirror(make_suite(), results, default_uri(results)).attach_report([], said)
    parent, _ = mirrored(default_uri(results))
    experiment = client_of(default_uri(results)).get_experiment(parent.info.experiment_id)
    for tags, longest in ((parent.data.tags, 8000), (experiment.tags, 5000)):
        *kept, last = tags["mlflow.note.content"].split("\n\n")
        assert kept[-1] == "| a | b |"
        assert "report.html" in last
        assert longest - 100 < len(tags["mlflow.note.content"]) <= longest


def test_the_question_is_shown_as_it_is(results: Path) -> None:
    suite = make_suite(question="# Is <b>a_b</b> *better* & why?")
    make_results(results, suite)
    Mirror(suite, results, default_uri(results)).sync()
    parent, _ = mirrored(default_uri(results))
    expected = r"\# Is &lt;b\>a\_b&lt;/b\> \*better\* &amp; why?"  # and no backslash more
    assert parent.data.tags["mlflow.note.content"] == expected
    experiment = client_of(default_uri(results)).get_experiment(parent.info.experiment_id)
    assert experiment.tags["mlflow.note.content"] == expected
