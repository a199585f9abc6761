"""The digests of a user's code that a suite or the description of a run names."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.registry import Choice, ForeignOptions
from bench.results.folder import RunFolder
from bench.runs import Run, canonical
from bench.suite import Suite

Sources = Mapping[str, str]  # module → digest


def of_runs(runs: Iterable[Run]) -> Sources:
    """The versions that runs are to be trained with, which were asked for together."""
    texts = dict.fromkeys(run.text for run in runs)
    return {module: digest for text in texts for module, digest in sources_of(text).items()}


def digests_of_runs(results: Path, module: str) -> list[str]:
    """The digests of a module in finished runs, from before versions were kept: reads every run folder."""
    digests: dict[str, None] = {}
    with contextlib.suppress(FileNotFoundError):
        for folder in sorted((results / "runs").iterdir()):
            if (digest := _sources_in(RunFolder(results, folder.name).info()).get(module)) is not None:
                digests[digest] = None
    return [*digests]


def of_suite(suite: Suite) -> dict[str, str]:
    """The digest of each module and program that a suite names, but for those of ``bench`` itself."""
    return of_modules(suite) | {key: program.digest for key, program in suite.programs.items()}


def of_modules(suite: Suite) -> dict[str, str]:
    """The same of modules alone."""
    entries = [entry for axis in (suite.datasets, suite.models, suite.losses) for entry in axis]
    choices: list[Choice] = [
        *(choice for entry in entries for choice in (entry.choice, entry.named) if choice is not None),
        *(trainer for trainer in suite.trainers if isinstance(trainer, Choice)),
        *(metric.choice for metric in suite.metrics),
    ]
    return {
        module: choice.options.source
        for choice in choices
        if isinstance(choice.options, ForeignOptions)
        if not (module := choice.name.partition(":")[0]).startswith("bench.")
    }


def sources_of(text: str) -> dict[str, str]:
    """The digests in the canonical description of a run."""
    return _sources_in(json.loads(text)) if '"source":' in text else {}


def _sources_in(description: Mapping[str, Any]) -> dict[str, str]:
    return {part["name"].partition(":")[0]: part["source"] for part in _foreign(description)}


def _foreign(description: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for part in description.values():
        if not isinstance(part, dict):
            continue
        name, source = part.get("name"), part.get("source")
        if isinstance(name, str) and ":" in name and isinstance(source, str):
            yield part


def with_digests(text: str, sources: Sources) -> str:
    """A description with other digests."""
    description = json.loads(text)
    for part in _foreign(description):
        part["source"] = sources[part["name"].partition(":")[0]]
    return canonical(description)
