"""Results folders of several labs → one: what they share, what differs, and a refusal where they contradict.

A run is a value, named by its description, so that folders join by copying: what remains is to see that two
folders which have the same run say the same of it. All is looked at before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from bench.environment import Trained, trained_with
from bench.errors import BenchError
from bench.merging.contradictions import check_idle, check_runs, plans_of
from bench.merging.copying import copy
from bench.merging.folders import check_apart, look
from bench.merging.remarks import other_data, plans_in_words, shared, trained_apart


class Part(BaseModel):
    """What one folder brought."""

    name: str
    done: int
    failed: int
    new: int
    """Runs that no folder before it had."""
    trained: list[Trained]
    """Its finished runs, by versions and device."""
    left_out: list[str]
    """What of it is not in the joined folder, in words."""
    damaged: int
    """Runs of it whose result cannot be believed: they are left out."""


class Merged(BaseModel):
    """What ``bench merge --json`` prints."""

    into: str
    parts: list[Part]
    runs: int
    """In the joined folder."""
    shared: int
    """Finished runs that several folders had, and that are the same in each."""
    notes: list[str]
    """What differs between the folders, in words."""


def merge(folders: Mapping[str, Path], into: Path) -> Merged:
    """Join results folders.

    Args:
        folders: by what messages call them.
        into: the joined folder. Where it has runs, it is the first of the folders, and keeps all that it has.

    Raises:
        BenchError: one is no results folder, or two contradict each other. Nothing was written.
    """
    if str(into) in folders:
        raise BenchError(f"{into}: it is the same folder as the joined one: it is the first of them as it is")
    everyone = {str(into): into, **folders} if (into / "runs").is_dir() else dict(folders)
    check_apart(everyone, into)
    parts = [look(name, results) for name, results in everyone.items()]
    check_runs(parts)
    check_idle(parts, into)
    plans = plans_of(parts)
    copied = copy(parts, into, plans)
    return Merged(
        into=str(into),
        parts=[
            Part(
                name=one.name,
                done=len(one.done),
                failed=len(one.failed),
                new=len(new),
                trained=trained_with(one.results, one.done),
                left_out=one.left_out,
                damaged=len(one.damaged),
            )
            for one, new in zip(parts, copied, strict=True)
        ],
        runs=sum(map(len, copied)),
        shared=shared(parts),
        notes=[*trained_apart(parts), *other_data(parts), *plans_in_words(parts, plans)],
    )


def in_words(merged: Merged) -> str:
    """The result as lines for the terminal."""
    folders = f"{len(merged.parts)} folders, {merged.shared:,} of them shared"
    lines = [f"{merged.into}: {merged.runs:,} runs from {folders}"]
    for part in merged.parts:
        failed = f", {part.failed:,} failed" if part.failed else ""
        lines.append(f"  {part.name}: {part.done:,} done{failed}; {part.new:,} that no folder before it had")
        lines += [f"    {one.runs:,} with {one.in_words()}" for one in part.trained]
        lines += [f"    left out: {remark}" for remark in part.left_out]
    return "\n".join([*lines, *(f"- {note}" for note in merged.notes)])
