"""What a job gets to know: the same runs in the same order, however many, in a small file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.launch.pack import Pack, installed_versions
from bench.runs import Run
from bench.suite import Suite

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def pack_of(runs: list[Run], folder: Path) -> Pack:
    return Pack(results=folder, data=folder, device="cpu", runs=runs, search_path=[], git=None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(data=st.data())
def test_runs_come_back_in_their_order(
    make_suite: Callable[..., Suite], tmp_path: Path, data: st.DataObject
) -> None:
    suite = make_suite(losses=["ce", {"mae": {"recipe": {"epochs": 3}}}, "gce"], seeds=[0, 7, 2**63 - 1])
    runs = data.draw(
        st.permutations(suite.runs()).flatmap(lambda all_: st.sampled_from([all_, all_[:4], []]))
    )
    pack = pack_of(runs, tmp_path)
    again = Pack.read(pack.write(tmp_path))
    assert again == pack
    assert again.runs == runs
    assert again.run_ids == [run.id for run in runs]


def test_what_runs_share_is_written_once(make_suite: Callable[..., Suite], tmp_path: Path) -> None:
    few, many = (
        pack_of([*make_suite(seeds=seeds).runs()], tmp_path).write(tmp_path, f"{seeds}.json")
        for seeds in (1, 1000)
    )
    cells = len(make_suite().cells)
    assert len(json.loads(many.read_text())["runs"]["descriptions"]) == cells
    assert many.stat().st_size - few.stat().st_size < 12 * cells * 1000


def test_a_checkout_that_is_not_installed_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the one that it would have: jobs of the two may share their results."""
    installed, known = installed_versions(), metadata.version

    def version(name: str) -> str:
        if name == "lossbench":
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "version", version)
    assert installed_versions() == installed
    assert installed["lossbench"] == tomllib.loads(PROJECT.read_text())["project"]["version"]
