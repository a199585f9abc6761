"""How the folders differ, in words, where that contradicts nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from bench.environment import trained_with
from bench.merging.copying import before
from bench.merging.folders import Folder
from bench.preregistration import Stated
from bench.results.folder import RunFolder


def shared(folders: Sequence[Folder]) -> int:
    times: dict[str, int] = {}
    for one in folders:
        for run_id in one.done:
            times[run_id] = times.get(run_id, 0) + 1
    return sum(count > 1 for count in times.values())


def trained_apart(folders: Sequence[Folder]) -> Iterator[str]:
    """Versions and devices that not all folders have in common."""
    trained = {one.name: trained_with(one.results, one.done) for one in folders if one.done}
    for key, words in (("device", "devices"), ("instructions", "instructions"), ("torch", "torch"),
                      ("bench", "bench"), ("python", "Python")):  # fmt: skip
        sides = {
            name: sorted({getattr(t, key) or "not noted" for t in kinds}) for name, kinds in trained.items()
        }
        if len({tuple(values) for values in sides.values()}) > 1:
            texts = "; ".join(f"{name}: {', '.join(values)}" for name, values in sides.items())
            yield f"{words} differ: {texts}"


def other_data(folders: Sequence[Folder]) -> Iterator[str]:
    """Data sets of which two folders saw other data: reports compare such runs with none."""
    digests_of: dict[str, dict[str, set[str]]] = {}
    for one in folders:
        for run_id, result in one.done.items():
            if result.data is not None:
                described = RunFolder(one.results, run_id).info().get("dataset")
                key = json.dumps(described, sort_keys=True)
                digests_of.setdefault(key, {}).setdefault(one.name, set()).add(result.data.source)
    for described, sides in digests_of.items():
        if len({frozenset(digests) for digests in sides.values()}) > 1:
            texts = "; ".join(f"{name}: {', '.join(sorted(digests))}" for name, digests in sides.items())
            name = (json.loads(described) or {}).get("name")
            yield f"the data of {name} differ (digests {texts}): reports leave the fewer of them out"


def plans_in_words(folders: Sequence[Folder], plans: Mapping[str, tuple[Folder, Stated]]) -> Iterator[str]:
    for suite, (one, stated) in plans.items():
        equals = [other.name for other in folders if other is not one and suite in other.plans]
        same = f"; {', '.join(equals)} stated the same" if equals else ""
        earlier = before(stated, one, folders, suite)
        caveat = f"; {earlier:,} runs of folders without a plan had finished before it" if earlier else ""
        yield f"{suite}: the plan is that of {one.name}{same}{caveat}"
