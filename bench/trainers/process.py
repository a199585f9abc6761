"""A running program: started, read from, stopped, and killed with all that it started."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from bench.trainers import watcher

LINES = 20
"""Of a program's last ones, that are kept."""
TICK = 0.1  # seconds between looks at whether to stop
_CHUNK = 1 << 16
_LONGEST = 1 << 20
"""Bytes after which a line is cut: what is never ended would be copied anew with each chunk."""


class Process:
    """One program, in a session of its own.

    Args:
        words: of its command.
        suite: the folder in which it starts.
        work: its run's folder, by which everything that it starts is known.
        hear: gets each line of its standard output.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(
        self,
        words: Sequence[str],
        suite: Path,
        work: Path,
        environment: Mapping[str, str],
        hear: Callable[[str], None],
    ) -> None:
        self.folder = str(work.absolute())
        self.hear = hear
        self.ended = False
        self.last: deque[str] = deque(maxlen=LINES)
        watcher.end(None, self.folder)  # what an attempt left whose worker and watcher were killed at once
        _tell([self.folder, None])
        try:
            self.process = subprocess.Popen(
                words,
                cwd=suite,
                env={**environment, watcher.MARK: self.folder},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except BaseException:
            _tell(None)
            raise
        _tell([self.folder, self.process.pid])

    def wait(
        self, should_stop: Callable[[], bool], stop: str, grace: float, look: Callable[[], None]
    ) -> Stop:
        """Until it has ended, and all that it has started with it.

        Args:
            should_stop: asked ten times a second; once true, the program gets the signal ``stop``, and is
                killed ``grace`` seconds later.
            look: called ten times a second.

        Returns:
            Whether it was told to stop, and whether it had to be killed for it.
        """
        stop_time: float | None = None
        killed = False
        try:
            with selectors.DefaultSelector() as selector, _ending(self.process.pid) as ending:
                streams = {self.process.stdout: b"", self.process.stderr: b""}
                for stream in streams:
                    assert stream is not None
                    os.set_blocking(stream.fileno(), False)
                    selector.register(stream, selectors.EVENT_READ)
                if ending is not None:
                    selector.register(ending, selectors.EVENT_READ)
                while self.process.poll() is None:
                    for key, _ in selector.select(TICK if ending is not None else TICK / 10):
                        if key.fileobj in streams and not self._read(key.fileobj, streams):
                            selector.unregister(key.fileobj)
                    if stop_time is None and should_stop():
                        stop_time = time.monotonic()
                        self._signal(signal.Signals[stop])
                    if stop_time is not None and not killed and time.monotonic() > stop_time + grace:
                        killed = True
                        self._signal(signal.SIGKILL)
                    if _watcher().poll() is not None:  # somebody has killed it
                        _tell([self.folder, self.process.pid])
                    look()
                self._end()
                for stream in streams:
                    while self._read(stream, streams):  # type: ignore[arg-type]
                        pass
                    self._say(stream, streams.get(stream, b""), end=True)  # type: ignore[arg-type]
        finally:
            self._end()
            for stream in (self.process.stdout, self.process.stderr):
                if stream is not None:
                    stream.close()
        return Stop(stop_time is not None, killed)

    def _end(self) -> None:
        """Kill the program and all that it started."""
        if self.ended:
            return
        watcher.end(self.process.pid, self.folder)
        self.process.wait()
        _tell(None)
        self.ended = True

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def _read(self, stream: IO[bytes], streams: dict[IO[bytes] | None, bytes]) -> bool:
        """Take what a stream has; whether it had any."""
        try:
            chunk = os.read(stream.fileno(), _CHUNK)
        except BlockingIOError:
            return False
        if chunk:
            streams[stream] = self._say(stream, streams[stream] + chunk)
        return bool(chunk)

    def _say(self, stream: IO[bytes], content: bytes, *, end: bool = False) -> bytes:
        """Pass whole lines on, to the job's log and to whoever listens; returns what is no line yet."""
        if content and (end or (len(content) > _LONGEST and b"\n" not in content)):
            content += b"\n"
        whole, _, rest = content.rpartition(b"\n")
        for line in whole.decode(errors="replace").splitlines() if whole else ():
            self.last.append(line)
            if stream is self.process.stdout:
                self.hear(line)
        if whole:
            sys.stderr.write(whole.decode(errors="replace") + "\n")
            sys.stderr.flush()
        return rest


_watchers: dict[int, subprocess.Popen[bytes]] = {}
"""By the number of the process that started them: a fork has one of its own."""


def _watcher(*, anew: bool = False) -> subprocess.Popen[bytes]:
    """What ends the program when this process is gone; ``anew``: in place of one that was killed."""
    process = _watchers.get(os.getpid())
    if process is None or (anew and process.poll() is not None):
        nowhere = subprocess.DEVNULL
        process = _watchers[os.getpid()] = subprocess.Popen(
            [sys.executable, "-I", "-S", watcher.__file__],
            stdin=subprocess.PIPE,
            stdout=nowhere,
            stderr=nowhere,
            start_new_session=True,
        )
    return process


def _tell(under_way: object) -> None:
    for _ in range(2):
        guard = _watcher(anew=True)
        assert guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it was killed just now
            guard.stdin.write(json.dumps(under_way).encode() + b"\n")
            guard.stdin.flush()
            return


class Stop(NamedTuple):
    """Whether a program was told to stop, and had to be killed for it."""

    told: bool
    killed: bool


@contextlib.contextmanager
def _ending(process: int) -> Iterator[int | None]:
    """A file that can be read once a process has ended; None where this system has none."""
    try:
        descriptor = os.pidfd_open(process)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
