"""What runs were trained with: exact versions and devices, as each of them noted when it was begun."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel

from bench import __version__
from bench.results.folder import RunFolder

NOTED = ("bench", "python", "torch", "device", "instructions")
"""Of an attempt: what may change the bits of a result."""

LIBRARIES = ("numpy", "scipy", "pandas")
"""Whose versions may change the last bits of a report."""


class Trained(BaseModel):
    """Runs that were trained alike."""

    bench: str = ""
    python: str = ""
    torch: str = ""
    """Empty where a trainer of the user's own says nothing of it."""
    device: str = ""
    instructions: str = ""
    """Of a processor: what its numerical libraries use."""
    runs: int
    """By their last attempt."""

    def in_words(self) -> str:
        """``bench 0.1.0, Python 3.12.3, torch 2.9.1, on AMD EPYC, AVX512``"""
        names = {"bench": "bench", "python": "Python", "torch": "torch"}
        words = [f"{name} {value}" for key, name in names.items() if (value := getattr(self, key))]
        where = ", ".join(filter(None, (self.device, self.instructions)))
        return ", ".join([*words, *([f"on {where}"] if where else [])]) or "nothing noted"


def trained_with(results: Path, run_ids: Iterable[str]) -> list[Trained]:
    """How runs were trained, the most usual first."""
    counts: Counter[tuple[str, ...]] = Counter()
    for run_id in run_ids:
        last = (RunFolder(results, run_id).info().get("attempts") or [{}])[-1]
        counts[tuple(str(last.get(name) or "") for name in NOTED)] += 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Trained(**dict(zip(NOTED, values, strict=True)), runs=runs) for values, runs in ordered]


class Environment(BaseModel):
    """What ``environment.json`` of a bundle holds."""

    runs: list[Trained]
    report: dict[str, str]
    """Of what made the report of the bundle: see :func:`libraries`."""


def libraries() -> dict[str, str]:
    """Versions of what makes reports here."""
    versions = {"bench": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
