"""Servers that tests start: MLflow's own, and PostgreSQL from Debian's package."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest


def free_port() -> int:
    """A port that no connection which somebody opens meanwhile gets: the system gives those higher ones."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def serving(command: Sequence[str], address: str, place: Path, log: str = "log") -> Iterator[str]:
    """An MLflow server that a command starts, from when it answers at ``address`` on."""
    place.mkdir(exist_ok=True)
    with (place / log).open("w") as out:
        # A session of its own: MLflow's server starts further processes, which must end with it.
        process = subprocess.Popen(command, cwd=place, stdout=out, stderr=out, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (place / log).read_text()
                assert time.monotonic() < deadline, (place / log).read_text()
                time.sleep(0.1)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """The address of an empty database. Skips where PostgreSQL, or a user that it may run as, is missing."""
    pytest.importorskip("psycopg", reason="pip install 'psycopg[binary]'")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not programs:
        pytest.skip("PostgreSQL is missing: apt-get install postgresql")
    as_root = os.geteuid() == 0  # as which it refuses to run
    if as_root and shutil.which("runuser") is None:
        pytest.skip("PostgreSQL does not run as root, and runuser is missing")
    user = ["runuser", "-u", "postgres", "--"] if as_root else []

    def do(program: str, *words: str) -> None:
        command = [*user, str(programs[-1] / program), *words]
        quiet = subprocess.DEVNULL
        subprocess.run(command, cwd="/", check=True, stdout=quiet, stdin=quiet, timeout=120)

    # Not below pytest's folder, which is root's alone.
    with tempfile.TemporaryDirectory(prefix="bench-postgresql-") as place:
        if as_root:
            shutil.chown(place, "postgres")
        data, port = f"{place}/data", free_port()
        # Nothing is waited for until the disk has it, and there is no way in but this port.
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        do("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        do("pg_ctl", "-D", data, "-l", f"{place}/log", "-o", options, "-w", "-t", "90", "start")
        try:
            do("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "mlflow")
            yield f"postgresql://postgres@127.0.0.1:{port}/mlflow"
        finally:
            do("pg_ctl", "-D", data, "-m", "immediate", "stop")
