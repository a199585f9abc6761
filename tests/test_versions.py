"""Which finished runs count for code as it is now, what is said of the others, and what jobs train."""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import as_asked, finish_run

from bench import code
from bench.errors import BenchError
from bench.launch.pack import Pack
from bench.results.folder import RunFolder
from bench.runs import Run, canonical
from bench.suite import Suite
from bench.versions import counting, digests, store

Write = Callable[..., Path]
Bench = Callable[..., tuple[int, str, str]]

MINE = "from help import K\n\n\ndef mine(logits, target):\n    return K * logits.sum()\n"


class Study:
    """A suite with a loss of its user's own, whose module imports another one."""

    def __init__(self, folder: Path, suite: Path) -> None:
        self.folder, self.suite, self.results = folder, suite, folder / "results"
        self.write("mine", MINE)
        self.write("help", "K = 1\n")

    def write(self, module: str, text: str) -> None:
        (self.folder / f"{module}.py").write_text(text)
        importlib.invalidate_caches()

    def load(self) -> Suite:
        return as_asked(self.suite, self.results)

    def finish(self) -> None:
        """Finish every run, as a launcher and its jobs would."""
        suite = self.load()
        store.keep(suite, self.results)
        for run in suite.runs():
            if not self.is_done(run):
                finish_run(run, self.results, correct=90)

    def finish_as_before_there_were_digests(self) -> None:
        for run in self.load().runs():
            finish_run(self.older(run), self.results, correct=90)

    def older(self, run: Run) -> Run:
        """The same run where the text of one file is what identifies code."""
        described = json.loads(run.text)
        if ":" in described["loss"]["name"]:
            text = (self.folder / "mine.py").read_bytes()
            described["loss"]["source"] = hashlib.sha256(text).hexdigest()[:16]
        return Run(canonical(described), run.seed)

    def is_done(self, run: Run) -> bool:
        return RunFolder(self.results, run.id).done

    def waiting(self) -> int:
        return sum(not self.is_done(run) for run in self.load().runs())

    def changes(self) -> list[str]:
        return counting.changes(self.load(), self.results)


@pytest.fixture
def study(tmp_path: Path, write_suite: Write, monkeypatch: pytest.MonkeyPatch) -> Iterator[Study]:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for module in ("mine", "help"):
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.delitem(sys.modules, module)
    yield Study(tmp_path, write_suite(losses=["ce", "mine:mine"], seeds=3))
    # In place: libraries put finders of their own there, once.
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, code.Snapshot)]


def test_a_comment_leaves_finished_runs_and_a_helper_does_not(study: Study) -> None:
    study.finish()
    study.write("mine", '"""Words."""\n# and a comment\n' + MINE)
    assert study.waiting() == 0
    assert study.changes() == []
    study.write("help", "K = -50\n")
    assert study.waiting() == 3
    [said] = study.changes()
    assert said.startswith("help.py changed after 3 runs of this suite had finished, which wait again")
    assert "--same-code keeps them" in said
    study.write("help", "K = 1  # as it was\n")
    assert study.waiting() == 0


def test_runs_count_that_finished_under_the_text_of_the_file_until_it_changes(study: Study) -> None:
    study.finish_as_before_there_were_digests()
    before = {path.name for path in (study.results / "runs").iterdir()}
    assert study.waiting() == 0
    assert {run.id for run in study.load().runs()} == before  # and they keep their ids
    study.write("help", "K = 2\n")  # which that digest never saw
    assert study.waiting() == 0
    study.write("mine", f"# a comment\n{MINE}")
    assert study.waiting() == 3
    [said] = study.changes()
    assert said.startswith("mine.py (or what it imports) changed after 3 runs")


def test_a_comment_leaves_runs_of_before_once_their_code_is_kept(study: Study) -> None:
    study.finish_as_before_there_were_digests()
    store.keep(study.load(), study.results)  # as any `bench run` does
    study.write("mine", f"# a comment\n{MINE}")
    assert study.waiting() == 0
    study.write("help", "K = 2\n")
    assert study.waiting() == 3
    [said] = study.changes()
    assert said.startswith("help.py changed after 3 runs")


def test_runs_of_before_are_those_of_the_helper_that_was_there_when_they_were_taken_over(
    study: Study,
) -> None:
    study.finish_as_before_there_were_digests()
    store.keep(study.load(), study.results)
    study.write("help", "K = -50\n")  # the text of mine.py is as it was
    assert study.waiting() == 3
    store.keep(study.load(), study.results)
    assert study.waiting() == 3
    [said] = study.changes()
    assert said.startswith("help.py changed after 3 runs")
    study.write("help", "K = 1\n")
    assert study.waiting() == 0


def test_a_run_of_before_is_restored_while_its_text_is_there(study: Study) -> None:
    [run] = [study.older(cell.runs[0]) for cell in study.load().cells if cell.loss == "mine:mine"]
    assert run.resolve().loss.describe() == json.loads(run.text)["loss"]
    study.write("mine", f"# a comment\n{MINE}")
    with pytest.raises(BenchError, match="mine:mine: its code changed"):
        run.resolve()


