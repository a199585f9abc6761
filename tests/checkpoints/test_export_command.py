"""``bench export``: weights that anybody can load again, and a card that does not say more than is known."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import finish_run, train_run

from bench.datasets import load as load_images
from bench.reports.audit import Audit
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite, load

Write = Callable[..., Path]
Bench = Callable[..., tuple[int, str, str]]
MODELS = ["vgg5-tiny", {"timm/resnet10t": {"image_size": 32}}]


def trained(path: Path, results: Path, *, keep: bool) -> Suite:
    """All runs of a suite, trained."""
    suite = load(path)
    for run in suite.runs():
        RunFolder(results, run.id).start(run, {"device": "this one", "torch": "2"})
        train_run(run, results, keep_weights=keep)
    return suite


def card_of(folder: Path) -> tuple[dict[str, Any], str]:
    """Metadata and text of a model card."""
    _, metadata, text = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    return yaml.safe_load(metadata), text


def answers_of_card(folder: Path, run: Run, results: Path) -> tuple[list[int], set[str]]:
    """What the card's own lines make of the test images, in a process of its own; and what that imported."""
    [code] = re.findall(r"```python\n(.*?)```", card_of(folder)[1], re.S)
    images = load_images(run.resolve().dataset, results / "data").test_images.numpy()
    np.save(folder.parent / "images.npy", images)
    code += (
        f"\nimport numpy, sys\nimages = torch.from_numpy(numpy.load({str(folder.parent / 'images.npy')!r}))\n"
        "print(*logits(images).argmax(1).tolist())\nprint(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True, timeout=300
    )
    said, modules = done.stdout.splitlines()
    return [int(word) for word in said.split()], set(modules.split())


def test_exported_weights_are_loaded_again_by_bench_and_by_plain_python(
    bench: Bench, write_suite: Write, tmp_path: Path
) -> None:
    path = write_suite(models=MODELS, losses="ce", seeds=1, baseline=None)
    results = tmp_path / "results"
    suite = trained(path, results, keep=True)
    for number, run in enumerate(suite.runs()):
        folder = tmp_path / f"out{number}"
        status, printed, said = bench("export", run.id[:12], path, "-o", folder)
        assert (status, said) == (0, "")
        assert printed.split() == [str(folder / "model.safetensors"), str(folder / "README.md")]
        result = RunFolder(results, run.id).result()
        assert result is not None
        predicted, modules = answers_of_card(folder, run, results)
        assert predicted == RunFolder(results, run.id).predictions(result).predicted.tolist()
        assert ("bench" in modules) == (number == 0)  # timm's network needs no bench
        status, printed, said = bench("evaluate", folder, "--json", "--claimed", f"{100 * result.accuracy:g}")
        assert status == 0, said
        found = Audit.model_validate_json(printed)
        assert found.checkpoints[0].correct == result.correct
        assert found.checkpoints[0].nll == pytest.approx(result.nll, abs=1e-12)
        metadata, text = card_of(folder)
        assert metadata["bench"]["run"] == run.id
        assert metadata["bench"]["weights"] == "kept"
        [index] = metadata["model-index"]
        assert index["results"][0]["metrics"][0]["value"] == result.accuracy
        [described] = re.findall(r"```yaml\n(.*?)```", text, re.S)
        assert Run.from_description(yaml.safe_load(described)).id == run.id
        assert f"{result.correct} of 100 test images correct" in text
        assert "this one, torch 2" in text


def test_verdict_of_the_suite_is_on_the_card(bench: Bench, write_suite: Write, tmp_path: Path) -> None:
    path = write_suite(seeds=6)
    for run in load(path).runs():
        gain = 10 + run.seed % 2 if "mix_ent" in run.text else 0
        finish_run(run, tmp_path / "results", correct=80 + gain + run.seed % 3, weights=b"made up")
    ce, mix_ent = load(path).runs()[:2]
    bench("export", mix_ent.id, path, "-o", tmp_path / "theirs")
    _, text = card_of(tmp_path / "theirs")
    assert (
        "By accuracy: **superior**. mix_ent is better than ce: +10.50 points (95 % interval 9.93 to 11.07) "
        "over 6 seeds, adjusted p <.0001. That is about the two losses; "
    ) in text
    assert "these weights are one run of them" in text
    assert "nll (negative log-likelihood) 0.1000, brier (Brier score) 0.1000, ece" in text
    assert "What counts is the last epoch." in text
    assert "OPTIMISTIC" not in text
    bench("export", ce.id, path, "-o", tmp_path / "baseline")
    assert "Its loss, ce, is the baseline" in card_of(tmp_path / "baseline")[1]
    bench("export", ce.id, "-o", tmp_path / "alone")
    assert "Verdict" not in card_of(tmp_path / "alone")[1]


def test_card_of_a_suite_that_is_decided_early_does_not_call_it_unfinished(
    bench: Bench, write_suite: Write, tmp_path: Path
) -> None:
    path = write_suite(seeds={"start": 10, "step": 5, "max": 20, "until": "decided"})
    results = tmp_path / "results"
    for run in load(path).runs():
        if run.seed < 10:
            gain = 10 + run.seed % 2 if "mix_ent" in run.text else 0
            finish_run(run, results, correct=80 + gain + run.seed % 3, weights=b"made up")
    run = next(run for run in load(path).runs() if "mix_ent" in run.text)
    bench("export", run.id, path, "-o", tmp_path / "theirs")
    _, text = card_of(tmp_path / "theirs")
    assert "By accuracy: **" in text
    assert "over 10 seeds" in text
    assert "may still change" not in text


