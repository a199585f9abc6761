"""Launchers of one suite on one machine take turns."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

POLL_SECONDS = 0.2
QUIET_SECONDS = 3.0  # that another launcher may take before a person is told


@contextlib.contextmanager
def only_launcher(folder: Path, watch: Callable[[], None], say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a suite's launchers on this machine; call ``watch`` while another one has it."""
    import filelock

    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".launch")
    began, has_said = time.monotonic(), False
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except filelock.Timeout:
            # One that submits to a cluster holds the lock for moments only: that is not worth a word.
            if not has_said and time.monotonic() - began > QUIET_SECONDS:
                say("another `bench run` is at this suite: watching it, and going on when it ends")
                has_said = True
            watch()
            time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()
