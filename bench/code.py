"""A user's own code: its modules, a digest of what they compute, and a copy to train from.

A callable that a suite names does what its module does, and what the modules do that this imports, however
far. Those in the user's own folders are read, and none is imported: looking must not run anything. What
Python, installed packages and ``bench`` bring is not looked at; versions tell those apart. Not found is what
is imported under a name that is made at run time, and what code reads from files.

The digest is of the syntax trees without comments, docstrings, ``pass`` and formatting, in words of our own:
:func:`ast.dump` differs between versions of Python.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import linecache
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import SourceLoader
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

_NOT_ONES_OWN = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
_INSTALLED = {"site-packages", "dist-packages"}
_BENCH = Path(__file__).resolve().parent
_DEEPEST = 50_000  # frames: a sum of a thousand terms is a thousand trees in each other


@dataclass(frozen=True)
class Module:
    """A module of a user's own."""

    file: Path
    content: bytes

    @property
    def is_package(self) -> bool:
        """Whether it is the ``__init__.py`` of a package."""
        return self.file.name == "__init__.py"

    @property
    def is_source(self) -> bool:
        """Whether it is Python, and no compiled extension."""
        return self.file.suffix == ".py"


def digest(module: str) -> str:
    """16 hexadecimal digits of what a module and all that it imports of the user's own do.

    Of a module that comes with a package: of its text.

    Raises:
        FileNotFoundError: there is no such module.
        SyntaxError: one of them is no Python, with its file and line.
        OSError: one cannot be read.
    """
    modules = own_modules(module)
    if module not in modules:
        return text_digest(module)
    return digest_of(modules)


def digest_of(modules: Mapping[str, Module]) -> str:
    """The same of modules that have been found, or kept.

    Raises:
        SyntaxError: one of them is no Python.
    """
    return _short("".join(f"{name} {does}\n" for name, does in sorted(meanings(modules).items())).encode())


def text_digest(module: str) -> str:
    """16 hexadecimal digits of the text of a module's file: what identified code before :func:`digest`.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    spec = _spec(module)
    if spec is None or not spec.has_location or spec.origin is None:
        raise FileNotFoundError(module)
    return _short(_content(spec))


def meanings(modules: Mapping[str, Module]) -> dict[str, str]:
    """By name, 16 hexadecimal digits of what each does."""
    return {name: _read(name, module).does for name, module in modules.items()}


def own_modules(module: str) -> dict[str, Module]:
    """By name, a module and all that it imports from the user's own folders, however far.

    Raises:
        SyntaxError, OSError: as :func:`digest`.
    """
    modules: dict[str, Module] = {}
    looked_at: set[str] = set()
    queue = [module]
    while queue:
        for name in _with_parents(queue.pop()):
            if name in looked_at:
                continue
            looked_at.add(name)
            if (one := _own(name)) is not None:
                modules[name] = one
                queue += _read(name, one).imports
    return modules


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _spec(name: str) -> ModuleSpec | None:
    """What would be imported under a name. :func:`importlib.util.find_spec` would import its parents."""
    spec: ModuleSpec | None = None
    for part in _with_parents(name):
        folders: Sequence[str] | None = None
        if part != part.rpartition(".")[2]:
            if spec is None or spec.submodule_search_locations is None:
                return None
            folders = list(spec.submodule_search_locations)
        try:
            specs = (finder.find_spec(part, folders) for finder in sys.meta_path)
            spec = next(filter(None, specs), None)
        except (ImportError, ValueError, AttributeError):  # of somebody's finder
            return None
    return spec


def _own(name: str) -> Module | None:
    spec = _spec(name)
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    file = Path(spec.origin)
    return Module(file, _content(spec)) if is_own(file) else None


def is_own(file: Path) -> bool:
    """Whether a file is a module in a folder of the user's own."""
    if file.suffix != ".py" and not file.name.endswith(tuple(EXTENSION_SUFFIXES)):
        return False
    place = file.resolve()
    theirs = (*_NOT_ONES_OWN, _BENCH)
    return not (_INSTALLED & {*place.parts} or any(place.is_relative_to(folder) for folder in theirs))


def _content(spec: ModuleSpec) -> bytes:
    """Of a file as it would be imported: a :class:`Snapshot`, or an archive, has its own."""
    assert spec.origin is not None
    get_data = getattr(spec.loader, "get_data", None)
    content: bytes = get_data(spec.origin) if get_data else Path(spec.origin).read_bytes()
    return content


