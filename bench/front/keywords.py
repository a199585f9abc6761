"""What is said to a person, with keywords in place of the command's options."""

from __future__ import annotations

import re
import shlex

_OPTION = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)(:?)")
_SAID = {
    "--percent": "percent=True",
    "--fraction": "percent=False",
    "--lower-is-better": "lower_is_better=True",
    "--higher-is-better": "lower_is_better=False",
    "--no-transpose": "transpose=False",
    "--decimal .": 'decimal="."',
    "--decimal ,": 'decimal=","',
    "--spread se": 'spread="se"',
    "--epoch best:COLUMN": 'epoch="best:COLUMN"',
    "--epoch-column": "epoch_column=",
    "--on PROFILE": "on=PROFILE",
}
"""Options of the command that are no keyword of the same name."""
_FLAGS = (
    *("detach", "unpaired", "figures", "retry_failed", "same_code", "retrain_odd", "transpose"),
    *("percent", "lower_is_better"),
)
_COMMAND = re.compile(r"(?<=For example: )bench compare \S.*")


def in_python(text: str) -> str:
    """The same, with ``epoch="last"`` for ``--epoch last``, and calls for commands."""
    text = _COMMAND.sub(lambda match: _call(match[0]), text)
    for option, keyword in _SAID.items():
        text = text.replace(option, keyword)
    return _OPTION.sub(_said, text)


def _said(option: re.Match[str]) -> str:
    name = _keyword(option[1])
    return f"{name}:" if option[2] else f"{name}=True" if name in _FLAGS else f"{name}="


def _keyword(option: str) -> str:
    name = option.replace("-", "_")
    return name if name == "epoch_column" else name.removesuffix("_column")


def _call(command: str) -> str:
    """``bench compare runs.csv --seed-column k --unpaired`` as a call."""
    command, remark, rest = command.partition(" (and ")
    words = shlex.split(command)[2:]
    source = "frame" if words[0] == "data frame" else repr(words[0])
    given = []
    for place, word in enumerate(words):
        if word.startswith("--") and (name := _keyword(word[2:])) in _FLAGS:
            given.append(f"{name}=True")
        elif word.startswith("--"):
            given.append(f"{name}={words[place + 1]!r}")
    return f"bench.compare({', '.join([source, *given])}){remark}{rest}"
