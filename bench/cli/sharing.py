"""Verbs for what travels: bundles, folders of several labs, a site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.app import SHARE, app
from bench.cli.options import Json, Results
from bench.cli.shared import exit_1_if, print_document, put
from bench.errors import BenchError
from bench.front import sharing
from bench.source import Source
from bench.visible import say


@app.command(rich_help_panel=SHARE)
def bundle(
    suite: Annotated[
        Path, typer.Argument(metavar="SUITE", help="The suite's YAML file; with --verify, a bundle.")
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Compute every number of a bundle again, and compare bits.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What is written. Default: <suite>.bundle.zip here.")
    ] = None,
    weights: Annotated[bool, typer.Option("--weights", help="With the weights that runs kept.")] = False,
    results: Results = Path("results"),
    as_json: Json = False,
) -> None:
    """The study as one file: suite, plan, code, runs and report. It needs neither the data nor the code.

    `bench report` prints the same tables from it, and --verify makes all of them again. What it holds is read
    and never run.
    """
    from bench.bundles.archive import is_bundle
    from bench.bundles.verifying import in_words

    if verify:
        if output or weights:
            raise BenchError("--verify writes nothing: leave out --output and --weights")
        if suite.is_file() and not is_bundle(suite):
            raise BenchError(f"{suite}: it is no bundle: --verify takes the file that `bench bundle` wrote")
        verification = sharing.verify(suite)
        print_document(verification, in_words(verification), as_json)
        return exit_1_if(not verification.same)
    if as_json:
        raise BenchError("--json prints what --verify finds: leave it out, or say --verify")
    if is_bundle(suite):
        raise BenchError(f"{suite}: it is a bundle already: --verify checks it, `bench report` prints it")
    file = sharing.bundle(Source.of(suite), results, output, weights=weights)
    put(f"{file}: {file.stat().st_size / 1e6:,.1f} MB; bench bundle --verify {file} computes all of it again")


@app.command(rich_help_panel=SHARE)
def merge(
    folders: Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="Results folders, or bundles.")],
    into: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The joined folder: a new one, or one with runs.")
    ],
    as_json: Json = False,
) -> None:
    """Two labs' results as one: says what they share and what differs, refuses what contradicts."""
    from bench.merging import in_words

    merged = sharing.merge(folders, into)
    print_document(merged, in_words(merged), as_json)
    exit_1_if(any(part.damaged for part in merged.parts))


@app.command(rich_help_panel=SHARE)
def site(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RESULTS...", help="Results folders, or bundles.", envvar="BENCH_RESULTS"),
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where it is made; an older one is replaced.")
    ] = Path("site"),
) -> None:
    """All suites of a results folder as pages: they open from disk, and from any web server."""
    index = sharing.site(folders or [Path("results")], output)
    for line in index.left_out:
        say(f"left out: {line}")
    put(f"{output / 'index.html'}: {len(index.suites)} suites")
