"""What a bundle is, in words that archives understand: RO-Crate 1.2, https://w3id.org/ro/crate/1.2."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import PurePosixPath

from bench import __version__
from bench.bundles.archive import MANIFEST
from bench.reports.schema import Report

METADATA = "ro-crate-metadata.json"
VERSION = "1.2"
_KINDS = {
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".csv": "text/csv",
    ".md": "text/markdown",
    ".html": "text/html",
    ".tex": "application/x-tex",
    ".bib": "application/x-bibtex",
    ".py": "text/x-python",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".pdf": "application/pdf",
}
_SAID = {
    "report.html": "The report as a page: answer, evidence and every run",
    "report.json": "All numbers of the report",
    "report.md": "The tables of the report",
    "plan.json": "The plan that was stated before there were results",
    "environment.json": "Versions and devices that runs were trained with",
    "resolved.json": "The suite with every default filled in",
    MANIFEST: "Size and SHA-256 of every file",
}
_FOLDERS = {
    "results/runs": "A folder for each run: description, metrics of each epoch, predictions, result",
    "results/code": "Versions of the user's code that runs were trained with",
    "measured": "What metrics of the user's own gave on each run",
}
"""Folders whose files are not listed one by one: there may be ten thousand."""


def metadata(report: Report, files: Collection[str], finished: float, devices: Collection[str]) -> bytes:
    """The description of a bundle.

    Args:
        files: names of all others.
        finished: Unix time at which the last run was.
        devices: that trained.
    """
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version=VERSION)
    crate.name = f"{report.suite}: {report.question}"
    crate.description = report.answer
    crate.datePublished = datetime.fromtimestamp(finished, UTC)
    crate.root_dataset["keywords"] = ["benchmark", *report.metrics[0].name.split(), *sorted(devices)]
    for folder, description in _FOLDERS.items():
        if any(name.startswith(f"{folder}/") for name in files):
            crate.add_dataset(None, f"{folder}/", properties={"name": description})
    for name in sorted(files):
        if not name.startswith(tuple(f"{folder}/" for folder in _FOLDERS)):
            path = PurePosixPath(name)
            described = {"name": _SAID.get(path.name, path.name)}
            if path.suffix in _KINDS:
                described["encodingFormat"] = _KINDS[path.suffix]
            crate.add_file(None, name, properties=described)
    crate.add_jsonld(
        {
            "@id": "#bench",
            "@type": "SoftwareApplication",
            "name": "bench (lossbench)",
            "softwareVersion": __version__,
        }
    )
    crate.root_dataset["mentions"] = {"@id": "#bench"}
    return (
        json.dumps(crate.metadata.generate(), indent=1, ensure_ascii=False, sort_keys=True).encode() + b"\n"
    )
