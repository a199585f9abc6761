"""What a seed decides: its own training, validation and test images, or a part of what is random."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import datasets
from bench.errors import BenchError
from bench.results.folder import RunFolder
from bench.results.reading import frame
from bench.runs import SOURCES, Run
from bench.statistics.resampled import corrected_t
from bench.suite import Suite
from bench.training.data import Data

Make = Callable[..., Suite]
Bench = Callable[..., tuple[int, str, str]]
CPU = torch.device("cpu")
OWN = {"command": ["true"], "result": {"file": "result.json"}}
PURPOSES = [purpose for purposes in SOURCES.values() for purpose in purposes]


def images_of(batches: Any) -> list[bytes]:
    return [image.numpy().tobytes() for image in batches[0 : len(batches)]]


def parts_of(data: Data) -> dict[str, list[bytes]]:
    assert data.train_rows is not None
    trained = torch.cat([*data.images.chunks(data.train_rows, [slice(0, data.count)])])
    held_out = {"validation": images_of(data.validation[0])} if data.validation else {}
    return {"train": [i.numpy().tobytes() for i in trained], **held_out, "test": images_of(data.test[0])}


@pytest.fixture(params=["memory", "files"])
def chosen(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A data set of 130 images that are all different, in memory or mapped from files."""
    if request.param == "memory":
        return {"digits": {"train_size": 90, "test_size": 40}}
    rng = np.random.default_rng(0)
    content: dict[str, Any] = {}
    for part, count in (("train", 70), ("val", 20), ("test", 40)):
        content[f"{part}_images"] = rng.integers(0, 255, (count, 8, 8, 1), dtype=np.uint8)
        content[f"{part}_labels"] = np.arange(count) % 3
    np.savez(tmp_path / "small.npz", **content)
    return {"arrays": {"file": str(tmp_path / "small.npz")}}


@pytest.mark.parametrize("selection", ["last", "validation"])
def test_each_seed_draws_its_own_from_all_there_are(
    make_suite: Make, chosen: Any, tmp_path: Path, selection: str
) -> None:
    suite = make_suite(datasets=chosen, selection=selection, splits="per_seed")
    given = [
        *images_of(datasets.load(suite.datasets[0].choice, tmp_path).train_images),
        *images_of(datasets.load(suite.datasets[0].choice, tmp_path).test_images),
    ]
    if (held_out := datasets.load(suite.datasets[0].choice, tmp_path).validation) is not None:
        given += images_of(held_out[0])
    seen = {}
    for cell in suite.cells:
        for run in cell.runs:
            data = Data(run.resolve(), tmp_path, CPU)
            parts = parts_of(data)
            assert sorted(image for part in parts.values() for image in part) == sorted(given)
            assert len(parts["test"]) == 40
            assert len(data.test[1]) == 40
            labels = dict(zip(parts["test"], data.test[1].tolist(), strict=True))
            seen[cell.loss, run.seed] = parts, labels, data.digests.used
    assert seen["ce", 0] == seen["mix_ent", 0]  # the same for all losses
    assert set(seen["ce", 0][0]["test"]) != set(seen["ce", 1][0]["test"])
    assert seen["ce", 0][2] != seen["ce", 1][2]
    shared = seen["ce", 0][1].keys() & seen["ce", 1][1].keys()
    assert all(seen["ce", 0][1][image] == seen["ce", 1][1][image] for image in shared)  # with their labels


def test_what_is_left_out_is_as_for_seed_0(make_suite: Make) -> None:
    for source, purposes in SOURCES.items():
        suite = make_suite(vary=source)
        zero, one = (run.resolve() for run in suite.cells[0].runs)
        for purpose in PURPOSES:
            assert (zero.derive(purpose, 3) != one.derive(purpose, 3)) == (purpose in purposes)
        of_run = Run.from_description(suite.cells[0].runs[1].description)
        assert all(of_run.derive(purpose) == one.derive(purpose) for purpose in PURPOSES)


