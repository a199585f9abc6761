"""Runs that saw other data are never compared: digests, what is said, and what is trained again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import as_asked, finish_run, train_run
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import datasets
from bench.datasets import choose_dataset
from bench.results.folder import RunFolder
from bench.results.reading import OTHER_DATA, frame
from bench.same_data import Sighting, in_words, odd_ones
from bench.sequential_design import SequentialDesign
from bench.suite import Suite

Write = Callable[..., Path]
Bench = Callable[..., tuple[int, str, str]]
Make = Callable[..., Suite]

MODULE = """import numpy as np


def data():
    z = np.load({file!r})
    return z["a"], z["b"], z["c"], z["d"]
"""


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120)
    images = rng.integers(0, 60, (120, 1, 8, 8)) + 60 * labels[:, None, None, None]
    images = images.astype(np.uint8)
    return {"a": images[:80], "b": labels[:80], "c": images[80:], "d": labels[80:]}


@pytest.fixture
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A data set of the user's own, in a file; call it to write that with changes."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "load_own", None)  # so that it is gone after this test
    monkeypatch.delitem(sys.modules, "load_own")
    file = tmp_path / "own.npz"
    (tmp_path / "load_own.py").write_text(MODULE.format(file=str(file)))

    def write(**changes: np.ndarray[Any, Any]) -> None:
        np.savez(file, **{**arrays(), **changes})
        datasets.load.cache_clear()
        from bench.training.data import on_device

        on_device.cache_clear()

    write()
    return write


# ------------------------------------------------------------------------------------------------ digests


@given(
    st.sampled_from(["train_images", "train_labels", "test_images", "test_labels"]),
    st.integers(0, 10**9),
    st.integers(1, 255),
)
@settings(max_examples=60)
def test_any_changed_byte_is_another_digest(part: str, place: int, change: int) -> None:
    images = datasets.load(choose_dataset("digits"), Path())
    parts = {
        name: getattr(images, name) for name in ("train_images", "train_labels", "test_images", "test_labels")
    }
    assert datasets.digest(*parts.values()) == images.source == images.digest
    content = parts[part].clone()
    flat = content.view(torch.uint8).reshape(-1)
    flat[place % len(flat)] ^= change
    assert datasets.digest(*{**parts, part: content}.values()) != images.source


def test_types_and_shapes_are_part_of_a_digest() -> None:
    zeros = torch.zeros(2, 8, dtype=torch.uint8)
    same = [zeros, zeros.reshape(4, 4), zeros.view(torch.int64), zeros.to(torch.int8)]
    assert len({datasets.digest(each) for each in same}) == 4
    assert datasets.digest(zeros, zeros) != datasets.digest(torch.cat([zeros, zeros]))
    assert datasets.digest(zeros.t()) == datasets.digest(zeros.t().contiguous())


@pytest.mark.parametrize(
    "options",
    [{"train_size": 200}, {"test_size": 100}, {"label_noise": 0.1}, {"label_noise": 0.1, "noise_seed": 1}],
)
def test_the_source_is_that_before_subset_and_noise(options: dict[str, Any]) -> None:
    whole = datasets.load(choose_dataset("digits"), Path())
    part = datasets.load(choose_dataset({"digits": options}), Path())
    assert part.source == whole.source
    assert part.digest != whole.digest


def test_runs_keep_what_they_saw(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(recipe={"epochs": 1, "batch_size": 128}, selection="validation")
    found = {}
    for cell in suite.cells:
        for run in cell.runs:
            result = train_run(run, tmp_path).result()
            assert result is not None
            assert result.data is not None
            found[cell.loss, run.seed] = result.data
    source = datasets.load(choose_dataset("digits"), tmp_path).source
    assert {seen.source for seen in found.values()} == {source}
    # The split is of the seed, and the same for both losses.
    assert found["ce", 0].used == found["mix_ent", 0].used != found["ce", 1].used


# ------------------------------------------------------------------------------------------ who is odd


def saw(number: int, source: str = "a", used: str = "u", **changes: Any) -> Sighting:
    values = {"dataset": "d", "model": "m", "loss": f"l{number}", "seed": 0, "share": 0.1, "finished": number}
    return Sighting(**{"run_id": f"run{number}", **values, **changes}, source=source, used=used)


@pytest.mark.parametrize(
    ("sightings", "expected"),
    [
        ([saw(0), saw(1), saw(2)], set()),
        ([saw(0), saw(1), saw(2, "b")], {"run2"}),  # most decide
        ([saw(0), saw(1, "b")], {"run0"}),  # then the latest
        ([saw(0), saw(1, "b", dataset="other")], set()),
        ([saw(0), saw(1, "b", model="other")], {"run0"}),
        ([saw(0), saw(1, ""), saw(2, "")], set()),  # nobody knows
        ([saw(0, used="u"), saw(1, used="v")], {"run0"}),
        ([saw(0, used="u"), saw(1, used="v", seed=1)], set()),
        ([saw(0, used="u"), saw(1, used="v", model="other")], set()),
        ([saw(0, used="u"), saw(1, used="v", share=0.2)], set()),  # which was asked for
        ([saw(0, "a", "u"), saw(1, "b", "v"), saw(2, "a", "u")], {"run1"}),
    ],
)
def test_odd_ones(sightings: list[Sighting], expected: set[str]) -> None:
    assert odd_ones(sightings).keys() == expected
    said = in_words(sightings)
    assert any("left out" in line for line in said) == bool(expected)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "a", "b"]), st.sampled_from("uv"), st.integers(0, 1), st.integers(0, 2)
        ),
        max_size=12,
    )
)
@settings(max_examples=200)
def test_what_is_left_saw_the_same(drawn: list[tuple[str, str, int, int]]) -> None:
    found = [
        saw(number, source, used, seed=seed, finished=float(when))
        for number, (source, used, seed, when) in enumerate(drawn)
    ]
    odd = odd_ones(found)
    left = [one for one in found if one.source and one.run_id not in odd]
    assert len({one.source for one in left}) <= 1
    assert all(len({one.used for one in left if one.seed == seed}) <= 1 for seed in (0, 1))
    assert {one.run_id for one in found if not one.source} & odd.keys() == set()
    assert bool(left) == any(one.source for one in found)


# ------------------------------------------------------------------------------------------- in reports


def finish_all(suite: Suite, results: Path, saw: dict[str, str], correct: int = 90) -> None:
    for cell in suite.cells:
        for run in cell.runs:
            seen = {"source": saw[cell.loss], "used": "0" * 16} if saw[cell.loss] else None
            finish_run(run, results, correct=correct + run.seed % 3, data=seen)


def test_runs_that_saw_other_data_are_compared_with_none(
    bench: Bench, write_suite: Write, tmp_path: Path
) -> None:
    path, results = write_suite(losses=["ce", "mae", "focal"], seeds=6), tmp_path / "results"
    suite = as_asked(path, results)
    finish_all(suite, results, {"ce": "a" * 16, "mae": "a" * 16, "focal": "b" * 16})
    _, printed, _ = bench("report", path, "--json")
    report = json.loads(printed)
    by_loss = {cell["loss"]: cell for cell in report["cells"]}
    assert [by_loss[loss]["n"] for loss in ("ce", "mae", "focal")] == [6, 6, 0]
    deltas = {c["loss"]: c["delta"] for c in report["comparisons"]}
    assert deltas["mae"] == 0
    assert deltas["focal"] is None
    [said] = [note for note in report["notes"] if "changed between runs" in note]
    assert "12 runs (ce, mae) digest aaaaaaaaaaaaaaaa; 6 runs (focal) digest bbbbbbbbbbbbbbbb" in said
    assert "--retrain-odd" in said
    assert not report["complete"]
    for verb in ("status", "plan"):
        _, printed, _ = bench(verb, path, "--json")
        assert json.loads(printed)["remarks"] == [said]
    states = frame(results, suite.cells).groupby("loss").state.unique()
    assert states.loc["focal"] == [OTHER_DATA]


def test_runs_of_before_are_compared_and_that_is_said_once(
    bench: Bench, write_suite: Write, tmp_path: Path
) -> None:
    path, results = write_suite(losses=["ce", "mae"], seeds=6), tmp_path / "results"
    finish_all(as_asked(path, results), results, {"ce": "", "mae": "a" * 16})
    _, printed, _ = bench("report", path, "--json")
    report = json.loads(printed)
    assert [cell["n"] for cell in report["cells"]] == [6, 6]
    [said] = [note for note in report["notes"] if "digest" in note]
    assert said.startswith("6 of 12 runs finished before runs kept a digest of their data")


def test_seeds_are_not_added_by_what_cannot_be_compared(make_suite: Make, tmp_path: Path) -> None:
    suite = make_suite(losses=["ce", "mae"], seeds={"start": 5, "step": 5, "max": 10, "until": "decided"})
    first = suite.cut({cell.key: 5 for cell in suite.cells})
    finish_all(first, tmp_path, {"ce": "a" * 16, "mae": "b" * 16})
    [standing] = SequentialDesign(suite, tmp_path).standings().values()
    assert standing.seeds_needed == 5  # the first look is still to come


# ------------------------------------------------------------------------------------- data that change


def test_data_that_change_between_two_runs_are_seen(
    own_data: Callable[..., None], write_suite: Write, bench: Bench, tmp_path: Path
) -> None:
    settings = {"datasets": "load_own:data", "seeds": 2, "recipe": {"epochs": 1, "batch_size": 32}}
    path, results = write_suite(losses=["ce"], baseline=None, **settings), tmp_path / "results"
    for run in as_asked(path, results).runs():
        train_run(run, results)
    own_data(b=np.random.default_rng(1).permutation(arrays()["b"]))
    path = write_suite(losses=["ce", {"ce": {"scale": 1.0, "label": "same"}}], baseline=None, **settings)
    with pytest.raises(Exception, match="same training under two names"):
        as_asked(path, results)
    path = write_suite(losses=["ce", {"poly1": {"epsilon": 0.0, "label": "same"}}], baseline=None, **settings)
    suite = as_asked(path, results)
    for run in suite.cells[1].runs:
        train_run(run, results)
    _, printed, _ = bench("report", path, "--json")
    report = json.loads(printed)
    assert report["comparisons"][0]["delta"] is None
    assert any("the data of load_own:data changed between runs" in note for note in report["notes"])
    # When asked, the odd ones are trained again, and the two are the same to the bit.
    status, printed, said = bench("run", path, "--retrain-odd", "--workers", "1", "--json")
    assert status == 0, said
    assert said.count("saw other data") == 2
    report = json.loads(printed)
    assert report["comparisons"][0]["delta"] == 0
    assert not [note for note in report["notes"] if "digest" in note]
    assert len([*(results / "set-aside").iterdir()]) == 2
    _, _, said = bench("run", path, "--retrain-odd", "--workers", "1", "--json")
    assert "no finished run saw other data than there is now" in said


def test_a_run_does_not_go_on_with_other_data(
    own_data: Callable[..., None], make_suite: Make, tmp_path: Path
) -> None:
    settings = {"datasets": "load_own:data", "seeds": 1, "recipe": {"epochs": 2, "batch_size": 16}}
    [run] = make_suite(losses=["ce"], baseline=None, **settings).runs()
    steps = iter([False] * 3 + [True])
    train_run(run, tmp_path / "changed", should_stop=lambda: next(steps))
    assert RunFolder(tmp_path / "changed", run.id).path.joinpath("checkpoint.pt").exists()
    own_data(b=arrays()["b"][::-1].copy())
    result = train_run(run, tmp_path / "changed").result()
    alone = train_run(run, tmp_path / "alone").result()
    assert result is not None
    assert alone is not None
    assert result.predictions_sha256 == alone.predictions_sha256
    assert result.data == alone.data
    [said] = result.warnings
    assert said.startswith("the data changed while it was trained: started again")
    assert alone.warnings == []
