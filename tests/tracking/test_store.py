"""Where a suite is mirrored to, and what is said where that cannot be."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from mirrored import make_results, make_suite
from servers import free_port

from bench.doctor import Diagnosis
from bench.errors import BenchError
from bench.tracking.mirror import Mirror
from bench.tracking.store import TrackingError, default_uri, holds_secrets, shown, ui_command, without_secrets

Bench = Callable[..., tuple[int, str, str]]


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


# --------------------------------------------------------------------------------------------- passwords

SECRET = [
    "postgresql://me:hushhush@host/db",
    "postgresql://me:hush/hush@host/db",
    "postgresql://me:hush@hush@host:5432/db",
    "postgresql://me:hush#hush@host:5432/db",
    "postgresql://me:hush?hush@host/db",
    "postgresql://me:hush%2Fhush@host/db",
    "postgresql://host/db?user=me&password=hushhush",
    "http://me:hushhush@host:5000",
    "sqlite+pysqlcipher://:hushhush@/some.db",
    "me:hushhush@host/db",
    "http:/me:hushhush@host:5000",
    "postgresql:me:hushhush@host/db",
]


@pytest.mark.parametrize("uri", SECRET)
def test_a_password_is_not_shown(uri: str) -> None:
    assert holds_secrets(uri)
    assert "hush" not in shown(uri)
    told = f"cannot reach {uri}, that is {unquote(uri)}, ({uri.replace('://', '://other:hushhush@')})"
    assert "hush" not in without_secrets(told, uri)


@pytest.mark.parametrize("uri", ["sqlite:////a@b/c?d=e.db", "http://host:5000/path", "/folder/a@b"])
def test_an_address_without_secrets_is_shown_as_it_is(uri: str) -> None:
    assert shown(uri) == uri
    assert not holds_secrets(uri)
    assert without_secrets(f"cannot reach {uri}", uri) == f"cannot reach {uri}"


@pytest.mark.parametrize("uri", [uri for uri in SECRET if uri.startswith("postgresql")])
@pytest.mark.parametrize("verb", ["track", "doctor", "compare", "ui", "ui alone"])
def test_no_verb_says_a_password(
    bench: Bench, write_suite: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, uri: str, verb: str
) -> None:
    def fails(address: str) -> None:
        raise OSError(f"cannot connect to {address} ({unquote(address)})")

    def serves(*command: Any) -> None:
        raise AssertionError(f"{command} was started, which shows addresses whole")

    monkeypatch.setattr("bench.tracking.store.connect", fails)
    monkeypatch.setattr("bench.tracking.store.check_answers", fails)
    monkeypatch.setattr("os.execvp", serves)
    monkeypatch.setattr("bench.doctor._libraries", list)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    arguments = {"doctor": [], "compare": ["mlflow:x"]}.get(verb, [write_suite()])
    if verb == "ui alone":
        verb, arguments = "ui", []
    status, out, err = bench(verb, *arguments)
    assert status in (1, 2)
    assert "cannot connect to" in out + err
    assert "hush" not in out + err


def test_a_password_on_the_command_line_is_pointed_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.doctor.diagnose", lambda *_: Diagnosis(healthy=True, checks=[]))
    uri = SECRET[0]
    said = bench("doctor", "--tracking-uri", uri)[2]
    assert said.startswith("--tracking-uri postgresql://host/db: everybody")
    assert bench("doctor", "--tracking-uri", "http://host:5000")[2] == ""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert bench("doctor")[2] == ""


def test_what_serves_the_ui_has_no_password_among_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "")
    command = ui_command(tmp_path, SECRET[0], 5000)
    assert "hush" not in " ".join(command)
    assert os.environ["MLFLOW_BACKEND_STORE_URI"] == SECRET[0]


# ------------------------------------------------------------------------------------- a store in the making


@pytest.mark.parametrize("statements", [1, 40, 400])
def test_a_store_whose_making_was_cut_short_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: int
) -> None:
    from sqlalchemy import Engine, event

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    suite, count = make_suite(), 0
    make_results(tmp_path, suite)

    def killed(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == statements:
            raise KeyboardInterrupt

    event.listen(Engine, "before_cursor_execute", killed)
    try:
        with pytest.raises(KeyboardInterrupt):
            Mirror(suite, tmp_path, uri).sync()
    finally:
        event.remove(Engine, "before_cursor_execute", killed)
    assert not (tmp_path / "mlflow.db").exists()
    assert [*tmp_path.glob(".mlflow.db*")] == []
    if statements == 1:
        (tmp_path / "mlflow.db").touch()  # as SQLite leaves it
        assert Mirror(suite, tmp_path, uri).sync().created == 4


@pytest.mark.parametrize("statements", [2, 30, 60, 150, 300])
def test_a_store_that_mlflow_itself_did_not_finish_is_made_anew(tmp_path: Path, statements: int) -> None:
    """As `mlflow ui` leaves it, killed while it makes the file in place."""
    script = (
        "import os, sys, mlflow; from sqlalchemy import Engine, event\n"
        "left = int(sys.argv[2])\n"
        "@event.listens_for(Engine, 'before_cursor_execute')\n"
        "def count(*_):\n    global left; left -= 1\n    if left == 0: os._exit(9)\n"
        "mlflow.MlflowClient(sys.argv[1]).search_experiments()"
    )
    uri, suite = f"sqlite:///{tmp_path}/mlflow.db", make_suite(losses="ce", seeds=1)
    make_results(tmp_path, suite)
    assert subprocess.run([sys.executable, "-c", script, uri, str(statements)]).returncode == 9
    assert Mirror(suite, tmp_path, uri).sync().created == 1
    assert Mirror(suite, tmp_path, uri).sync().unchanged == 1


def test_of_half_a_store_that_holds_something_it_is_said_what_to_do(results: Path) -> None:
    suite = make_suite()
    make_results(results, suite)
    Mirror(suite, results, f"sqlite:///{results}/mlflow.db").sync()
    half = results / "half.db"
    half.write_bytes((results / "mlflow.db").read_bytes())
    with contextlib.closing(sqlite3.connect(half)) as connection:
        connection.execute("DELETE FROM alembic_version")
        connection.commit()
    with pytest.raises(TrackingError, match="move the file away and bench track SUITE makes it anew"):
        Mirror(suite, results, f"sqlite:///{half}").sync()


@pytest.mark.parametrize("kind", ["pipe", "no text", "what steers a terminal", "link to nowhere"])
def test_a_name_of_a_results_folder_that_is_none_is_one_message(
    results: Path, tmp_path_factory: pytest.TempPathFactory, kind: str
) -> None:
    suite, elsewhere = make_suite(), tmp_path_factory.mktemp("elsewhere")
    make_results(results, suite)
    name = results / ".mlflow.name"
    if kind == "pipe":
        os.mkfifo(name)
    elif kind == "link to nowhere":
        name.symlink_to("nowhere")
    else:
        name.write_bytes(b"\xff\xfe" if kind == "no text" else b"a\x1b[31m")
    with pytest.raises(TrackingError, match=r"\.mlflow\.name"):
        Mirror(suite, results, f"sqlite:///{elsewhere}/own.db").sync()
