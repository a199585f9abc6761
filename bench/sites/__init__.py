"""All suites of a results folder as pages that open from disk, and from any web server.

An index by question, answer, date and plan; and for each suite its report's own page, with the files beside
it that the page leads to. Links are relative. Each page's policy lets nothing be loaded from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jinja2
from markupsafe import Markup
from pydantic import BaseModel

from bench.disk import parse, read, token, write_atomically, write_json
from bench.errors import BenchError
from bench.home import RECORD
from bench.reports import files
from bench.reports.answer import OPTIMISTIC, cautions
from bench.reports.html import FOLDER as PAGE
from bench.reports.schema import Report
from bench.statistics.verdicts import Word
from bench.visible import flat, visible

FOLDER = Path(__file__).parent
INDEX, REPORT, PAGE_NAME = "index.json", "report.json", "report.html"
COPIED = (
    *(REPORT, PAGE_NAME, "report.md", "report.tex", "cells.csv", "comparisons.csv", "agreement.npz"),
    *("methods.md", "methods.tex", "references.bib"),
)
"""Of a report that was written before."""
HOME = "../index.html"
"""The index, as the page of a suite leads to it."""
MINIATURE = "it is a suite in miniature, and answers nothing"
TITLE = "What was compared, and what came of it"


class Entry(BaseModel):
    """A suite in the index."""

    suite: str
    question: str
    answer: str
    date: str
    """Of the last run that has finished."""
    finished: float
    """The same as Unix time; 0 where that is not known."""
    runs: str
    plan: str
    deviations: list[str]
    page: str
    """Relative to the index."""
    tally: dict[str, int]
    """Comparisons by verdict."""
    cautions: list[str]
    origin: str = ""
    """Which results folder it is from, where there are several."""
    remark: str = ""


class Index(BaseModel):
    """What ``index.json`` of a site holds."""

    made_by: Literal["bench site"] = "bench site"
    suites: list[Entry]
    left_out: list[str]
    """Suites that are not here, and why."""


@dataclass(frozen=True)
class Shown:
    """A suite that the site is to show."""

    report: Report
    page: str
    finished: float
    agreement: bytes | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""


class Site:
    """A site while it is made: beside its place, and moved there once it is whole.

    Args:
        output: where it is to be. One that was made before is replaced; nothing else is.

    Raises:
        BenchError: there is something else.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        _check(output)
        self._made = output.with_name(f".{output.name}.{token()}")
        self._entries: list[Entry] = []
        self._left_out: list[str] = []

    def __enter__(self) -> Site:
        self._made.mkdir(parents=True)
        return self

    def __exit__(self, *trouble: object) -> None:
        shutil.rmtree(self._made, ignore_errors=True)

    def add(self, shown: Shown) -> None:
        """Write the pages of a suite."""
        report = shown.report
        name = self._name(report.suite)
        files.write(report, self._made / name, shown.agreement, shown.page, shown.texts)
        self._note(name, report.model_dump(mode="json"), shown.finished, cautions(report), shown.origin)

    def add_written(self, folder: Path, why: str, origin: str = "") -> None:
        """Copy the report that lies in the folder of a suite.

        Args:
            why: why it cannot be made anew.

        Raises:
            BenchError: there is none, or it is no report.
        """
        content = read(str(folder / REPORT))
        try:
            report = parse(content)
            if report["scaled_down"]:
                return self.leave_out(f"{folder.name}: {MINIATURE}")
            name = self._name(str(report["suite"]))
            remarks = [OPTIMISTIC] * bool(report["optimistic"])
            self._note(name, report, 0.0, remarks, origin, f"As it was reported then: {why}.")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BenchError(f"{folder / REPORT}: no report of `bench report`: {error}") from None
        for path in sorted(folder.iterdir()):
            if path.name in COPIED and path.is_file() and not path.is_symlink():
                write_atomically(self._made / name / path.name, read(str(path)))
        if not (self._made / name / PAGE_NAME).exists():  # of which version control keeps the words alone
            words = self._made / name / "report.md"
            text = words.read_text("utf-8", "replace") if words.exists() else str(report["answer"])
            write_atomically(
                self._made / name / PAGE_NAME,
                _page("written.html", title=str(report["question"]), text=text, home=HOME),
            )

    def _name(self, suite: str) -> str:
        """The folder of a suite, or of another of the same name."""
        taken = {entry.page.partition("/")[0] for entry in self._entries}
        name = re.sub(r"[^A-Za-z0-9._-]", "-", suite).lstrip(".") or "suite"
        return next(one for one in _numbered(name) if one not in taken)

    def _note(
        self,
        name: str,
        report: Mapping[str, Any],
        finished: float,
        said: Sequence[str],
        origin: str,
        remark: str = "",
    ) -> None:
        """Put a suite into the index."""
        words = Counter(
            str(comparison["verdict"] or "").split(" ")[0] for comparison in report["comparisons"]
        )
        plan = report.get("plan")
        self._entries.append(
            Entry(
                suite=report["suite"],
                question=report["question"],
                answer=report["answer"],
                date=time.strftime("%Y-%m-%d", time.gmtime(finished)) if finished else "not noted",
                finished=finished,
                runs=_runs(report["cells"]),
                plan=_plan(plan),
                deviations=plan["deviations"] if plan else [],
                page=f"{name}/{PAGE_NAME}",
                tally={str(word): words[word] for word in Word if words[word]},
                cautions=[*said],
                origin=origin,
                remark=remark,
            )
        )

    def leave_out(self, why: str) -> None:
        """Say which suite is not here, and why."""
        self._left_out.append(why)

    def finish(self) -> Index:
        """Write the index, and put the site in its place."""
        entries = sorted(self._entries, key=lambda entry: (-entry.finished, entry.suite))
        index = Index(suites=entries, left_out=self._left_out)
        write_json(self._made / INDEX, index.model_dump(mode="json"))
        content = _page("index.html", title=TITLE, entries=index.suites, left_out=index.left_out)
        write_atomically(self._made / "index.html", content)
        _check(self.output)
        before = self.output.with_name(f".{self.output.name}.{token()}")
        if self.output.exists():
            self.output.rename(before)
        self._made.rename(self.output)
        shutil.rmtree(before, ignore_errors=True)
        return index


