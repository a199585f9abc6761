"""When a job stops training: its launcher or Slurm signals that, or its launcher is gone."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import FrameType


class StopFlag:
    """Becomes true once on a signal, or when the launcher is gone. Training looks at it before each step."""

    def __init__(self, launcher: int | None = None) -> None:
        self.raised = False
        self.launcher = launcher
        self.worked = False  # whether a step was made, or another one's run waited for
        self._looked = time.monotonic()
        # USR2 announces a time limit or preemption; TERM and INT are people, or Slurm without a word; HUP is
        # a terminal that was closed, which nohup says to ignore.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._raise)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        # Nothing else: whatever was interrupted may be in the middle of anything.
        self.raised = True

    def __call__(self) -> bool:
        """Whether to stop at the next step."""
        if self.launcher is not None and time.monotonic() - self._looked > 1:
            self._looked = time.monotonic()
            self.raised = self.raised or not is_alive(self.launcher)
        return self.raised

    def before_step(self) -> bool:
        """As :meth:`__call__`, before a step; notes that one is made."""
        stopping = self()
        self.worked = self.worked or not stopping
        return stopping


def is_alive(process: int) -> bool:
    """Whether a process of this machine runs. One that ended, and whose parent has not noticed, does not."""
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's, or a system without /proc: it exists
        return True
    return state != "Z"
