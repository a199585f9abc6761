"""What a job leaves behind when it ends, and what others may have put in its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.launch.ended import Ended, Idle


def test_how_a_job_ended_is_read_again(tmp_path: Path) -> None:
    Ended.note(tmp_path, "7", "no device")
    Ended.note(tmp_path, "7", None)  # by another of its processes
    ended = Ended.read(tmp_path, "7")
    assert ended is not None
    assert ended.message == "no device"


@pytest.mark.parametrize("time", ["NaN", "1e300", "-1", '"now"'])
def test_a_time_that_is_none_is_no_end(tmp_path: Path, time: str) -> None:
    (tmp_path / "7_ended.json").write_text(f'{{"time": {time}, "message": null}}')
    assert Ended.read(tmp_path, "7") is None


@pytest.mark.parametrize("kind", ["pipe", "device", "no text"])
def test_what_is_no_such_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    for name in ("7_ended.json", "7_idle.txt"):
        if kind == "pipe":
            os.mkfifo(tmp_path / name)
        elif kind == "device":
            (tmp_path / name).symlink_to("/dev/zero")
        else:
            (tmp_path / name).write_bytes(b"\xff\xfe")
    assert Ended.read(tmp_path, "7") is None
    assert Idle.count(tmp_path, "7", "0") == 1
