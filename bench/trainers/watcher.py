"""``python -I -S watcher.py``: ends a program when the worker that started it is gone.

One for each worker. A line tells it, as JSON, what is under way: ``[folder, process group]``, the group being
null until there is one; or null: nothing is. Where its standard input ends, its worker has ended; if that was
killed, whatever belongs to the program that was under way is killed as well. Nothing of ``bench`` is imported
here: it starts in some milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys

MARK = "BENCH_WORK"
"""In the environment of a program and of all that it starts: the folder in which it works."""


def kill_marked(folder: str) -> int:
    """Kill every process that works in a run's folder, of whatever session; returns how many there were."""
    mark, killed = f"{MARK}={folder}".encode(errors="surrogateescape"), 0
    try:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:  # a system without /proc
        return 0
    for number in numbers:
        if number == os.getpid():
            continue
        try:
            with open(f"/proc/{number}/environ", "rb") as file:
                marked = mark in file.read().split(b"\0")
            if marked:
                os.kill(number, signal.SIGKILL)
                killed += 1
        except OSError:  # somebody else's, or gone
            continue
    return killed


def end(group: int | None, folder: str) -> None:
    """Kill a process group, and all else that is marked: what forks meanwhile is found by the next look."""
    if group is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for _ in range(20):
        if not kill_marked(folder):
            return


if __name__ == "__main__":
    under_way = None
    for line in sys.stdin:
        under_way = json.loads(line)
    if under_way is not None:
        end(under_way[1], under_way[0])
