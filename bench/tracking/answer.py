"""A suite's report as MLflow shows it: on its experiment, on its own run, on every run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.tracking.text import LONGEST_TAG, digest, key_of, plain
from bench.tracking.views import page_of_report, page_of_runs

LONGEST_NOTE = 5000  # of an experiment: more is refused by MLflow before 3.17
REPORT, FIRST, REST = "report.html", "report", "results"
"""Among the artifacts of a suite's own run, the report has the first folder, and everything else the second:
MLflow lists folders before files, and both by name."""


@dataclass(frozen=True)
class Answer:
    """What a report says, in the forms that MLflow has a place for."""

    question: str
    words: str
    """The answer in a sentence or three, with what nobody may overlook before it."""
    text: str = ""
    """The report as Markdown."""
    verdicts: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    """Of each data set, model and loss."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Differences to the baseline, their intervals and p, by name."""

    @property
    def note(self) -> str:
        """Description of the suite's own run."""
        return fitted(self.text, LONGEST_TAG)

    def note_of_experiment(self, experiment: str, own_run: str) -> str:
        """Description of the experiment. MLflow shows its first line, and the rest on a click.

        What is shorter stands first there: a line that is cut off still has the beginning of both.
        """
        both = sorted((plain(self.question), f"**{plain(self.words)}**" if self.words else ""), key=len)
        links = [f"[all runs, best first]({page_of_runs('.', experiment)})"]
        if own_run:
            links.insert(0, f"[the report]({page_of_report('.', experiment, own_run)})")
        tables = self.text[
            max(self.text.find("\n\n## "), 0) :
        ].strip()  # title and answer stand there already
        return fitted("\n\n".join([" ".join(filter(None, both)), " · ".join(links), tables]), LONGEST_NOTE)

    @property
    def verdict(self) -> str:
        """The verdicts on all losses, loss by loss."""
        by_loss: dict[str, dict[str, int]] = {}
        for (_, _, loss), word in self.verdicts.items():
            if word != BASELINE:
                words = by_loss.setdefault(loss, {})
                words[word] = words.get(word, 0) + 1
        return "; ".join(
            f"{loss}: {', '.join(w if len(ws) == 1 else f'{n} × {w}' for w, n in ws.items())}"
            for loss, ws in by_loss.items()
        )[:LONGEST_TAG]

    def stamp(self, files: Sequence[Path]) -> str:
        """Digest of all this and of the report's files."""
        contents = {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        return digest(self.note, self.verdict, sorted(self.numbers.items()), contents)


BASELINE = "baseline"


def names_of_numbers(settings: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
    """What stands before a loss in the name of a number: nothing, where there is one data set and model."""
    datasets, models = ({setting[k] for setting in settings} for k in (0, 1))
    return {
        (dataset, model): "".join(
            f"{key_of(name)}/" for name, several in ((dataset, datasets), (model, models)) if len(several) > 1
        )
        for dataset, model in settings
    }


def fitted(note: str, longest: int) -> str:
    """As many paragraphs as there is room for, and where the others are."""
    if len(note) <= longest:
        return note
    rest = f"\n\n*Shortened: {REPORT}, among the artifacts of the suite's own run, has it all.*"
    text = note[: longest - len(rest)]
    return (text[: text.rfind("\n\n")] if "\n\n" in text else text) + rest
