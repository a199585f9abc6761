"""The command itself, to which each module adds its verbs."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bench import __version__

TRAIN, FOLLOW, REPORT = "Train", "Follow what is trained", "Report what was found"
SHARE, MLFLOW, WEIGHTS = "Share it", "Look at it in MLflow", "Weights"
"""What verbs are for: the headings of ``bench --help``."""


class Verbs(TyperGroup):
    """Shows verbs under their headings, as rich would, which takes long to import."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, self.commands))
        headings = {verb: getattr(command, "rich_help_panel", "") for verb, command in self.commands.items()}
        for heading in dict.fromkeys(headings.values()):
            verbs = [verb for verb, under in headings.items() if under == heading]
            with formatter.section(heading):
                whole = ((verb, self.commands[verb].get_short_help_str(limit=200)) for verb in verbs)
                formatter.write_dl([(verb.ljust(width), text) for verb, text in whole])


app = typer.Typer(
    cls=Verbs,
    help="Is one training loss really better than another? A suite file goes in, verdicts come out.",
    epilog="Exit status: 0 done, 1 some runs failed or a check did not hold, 2 the request was wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _say_version(asked: bool) -> None:
    if asked:
        print(f"bench {__version__}")
        raise typer.Exit


@app.callback()
def command(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say which bench this is."),
    ] = False,
) -> None:
    """What goes before a verb."""
