"""MLflow's store: its address, how it is opened, and its errors in one line.

Nothing here imports mlflow at the top: that takes more than a second.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bench.disk import read, token
from bench.errors import BenchError

LOCK = ".mlflow.lock"
NAME = ".mlflow.name"  # of a results folder, where others may mirror into the same store


class TrackingError(BenchError):
    """MLflow cannot be reached, read or written. The runs themselves are not affected."""


def default_uri(results: Path) -> str:
    """Where to mirror: ``MLFLOW_TRACKING_URI``, else a SQLite file in the results folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{results.absolute() / 'mlflow.db'}"


def ui_command(results: Path, uri: str, port: int) -> list[str]:
    """The command that serves MLflow's own UI of the store, to this machine only.

    It is to inherit this process's environment, which now names the store, and where telemetry and MLflow's
    own job queue are off.

    Raises:
        BenchError: the store is a server, which has its own UI, or nothing has been mirrored yet.
    """
    if is_server(uri):
        raise BenchError(f"{shown(uri)} is an MLflow server: open that address in a browser")
    file = sqlite_file(uri)
    if file is not None and not _is_there(file):
        raise BenchError(f"{file}: nothing has been mirrored yet; run bench track SUITE first")
    set_environment()
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # eight more processes
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri  # not an argument, which everybody here could read
    server = [sys.executable, "-m", "mlflow", "server"]
    # Our experiments say where their files are. This is for others, which else land in the working directory.
    files = ["--artifacts-destination", (results.absolute() / "mlartifacts").as_uri()]
    return [*server, *files, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


def set_environment() -> None:
    """What MLflow reads from the environment. A setting of the user's own stays."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # A server that does not answer must be known in seconds, not in many minutes. The next sync tries again,
    # and better: MLflow's own retry makes a second run where only the answer to the first got lost.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "12")


def connect(uri: str) -> Any:
    """An MLflow client that is quiet and fails fast."""
    set_environment()
    import mlflow
    from sqlalchemy import Engine, event

    # It logs, with its traceback, what it raises too.
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    check_answers(uri)
    file = sqlite_file(uri)
    if not event.contains(Engine, "connect", _do_not_wait_for_the_disk):
        event.listen(Engine, "connect", _do_not_wait_for_the_disk)
    if file is not None and not _is_there(file):
        _make(file)
    return mlflow.MlflowClient(uri)


def check_answers(uri: str) -> None:
    """Meet a broken file, or a database that does not answer: MLflow tries ten times, for two minutes.

    Raises:
        OSError, sqlite3.Error: it is one.
    """
    file, (host, port) = sqlite_file(uri), _address(uri)
    if file is not None and _is_there(file):
        with contextlib.closing(sqlite3.connect(file, timeout=10)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
    elif host and port and not is_server(uri):
        socket.create_connection((host, port), timeout=10).close()


def _is_there(file: Path) -> bool:
    """Whether there is a store: a file without content is what is left of one that was never made."""
    return file.exists() and (file.stat().st_size > 0 or not file.is_file())


def _make(file: Path) -> None:
    """A new store, whole or not at all: MLflow opens none whose making was cut short."""
    import mlflow

    new = file.with_name(f".{file.name}.{token()}")
    try:
        mlflow.MlflowClient(f"sqlite:///{new}").search_experiments(max_results=1)
        if not _is_there(file):
            os.replace(new, file)
    finally:
        for left in (new, *file.parent.glob(f"{new.name}-*")):
            left.unlink(missing_ok=True)


def heal(results: Path, uri: str) -> None:
    """Take away a store of our own whose making was cut short, by whomever: opened next, it is made anew.

    Only where it holds nothing: neither a run nor an experiment of anybody's. For one who holds the lock.
    """
    file = sqlite_file(uri)
    if file is None or file.absolute().parent != results.absolute() or not file.is_file():
        return
    for left in file.parent.glob(f".{file.name}.*"):  # of one that was killed while it made a store
        if time.time() - left.stat().st_mtime > 600:
            left.unlink(missing_ok=True)
    if not _is_there(file) or not _was_cut_short(file):
        return
    for part in (file, *(file.with_name(f"{file.name}-{end}") for end in ("wal", "shm", "journal"))):
        part.unlink(missing_ok=True)


def _was_cut_short(file: Path) -> bool:
    """Whether a file is a store of MLflow's that was not made to its end and holds nothing of anybody."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(file, timeout=10)) as store:
        tables = {name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables & {"experiments", "runs", "alembic_version"}:
            return False  # something else
        for table in tables & {"runs", "experiments"}:
            condition = " WHERE name != 'Default'" if table == "experiments" else ""
            if store.execute(f"SELECT count(*) FROM {table}{condition}").fetchone() != (0,):
                return False
        if "alembic_version" not in tables or not tables >= _PARTS:
            return True
        return bool(store.execute("SELECT count(*) FROM alembic_version").fetchone() == (0,))
    return False


_PARTS = {"experiments", "runs", "tags", "params", "metrics", "latest_metrics", "datasets", "inputs"}


def _address(uri: str) -> tuple[str | None, int | None]:
    """Host and port. Raises TrackingError where the URI is none."""
    try:
        address = urlsplit(uri)
        return address.hostname, address.port
    except ValueError:  # whose text may hold a part of the password
        raise TrackingError(
            f"tracking URI '{shown(uri)}': host and port cannot be read; "
            "in a password, # is written %23 and / %2F"
        ) from None


def _do_not_wait_for_the_disk(connection: Any, _: Any) -> None:
    """Seven commits a run, each until the disk has it, make a mirror up to six times slower.

    Ours can be built again. A store of the user's own, which does not lie beside our lock, stays safe.
    """
    if isinstance(connection, sqlite3.Connection):
        [(_, _, file)] = connection.execute("PRAGMA database_list")
        if Path(file).name == "mlflow.db" and Path(file).with_name(LOCK).exists():
            connection.execute("PRAGMA synchronous=OFF")


def find_experiment(client: Any, suite: str, results: Path, uri: str) -> tuple[str, str, Any]:
    """The name of a suite's experiment, who owns it, and the experiment itself (None: not there yet).

    It is called as the suite is, unless another results folder mirrors a suite of that name into this store:
    then it has its own. A store inside the results folder is nobody else's.
    """
    file = sqlite_file(uri)
    if file is not None and file.absolute().parent == results.absolute():
        return suite, "", client.get_experiment_by_name(suite)
    mine, experiment = _name_of(results), client.get_experiment_by_name(suite)
    if experiment is None or experiment.tags.get("bench.results", mine) == mine:
        return suite, mine, experiment
    apart = f"{suite} · {mine}"
    return apart, mine, client.get_experiment_by_name(apart)


def _name_of(results: Path) -> str:
    """Six letters that stay with a results folder wherever it is moved."""
    try:
        with (results / NAME).open("x") as new:  # whoever is first
            new.write(os.urandom(3).hex())
    except FileExistsError:
        pass
    name = read(str(results / NAME)).decode(errors="replace").strip()
    if not re.fullmatch("[0-9a-f]{6}", name):
        raise TrackingError(
            f"{results / NAME}: found '{name[:40]}', expected six letters that name this folder; "
            "move it away, and its suites get experiments of their own anew"
        )
    return name


def foreign_errors() -> tuple[type[Exception], ...]:
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    # ImportError: a database whose driver is not installed.
    return MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, OSError, ImportError


def reason(error: BaseException, uri: str) -> str:
    """What MLflow, or what lies below it, raised of a store: in one line, with what to do."""
    text = without_secrets(" ".join(str(error).split()), uri)
    rebuild = "if it is only bench's mirror, move the file away and bench track SUITE makes it anew"
    if "Max retries exceeded" in text or "timed out" in text:
        return "the server does not answer; once it does, bench track SUITE catches up"
    if "schema" in text or "revision" in text:
        return f"{text[:200]}: another version of MLflow made it; {rebuild}"
    if isinstance(error, ImportError):
        return (
            f"{text[:200]}: install the driver of this database; for PostgreSQL pip install 'psycopg[binary]'"
        )
    if re.search("malformed|not a database|already exists|no such (table|column)", text):
        return f"{text[:200]}; {rebuild}"
    return text[:400]


def sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def may_hold_runs(uri: str) -> bool:
    """Whether it is worth asking: a SQLite file is there, or something else than a file is meant."""
    file = sqlite_file(uri)
    return file is None or _is_there(file)


def is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def shown(uri: str) -> str:
    """An address without what is secret in it: who one is, and options, which may hold a password as well.

    Before the last @, whatever it is: a password may hold the characters that it should not.
    """
    scheme, mark, rest = uri.partition("://")
    if not mark and re.search(":.*@", uri):  # half of one, with which it goes wrong
        return uri.rpartition("@")[2]
    if not mark or rest.startswith("/"):  # of a file, unless there are options
        return uri if sqlite_file(uri) else uri.partition("?")[0]
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def holds_secrets(uri: str) -> bool:
    """Whether there is anything in an address that others should not read."""
    return shown(uri) != uri


def without_secrets(text: str, uri: str) -> str:
    """What somebody says of a store, without what :func:`shown` leaves out, as it is or decoded."""
    user = re.sub("^.*?://", "", uri).rpartition("@")[0]
    password = user.partition(":")[2]
    secrets = [uri, password, password and user, *re.findall(r"[?&][^=]*=([^&]*)", uri)]
    words = {word for word in (*secrets, *map(unquote, secrets)) if holds_secrets(uri) and len(word) > 2}
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, shown(uri) if word == uri else "…")
    return re.sub(r"(\w+://)[^\s/@]*@", r"\1", text)  # of any other address


def check_store(uri: str) -> str:
    """What there is at ``uri``, in one clause. Makes nothing: the first sync does.

    Raises:
        TrackingError: it cannot be reached or read.
    """
    file = sqlite_file(uri)
    if file is not None and not _is_there(file):
        return f"{file} (not there yet: the first run makes it)"
    try:
        connect(uri).search_experiments(max_results=1)
    except foreign_errors() as error:
        raise TrackingError(f"MLflow at {shown(uri)}: {reason(error, uri)}") from error
    return shown(uri)
