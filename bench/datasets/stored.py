"""From what a suite says of a data set on disk to its decoded files: found, or made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.datasets.cache import Made, folder_of, made, note_place, noted_place
from bench.datasets.on_disk import Arrays, ImageFolder, Library, OnDisk, Parquet, Table
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.datasets.sources import Source


def is_stored(name: str, options: OnDisk, data: Path) -> bool:
    """Whether a data set is decoded. Raises BenchError where it is damaged."""
    return made(folder_of(name, options, data)) is not None


def stored(
    name: str, options: OnDisk, data: Path, say: Callable[[str], None] = lambda words: None
) -> tuple[Path, Made]:
    """The folder with the decoded files of a data set, and what is in them; they are made if need be.

    Raises:
        BenchError: they cannot be made: see :func:`bench.datasets.decoding.make`.
    """
    folder = folder_of(name, options, data)
    content = made(folder)
    if content is not None:
        return folder, content
    from bench.datasets.decoding import make

    options = _placed(name, options, folder)
    where = options.where()
    if where is not None:
        note_place(folder, where)
    say(f"decoding data set {options.called(name)} into {folder}")
    return folder, make(folder, options, lambda: _source(name, options, where or data), say)


def _placed(name: str, options: OnDisk, folder: Path) -> OnDisk:
    """Options that say where a data set lies, also to a job that was told only what it is."""
    if isinstance(options, Library) or options.where() is not None:
        return options
    where = noted_place(folder)
    if where is None:
        raise BenchError(
            f"data set '{name}' with content {options.content} is not decoded in {folder.parent}, and the "
            f"suite does not say where it lies; give its `{options.place}`"
        )
    try:
        content = options.fingerprint(where)
    except OSError as error:
        raise BenchError(f"data set '{name}': {error.filename or where}: {error.strerror}") from None
    if content != options.content:
        raise BenchError(
            f"data set '{name}': the files in {where} have changed since this was planned (their digest is "
            f"{content}, and was {options.content}); plan the suite again (bench run SUITE)"
        )
    return options.model_copy(update={options.place: str(where)})


def _source(name: str, options: OnDisk, where: Path) -> Source:
    from bench.datasets import arrays, csv_table, folders, library, parquets

    match options:
        case ImageFolder():
            return folders.source_of(where, options)
        case Table():
            return csv_table.source_of(where, options)
        case Parquet():
            return parquets.source_of(where, options)
        case Arrays():
            return arrays.source_of(where, options)
        case Library():
            return library.source_of(name, where, options)
    raise TypeError(f"{name} does not lie on disk")
