"""The methods section of a paper, written out for one suite: only what was done, with what it cites.

Prose is plain text with citations as ``[@key]`` (see :mod:`bench.reports.references`), which becomes Markdown
and LaTeX alike. Versions come from the run folders, so whoever writes the report does not matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from bench.launch.submission import read_all
from bench.progress import watched
from bench.reports.formats import counted, listed
from bench.reports.methods.comparisons import describe_comparisons, describe_metrics, describe_ranks
from bench.reports.methods.trainings import describe_trainings
from bench.reports.references import bibtex, cited, in_full, in_words, render
from bench.reports.render.latex import breakable
from bench.reports.render.markdown import escaped
from bench.reports.schema import Report
from bench.reports.tuning import tuning_in_words
from bench.results.folder import RunFolder
from bench.suite import Suite


def paper(suite: Suite, results: Path, report: Report) -> dict[str, str]:
    """``methods.md``, ``methods.tex`` and the ``references.bib`` of exactly what they cite."""
    sections = {
        "Trainings": describe_trainings(suite, report),
        "Tuning": tuning_in_words(suite, report),
        "Metrics": describe_metrics(suite, report),
        "Comparisons": describe_comparisons(suite, report),
        "Ranks": describe_ranks(report),
        "Software": _software(suite, results),
    }
    paragraphs = {heading: " ".join(sentences) for heading, sentences in sections.items() if sentences}
    keys = cited(" ".join(paragraphs.values()))
    markdown, latex = [f"# Methods: {escaped(report.question)}"], []
    for heading, text in paragraphs.items():
        in_brackets = render(text, lambda keys: f"({'; '.join(map(in_words, keys))})", escaped)
        markdown.append(f"**{heading}.** {in_brackets}")
        commands = render(text, lambda keys: f"\\cite{{{','.join(keys)}}}", breakable)
        latex.append(f"\\paragraph{{{heading}.}} {commands}")
    if keys:
        markdown += ["## References", "\n".join(f"- {escaped(in_full(key))}" for key in keys)]
    return {
        "methods.md": "\n\n".join(markdown) + "\n",
        "methods.tex": "\n\n".join(latex) + "\n",
        "references.bib": bibtex(keys),
    }


def _software(suite: Suite, results: Path) -> list[str]:
    """Versions, commits and devices of the last attempt of each finished run."""
    folders = (RunFolder(results, run.id) for cell in suite.cells for run in cell.runs)
    finished = [folder for folder in folders if folder.done]
    last = [(folder.info().get("attempts") or [{}])[-1] for folder in watched(finished, "reading versions")]
    names = {"torch": "PyTorch", "python": "Python", "bench": "bench"}
    versions = {key: _versions(names[key], [attempt.get(key) for attempt in last]) for key in names}
    if versions["torch"]:
        versions["torch"] += " [@paszke2019]"
    used = listed([*filter(None, versions.values())])
    sentences = [f"Trainings ran with {used}."] if used else []
    commits = [(attempt.get("git") or {}).get("commit") for attempt in last]
    if commit := _versions("commit", [value and value[:10] for value in commits]):
        dirty = any((attempt.get("git") or {}).get("dirty") for attempt in last)
        sentences.append(f"The code was that of {commit}{', with changes not committed' if dirty else ''}.")
    if device := _versions("", [attempt.get("device") for attempt in last]):
        sentences.append(f"They ran on {device}.")
    contents = [folder.content for folder in read_all(results / suite.name / "jobs")]
    queued = {run for content in contents if content.job for runs in content.runs for run in runs}
    if any(folder.run_id in queued for folder in finished):
        sentences.append("Slurm [@yoo2003] queued them, submitted through submitit [@submitit].")
    return sentences


def _versions(name: str, values: Iterable[str | None]) -> str:
    """``PyTorch 2.8`` or ``PyTorch 2.7 (3 trainings) and 2.8 (57)``; empty where nothing is known."""
    counts = Counter(value for value in values if value)
    if len(counts) <= 1:
        return f"{name} {next(iter(counts))}".strip() if counts else ""
    shares = [f"{value} ({counted(counts[value], 'training')})" for value in sorted(counts)]
    return f"{name} {listed(shares)}".strip()
