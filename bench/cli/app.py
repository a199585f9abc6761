"""The command itself, to which each module adds its verbs."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="Is one training loss really better than another? A suite file goes in, verdicts come out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
