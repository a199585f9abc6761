"""A real Slurm for the tests of this folder, one for each process of pytest: slurm/local-cluster."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parents[2] / "slurm" / "local-cluster" / "cluster.py"


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("local_cluster", HERE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["local_cluster"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A running cluster; Slurm's commands of this process, and of those it starts, talk to it."""
    with another() as running:
        before = dict(os.environ)
        try:
            os.environ.update(running.environment)
            yield running
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextlib.contextmanager
def another(**options: Any) -> Iterator[Any]:
    """A cluster that runs, with a folder of its own."""
    local = _module()
    missing = [program for program in local.PROGRAMS if shutil.which(program, path=local.PATH) is None]
    if missing:
        pytest.skip(
            f"no Slurm here ({', '.join(missing)} missing): slurm/local-cluster/cluster.py up installs it"
        )
    folder = Path(tempfile.mkdtemp(prefix="bench-slurm-"))
    running = local.Cluster(folder, **options)
    try:
        running.up()
        yield running
    finally:
        running.down()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def other(cluster: Any) -> Iterator[Any]:
    """A second cluster of the same site."""
    with another(beside=cluster.folder) as running:
        yield running


@pytest.fixture(scope="session")
def without_books(cluster: Any) -> Iterator[Any]:
    """A cluster that keeps no accounting."""
    with another(accounting=False) as running:
        yield running


@pytest.fixture
def profile(tmp_path: Path, cluster: Any) -> Any:
    """Write a profile for the local cluster, with changes."""

    def write(**changes: Any) -> Path:
        values = {
            "partition": "main",
            "gpus": 1,
            "cpus": 2,
            "device": "cpu",
            "time": 10,
            "grace": 20,
            **changes,
        }
        path = tmp_path / "profile.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write
