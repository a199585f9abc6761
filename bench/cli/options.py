"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.scale import Scale
from bench.tracking.store import holds_secrets, shown
from bench.visible import say

SuiteFile = Annotated[Path, typer.Argument(metavar="SUITE", help="Its YAML file, or a name in suites/.")]
ScaleTo = Annotated[
    Scale, typer.Option("--scale", help="tiny: the suite in miniature, to see that all of it runs.")
]
Seeds = Annotated[int | None, typer.Option(min=1, help="Use this many seeds instead of the suite's.")]
Results = Annotated[Path, typer.Option(envvar="BENCH_RESULTS", help="Folder of run folders and tables.")]
Data = Annotated[Path, typer.Option(envvar="BENCH_DATA", help="Folder of the data sets.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes on this machine. Default: one a GPU, or one a core.")
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute; auto: on a GPU if there is one.")
]
On = Annotated[
    Path | None, typer.Option("--on", metavar="PROFILE", help="Cluster profile, or a name in slurm/.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Everything = Annotated[bool, typer.Option("--all", help="Also the evidence behind each verdict.")]


def _in_sight(context: typer.Context, uri: str | None) -> str | None:
    """Say where a password stands on the command line, which is not ours to hide."""
    source = context.get_parameter_source("tracking_uri")
    if uri is not None and source is not None and source.name == "COMMANDLINE" and holds_secrets(uri):
        say(
            f"--tracking-uri {shown(uri)}: everybody on this machine can read the whole of it in the list of "
            "processes; put it into MLFLOW_TRACKING_URI, or the password into ~/.pgpass or ~/.netrc"
        )
    return uri


TrackingUri = Annotated[
    str | None,
    typer.Option(
        envvar="MLFLOW_TRACKING_URI",
        callback=_in_sight,
        help="MLflow store. Default: mlflow.db in the results folder.",
    ),
]
Column = Annotated[str | None, typer.Option(metavar="NAME", help="Default: guessed.", show_default=False)]
