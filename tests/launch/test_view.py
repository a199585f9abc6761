"""The live view: it counts right, and looking costs little however many runs there are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import finish_run

from bench.launch import view as views
from bench.launch.view import View
from bench.results.folder import RunFolder
from bench.suite import Suite


class Clock:
    """Stands still until it is told to go on."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_runs_are_counted_as_they_end(make_suite: Callable[..., Suite], tmp_path: Path) -> None:
    suite = make_suite()
    first, second, third, *_ = suite.runs()
    finish_run(first, tmp_path, correct=90)
    with View(suite, tmp_path) as view:
        assert (view.left, view.failed) == (view.planned - 1, 0)
        RunFolder(tmp_path, second.id).path.mkdir()
        finish_run(third, tmp_path, correct=90)
    assert (view.left, view.failed) == (view.planned - 2, 0)
    RunFolder(tmp_path, second.id).fail("a reason")
    view._look()
    assert (view.left, view.failed) == (view.planned - 3, 1)
    view._look()
    assert view.failed == 1


def test_no_run_folder_at_all(make_suite: Callable[..., Suite], tmp_path: Path) -> None:
    assert View(make_suite(), tmp_path).left == len(make_suite().runs())


def test_runs_that_have_not_begun_are_not_looked_for(
    make_suite: Callable[..., Suite], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = make_suite()
    RunFolder(tmp_path, suite.runs()[0].id).path.mkdir(parents=True)
    looked = []
    monkeypatch.setattr(RunFolder, "done", property(lambda folder: bool(looked.append(folder.run_id))))
    View(suite, tmp_path)
    assert set(looked) == {suite.runs()[0].id}


def test_looking_takes_a_small_share_of_the_time(
    make_suite: Callable[..., Suite], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, looks = Clock(), []

    def slow(path: Path) -> list[str]:
        looks.append(clock.now)
        clock.now += 0.5
        return []

    monkeypatch.setattr(views, "time", clock)
    monkeypatch.setattr(views.os, "listdir", slow)
    view = View(make_suite(), tmp_path)
    while clock.now < 200:
        view()
        clock.now += 0.2
    assert len(looks) * 0.5 <= views.MOST_LOOKING * 105
    assert len(looks) >= 9  # not never, though
    with view:
        pass
    assert looks[-1] >= 200  # the last word is up to date
