"""Where a suite comes from: its file, or Python; and where the user's own modules lie for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import suite as suites
from bench.scale import Scale, tiny
from bench.suite import Suite
from bench.yaml_file import shipped, write_yaml


@dataclass(frozen=True)
class Source:
    """What a suite says, as plain data, before it is checked."""

    values: Mapping[str, Any]
    file: Path | None
    """None: it was made in Python."""
    folders: tuple[Path, ...]
    """In which the user's own modules are looked for, before all others."""

    @classmethod
    def of(cls, path: Path) -> Source:
        """A suite file, or the name of one that comes with bench. Modules lie beside it, or where one works.

        Raises:
            BenchError: it cannot be read, or is no mapping.
        """
        path = shipped(path, "suites")
        return cls(suites.read(path), path, (path.parent.absolute(), Path.cwd()))

    @property
    def name(self) -> str:
        """What messages call it."""
        return "bench.Suite" if self.file is None else str(self.file)

    @property
    def search_path(self) -> list[str]:
        """The folders as ``sys.path`` has them."""
        return [*map(str, self.folders)]

    def suite(self, seeds: int | None = None, scale: Scale = "full") -> Suite:
        """What it asks for, checked; or that in miniature.

        Raises:
            BenchError: anything that does not hold, with the field.
        """
        asked = suites.check(self.values, self.name, self.folders[0], seeds)
        return tiny(asked, seeds) if scale == "tiny" else asked

    def place(self, suite: Suite, results: Path) -> Path:
        """The file that has it; of one made in Python, where that is for whoever must read it again."""
        return self.file or results / suite.name / "suite.yaml"

    def keep(self, suite: Suite, results: Path) -> Path:
        """Make sure that there is such a file; returns its path."""
        if self.file is None:
            write_yaml(self.place(suite, results), dict(self.values))
        return self.place(suite, results)