@pytest.mark.parametrize("older", [False, True])
def test_who_says_that_a_change_was_none_keeps_the_runs(study: Study, bench: Bench, older: bool) -> None:
    (study.finish_as_before_there_were_digests if older else study.finish)()
    before = {path.name for path in (study.results / "runs").iterdir()}
    study.write("mine", MINE.replace("K * logits", "(K + 0) * logits"))
    assert study.waiting() == 3
    status, _, said = bench("run", study.suite, "--same-code", "--workers", "1")
    assert status == 0, said
    assert "mine.py" in said
    assert "3 runs that had finished go on counting" in said
    assert {path.name for path in (study.results / "runs").iterdir()} == before
    study.write("mine", MINE.replace("K * logits", "(K + 0 + 0) * logits"))
    assert study.waiting() == 3
    counting.declare_same(study.load(), study.results)  # and of that which was the same as another
    assert study.waiting() == 0
    status, _, said = bench("run", study.suite, "--same-code")
    assert status == 0  # the same command again goes on
    assert "no finished run of this suite waits because code changed" in said
    study.write("mine", MINE.replace("K * logits", "(K + 0) * logits"))
    assert study.waiting() == 0  # what is the same as another is so either way


def test_a_run_that_was_kept_and_is_damaged_is_trained_with_the_code_as_it_is(
    study: Study, bench: Bench, write_suite: Write
) -> None:
    study.write("mine", MINE + "\n\ndef second(logits, target):\n    return logits.sum()\n")
    study.finish()
    study.write("help", "K = 1 + 0\n")
    counting.declare_same(study.load(), study.results)
    study.suite = write_suite(losses=["ce", "mine:mine", "mine:second"], seeds=3)
    kept = next(run for cell in study.load().cells if cell.loss == "mine:mine" for run in cell.runs)
    (study.results / "runs" / kept.id / "predictions.npz").write_bytes(b"")
    status, printed, said = bench("run", study.suite, "--workers", "1")
    assert status == 0, printed
    assert "damaged result" in said
    assert study.waiting() == 0
    assert kept.id not in {run.id for run in study.load().runs()}


def test_the_advice_of_the_first_run_can_still_be_followed_after_it(study: Study) -> None:
    study.finish_as_before_there_were_digests()
    study.write("mine", MINE.replace("K * logits", "(K + 0) * logits"))
    said = study.changes()
    assert "3 runs of this suite" in said[0]
    store.keep(study.load(), study.results)  # as it does before it trains, and is interrupted
    assert study.changes() == said
    counting.declare_same(study.load(), study.results)
    assert study.waiting() == 0


def test_a_package_of_another_version_is_told_too(study: Study, write_suite: Write) -> None:
    package = study.folder / "site-packages"
    package.mkdir()
    sys.path.insert(0, str(package))
    (package / "theirs_for_versions.py").write_text("def loss(logits, target):\n    return logits.sum()\n")
    study.suite = write_suite(losses=["ce", "theirs_for_versions:loss"], seeds=3)
    study.finish()
    (package / "theirs_for_versions.py").write_text("# 2.0\ndef loss(logits, target): return logits.sum()\n")
    [said] = study.changes()
    assert said.startswith("theirs_for_versions.py (or what it imports) changed after 3 runs")
    counting.declare_same(study.load(), study.results)
    assert study.waiting() == 0


def test_results_of_another_folder_are_counted_there(study: Study, bench: Bench, tmp_path: Path) -> None:
    study.finish()
    study.write("help", "K = 1 + 0\n")
    counting.declare_same(study.load(), study.results)
    other = tmp_path / "other"
    study.results.rename(other)
    study.finish()
    _, printed, _ = bench("report", study.suite, other, "--json")
    cells = json.loads(printed)["cells"]
    assert [(cell["first"]["n"], cell["second"]["n"]) for cell in cells] == [(3, 3)] * 2


def test_half_an_edit_does_not_stop_a_launcher(study: Study) -> None:
    suite = study.load()
    store.keep(suite, study.results)
    study.write("help", "K = (")
    store.keep(suite, study.results)
    assert counting.changes(suite, study.results) == []


def test_the_change_is_said_by_plan_status_and_run(study: Study, bench: Bench) -> None:
    study.finish()
    study.write("help", "K = 1 + 1 - 1\n")
    for verb in ("plan", "status"):
        _, printed, _ = bench(verb, study.suite)
        assert "help.py changed after 3 runs of this suite had finished" in printed
        _, printed, _ = bench(verb, study.suite, "--json")
        [said] = json.loads(printed)["remarks"]
        assert said in bench(verb, study.suite)[1]
    _, _, said = bench("run", study.suite, "--workers", "1")
    assert "help.py changed after 3 runs of this suite had finished" in said
    assert study.waiting() == 0
    assert study.changes() == []


