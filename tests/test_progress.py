"""How far something is: nothing where it is quick, a line now and then where there is no terminal."""

from __future__ import annotations

import pytest

from bench.cli import progress


def test_what_is_quick_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.counting("run folders") as show:
        for done in range(1, 100):
            show(done, 100)
    assert capfd.readouterr() == ("", "")


def test_what_is_slow_says_how_far_it_is(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.counting("run folders") as show:
        for now in range(1, 30):
            show(100 * now, 10_000)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.split("\n") == [
        *(f"run folders {done} of 10,000" for done in ("300", "1,400", "2,500")),
        "",
    ]
