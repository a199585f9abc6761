"""What code does: the same digest for the same, whatever is said about it, and another for anything else."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import io
import sys
import tokenize
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import code

LOSS = """import torch
from help import K, scale


def loss(logits, target):
    return K * scale(torch.nn.functional.cross_entropy(logits, target))
"""
HELP = """from package.deep import OFFSET

K = 1


def scale(value):
    from lazy import TWICE

    return value * TWICE + OFFSET
"""
FILES = {
    "mine.py": LOSS,
    "help.py": HELP,
    "lazy.py": "import importlib\n\nTWICE = importlib.import_module('named').TWICE\n",
    "named.py": "TWICE = 2\n",
    "package/__init__.py": "from . import beside\n",
    "package/deep.py": "OFFSET = 2.5\n",
    "package/beside.py": "from .deep import OFFSET\nfrom ..missing import nothing\n",
    "stranger.py": "raise SystemExit('nobody imports this')\n",
    "names/space.py": "X = 1\n",
}
IMPORTED = ["mine.py", "help.py", "lazy.py", "named.py", "package/__init__.py", "package/deep.py"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def names(folder: Path, module: str) -> dict[str, str]:
    return {
        name: found.file.relative_to(folder).as_posix() for name, found in code.own_modules(module).items()
    }


def test_modules_are_found_however_far_and_none_is_imported(folder: Path) -> None:
    (folder / "package" / "__init__.py").write_text("from . import beside\nraise SystemExit('was run')\n")
    assert names(folder, "mine") == {
        "mine": "mine.py",
        "help": "help.py",
        "lazy": "lazy.py",
        "named": "named.py",
        "package": "package/__init__.py",
        "package.deep": "package/deep.py",
        "package.beside": "package/beside.py",
    }
    assert names(folder, "names.space") == {"names.space": "names/space.py"}
    assert names(folder, "package.deep").keys() == {"package", "package.deep", "package.beside"}


def test_a_package_that_is_installed_is_known_by_its_text() -> None:
    assert code.own_modules("torch.nn") == {} == code.own_modules("bench.datasets.miniature")
    assert code.digest("torch.nn") == code.text_digest("torch.nn")
    with pytest.raises(FileNotFoundError):
        code.digest("nothing_of_this_name")


def said(text: str, draw: st.DataObject) -> str:
    """The same code with other words: comments, docstrings, blank lines, brackets, spaces and ``pass``."""
    lines = []
    for line in text.splitlines():
        if draw.draw(st.booleans()):
            lines.append(draw.draw(st.sampled_from(["", "# a comment", "\t", "    # another, elsewhere"])))
        if line.endswith(":") and draw.draw(st.booleans()):
            word = draw.draw(st.sampled_from(['"""Words."""', "pass", "pass  # of use to nobody"]))
            lines += [line, f"    {word}"]
            continue
        if " = " in line and draw.draw(st.booleans()):
            name, _, value = line.partition(" = ")
            line = f"{name}=(\n  {value}  # why\n  )"
        end = (
            "" if not line or line.endswith(":") else draw.draw(st.sampled_from(["", ";", "  # at the end"]))
        )
        lines.append(line + end)
    first = draw.draw(st.sampled_from(["", '"""What this is for."""\n', '"""Also\n\nhere."""\n# and\n']))
    return first + "\n".join(lines) + draw.draw(st.sampled_from(["", "\n", "\n\n\n"]))


@given(st.sampled_from(IMPORTED), st.data())
@settings(max_examples=100)
def test_words_and_formatting_change_nothing(file: str, draw: st.DataObject) -> None:
    text = said(FILES[file], draw)
    assert code.dump(ast.parse(text)) == code.dump(ast.parse(FILES[file])), text


def test_words_in_all_modules_keep_the_digest(folder: Path) -> None:
    before = code.digest("mine")
    for file in IMPORTED:
        path = folder / file
        path.write_text('"""Words."""\n# and more\n\n' + path.read_text().replace(" = ", "   =   "))
    assert code.digest("mine") == before != code.text_digest("mine")


def numbers(text: str) -> list[tuple[int, int, str]]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [(*token.start, token.string) for token in tokens if token.type == tokenize.NUMBER]


@given(
    st.sampled_from([(file, found) for file in IMPORTED for found in numbers(FILES[file])]),
    st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.booleans()),
)
@settings(max_examples=100)
def test_another_constant_is_another_meaning(place: tuple[str, tuple[int, int, str]], new: object) -> None:
    file, (row, column, old) = place
    lines = FILES[file].splitlines()
    written = {"inf": "1e400", "-inf": "-1e400"}.get(repr(new), repr(new))
    lines[row - 1] = lines[row - 1][:column] + written + lines[row - 1][column + len(old) :]
    same = code.dump(ast.parse("\n".join(lines))) == code.dump(ast.parse(FILES[file]))
    assert same == (written == old)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("mine.py", "K * scale", "K * K * scale"),
        ("mine.py", "import torch\n", "import torch\nimport stranger\n"),
        ("help.py", "K = 1", "K = -50"),
        ("help.py", "K = 1", "K = 1.0"),
        ("help.py", "K = 1", "K = True"),
        ("lazy.py", "'named'", "'stranger'"),
        ("named.py", "2", "3"),
        ("package/__init__.py", "beside\n", "beside\nx = 1\n"),
        ("package/deep.py", "2.5", "2.5000000000000004"),
    ],
)
def test_whatever_else_any_module_does_is_another_digest(folder: Path, file: str, old: str, new: str) -> None:
    before = code.digest("mine")
    assert old in FILES[file]
    (folder / file).write_text(FILES[file].replace(old, new))
    assert code.digest("mine") != before


def test_what_nobody_imports_does_not_matter(folder: Path) -> None:
    before = code.digest("mine")
    (folder / "stranger.py").write_text("x = 2\n")
    assert code.digest("mine") == before


def test_what_is_no_python_is_said_with_its_place(folder: Path) -> None:
    (folder / "named.py").write_text("TWICE = 2\nTWICE = = 3\n")
    with pytest.raises(SyntaxError) as raised:
        code.digest("mine")
    assert raised.value.filename == str(folder / "named.py")
    assert raised.value.lineno == 2
    (folder / "named.py").write_bytes(b"TWICE = 2\n\0")
    with pytest.raises(SyntaxError):
        code.digest("mine")
    (folder / "named.py").write_text(f"TWICE = {' + '.join(['1'] * 50_000)}\n")
    with pytest.raises(SyntaxError, match=r"recursion|expression|stack|parse"):
        code.digest("mine")


def test_what_lies_in_an_archive_is_read(folder: Path) -> None:
    with zipfile.ZipFile(folder / "some.zip", "w") as archive:
        archive.writestr("zipped.py", "K = 1\n")
    sys.path.insert(0, str(folder / "some.zip"))
    (folder / "named.py").write_text("from zipped import K as TWICE\n")
    before = code.digest("mine")
    assert "zipped" in code.own_modules("mine")
    assert code.text_digest("zipped") == hashlib.sha256(b"K = 1\n").hexdigest()[:16]
    assert code.digest("mine") == before


def test_a_long_sum_is_read_and_leaves_the_limit_of_recursion(folder: Path) -> None:
    limit = sys.getrecursionlimit()
    (folder / "named.py").write_text(f"TWICE = {' + '.join(['1'] * 2000)}\n")
    assert code.digest("mine")
    assert sys.getrecursionlimit() == limit


SAMPLE = r'''"""What this module says."""
from __future__ import annotations

import asyncio
import dataclasses as dc
from typing import Any, NamedTuple

BIG = 10**3 + 0x7FFF_FFFF_FFFF_FFFF_FFFF
SMALL, NOTHING, ALL, DOTS = -0.1, None, True, ...
TEXT = "plain" f" {BIG!r:>{4}} and {SMALL=}" "é\U0001fae8"
RAW = rb"\x00" + b"\xff"
NESTED = f"{f'{BIG}'}{'x':}"
EMPTY = f""
IMAGINARY = 2j


@dc.dataclass(frozen=True)
class Loss:
    """A class."""

    scale: float = 1.0
    names: tuple[str, ...] = ()

    def __call__(self, logits: Any, /, target: Any, *rest: Any, weight: float = 2.0, **options: Any) -> Any:
        """A method."""
        if (n := len(rest)) and not options:
            pass
        elif n > 1 or n in {1, 2, 3} and n is not None:
            return logits @ target
        else:
            raise ValueError(f"{n:,}") from None
        return lambda x, *, y=3: x[1:2, ..., ::-1] ** y // 2


class Nothing(NamedTuple):
    """Only words."""


async def go(things: list[int]) -> dict[int, list[int]]:
    async with asyncio.Lock() as lock, asyncio.Lock():
        found = {k: [*things] for k in things if k for j in (1, 2)}
        del found[0]
        await asyncio.sleep(0)
    try:
        async for thing in lock:
            yield thing
    except* (OSError, ValueError) as error:
        assert error, "message"
    finally:
        global BIG
        BIG += 1


def gen(value):
    match value:
        case {"a": 1, **rest} | [1, 2, *rest]:
            yield from rest
        case Loss(scale=-1.5) as loss if loss:
            return
        case None | "x":
            ...
        case _:
            while True:
                break
            else:
                pass
            for i in range(3):
                continue
    with open("x") as f, (yield) as (a, b):
        nonsense: int
        print(not a, ~b, a if b else f, *f, **{}, sep="")
'''


def test_digests_are_the_same_in_all_versions_of_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same came of Python 3.11, 3.12, 3.13 and 3.14."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "sampled.py").write_text(SAMPLE)
    assert code.meanings(code.own_modules("sampled")) == {"sampled": "ccc031b85b48d68d"}
    assert code.digest("sampled") == "44269136b7782cba"


def test_a_snapshot_imports_what_once_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "package" / "beside.py").write_text("HERE = __file__\n")
    before, modules = code.digest("package"), code.own_modules("package")
    for file in ("__init__.py", "deep.py", "beside.py"):
        (folder / "package" / file).write_text("raise SystemExit('this is the new one')\n")
    (folder / "package" / "later.py").write_text("LATER = 1\n")
    assert code.digest("package") != before
    monkeypatch.setattr(sys, "meta_path", [code.Snapshot(modules), *sys.meta_path])
    assert code.digest("package") == before
    for name in ("package", "package.beside", "package.later"):
        monkeypatch.setitem(sys.modules, name, None)  # so that they are gone after this test
        monkeypatch.delitem(sys.modules, name)
    beside = importlib.import_module("package.beside")
    assert Path(beside.HERE) == folder / "package" / "beside.py"
    assert importlib.import_module("package.later").LATER == 1  # is no part of it, and found where it is
    assert inspect.getsource(beside) == "HERE = __file__\n"  # what compiles source reads it again