class _Reading(NamedTuple):
    does: str
    imports: tuple[str, ...]


def _read(name: str, module: Module) -> _Reading:
    if not module.is_source:
        return _Reading(_short(module.content), ())
    return _parsed(name, module.content, str(module.file), module.is_package)


@functools.lru_cache(maxsize=1024)  # a suite may name a hundred losses of one file
def _parsed(name: str, content: bytes, file: str, is_package: bool) -> _Reading:
    try:
        tree = ast.parse(content, file)
    except (ValueError, RecursionError, MemoryError) as error:  # a null byte; a sum of 20,000 terms
        raise SyntaxError(f"{error or 'too much in one expression'}", (file, 1, None, None)) from None
    package = name.split(".") if is_package else name.split(".")[:-1]
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEEPEST))
    try:
        does = _short(dump(tree).encode())
    finally:
        sys.setrecursionlimit(limit)
    return _Reading(does, tuple(dict.fromkeys(_imports(tree, package))))


def _imports(tree: ast.Module, package: Sequence[str]) -> Iterator[str]:
    """Names of modules that may be imported anywhere in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join([*above, *([node.module] if node.module else [])])
            if start:
                yield start
                yield from (f"{start}.{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function, target = node.func, node.args[0].value
            called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if called in ("import_module", "__import__") and isinstance(target, str):
                above = package[: len(package) - (len(target) - len(target.lstrip("."))) + 1]
                yield ".".join([*(above if target.startswith(".") else ()), target.lstrip(".")])


def dump(node: object) -> str:
    """A syntax tree in words that no version of Python changes.

    What is empty or missing is left out, so that a field which a later version adds, and nobody uses, changes
    nothing. Neighbouring texts of an f-string are one.
    """
    if isinstance(node, ast.Constant):
        return f"{type(node.value).__name__}:{_constant(node.value)}"
    if isinstance(node, ast.AST):
        fields = []
        for name in sorted(node._fields):
            value = getattr(node, name, None)
            if name in ("type_comment", "type_ignores", "kind") or value is None:
                continue
            if name == "body" and isinstance(value, list):
                value = _without_words(node, value)
            if name == "values" and isinstance(node, ast.JoinedStr):
                value = _joined(node.values)
            if value != []:
                fields.append(f"{name}={dump(value)}")
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        return f"[{','.join([dump(each) for each in node])}]"
    return ascii(node)


def _constant(value: object) -> str:
    # Which characters repr shows as they are, and how long an integer it prints, changes with Python.
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value)
    return ascii(value)


def _without_words(node: ast.AST, body: list[ast.stmt]) -> list[ast.stmt]:
    """Without docstring and ``pass``."""
    documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    first = body[0] if body else None
    if documented and isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        body = body[isinstance(first.value.value, str) :]
    return [statement for statement in body if not isinstance(statement, ast.Pass)]


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    parts: list[ast.expr] = []
    for value in values:
        last = parts[-1] if parts else None
        if isinstance(value, ast.Constant) and isinstance(last, ast.Constant):
            parts[-1] = ast.Constant(str(last.value) + str(value.value))
        elif not (isinstance(value, ast.Constant) and value.value == ""):
            parts.append(value)
    return parts


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


class Snapshot(SourceLoader):
    """Imports modules as they once were, from its place in ``sys.meta_path``.

    They keep the names of their files: what code finds beside itself, it still finds there.

    Args:
        modules: by name; Python alone.
    """

    def __init__(self, modules: Mapping[str, Module]) -> None:
        self.modules = modules
        self._contents = {str(module.file): module.content for module in modules.values()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module that is here."""
        module = self.modules.get(fullname)
        if module is None:
            return None
        # What reads source again (torch.jit, tracebacks) looks here before it looks at the file.
        text = importlib.util.decode_source(module.content)
        linecache.cache[str(module.file)] = (len(text), None, text.splitlines(True), str(module.file))
        folders = [str(module.file.parent)] if module.is_package else None
        return importlib.util.spec_from_file_location(
            fullname, module.file, loader=self, submodule_search_locations=folders
        )

    def get_filename(self, fullname: str) -> str:
        """The file of a module."""
        return str(self.modules[fullname].file)

    def get_data(self, path: str) -> bytes:
        """The text of a module. Nothing is looked up in, or written to, a cache of bytecode."""
        try:
            return self._contents[str(path)]
        except KeyError:
            raise FileNotFoundError(path) from None