def _check(output: Path) -> None:
    """Raise BenchError unless there is nothing, or a site that was made before."""
    if not output.parent.is_dir():
        raise BenchError(f"{output}: there is no folder {output.parent}")
    if not os.path.lexists(output):
        return
    ours = output.is_dir() and not output.is_symlink() and _is_site(output / INDEX)
    if not ours and not (output.is_dir() and not output.is_symlink() and not any(output.iterdir())):
        raise BenchError(
            f"{output}: it exists, and `bench site` did not make it: nothing is overwritten; give another "
            "folder with --output"
        )


def _is_site(index: Path) -> bool:
    try:
        Index.model_validate_json(index.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in itertools.count(2))


def _runs(cells: Sequence[Mapping[str, int]]) -> str:
    finished = sum(cell["n"] + cell.get("unknown", 0) + cell.get("other_data", 0) for cell in cells)
    failed, planned = (sum(cell[key] for cell in cells) for key in ("failed", "planned"))
    return f"{finished:,} of {planned:,}{f', {failed:,} failed' if failed else ''}"


def _plan(plan: Mapping[str, Any] | None) -> str:
    if plan is None:
        return "none was stated"
    if plan["deviations"]:
        count = len(plan["deviations"])
        return f"stated, and not kept: {count} deviation{'s' * (count > 1)}"
    return f"kept, stated by {'bench freeze' if plan['frozen'] else 'the first bench run'}"


def _page(template: str, **given: Any) -> bytes:
    style = (PAGE / "page.css").read_text("utf-8") + (FOLDER / "index.css").read_text("utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"flat": flat, "visible": visible}
    known = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{known}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    html = environment.get_template(template).render(style=Markup(style), policy=policy, **given)
    return html.encode(errors="replace")


def suites_in(results: Path) -> Iterator[Path]:
    """Folders of suites in a results folder: with a report, or with a note of whose they are."""
    if not results.is_dir():
        what = (
            "it is a file, expected a results folder, or a bundle"
            if results.exists()
            else "there is no such folder"
        )
        raise BenchError(f"{results}: {what}")
    for folder in sorted(results.iterdir()):
        if folder.is_dir() and any((folder / name).is_file() for name in (RECORD, REPORT)):
            yield folder
