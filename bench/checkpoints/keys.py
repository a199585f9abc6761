"""Names of tensors, from what a file calls them to what a network does: rules that a user writes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from bench.errors import BenchError, nearest
from bench.registry import describe
from bench.yaml_file import read_yaml


@dataclass(frozen=True)
class Rule:
    """What a name begins with, and what takes its place; None: such tensors are left out."""

    old: re.Pattern[str]
    new: str | None


def read_key_map(path: Path) -> tuple[Rule, ...]:
    """Read rules from a YAML mapping, old: new; the first that matches a name is applied to it.

    ``old`` is a regular expression for the beginning of a name, so that a plain prefix or a whole name is
    one, too. ``new`` takes its place, and may refer to groups as in ``\\1``; without a value, tensors with
    such names are left out.

    Raises:
        BenchError: no such file, no YAML, no mapping, or no regular expression.
    """
    content = read_yaml(path)
    if not isinstance(content, dict) or not content:
        raise BenchError(f"{path}: found {describe(content)}, expected a mapping of old names to new ones")
    rules = []
    for old, new in content.items():
        if not isinstance(old, str) or not (new is None or isinstance(new, str)):
            raise BenchError(
                f"{path}: {old}: found {describe(new)}, expected a name, or nothing to leave out"
            )
        try:
            pattern = re.compile(old)
            if new is not None:  # what it refers to must be there, too
                re.compile(f"{old}|").sub(new, "")
        except (re.error, IndexError) as error:
            raise BenchError(
                f"{path}: {old}: {new}: not a regular expression and its replacement: {error}"
            ) from None
        rules.append(Rule(pattern, new))
    return tuple(rules)


def rename(path: Path, state: dict[str, Tensor], rules: Sequence[Rule]) -> dict[str, Tensor]:
    """A file's tensors by their new names.

    Raises:
        BenchError: a rule that applies to no name of this file, or two tensors with one new name.
    """
    renamed: dict[str, Tensor] = {}
    came_from: dict[str, str] = {}
    used: set[Rule] = set()
    for name, tensor in state.items():
        rule = next((rule for rule in rules if rule.old.match(name)), None)
        new: str | None = name
        if rule is not None:
            used.add(rule)
            new = None if rule.new is None else rule.old.sub(rule.new, name, count=1)
        if new is None:
            continue
        if new in renamed:
            raise BenchError(f"{path}: --key-map: both '{came_from[new]}' and '{name}' become '{new}'")
        renamed[new], came_from[new] = tensor, name
    for rule in rules:
        if rule not in used:
            old = rule.old.pattern
            raise BenchError(f"{path}: --key-map: '{old}' begins none of its names{nearest(old, state)}")
    return renamed
