"""Where what a suite judges now differs from its plan, in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from bench.entries import KINDS
from bench.preregistration import Judged, seeds_of
from bench.programs import MARK
from bench.runs import canonical


def deviations(
    plan: Judged, now: Judged, same_as: Callable[[str, str], Collection[str]] = lambda module, digest: ()
) -> list[str]:
    """Where a suite judges otherwise than was planned, in words; empty where it does not.

    Args:
        same_as: other digests that the code of a module computes the same as, by its user's word.
    """
    plan_names: dict[tuple[str, str], str] = {}
    for axis, kind in KINDS.items():
        plan_names |= {(kind, label): name for label, name in _names(plan[axis], now[axis]).items()}
    single = {"question": "question", "baseline": "baseline", "decides": "the metric that decides",
              "selection": "selection", "alpha": "alpha", "test": "analysis.test",
              "recipe_version": "recipe version"}  # fmt: skip
    current = {**now, "baseline": plan_names.get(("loss", now["baseline"]), now["baseline"])}
    keys = [key for key in single if plan[key] != current[key]]
    lines = [_instead(single[key], plan[key], now[key]) for key in keys]
    lines += _tuning_in_words(plan, now)
    lines += _seeds_in_words(plan["seeds"], now["seeds"])
    for axis, kind in KINDS.items():
        names = {label: name for (of, label), name in plan_names.items() if of == kind}
        lines += _items_in_words(kind, plan[axis], now[axis], names)
    lines += _cells_in_words(plan, now, plan_names)
    lines += _metrics_in_words(plan, now)
    sources = dict(_sources(now))
    for module, digest in dict(_sources(plan)).items():
        if (other := sources.get(module, digest)) != digest:
            does = "something else than it did"
            if digest in same_as(module, other):
                does = "the same as it did, by its user's word"
            lines.append(f"code: {module.partition(MARK)[0]} was changed, and does {does}")
    return lines


def _instead(subject: str, planned: Any, current: Any) -> str:
    return f"{subject}: {_short(current)}, planned {_short(planned)}"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _tuning_in_words(plan: Judged, now: Judged) -> list[str]:
    planned, current = plan.get("tune"), now.get("tune")
    if planned and current:
        changed = _changed(planned, current, "tune.")
        return [changed] if changed else []
    if planned or current:
        one, other = "one recipe for all", "tuned losses"
        return [f"tune: {other if current else one}, planned {one if current else other}"]
    losses = plan.get("tuned_for", "nobody"), now.get("tuned_for", "nobody")
    return [_instead("tuned_for", *losses)] if losses[0] != losses[1] else []


def _seeds_in_words(planned: Any, current: Any) -> list[str]:
    if planned == current:
        return []
    if isinstance(planned, list) and isinstance(current, list):
        dropped, added = (len({*one} - {*other}) for one, other in ((planned, current), (current, planned)))
        lines = [f"{dropped} of the {len(planned)} planned were dropped"] * bool(dropped)
        lines += [f"{added} were added to the {len(planned)} planned"] * bool(added)
        return [f"seeds: {' and '.join(lines)}"] if lines else []
    return [f"seeds: {_rule(current)}, planned {_rule(planned)}"]


def _rule(seeds: Any) -> str:
    if isinstance(seeds, list):
        return f"{len(seeds)} of them"
    looks = f", looks {seeds['looks']}" if seeds["looks"] else ""
    return f"{seeds['start']}, then {seeds['step']} at a time up to {seeds['max']} until decided{looks}"


def _names(planned: Judged, current: Judged) -> dict[str, str]:
    """The plan's label of each item, by its label now: an item keeps its identity under another label."""
    labels = {canonical(item): label for label, item in planned.items()}
    names = {key: key if key in planned else labels.get(canonical(item)) for key, item in current.items()}
    return {label: name for label, name in names.items() if name is not None}


def _items_in_words(kind: str, planned: Judged, current: Judged, names: Mapping[str, str]) -> list[str]:
    dropped = [label for label in planned if label not in names.values()]
    added = [label for label in current if label not in names]
    lines = [f"{kind} {label}: planned, and dropped" for label in dropped]
    lines += [f"{kind} {label}: added after results were seen" for label in added]
    for label, name in names.items():
        if changed := _changed(_bare(planned[name]), _bare(current[label])):
            lines.append(f"{kind} {label}: {changed}")
    return lines