def test_of_two_modules_each_is_told(study: Study, write_suite: Write) -> None:
    study.write("other", "def other(logits, target):\n    return logits.sum()\n")
    study.suite = write_suite(losses=["ce", "mine:mine", "other:other"], seeds=2)
    study.finish()
    study.write("other", "def other(logits, target):\n    return logits.mean()\n")
    study.write("help", "K = 3\n")
    assert sorted(said.split()[0] for said in study.changes()) == ["help.py", "other.py"]
    assert study.waiting() == 4


def test_what_runs_of_another_suite_had_finished_with_is_found(study: Study, write_suite: Write) -> None:
    study.finish()
    study.write("help", "K = 5\n")
    study.finish()  # the second version
    study.write("help", "K = 6\n")
    assert study.waiting() == 3
    assert len(study.changes()) == 1  # each waiting run once, by the latest version that has it


def test_what_no_digest_covers_is_said(study: Study, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "hidden.py").write_text("K = 1\n")
    study.write(
        "help", f"import sys\nsys.path.append({str(tmp_path / 'elsewhere')!r})\nfrom hidden import K\n"
    )
    study.write("mine", f"import torch\n{MINE}")  # whose modules name files that nobody has
    done = subprocess.run(
        [sys.executable, "-m", "bench", "plan", str(study.suite), "--results", str(study.results)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    said, *tried = done.stderr.splitlines()
    assert [line.partition(" ")[0] for line in tried] in (["trying"], ["trying", "timing"])
    assert said.startswith(f"{tmp_path / 'elsewhere' / 'hidden.py'}: imported where no digest sees it")


def train(pack: Pack, call: str) -> str:
    """What a job's process finds, which has imported nothing yet."""
    path = pack.write(pack.results / "job")
    code_of_job = (
        "from pathlib import Path; from bench.launch.pack import Pack\n"
        f"pack = Pack.read(Path({str(path)!r})); pack.find_modules()\n"
        "from bench.registry import load_callable\n"
        f"print(pack.runs[-1].resolve().loss.name, {call})"
    )
    done = subprocess.run([sys.executable, "-c", code_of_job], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def pack_of(study: Study, **changes: Any) -> Pack:
    runs = [cell.runs[0] for cell in study.load().cells]
    settings = {"data": study.results, "device": "cpu", "search_path": [str(study.folder)], "git": None}
    return Pack(results=study.results, runs=runs, **{**settings, **changes})


def test_jobs_train_the_code_that_was_submitted(study: Study) -> None:
    store.keep(study.load(), study.results)
    pack = pack_of(study)
    study.write("help", "K = -50\n")
    study.write("mine", "this is half an edit")
    found = train(pack, "load_callable('mine:mine').__globals__['K'], __import__('mine').__file__")
    assert found == f"mine:mine 1 {study.folder / 'mine.py'}"


def test_a_job_whose_version_is_not_kept_does_not_train_another(study: Study) -> None:
    pack = pack_of(study)
    assert train(pack, "1") == "mine:mine 1"
    study.write("help", "K = -50\n")
    assert "its code changed after this run was planned" in train(pack, "1")


def test_a_damaged_version_is_as_none(study: Study) -> None:
    store.keep(study.load(), study.results)
    [kept] = (study.results / "code").iterdir()
    whole = json.loads(kept.read_text())
    others = [{**whole, "kept": "long ago"}, {**whole, "same_as": 3}, {**whole, "modules": []}]
    for text in ("", "[]", '{"modules": {"mine": 3}}', kept.read_text()[:-20], *map(json.dumps, others)):
        kept.write_text(text)
        assert study.changes() == []
        assert train(pack_of(study), "1") == "mine:mine 1"
    store.keep(study.load(), study.results)
    assert json.loads(kept.read_text())["modules"].keys() == {"mine", "help"}


def test_text_that_is_not_utf8_is_kept_byte_for_byte(study: Study) -> None:
    text = "# -*- coding: latin-1 -*-\nK = len('\xe9')\n".encode("latin-1")
    (study.folder / "help.py").write_bytes(text)
    suite = study.load()
    store.keep(suite, study.results)
    store.use(study.results, digests.of_suite(suite))
    (study.folder / "help.py").write_text("K = 2\n")
    assert code.own_modules("help")["help"].content == text
    assert importlib.import_module("help").K == 1


def test_what_changes_while_a_suite_is_read_is_said(study: Study) -> None:
    suite = study.load()
    study.write("help", "K = 7\n")
    with pytest.raises(BenchError, match="changed while the suite was read"):
        store.keep(suite, study.results)
    assert not (study.results / "code").exists()


def test_a_suite_of_built_in_things_keeps_nothing_and_looks_nowhere(
    write_suite: Write, tmp_path: Path
) -> None:
    suite = as_asked(write_suite(), tmp_path / "results")
    store.keep(suite, tmp_path / "results")
    assert not (tmp_path / "results").exists()
    assert counting.as_counted(suite, tmp_path / "results") is suite
