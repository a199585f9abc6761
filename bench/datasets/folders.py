"""``imagefolder``: class folders of pictures, as torchvision's ``ImageFolder`` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.datasets.listing import CALLED, pictures
from bench.datasets.on_disk import ImageFolder
from bench.datasets.pictures import File
from bench.datasets.sources import (
    Item,
    Labels,
    Part,
    Source,
    check_classes,
    numbered,
    with_test,
)
from bench.errors import BenchError


def source_of(where: Path, options: ImageFolder) -> Source:
    """What lies in a folder. Its parts are its folders ``train``, ``val`` and ``test``, or it has none.

    Raises:
        BenchError: it has no class folders, or a class of another part is not in training.
    """
    parts: dict[str, list[tuple[str, File]]] = {}
    split = any(CALLED.get(entry.name.lower()) == "train" for entry in where.iterdir() if entry.is_dir())
    found_there = [*pictures(where)]
    if not split and all(path.partition("/")[0].lower() in CALLED for path, _ in found_there):
        raise BenchError(f"root: {where} has val/ or test/ and no train/: nothing to train on")
    for path, size in found_there:
        part, _, inside = path.partition("/") if split else ("train", "", path)
        if split and part.lower() not in CALLED:
            raise BenchError(
                f"root: {where} has train/, and pictures beside it in {part}; expected train/, val/ and "
                "test/ alone"
            )
        label, _, rest = inside.partition("/")
        if not rest:
            raise BenchError(
                f"root: {where / path} lies in no class folder; expected "
                f"{where / part if split else where}/<class>/{Path(path).name}"
            )
        parts.setdefault(CALLED[part.lower()], []).append((label, File(str(where / path), size)))
    classes, labels = numbered(
        {part: [label for label, _ in files] for part, files in parts.items()}, f"root: {where}"
    )
    sources = {part: of_files([file for _, file in files], labels[part]) for part, files in parts.items()}
    source = Source(
        with_test(sources, options, f"root: {where}"), classes, "uint8" if options.depth == 8 else "uint16"
    )
    check_classes(source, f"root: {where}")
    return source


def of_files(files: Sequence[File], labels: Labels, groups: Labels | None = None) -> Part:
    """A part whose images are files."""

    def read(rows: Sequence[int]) -> list[Item]:
        return [files[row] for row in rows]

    return Part(labels, read, lambda row: files[row].path, groups)