def _cells_in_words(plan: Judged, now: Judged, plan_names: Mapping[tuple[str, str], str]) -> list[str]:
    """Of what both have: cells that are left out or added, their seeds, and how they are trained."""
    planned = {tuple(cell[kind] for kind in KINDS.values()): cell for cell in plan["cells"]}
    kinds = KINDS.values()
    current = {tuple(plan_names.get((kind, cell[kind]), "") for kind in kinds): cell for cell in now["cells"]}
    names_now = [{name for (of, _), name in plan_names.items() if of == kind} for kind in KINDS.values()]
    dropped = [key for key in planned if key not in current and all(map(set.__contains__, names_now, key))]
    names_then = [{*plan[axis]} for axis in KINDS]
    added = [key for key in current if key not in planned and all(map(set.__contains__, names_then, key))]
    lines = [f"{' × '.join(key)}: planned, and left out" for key in dropped]
    lines += [f"{' × '.join(key)}: added after results were seen" for key in added]
    trained: dict[str, list[str]] = {}
    for key, cell in current.items():
        if (before := planned.get(key)) is None:
            continue
        recipes = plan["recipes"][before["recipe"]], now["recipes"][cell["recipe"]]
        trainers = _trainer(plan, before), _trainer(now, cell)
        if changed := "; ".join(filter(None, [_changed(*recipes), _changed(*trainers)])):
            trained.setdefault(changed, []).append(" × ".join(key))
        if not _follows(before, cell, plan, now):
            seeds = before.get("seeds", seeds_of(plan)), cell.get("seeds", seeds_of(now))
            lines += [f"{' × '.join(key)}: {line}" for line in _seeds_in_words(*seeds)]
    for changed, keys in trained.items():
        is_part = len(keys) < len({*current} & {*planned})
        which = f" of {', '.join(keys[:3])}{', …' * (len(keys) > 3)}" * is_part
        lines.append(f"training{which}: {changed}")
    return lines


def _trainer(content: Judged, cell: Judged) -> Judged:
    """Who trains a cell, but for its code."""
    if "trainer" not in cell:
        return {"trainer": "bench"}
    described = _bare(content["trainers"][cell["trainer"]])
    return {"trainer": described.pop("name") if "command" not in described else "a command", **described}


def _follows(before: Judged, cell: Judged, plan: Judged, now: Judged) -> bool:
    """Whether the seeds of a cell are those planned, but for what was dropped and added everywhere."""
    planned, current = {*seeds_of(plan)}, {*seeds_of(now)}
    seeds = {*before.get("seeds", planned)}
    return {*cell.get("seeds", current)} == (seeds - (planned - current)) | (current - planned)


def _metrics_in_words(plan: Judged, now: Judged) -> list[str]:
    planned, current = plan["metrics"], now["metrics"]
    lines = [f"metric {name}: planned, and dropped" for name in planned if name not in current]
    lines += [f"metric {name}: added after results were seen" for name in current if name not in planned]
    for name in current:
        if name in planned:
            changed = _changed(_bare(planned[name]), _bare(current[name]))
            lines += [f"metric {name}: {changed}"] if changed else []
            margins = plan["margins"].get(name), now["margins"].get(name)
            lines += [_instead(f"margin of {name}", *margins)] if margins[0] != margins[1] else []
    return lines


def _changed(planned: Judged, current: Judged, within: str = "") -> str:
    """Which values of a description are others, in words."""
    lines = []
    for name in {**planned, **current}:
        one, other = planned.get(name), current.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            lines.append(_changed(one, other, f"{within}{name}."))
        elif one != other:
            lines.append(f"{within}{name} {_short(other)}, planned {_short(one)}")
    return "; ".join(filter(None, lines))


def _bare(description: Judged) -> Judged:
    """Without the digest of a user's code, which has a line of its own."""
    return {name: value for name, value in description.items() if name != "source"}


def _sources(content: Judged) -> Iterator[tuple[str, str]]:
    for items in (*(content[axis] for axis in KINDS), content["metrics"]):
        for item in items.values():
            if "source" in item:
                yield item["name"].partition(":")[0], item["source"]
    for item in content.get("trainers", ()):
        if "source" in item:
            yield item["name"].partition(":")[0], item["source"]
