"""Where a suite is mirrored to, and what is said where that cannot be."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from mirrored import make_results, make_suite
from servers import free_port

from bench.errors import BenchError
from bench.tracking.mirror import Mirror
from bench.tracking.store import TrackingError, default_uri, ui_command


@pytest.mark.parametrize("server", ["absent", "silent"])
def test_a_server_that_does_not_answer_is_one_message_soon(
    results: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = make_suite()
    make_results(results, suite)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # in earnest it is twelve
    began = time.monotonic()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if server == "silent":
            taken.listen()
        with pytest.raises(TrackingError, match="does not answer") as caught:
            Mirror(suite, results, f"http://me:secret@127.0.0.1:{taken.getsockname()[1]}").sync()
    assert time.monotonic() - began < 5
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dialect", ["postgresql", "mysql+pymysql"])
def test_a_database_that_is_not_there_is_one_message_soon(results: Path, dialect: str) -> None:
    began = time.monotonic()
    with pytest.raises(TrackingError, match="Connection refused"):
        Mirror(make_suite(), results, f"{dialect}://me:secret@127.0.0.1:{free_port()}/mlflow").sync()
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("trouble", ["not a database", "other schema", "folder", "no such place"])
def test_a_store_that_cannot_be_used_is_one_message(results: Path, trouble: str, capfd: Any) -> None:
    store = results / "own.db"
    if trouble == "not a database":
        store.write_bytes(b"something else " * 100)
    elif trouble == "other schema":
        store.write_bytes((results / "mlflow.db").read_bytes())
        with contextlib.closing(sqlite3.connect(store)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
            connection.commit()
    elif trouble == "folder":
        store.mkdir()
    else:
        (results / "file").touch()
        store = results / "file" / "own.db"
    suite = make_suite()
    make_results(results, suite)
    began = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        Mirror(suite, results, f"sqlite:///{store}").sync()
    assert time.monotonic() - began < 15
    assert str(store) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("uri", ["http://mlflow:50O0", "postgresql://me:pass#word@host:5432/db"])
def test_an_address_that_is_none_is_one_message(results: Path, uri: str) -> None:
    with pytest.raises(TrackingError, match=r"tracking URI '.*': host and port cannot be read") as caught:
        Mirror(make_suite(), results, uri).sync()
    assert "pass#" not in str(caught.value)


def test_where_to_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert default_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert default_uri(tmp_path) == "http://tracking:5000"
    with pytest.raises(BenchError, match="open that address"):
        ui_command(tmp_path, "http://tracking:5000", 5000)
    with pytest.raises(BenchError, match="nothing has been mirrored"):
        ui_command(tmp_path, f"sqlite:///{tmp_path}/mlflow.db", 5000)
