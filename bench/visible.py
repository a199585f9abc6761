"""Text from outside, such that it cannot steer what shows it: one place, which every way out calls.

Names, reasons, traces and logs are written by other people and other programs. A terminal takes some
characters in them for orders, and a line with others in it reads in another order than it stands there.
"""

from __future__ import annotations

import re
import sys

_REVERSING = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_STEERING = re.compile(f"[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{_REVERSING}]")
"""C0 but for tabs and ends of lines, DEL, C1, halves of characters, and what changes the direction."""


def visible(text: str) -> str:
    """Text, with what would steer a terminal or reverse a line spelled out: ``<U+001B>``."""
    return _STEERING.sub(lambda found: f"<U+{ord(found[0]):04X}>", text)


def flat(text: str) -> str:
    """The same as one line, for where a line is a thing of its own."""
    return visible(" ".join(text.split()))


def visible_json(text: str) -> str:
    """JSON that says the same in characters which steer nothing."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(message: str) -> None:
    """Tell a person, on standard error."""
    print(visible(message), file=sys.stderr, flush=True)
