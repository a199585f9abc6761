"""What somebody asks for: a suite, the finished runs that count for it, and the user's own modules."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from bench import code, home
from bench.disk import strangers
from bench.launch.preflight import check_names
from bench.scale import Scale
from bench.source import Source
from bench.suite import Suite
from bench.versions.counting import as_counted
from bench.versions.digests import of_suite
from bench.versions.store import unseen
from bench.visible import say


@contextlib.contextmanager
def asking(
    source: Source,
    results: Path | None,
    seeds: int | None = None,
    scale: Scale = "full",
    *,
    names: bool = True,
) -> Iterator[Suite]:
    """The suite, with those finished runs in ``results`` that count for it; None: none do.

    Where there are none, it is said where else they lie. Within, the user's own modules are found, and are
    what their files said on entering.

    Args:
        names: also ask libraries and the user's modules whether they have what it names. Who does so may be
            about to train for the first time: that there is no run yet is then no news.

    Raises:
        BenchError: the suite does not hold, or its folder is that of another suite.
    """
    with modules_in(source.search_path):
        asked = source.suite(seeds, scale)
        with _as_files_say(asked):
            if results is not None:
                home.check_owner(asked, source, results)
                asked = as_counted(asked, results)
                if not home.has_runs(asked, results):
                    _say_where_else(asked, source, results, news=not names)
            if names:
                with unseen(asked) as remarks:
                    check_names(asked)
                for remark in remarks:
                    say(remark)
            yield asked


def find_modules(places: Sequence[str]) -> None:
    """Let modules be imported from these folders, before others; says whose they are, if not ours."""
    for remark in strangers(map(Path, places)):
        say(remark)
    importlib.invalidate_caches()  # in a notebook, files come and change
    sys.path[:0] = places


@contextlib.contextmanager
def modules_in(places: Sequence[str]) -> Iterator[None]:
    """The same for a while."""
    find_modules(places)
    try:
        yield
    finally:
        for place in places:
            with contextlib.suppress(ValueError):
                sys.path.remove(place)


@contextlib.contextmanager
def _as_files_say(suite: Suite) -> Iterator[None]:
    """Import what a suite names from the text that its digest is of.

    A notebook may have imported an older one, or that of another suite: a metric of the user's own, which is
    computed in this process, would be of code that the run does not name. Afterwards all is as it was.
    """
    modules = {name: own for module in of_suite(suite) for name, own in code.own_modules(module).items()}
    texts = code.Snapshot({name: own for name, own in modules.items() if own.is_source})
    there = {name: sys.modules[name] for name in texts.modules if name in sys.modules}
    if all(_is_current(module, texts.modules[name].file) for name, module in there.items()):
        there.clear()  # the very modules of the program: some register things, which can be done once
    for name in there:
        del sys.modules[name]
    known = {*sys.modules}
    sys.meta_path.insert(0, texts)
    try:
        yield
    finally:
        sys.meta_path.remove(texts)
        for name in {*texts.modules} - known:
            sys.modules.pop(name, None)
        sys.modules.update(there)


def _is_current(module: ModuleType | None, file: Path) -> bool:
    """Whether a module that was imported is of this file, untouched since the process began."""
    imported = getattr(module, "__file__", None)
    try:
        state = file.stat()
        same = imported is not None and os.path.samefile(imported, file)
    except OSError:
        return False
    return same and max(state.st_mtime, state.st_ctime) < _began()


@functools.cache
def _began() -> float:
    """Unix time at which this process began; 0 where that is not known."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0.0
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def _say_where_else(asked: Suite, source: Source, results: Path, *, news: bool) -> None:
    """No run of a suite is where it was looked for: if that is news, or if another folder has some."""
    folder = home.nearest(asked, source)
    if folder is None and not news:
        return
    gone = "" if results.is_dir() else " (the folder does not exist)"
    there = f"; the nearest are in {folder}" if folder else ", nor in any results/ nearby"
    say(
        f"{results.absolute()}: no run of '{asked.name}'{gone}{there}; "
        "--results or BENCH_RESULTS says where they are"
    )
