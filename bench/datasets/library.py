"""``torchvision/<name>``: the classification sets of torchvision that have no shorter name here."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.listing import SPLITS
from bench.datasets.on_disk import Library
from bench.datasets.sources import Item, Part, Source, check_classes, with_test
from bench.errors import BenchError


def source_of(name: str, where: Path, options: Library) -> Source:
    """What torchvision reads from the data folder; downloaded where it is not there.

    Raises:
        BenchError: it is not there, and cannot be downloaded.
    """
    kind = name.partition("/")[2]
    opened = {part: _opened(kind, where, given) for part, given in SPLITS[kind].items()}
    parts = {part: _part(f"{name}, {part} image", dataset) for part, dataset in opened.items()}
    labels = np.unique(np.concatenate([part.labels for part in parts.values()]))
    known = getattr(opened["train"], "classes", None) or getattr(opened["train"], "categories", None)
    classes = [str(label) for label in known or range(int(labels.max()) + 1)]
    source = Source(with_test(parts, options, name), classes, "uint8" if options.depth == 8 else "uint16")
    check_classes(source, name)
    return source


def _opened(kind: str, where: Path, given: dict[str, Any]) -> Any:
    import torchvision

    make = getattr(torchvision.datasets, kind)
    with contextlib.suppress(Exception):  # each says in its own way that it is not there
        return make(where, **given)
    try:
        where.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(io.StringIO()):
            return make(where, **given, download=True)
    except Exception as error:  # networks, archives and missing packages fail in many ways
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise BenchError(
            f"data set 'torchvision/{kind}' is not in {where}, and cannot be downloaded: {reason}; put its "
            "files there by hand, or point BENCH_DATA to a folder that has it"
        ) from None


def _part(called: str, dataset: Any) -> Part:
    for attribute in ("targets", "labels", "_labels", "y"):
        value = getattr(dataset, attribute, None)
        if value is not None and len(value) == len(dataset):
            labels = np.asarray(value).astype(np.int64)
            break
    else:
        labels = np.array([int(dataset[row][1]) for row in range(len(dataset))], np.int64)
    if labels.min() < 0:
        raise BenchError(f"{called}s: {int((labels < 0).sum())} have no label")

    def read(rows: Sequence[int]) -> list[Item]:
        return [dataset[row][0] for row in rows]

    return Part(labels, read, lambda row: f"{called} {row}")
