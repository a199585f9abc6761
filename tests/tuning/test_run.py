"""A tuned suite from `bench run` to its verdict, gone on with, and changed."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from helpers import as_asked, bench

from bench.results.folder import RunFolder
from bench.sequential_design import as_known

SUITE = {
    "question": "Which is better at its best?",
    "datasets": {"digits": {"train_size": 130, "test_size": 60}},
    "models": {"vgg5-tiny": {"width": 4}},
    "losses": ["ce", "focal"],
    "seeds": 1,
    "recipe": {"epochs": 1, "batch_size": 65},
    "tune": {
        "budget": 1,
        "trials": 4,
        "space": {"optimizer.adam.lr": {"log": [0.001, 0.1]}},
        "losses": {"focal": {"gamma": {"uniform": [0.5, 3]}}},
    },
}


def trained(path: Path, results: Path) -> dict[str, int]:
    """How often each run was begun."""
    runs = as_known(as_asked(path, results), results).runs()
    return {run.id: len(RunFolder(results, run.id).info().get("attempts", [])) for run in runs}


def test_a_tuned_suite_is_trained_in_two_rounds_and_nothing_twice(tmp_path: Path) -> None:
    path, results = tmp_path / "mine.yaml", tmp_path / "results"
    path.write_text(yaml.safe_dump(SUITE))
    first = bench("run", path, "--results", results, "--json")
    assert first.returncode == 0, first.stderr
    made = json.loads(first.stdout)
    assert (made["tuning"]["budget"], made["tuning"]["trials"]) == (1, 4)
    assert [cell["n"] for cell in made["cells"]] == [1, 1]
    assert made["comparisons"][0]["n"] == 4
    assert made["comparisons"][0]["p"] is not None
    assert trained(path, results) == dict.fromkeys(trained(path, results), 1)
    assert len(trained(path, results)) == 10

    changed = {**SUITE, "tune": {**SUITE["tune"], "trials": 5}}  # type: ignore[dict-item]
    path.write_text(yaml.safe_dump(changed))
    again = bench("run", path, "--results", results, "--json")
    assert again.returncode == 0, again.stderr
    said = "8 of 10 trials are as they were and count, 8 of them finished; 2 are new"
    assert said in again.stderr
    made = json.loads(again.stdout)
    assert any(said in note for note in made["notes"])
    assert "Not as planned" not in again.stderr
    assert made["plan"]["deviations"] == ["tune.trials 5, planned 4"]
    assert max(trained(path, results).values()) == 1

    listed = bench("status", path, "--results", results, "--json")
    status = json.loads(listed.stdout)
    assert status["runs"]["done"] == status["runs"]["planned"] == 12
    assert [cell["done"] for cell in status["searches"]] == [5, 5]
