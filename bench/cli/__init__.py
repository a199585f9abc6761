"""The command: one short function a verb.

:mod:`~bench.cli.training` has the verbs that train, :mod:`~bench.cli.reporting` those that show what was
found, :mod:`~bench.cli.sharing` those about what travels, :mod:`~bench.cli.checkpoints` those about weights;
:mod:`~bench.cli.app`, :mod:`~bench.cli.options` and :mod:`~bench.cli.shared` are what they share.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper

from bench.cli import training, reporting, sharing, checkpoints  # noqa: F401 # isort: skip - in the order of --help
from bench.cli.app import app
from bench.errors import BenchError, of_file
from bench.visible import say

__all__ = ["app", "main"]


def main() -> None:
    """Entry point: a wrong request gets one message and exit status 2, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # which may speak less than Unicode
            stream.reconfigure(errors="replace")
    try:
        app()
    except BenchError as error:
        sys.exit(_fail(str(error), 2))
    except OSError as error:
        sys.exit(_fail(of_file(error), 2))


def _fail(message: str, status: int) -> int:
    say(f"bench: {message}")
    return status
