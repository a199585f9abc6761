"""Stores of MLflow to mirror into."""

from __future__ import annotations

from pathlib import Path

import pytest
from mirrored import client_of


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A store that MLflow has just set up: making one takes a second, a copy takes none."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    client_of(f"sqlite:///{file}")
    return file.read_bytes()


@pytest.fixture
def results(tmp_path: Path, empty_store: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_bytes(empty_store)
    return tmp_path
