"""Imports run downwards only: a room knows the rooms below it and none above."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Collection
from pathlib import Path

import pytest

import bench

HOUSE = Path(bench.__file__).parent

FLOORS = [
    ["__main__"],
    ["cli"],
    ["front"],
    ["doctor", "sites"],
    ["bundles"],
    ["reports", "tracking"],
    ["comparisons"],
    ["launch"],
    ["checkpoints", "trainers"],
    ["training"],
    ["sequential_design"],
    ["tuning"],
    ["statistics"],
    ["merging"],
    ["environment", "home", "preregistration"],
    ["versions"],
    ["results"],
    ["same_data"],
    ["source"],
    ["scale"],
    ["suite"],
    ["cells", "entries"],
    ["runs", "settings", "trainer_options"],
    ["recipe", "placeholders", "programs", "space"],
    ["losses", "metrics", "models", "datasets", "transforms", "factories"],
    ["predictions"],
    ["registry", "yaml_file"],
    ["disk"],
    ["code", "notice"],
    ["errors", "machine", "progress", "visible"],
]
LEVEL = {room: len(FLOORS) - number for number, floor in enumerate(FLOORS) for room in floor}


def imported_rooms(file: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bench":
            parts = (node.module or "").split(".")
            rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            rooms |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("bench.")}
    return rooms - {"__version__"}


def test_every_room_has_a_floor() -> None:
    rooms = {path.stem for path in HOUSE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == LEVEL.keys()


def test_imports_run_downwards() -> None:
    upwards = []
    for file in HOUSE.rglob("*.py"):
        room = file.relative_to(HOUSE).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        upwards += [
            f"{file.relative_to(HOUSE)} imports bench.{other}"
            for other in imported_rooms(file) - {room}
            if LEVEL[other] >= LEVEL[room]
        ]
    assert not upwards


def test_no_module_imports_itself_through_others() -> None:
    modules = {
        ".".join(["bench", *file.relative_to(HOUSE).with_suffix("").parts]).removesuffix(".__init__"): file
        for file in HOUSE.rglob("*.py")
    }
    graph = {name: imported_modules(name, file, modules) - {name} for name, file in modules.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a circle: {' → '.join(error.args[1])}")


class _WithoutTypes(ast.NodeTransformer):
    """Takes out what is imported for a type checker alone."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def imported_modules(name: str, file: Path, modules: Collection[str]) -> set[str]:
    """Those of the house that a module imports when it runs, wherever in it."""
    package = name if file.stem == "__init__" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(_WithoutTypes().visit(ast.parse(file.read_text()))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] + "." if node.level else ""
            start = f"{above}{node.module or ''}".rstrip(".")
            # What is no module is something in it.
            found |= {
                there if (there := f"{start}.{alias.name}") in modules else start for alias in node.names
            }
    return found & {*modules}


def test_statistics_know_no_files_no_torch_and_no_tables() -> None:
    for file in (HOUSE / "statistics").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {
                "torch",
                "pandas",
                "pathlib",
                "os",
                "mlflow",
            }, file
