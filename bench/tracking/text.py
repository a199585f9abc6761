"""Names, text and times as MLflow, its databases and its Markdown take them."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from bench.results.schema import Failure
from bench.visible import flat, visible

LONGEST_DATASET = 500
LONGEST_PARAM, LONGEST_TAG, LONGEST_NAME, MOST_PARAMS = 6000, 8000, 250, 100  # MLflow refuses more


def key_of(name: str) -> str:
    """The name of a parameter or a metric that MLflow takes: it must also do as a path."""
    name = re.sub(r"[^\w.: -]", "_", name)[:LONGEST_NAME]
    return re.sub(r"^\.+|^$", "_", name)


def clean(value: object) -> str:
    """Text that every database takes and no terminal obeys: without NUL, and Unicode throughout."""
    return visible(str(value))


def plain(text: str) -> str:
    """Text as Markdown that shows it as it is, and that is still legible where Markdown is not drawn."""
    escaped = re.sub(r"[\\`*_{}\[\]>|~]", r"\\\g<0>", flat(text))
    escaped = re.sub(r"^(\d*)([-+#.])", r"\1\\\2", escaped)
    return escaped.replace("&", "&amp;").replace("<", "&lt;")


def note_of(failure: Failure) -> str:
    """What MLflow's page of a failed run says, as Markdown. A trace may hold what ends its block."""
    trace = failure.trace[-6000:].replace("```", "` ` `")
    return f"{plain(failure.reason[:1000])}\n```\n{trace}\n```"


def digest(*content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
