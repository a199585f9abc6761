"""``results/published/``: what is computed there follows from what was typed, and that from the paper."""

from __future__ import annotations

import csv
import re
import runpy
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "results" / "published"
MAKE = runpy.run_path(str(FOLDER / "make.py"))
NUMBERS = (FOLDER / "published.csv").read_text("utf-8")
README = (FOLDER / "README.md").read_text("utf-8")


def test_table_and_readme_are_what_the_command_makes() -> None:
    assert MAKE["filled"](NUMBERS) == NUMBERS
    assert MAKE["shown"](NUMBERS, README) == README
    assert README.count("\n| ") == len(NUMBERS.splitlines()) + 1  # the header, its rule and all rows


def test_what_the_readme_says_in_words_is_in_the_table() -> None:
    rows = {row["accuracy"]: row for row in csv.DictReader(NUMBERS.splitlines())}
    assert (rows["95.933"]["images_from_baseline"], rows["95.933"]["disagree_for_p05"]) == ("15", "57")
    own, ours = int(rows["95.707"]["correct_first"]), int(rows["95.933"]["correct_first"])
    assert ours - own == 47
    assert int(rows["95.707"]["images_from_baseline"]) == -32
    assert (rows["95.927"]["correct_first"], rows["95.927"]["digits"]) == ("19953", "cut off")
    assert rows["95.928"]["correct_last"] == "19953"
    assert all(row["source"].startswith("https://") for row in rows.values())


def test_emnist_is_marked_as_not_run() -> None:
    assert "**EMNIST was not run here.**" in README
    assert not re.search(r"measured here|we measured", README)
