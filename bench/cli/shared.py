"""What the verbs share: printing, progress, exit status."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import typer
from pydantic import BaseModel

from bench.progress import console
from bench.visible import visible, visible_json

if TYPE_CHECKING:
    from bench.reports.blocks import Block


def print_blocks(document: BaseModel, blocks: Iterable[Block], as_json: bool) -> None:
    """One JSON document; or blocks, drawn where there is a terminal, and as Markdown elsewhere."""
    from bench.reports.render.terminal import show

    if as_json:
        return print_document(document, "", as_json)
    show(blocks)


def print_document(document: BaseModel, text: str, as_json: bool) -> None:
    """One JSON document, or the text for a person."""
    if as_json:
        print(visible_json(document.model_dump_json(indent=1)))
    else:
        put(text)


def put(text: str) -> None:
    """What was asked for, on standard output."""
    print(visible(text), flush=True)


@contextlib.contextmanager
def watched(things: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where it is a terminal; call what this yields with how many are done since."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = console()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        task = progress.add_task(things, total=total)
        yield lambda done: progress.advance(task, done)


def exit_1_if(trouble: object) -> None:
    """Exit status 1: some runs failed, or a check did not hold."""
    if trouble:
        raise typer.Exit(1)