def test_runs_are_named_by_it_only_where_it_says_something(make_suite: Make) -> None:
    plain = make_suite().cells[0].text
    assert make_suite(splits="given", vary=[*SOURCES][::-1]).cells[0].text == plain
    others = [make_suite(splits="per_seed"), make_suite(vary=["order", "init"]), make_suite(vary="init")]
    assert len({plain, *(suite.cells[0].text for suite in others)}) == 4
    assert (
        make_suite(vary=["order", "init"]).cells[0].text == make_suite(vary=["init", "order"]).cells[0].text
    )
    assert json.loads(others[1].cells[0].text)["vary"] == ["init", "order"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": "per_sed"}, "splits: found 'per_sed'"),
        ({"vary": ["inti"]}, "vary.0: found 'inti'; input should be .*; did you mean 'init'"),
        ({"vary": []}, "vary: found"),
        ({"vary": ["init", "init"]}, "vary: found init, init; each once"),
        ({"splits": "per_seed", "vary": ["init"]}, "vary: found init, without split"),
        ({"splits": "per_seed", "seeds": {"start": 5, "step": 5, "max": 10}}, "seeds: found until: decided"),
        ({"splits": "per_seed", "analysis": {"test": "flips"}}, "analysis.test: found flips"),
        ({"splits": "per_seed", "datasets": {"digits": {"label_noise": 0.2}}}, "label_noise of digits"),
        ({"splits": "per_seed", "datasets": {"digits": {"long_tail": 10}}}, "long_tail of digits"),
        ({"splits": "per_seed", "trainer": OWN}, "splits: found per_seed; .* trains"),
        ({"vary": "init", "trainer": OWN}, "vary: found init; .* trains"),
    ],
)
def test_bad_requests(make_suite: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        make_suite(**changes)


def test_images_of_groups_are_not_split_anew(make_suite: Make, tmp_path: Path) -> None:
    images = np.arange(18, dtype=np.uint8)[:, None, None, None] + np.zeros((18, 4, 4, 1), np.uint8)
    content = {"train_images": images[:9], "test_images": images[9:]}
    labels = {f"{part}_labels": np.arange(9) % 3 for part in ("train", "test")}
    np.savez(tmp_path / "grouped.npz", **content, **labels, train_groups=np.arange(9))
    suite = make_suite(
        datasets={"arrays": {"file": str(tmp_path / "grouped.npz"), "layout": "NHWC"}}, splits="per_seed"
    )
    datasets.load(suite.datasets[0].choice, tmp_path)
    with pytest.raises(BenchError, match=r"splits: found per_seed; data set .* has groups"):
        Data(suite.cells[0].runs[0].resolve(), tmp_path, CPU)


def test_the_report_takes_the_overlap_into_account(
    bench: Bench, write_suite: Callable[..., Path], make_suite: Make, tmp_path: Path
) -> None:
    asked = {
        "datasets": {"digits": {"train_size": 120, "test_size": 80}},
        "seeds": 5,
        "splits": "per_seed",
        "metrics": ["accuracy", "nll"],
        "recipe": {"epochs": 3, "batch_size": 32, "optimizer": {"adam": {"lr": 0.01}}},
    }
    status, printed, _ = bench("run", write_suite(**asked), "--json")
    report = json.loads(printed)
    assert (status, report["splits"]) == (0, "per_seed")
    runs = frame(tmp_path / "results", make_suite(**asked).cells)
    counts = runs.pivot(index="seed", columns="loss", values="correct")
    expected = corrected_t((counts.mix_ent - counts.ce).to_numpy(int), 80, 80 / 120)
    [compared] = report["comparisons"]
    assert (compared["delta"], compared["p"]) == (expected.estimate, expected.p)
    assert (compared["low"], compared["high"]) == (expected.low, expected.high)
    assert compared["scope"] in ("", "on this data set")
    assert compared["low_new_images"] is None
    assert "Each seed has drawn training, validation and test images anew" in report["method"]
    assert "n_test/n_train is 0.667" in report["method"]
    assert not any("other images" in note for note in report["notes"])
    folders = [RunFolder(tmp_path / "results", run) for run in runs.run_id]
    results = [folder.result() for folder in folders]
    labels = {f.predictions(r).labels.tobytes() for f, r in zip(folders, results, strict=True) if r}
    assert len(labels) == 5  # each seed's own
    status, printed, _ = bench("report", write_suite(**asked), "--all")
    assert status == 0
    assert "corrected resampled t" in " ".join(printed.split())


def test_the_report_says_what_seeds_are_a_sample_of(bench: Bench, write_suite: Callable[..., Path]) -> None:
    status, printed, _ = bench("run", write_suite(vary=["init", "order"], seeds=2))
    said = " ".join(printed.split())
    assert status == 0
    assert (
        "Seeds differ in initial weights and the order of batches alone; augmentation, dropout and the split "
        "of the data are the same in all runs" in said
    )
