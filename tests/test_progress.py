"""What takes long says how far it is, on standard error, and what is quick says nothing."""

from __future__ import annotations

import pytest

from bench import progress
from bench.progress import watched


class Clock:
    """Stands still until it is told to go on."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def go(clock: Clock, seconds: float, count: int) -> list[int]:
    done = []
    for item in watched(range(count), "reading results"):
        clock.now += seconds
        done.append(item)
    return done


def test_what_is_quick_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    assert go(clock, 0.0001, 1000) == list(range(1000))
    assert go(clock, 1.0, 0) == []
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_it_is_a_line_now_and_then(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go(clock, 0.01, 3000) == list(range(3000))
    printed, said = capsys.readouterr()
    assert printed == ""
    assert [line.split(":")[0] for line in said.splitlines()] == ["reading results"] * 3
    assert said.splitlines()[0].endswith(" of 3,000")


def test_on_a_terminal_it_is_a_bar(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert go(clock, 0.5, 10) == list(range(10))
    printed, said = capsys.readouterr()
    assert printed == ""
    assert "reading results" in said
    assert "10/10" in said


def test_an_error_on_the_way_is_passed_on() -> None:
    def divide() -> list[float]:
        return [1 / (5 - item) for item in watched(range(10), "reading results")]

    with pytest.raises(ZeroDivisionError):
        divide()
