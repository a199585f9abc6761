"""Which runs saw the same data: those that did not are never compared.

Each run keeps two digests: of the data set as it came, and of what subset, noise and split made of it.
Runs from before there were digests have none, and are compared as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from pydantic import BaseModel


class Seen(BaseModel):
    """What a run was trained and tested on: digests of 16 hexadecimal digits."""

    source: str
    """Of all images and labels of its data set, before subset and noise."""
    used: str
    """Of what subset, noise and split made of them."""


@dataclass(frozen=True, slots=True)  # there may be a hundred thousand
class Sighting:
    """What one finished run saw."""

    run_id: str
    dataset: str
    model: str
    loss: str
    seed: int
    share: float
    """Of the training images that it was to hold out: runs that ask for others see others."""
    finished: float
    """Unix time."""
    source: str = ""
    """As :class:`Seen` has it; empty where nobody knows."""
    used: str = ""
    trainer: str = ""
    """Of the user's own, as described but for its code: what runs saw is known by their test labels alone."""


AGAIN = "--retrain-odd"
"""The option of ``bench run`` that trains runs again which saw other data."""


def odd_ones(sightings: Iterable[Sighting]) -> dict[str, str]:
    """Run id → why it is compared with none: it saw other data than most runs, or than the latest of as many.

    All runs of a data set must have seen the same source; those with one model and seed, which make pairs,
    also the same of it. Of a trainer of the user's own, what its runs saw is known by their test labels: they
    may be others for every seed.
    """
    sources, uses = _odd(sightings)
    return {
        **{
            one.run_id: f"{_saw(one)} (digest {one.source}) than run {usual.run_id} ({usual.source})"
            for one, usual in sources
        },
        **{
            one.run_id: f"{_used(one)} (digest {one.used}) than its pair, run {usual.run_id} ({usual.used})"
            for one, usual in uses
        },
    }


def _saw(one: Sighting) -> str:
    return "its predictions are for other images: other test labels" if one.trainer else "saw other data"


def _used(one: Sighting) -> str:
    return _saw(one) if one.trainer else "saw another subset, noise or split of the same data"


def in_words(sightings: Iterable[Sighting]) -> list[str]:
    """Which runs saw what, where runs of a data set did not see the same; and how many do not say."""
    listed = [*sightings]
    sources, uses = _odd(listed)
    lines = []
    for group in _grouped(listed, lambda one: (one.dataset, one.trainer)).values():
        dataset, trainer = group[0].dataset, group[0].trainer
        digests = _grouped(group, lambda one: one.source)
        if len(digests) > 1 and trainer:
            odd = sum(one.trainer == trainer and one.dataset == dataset for one, _ in (*sources, *uses))
            consequence = f"{odd} are left out" if odd else "all are compared, by seed"
            lines.append(
                f"runs on {dataset} came back with {len(digests)} different sets of test labels, so that "
                f"they are not about the same images: {consequence}"
            )
        elif len(digests) > 1:
            which = "; ".join(f"{_runs(saw)} digest {digest}" for digest, saw in digests.items())
            odd = sum(one.dataset == dataset and not one.trainer for one, _ in sources)
            lines.append(
                f"the data of {dataset} changed between runs: {which}. They are not compared: {odd} are left "
                f"out, and `bench run` with {AGAIN} trains again those that did not see what is there now"
            )
    if uses := [pair for pair in uses if not pair[0].trainer]:
        lines.append(
            f"{_runs([one for one, _ in uses])} saw another subset, noise or split of the same data than "
            f"their pairs, and are left out; `bench run` with {AGAIN} trains them again"
        )
    if silent := sum(not one.source and not one.trainer for one in listed):
        lines.append(
            f"{silent} of {len(listed)} runs finished before runs kept a digest of their data; they are "
            "compared as if all had seen the same"
        )
    return lines


Known = list[tuple[Sighting, Sighting]]


def _odd(sightings: Iterable[Sighting]) -> tuple[Known, Known]:
    """By source, and by use: each odd one with one of those that it differs from."""
    listed = [*sightings]
    sources = _differing(listed, lambda one: (one.dataset, one.trainer), lambda one: one.source)
    left = {one.run_id for one in listed} - {one.run_id for one, _ in sources}
    pairs = [one for one in listed if one.run_id in left]
    place = attrgetter("dataset", "model", "seed", "share", "trainer")
    return sources, _differing(pairs, place, lambda one: one.used)


def _differing(
    sightings: Iterable[Sighting], place: Callable[[Sighting], Hashable], digest: Callable[[Any], str]
) -> Known:
    odd = []
    for group in _grouped(sightings, place).values():
        digests = _grouped(group, digest)
        usual = max(digests.values(), key=lambda saw: (len(saw), max(one.finished for one in saw)))
        if group[0].trainer and 2 * len(usual) <= len(group) and len({one.seed for one in group}) > 1:
            continue  # each seed may have test images of its own: pairs are still looked at
        odd += [(one, usual[0]) for saw in digests.values() if saw is not usual for one in saw]
    return odd


def _grouped(sightings: Iterable[Sighting], key: Callable[[Any], Hashable]) -> dict[Hashable, list[Sighting]]:
    """Those that say what they saw."""
    groups: dict[Hashable, list[Sighting]] = {}
    for one in sightings:
        if one.source:
            groups.setdefault(key(one), []).append(one)
    return groups


def _runs(saw: Sequence[Sighting]) -> str:
    runs = "1 run" if len(saw) == 1 else f"{len(saw)} runs"
    return f"{runs} ({', '.join(dict.fromkeys(one.loss for one in saw))})"
