"""Placeholders in the words of a trainer's command: ``{loss.gamma}``, ``{recipe.lr}``, ``{seed}``, ….

They are filled in for each run. A brace that is meant is written twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.errors import BenchError, nearest

OF_RUNS = {
    "seed": "the seed of the run",
    "folder": "its folder, kept while it is unfinished",
    "data": "the folder of data sets",
    "gpus": "GPUs that it has on each node",
    "nodes": "nodes that it has",
    "device": "cpu or cuda",
}
OF_NAMES = ("dataset", "model", "loss")
"""Placeholders for the name, and with a dot for the options."""
WITH_KEYS = ("recipe", "derive")
"""Placeholders that mean something with a key alone."""
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def placeholders(word: str) -> Iterator[str]:
    """The names between braces.

    Raises:
        ValueError: a brace has no other.
    """
    for piece in _PIECE.finditer(word):
        if piece[1] is not None:
            yield piece[1]
        elif len(piece[0]) == 1:
            raise ValueError(f"found a single '{piece[0]}' in {word!r}; one that is meant is written twice")


def fill(word: str, values: Mapping[str, str]) -> str:
    """A word with its placeholders filled in; those without a value stay."""

    def value_of(piece: re.Match[str]) -> str:
        if piece[1] is not None:
            return values.get(piece[1], piece[0])
        return piece[0][0]

    return _PIECE.sub(value_of, word)


def check_placeholder(name: str) -> None:
    """Raise ValueError where no run could fill it in."""
    head, dot, rest = name.partition(".")
    if head in WITH_KEYS and rest:
        return
    if head in OF_NAMES and (rest or not dot):
        return
    if name in OF_RUNS:
        return
    allowed = [*OF_RUNS, *OF_NAMES, *(f"{kind}.OPTION" for kind in OF_NAMES), "recipe.KEY", "derive.PURPOSE"]
    literal = "; a brace that is meant is written twice" if not re.fullmatch(r"[\w.]+", name) else ""
    near = nearest(head, [*OF_RUNS, *OF_NAMES, *WITH_KEYS]) if head not in WITH_KEYS else ""
    listed = ", ".join(f"{{{one}}}" for one in allowed)
    raise ValueError(f"unknown placeholder '{{{name}}}'; allowed: {listed}{near}{literal}")


def check_placeholders(word: str | None) -> None:
    """Raise ValueError where no run could fill in one of a word's."""
    for name in placeholders(word or ""):
        check_placeholder(name)


def values_of(description: Mapping[str, Any]) -> dict[str, str]:
    """What the placeholders of a cell stand for: of names, their options, and the recipe."""
    values = {}
    for kind in OF_NAMES:
        options = dict(description[kind])
        values[kind] = str(options.pop("name"))
        options.pop("source", None)
        values |= _flat(f"{kind}.", options)
    return values | _flat("recipe.", description["recipe"])


def _flat(prefix: str, options: Mapping[str, Any]) -> dict[str, str]:
    values = {}
    for key, value in options.items():
        values[f"{prefix}{key}"] = as_word(value)
        if isinstance(value, Mapping):
            values |= _flat(f"{prefix}{key}.", value)
    return values


def as_word(value: Any) -> str:
    """A value of a suite as a word of a command: text as it is, and else as JSON has it."""
    return value if isinstance(value, str) else json.dumps(value)


def check_filled(command: Sequence[str], values: Mapping[str, str]) -> None:
    """Check that a cell has the options and keys that its command names.

    Raises:
        BenchError: it has no such option, or key of a recipe.
    """
    for name in dict.fromkeys(name for word in command for name in placeholders(word)):
        head, _, rest = name.partition(".")
        if rest and head != "derive" and name not in values:
            of = "the recipe" if head == "recipe" else f"{head} '{values[head]}'"
            kind = "keys" if head == "recipe" else "options"
            keys = [key.partition(".")[2] for key in values if key.startswith(f"{head}.")]
            has = f"it has {', '.join(keys)}" if keys else "it has no " + kind
            message = f"trainer.command: '{{{name}}}': {of} has no '{rest}'; {has}{nearest(rest, keys)}"
            raise BenchError(message)