def test_card_gives_no_verdict_where_the_test_set_chose_the_epoch(
    bench: Bench, write_suite: Write, tmp_path: Path
) -> None:
    path = write_suite(seeds=6, selection="test", metrics=["nll", "accuracy"])
    for run in load(path).runs():
        nll = (0.2 if "mix_ent" in run.text else 0.5) + run.seed / 100
        finish_run(run, tmp_path / "results", correct=80, weights=b"made up", nll=nll)
    run = next(run for run in load(path).runs() if "mix_ent" in run.text)
    bench("export", run.id, path, "-o", tmp_path / "theirs")
    _, text = card_of(tmp_path / "theirs")
    assert "By nll: **no verdict**. mix_ent differs from ce by -0.300 nats" in text
    assert (
        "What counts is the epoch with the best nll on the test images themselves, which is OPTIMISTIC"
        in text
    )
    assert "OPTIMISTIC: the epoch was chosen on the test set itself, so no verdict is given." in text


def test_run_without_weights_is_trained_again_and_compared(
    bench: Bench, write_suite: Write, tmp_path: Path
) -> None:
    path = write_suite(losses="ce", seeds=1, baseline=None)
    run = trained(path, tmp_path / "results", keep=False).runs()[0]
    before = {file.name: file.read_bytes() for file in (tmp_path / "results" / "runs" / run.id).iterdir()}
    status, _, said = bench("export", run.id, path, "-o", tmp_path / "out")
    assert status == 0, said
    assert "training it again" in said
    assert "the same predictions for all 100 test images" in said
    metadata, text = card_of(tmp_path / "out")
    assert metadata["bench"]["weights"] == "repeated"
    assert "which kept none: it was trained again, and gave the same prediction" in text
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["README.md", "model.safetensors"]
    assert before == {
        file.name: file.read_bytes() for file in (tmp_path / "results" / "runs" / run.id).iterdir()
    }
    status, printed, _ = bench("evaluate", tmp_path / "out", "--json")
    assert status == 0
    assert Audit.model_validate_json(printed).checkpoints[0].name == "out"


def test_repetition_with_other_answers_is_refused_or_named_for_what_it_is(
    bench: Bench, write_suite: Write, tmp_path: Path
) -> None:
    path = write_suite(losses="ce", seeds=1, baseline=None)
    run = load(path).runs()[0]
    finish_run(run, tmp_path / "results", correct=97)
    status, printed, said = bench("export", run.id, path, "-o", tmp_path / "out")
    assert (status, printed) == (2, "")
    assert re.search(r"trained again it gives other answers for \d+ of 100 test images", said)
    assert not (tmp_path / "out" / "model.safetensors").exists()
    status, _, said = bench("export", run.id, path, "-o", tmp_path / "out", "--accept-other")
    assert status == 0, said
    metadata, text = card_of(tmp_path / "out")
    assert metadata["bench"]["weights"] == "other"
    assert f"NOT the weights that made the result of run `{run.id}`" in text
    assert "the run itself, 97, 97.000 %" in text
    assert metadata["bench"]["correct"] != 97


def test_a_classifier_that_the_loss_brings_is_said_to_be_missing(
    bench: Bench, write_suite: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "with_head.py").write_text(
        "from torch import nn\n"
        "class Head(nn.Linear):\n"
        "    def __init__(self, class_counts, feature_size):\n"
        "        super().__init__(feature_size, len(class_counts))\n"
        "    logits = nn.Linear.forward\n"
        "    def forward(self, features, target):\n"
        "        return nn.functional.cross_entropy(self.logits(features), target)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = write_suite(losses="with_head:Head", seeds=1, baseline=None)
    [run] = trained(path, tmp_path / "results", keep=True).runs()
    status, printed, said = bench("export", run.id, path, "-o", tmp_path / "out")
    assert (status, printed) == (2, "")
    assert "'with_head:Head' brings the classifier that is scored, which is no part of the model" in said
    assert "training it again" not in said


def test_damaged_kept_weights_are_made_again(bench: Bench, write_suite: Write, tmp_path: Path) -> None:
    path = write_suite(losses="ce", seeds=1, baseline=None)
    run = trained(path, tmp_path / "results", keep=True).runs()[0]
    kept = tmp_path / "results" / "runs" / run.id / "weights.safetensors"
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1])
    status, _, said = bench("export", run.id, "-o", tmp_path / "out")
    assert status == 0
    assert "the weights that the run kept are damaged" in said
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == whole


def test_wrong_requests_get_one_message(bench: Bench, write_suite: Write, tmp_path: Path) -> None:
    path = write_suite()
    done, failed, waiting, _ = load(path).runs()
    results = tmp_path / "results"
    finish_run(done, results, correct=90)
    RunFolder(results, failed.id).fail("out of memory")
    full = tmp_path / "full"
    full.mkdir()
    (full / "README.md").write_text("somebody's")
    out = tmp_path / "out"
    for arguments, message in [
        (("zzz", "-o", out), f"run 'zzz': {results} has no such finished run"),
        (("zzz", path, "-o", out), "run 'zzz': the suite has no such run"),
        (("", path, "-o", out), "run '': 4 runs begin with it"),
        ((failed.id, path, "-o", out), f"run {failed.id}: it failed: out of memory; there are no weights"),
        ((waiting.id, path, "-o", out), f"run {waiting.id}: it is not finished; there are no weights"),
        ((done.id, "-o", full), f"--output: {full}: found README.md; expected a new folder"),
    ]:
        status, printed, said = bench("export", *arguments)
        assert (status, printed) == (2, "")
        assert message in said
        assert len(said.splitlines()) == 1
    assert not out.exists()
    assert (full / "README.md").read_text() == "somebody's"
