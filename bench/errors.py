"""What a wrong request gets: one message that says what to do, and never a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """A request that cannot be met: bad input, or a machine that cannot do it.

    The message is complete as it stands: where (file, field), what was found, what is allowed.
    """


def of_file(error: OSError) -> str:
    """What a file that could not be read or written is told of: which, and why."""
    where = error.filename or "a file could not be read or written"
    return f"{where}: {error.strerror or error}"


def nearest(found: str, allowed: Iterable[str]) -> str:
    """``'; did you mean 'x'?'`` when a name close to ``found`` is allowed, else an empty string."""
    by_case = {name.casefold(): name for name in allowed}
    close = difflib.get_close_matches(found.casefold(), by_case, n=1, cutoff=0.6)
    return f"; did you mean '{by_case[close[0]]}'?" if close else ""


def unknown(kind: str, found: str, allowed: Iterable[str]) -> str:
    """One clause for a misspelt name: ``unknown loss 'mixent'; allowed: ce, …; did you mean 'mix_ent'?``"""
    names = sorted(allowed)
    return f"unknown {kind} '{found}'; allowed: {', '.join(names)}{nearest(found, names)}"
