"""``bench evaluate``: the authors' files put to the test, against plain torch and plain counting."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import authors
import numpy as np
import pandas as pd
import pytest
import torch
from statsmodels.stats.contingency_tables import mcnemar
from torch.nn import functional

from bench.checkpoints.answers import Answers
from bench.checkpoints.fitting import Fitted
from bench.reports.audit import Audit, audit, claimed_in
from bench.reports.audit_text import audit_text
from bench.reports.render.markdown import markdown
from bench.training.evaluation import answer, score
from bench.training.reading import Checkpoint

Bench = Callable[..., tuple[int, str, str]]
LETTERS = ("--dataset", "emnist-letters")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> authors.Published:
    return authors.publish(tmp_path_factory.mktemp("authors"))


def test_the_authors_files(bench: Bench, published: authors.Published, tmp_path: Path) -> None:
    answers = tmp_path / "answers.csv"
    arguments = (*published.files, *LETTERS, "--data", published.data, "--predictions", answers, "--json")
    status, printed, said = bench("evaluate", *arguments)
    assert status == 0, said
    found = Audit.model_validate_json(printed)
    assert found.dataset == "emnist-letters"
    right = [logits.argmax(1) == published.labels for logits in published.logits]
    for k, file in enumerate(found.checkpoints):
        logits = published.logits[k]
        assert (file.outputs, file.first_output, file.model) == (62, 1, "vgg5")
        assert (file.correct, file.total) == (published.correct(k), len(published.labels))
        assert file.low < file.accuracy < file.high
        assert file.nll == pytest.approx(float(functional.cross_entropy(logits, published.labels)), abs=1e-4)
        assert sum(file.reliability.count) == file.total
        assert file.claimed is not None
        assert (file.claimed.source, file.claimed.holds) == ("file name", "yes")
    assert [(pair.first, pair.second) for pair in found.pairs] == [
        (found.checkpoints[a].name, found.checkpoints[b].name) for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    for pair, (a, b) in zip(found.pairs, ((0, 1), (0, 2), (1, 2)), strict=True):
        table = [[int((x & y).sum()) for y in (right[b], ~right[b])] for x in (right[a], ~right[a])]
        assert [[pair.both, pair.only_first], [pair.only_second, pair.neither]] == table
        assert pair.p_exact == pytest.approx(mcnemar(table, exact=True).pvalue)
        assert pair.low < pair.difference < pair.high
        assert pair.p < pair.p_exact
    rows = pd.read_csv(answers)
    assert rows.groupby("method", sort=False).correct.sum().tolist() == [f.correct for f in found.checkpoints]
    status, printed, _ = bench("compare", answers, "--baseline", found.checkpoints[0].name, "--json")
    assert status == 0
    cells = {cell["loss"]: cell["correct"] for cell in json.loads(printed)["cells"]}
    assert cells == {file.name: file.correct for file in found.checkpoints}


def test_what_a_person_reads(bench: Bench, published: authors.Published) -> None:
    status, printed, _ = bench("evaluate", *published.files, *LETTERS, "--data", published.data)
    assert status == 0
    for words in (
        "# 3 files of weights on emnist-letters (120 test images)",
        "62 outputs for 26 classes: the first class is output 1, as labels in the data set's files",
        "McNemar's test is about two files, never about two losses",
        "p are not adjusted for there being 3 pairs",
        "chosen by the accuracy on these same images",
        "seeds of either, where accuracies have a standard deviation of 0.05, 0.10 and 0.20 points",
    ):
        assert words in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 102
    [first] = {
        line for line in printed.splitlines() if re.match(rf"\| ?1: .*\| *{published.correct(0)} ?\|", line)
    }
    assert "yes" in first
    assert printed.count("1, 2, 3: ") >= 3  # said once for all


def test_a_claim_that_does_not_hold_is_exit_status_1(bench: Bench, published: authors.Published) -> None:
    wrong = f"{100 * (published.correct(0) + 1) / 120:.3f}"
    arguments = ("evaluate", published.files[0], *LETTERS, "--data", published.data, "--claimed", wrong)
    status, printed, _ = bench(*arguments)
    assert status == 1
    assert re.search(rf"\| *{published.correct(0) + 1} ?\| ?no *\|", printed)
    status, printed, _ = bench(*arguments, "--json")
    assert status == 1
    assert Audit.model_validate_json(printed).checkpoints[0].claimed.holds == "no"  # type: ignore[union-attr]


def test_digits_that_were_cut_off_are_told_from_rounded_ones() -> None:
    checkpoint = Checkpoint(Path("66.666_min_ent.pt"), "", {})
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    scores = score(answer(logits, torch.zeros(3, dtype=torch.int64)))
    predicted, labels = np.array([0, 0, 1]), np.zeros(3, dtype=np.int64)
    made = Answers(checkpoint, "theirs", Fitted(torch.nn.Identity(), 2, 0), 0, predicted, labels, scores)
    for claimed, holds in (((), "cut off"), (["66.667"], "yes"), (["66.7"], "yes"), (["66.668"], "no")):
        found = audit([made], "digits", ([0.5], [0.5]), "here", claimed)
        assert found.checkpoints[0].claimed is not None
        assert found.checkpoints[0].claimed.holds == holds
        assert found.holds == (holds != "no")
    text = " ".join(markdown(audit_text(audit([made], "digits", ([0.5], [0.5]), "here"))).split())
    assert re.search(r"\| ?cut off ?\|", text)
    assert "no number of 3 images rounds to 66.666, but with further digits cut off 2 gives it" in text


def test_an_accuracy_that_no_count_gives(bench: Bench, published: authors.Published) -> None:
    arguments = (*LETTERS, "--data", published.data, "--claimed", "95.123")
    status, printed, _ = bench("evaluate", published.files[0], *arguments)
    assert status == 1
    assert "no number of 120 images rounds to 95.123, and none with further digits cut off" in printed


def test_26_outputs_are_counted_from_0_and_said_otherwise_only_when_asked(
    bench: Bench, published: authors.Published, tmp_path: Path
) -> None:
    file = tmp_path / "plain.pt"
    state = torch.load(published.files[0])["model_state"]
    for part in ("weight", "bias"):
        state[f"classifier.5.{part}"] = state[f"classifier.5.{part}"][1:27]
    torch.save({n: t for n, t in state.items() if n.startswith(("l1", "l2", "l3", "l4", "cl"))}, file)
    arguments = ("evaluate", file, *LETTERS, "--data", published.data, "--json")
    _, printed, _ = bench(*arguments)
    [found] = Audit.model_validate_json(printed).checkpoints
    expected = (published.logits[0][:, 1:27].argmax(1) == published.labels - 1).sum()
    assert (found.outputs, found.first_output, found.correct) == (26, 0, int(expected))
    assert found.claimed is None
    status, _, said = bench(*arguments, "--first-label", "1")
    assert status == 2
    assert "--first-label: found 1; with 26 outputs for 26 classes it can be 0 to 0" in said


def test_normalisation_can_be_another(bench: Bench, published: authors.Published) -> None:
    arguments = ("evaluate", published.files[0], *LETTERS, "--data", published.data, "--json")
    _, printed, _ = bench(*arguments)
    _, other, _ = bench(*arguments, "--mean", "0.5", "--std", "0.25")
    first, second = (Audit.model_validate_json(text) for text in (printed, other))
    assert (second.mean, second.std) == ([0.5], [0.25])
    assert first.checkpoints[0].nll != second.checkpoints[0].nll
    _, again, _ = bench(*arguments, "--mean", "0.1307", "--std", "0.3081")
    assert Audit.model_validate_json(again) == first


def test_anybody_s_network_with_a_key_map(
    bench: Bench, published: authors.Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs.py").write_text(
        "import torch\n\n\n"
        "def net(channels, classes, width=4):\n"
        "    flat = torch.nn.Flatten()\n"
        "    hidden, last = torch.nn.Linear(channels * 784, width), torch.nn.Linear(width, classes)\n"
        "    return torch.nn.Sequential(flat, hidden, torch.nn.ReLU(), last)\n"
    )
    torch.manual_seed(0)
    sizes = {"encoder.weight": (8, 784), "encoder.bias": (8,), "head.weight": (27, 8), "head.bias": (27,)}
    state = {name: torch.randn(size) for name, size in sizes.items()}
    torch.save({"state_dict": {f"module.{n}": t for n, t in state.items()}}, tmp_path / "theirs.pth")
    (tmp_path / "keys.yaml").write_text("'module.encoder': '1'\n'module.head': '3'\n")
    monkeypatch.chdir(tmp_path)
    arguments = ("--model", "theirs:net: {width: 8}", "--key-map", "keys.yaml", "--data", published.data)
    status, printed, said = bench("evaluate", "theirs.pth", *LETTERS, *arguments, "--json")
    assert status == 0, said
    [found] = Audit.model_validate_json(printed).checkpoints
    raw = np.frombuffer(
        (published.data / "EMNIST/raw/emnist-letters-test-images-idx3-ubyte").read_bytes()[16:], np.uint8
    )
    shown = (torch.from_numpy(raw.copy()).view(-1, 784) / 255 - 0.1307) / 0.3081
    hidden = functional.relu(shown @ state["encoder.weight"].T + state["encoder.bias"])
    answer = (hidden @ state["head.weight"].T + state["head.bias"]).argmax(1)
    assert (found.outputs, found.first_output) == (27, 1)
    assert found.correct == int((answer == published.labels).sum())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dataset", "emnist-leters"], "--dataset: unknown data set 'emnist-leters'.*did you mean"),
        ([], "does not say which data set it is for; give --dataset, one of digits"),
        ([*LETTERS, "--model", "vgg"], "--model: unknown model 'vgg'"),
        ([*LETTERS, "--model", "{vgg5: {drop: 1}}"], "--model: vgg5: unknown key 'drop'"),
        ([*LETTERS, "--model", "spinal-vgg5"], "does not fit model 'spinal-vgg5'"),
        ([*LETTERS, "--model", "vgg5", "--model", "vgg5"], "--model: found 2 for 1 files"),
        ([*LETTERS, "--claimed", "95", "--claimed", "96"], "--claimed: found 2 for 1 files"),
        ([*LETTERS, "--claimed", "95.9%"], "--claimed: an accuracy is a percentage up to 100 or a fraction"),
        ([*LETTERS, "--mean", "a"], "--mean: found 'a', expected numbers"),
        ([*LETTERS, "--std", "0"], r"--std: found \(0\.0,\), expected 1 numbers above 0"),
        ([*LETTERS, "--mean", "0.5,0.5"], r"--mean: found \(0\.5, 0\.5\), expected 1 numbers, one a channel"),
        ([*LETTERS, "--first-label", "37"], "--first-label: found 37; with 62 outputs"),
        ([*LETTERS, "--key-map", "nowhere.yaml"], "nowhere.yaml: there is no such file"),
    ],
)
def test_wrong_requests_get_one_message(
    bench: Bench, published: authors.Published, options: list[str], message: str
) -> None:
    status, printed, said = bench("evaluate", published.files[0], "--data", published.data, *options)
    assert (status, printed) == (2, "")
    assert re.search(message, said), said
    assert len(said.splitlines()) == 1


def test_one_wrong_file_among_good_ones_is_found_before_any_is_asked(
    bench: Bench, published: authors.Published, tmp_path: Path
) -> None:
    page = tmp_path / "95.927_mix_ent.pt"
    page.write_text("<!doctype html>")
    answers = tmp_path / "answers.csv"
    arguments = (*LETTERS, "--data", published.data, "--predictions", answers)
    status, printed, said = bench("evaluate", published.files[0], page, *arguments)
    assert (status, printed) == (2, "")
    assert said.startswith(f"bench: {page}: is a web page")
    assert not answers.exists()


@pytest.mark.parametrize(
    ("stem", "accuracy"),
    [
        ("95.933_min_ent_vgg_emnist_letters", "95.933"),
        ("95.86", "95.86"),
        ("resnet18_acc95.12_best", "95.12"),
        ("net-acc=0.9512", "0.9512"),
        ("vgg5", None),
        ("0.9512_best", "0.9512"),
        ("v1.2_weights", None),
        ("1.5_epochs", None),
        ("model_2024.05", None),
    ],
)
def test_accuracies_in_names(stem: str, accuracy: str | None) -> None:
    assert claimed_in(stem) == accuracy
