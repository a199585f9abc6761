"""Functions and classes as suites name them: what other processes can import, and a run's identity holds."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import code
from bench.errors import BenchError
from bench.registry import describe


def plain(value: Any, where: str = "") -> Any:
    """A value of a suite as its file would have it: texts, numbers, lists, mappings.

    A function or class becomes ``module:name``, wherever it stands, also as the key of its options. What
    numpy has for numbers and lists becomes those.

    Args:
        where: the field, for messages.

    Raises:
        BenchError: something else, or a function that other processes cannot import: says what to do.
    """
    if value is None or isinstance(value, (bool, str, int, float)):
        return _bare(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {plain(key, where): plain(item, _within(where, key)) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [plain(item, _within(where, number)) for number, item in enumerate(value)]
    if type(value).__module__ == "numpy":
        return plain(value.tolist(), where)
    if callable(value):
        return name_of(value, where)
    raise BenchError(
        f"{where}: found {describe(value)}, expected text, numbers, lists and mappings of these, or a "
        "function or class of a module"
    )


def _bare(value: Any) -> Any:
    """Without what a class of somebody's adds to a text or number."""
    for kind in (bool, str, int, float):
        if isinstance(value, kind):
            return value if type(value) is kind else kind(value)
    return value


def _within(where: str, part: object) -> str:
    inner = getattr(part, "__name__", part)
    return f"{where}.{inner}" if where else str(inner)


def name_of(function: Any, where: str) -> str:
    """``module:name``, by which any process finds this very function or class.

    Raises:
        BenchError: there is no such name: it is a lambda, or was made in a notebook cell, within a function,
            of another function, or of a class.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise BenchError(
            f"{where}: found {describe(function)}, which is made of a function or class, and which the "
            "processes that train cannot import: give the function or class itself, and its options beside "
            "it: {function: {'option': value}}"
        )
    file = "into a file beside, such as mine.py, import that, and give it from there"
    if "<lambda>" in name:
        raise BenchError(
            f"{where}: a lambda has no name by which the processes that train could import it: write it as a "
            f"function {file}"
        )
    if "<locals>" in name:
        function_name = name.rpartition(".")[2]
        raise BenchError(
            f"{where}: '{function_name}' was made within a function, where the processes that train cannot "
            f"import it: put it {file}"
        )
    if module == "__main__":
        raise BenchError(
            f"{where}: '{name}' was defined in a notebook cell, or in the program itself, which the "
            f"processes that train cannot import: put it {file}: mine.{name}"
        )
    if "." in name:
        raise BenchError(
            f"{where}: '{name}' belongs to a class, and a suite names what a module has at its top: write a "
            f"function {file}"
        )
    if module.partition(".")[0] == "bench":
        raise BenchError(f"{where}: '{name}' is bench's own: give its name in quotes, as suite files have it")
    if getattr(sys.modules.get(module), name, None) is not function:
        raise BenchError(
            f"{where}: {module}.{name} is something else than this '{name}', which was decorated afterwards, "
            f"or whose module was loaded anew since: give what `from {module} import {name}` gives now"
        )
    return f"{module}:{name}"


def folder_of(name: str) -> Path | None:
    """The folder from which a ``module:name`` was imported; None of what is not the user's own."""
    top = name.partition(":")[0].partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None or not code.is_own(Path(file)):
        return None
    folder = Path(file).absolute().parent
    return folder.parent if Path(file).name == "__init__.py" else folder
