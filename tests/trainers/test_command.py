"""Programs that train: filled in, run from their copy, stopped, killed, and read."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from helpers import wait_for
from own_trainer import Stop, attempt, reason

from bench import programs
from bench.errors import BenchError
from bench.launch import local, needs
from bench.launch.profile import Profile
from bench.results.folder import RunFolder
from bench.runs import Run
from bench.suite import Suite, load
from bench.trainers import process, watcher
from bench.versions import counting, digests, store

Write = Callable[..., Path]
PYTHON = sys.executable
COUNTS = "import json,sys; json.dump({'correct': 9, 'total': 10}, open(sys.argv[1] + '/r.json', 'w'))"


@pytest.fixture
def by(write_suite: Write, tmp_path: Path) -> Callable[..., Suite]:
    """A suite of two runs, trained by a script, or by a command."""

    def make(
        script: str = COUNTS, result: Mapping[str, Any] | None = None, suite: Any = None, **trainer: Any
    ) -> Suite:
        (tmp_path / "prog.py").write_text(script)
        given = {
            "command": [PYTHON, "prog.py", "{folder}"],
            "result": {"file": "r.json"} if result is None else result,
            **trainer,
        }
        some = {"datasets": "pixels", "models": "net", "losses": "ce", "seeds": 1, "recipe": None}
        values = {**some, "baseline": None, **(suite or {})}
        return load(write_suite(**values, trainer=given))

    return make


def test_placeholders_are_filled_in(by: Any, tmp_path: Path) -> None:
    suite = by(
        "import json,sys; json.dump({'correct': 1, 'total': 2}, open(sys.argv[1] + '/r.json', 'w'))\n"
        "json.dump(sys.argv[2:], open('told.json', 'w'))",
        command=[
            *(
                PYTHON,
                "prog.py",
                "{folder}",
                "{dataset}",
                "{model.depth}",
                "{loss}={loss.gamma}",
                "{recipe.lr}",
            ),
            *(
                "{recipe.optimizer.name}",
                "{recipe.flags}",
                "{seed}",
                "{gpus}/{nodes}/{device}",
                "{{literal}}",
            ),
            "{derive.split}",
        ],
        suite={
            "models": {"net": {"depth": 3}},
            "losses": {"focal": {"gamma": 2.5}},
            "recipe": {"lr": 1e-3, "optimizer": {"name": "lion"}, "flags": [1, True]},
            "seeds": [7],
        },
    )
    run = suite.runs()[0]
    folder = attempt(suite, tmp_path / "results")
    assert folder.done, reason(folder)
    assert json.loads((tmp_path / "told.json").read_text()) == [
        *("pixels", "3", "focal=2.5", "0.001", "lion", "[1, true]", "7", "0/1/cpu", "{literal}"),
        str(run.derive("split") % 2**31),
    ]
    result = folder.result()
    assert result is not None
    assert (result.correct, result.total, result.predictions_sha256) == (1, 2, None)
    assert sorted(os.listdir(folder.path)) == ["result.json", "run.json"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"command": [PYTHON, "{sed}"]}, r"trainer: command: unknown placeholder '\{sed\}'; .*mean 'seed'"),
        ({"command": [PYTHON, "{los.gamma}"]}, r"unknown placeholder '\{los.gamma\}'; .*did you mean 'loss'"),
        ({"command": [PYTHON, '{"a": 1}']}, r"a brace that is meant is written twice"),
        ({"command": [PYTHON, "{loss"]}, r"found a single '\{'"),
        ({"command": "python prog.py"}, r"expected a list of words: \[python, prog.py\]"),
        ({"command": [PYTHON, {"seed": None}]}, r"a placeholder needs quotes"),
        ({"command": [PYTHON, "{recipe.lr}"]}, r"'\{recipe.lr\}': the recipe has no 'lr'; it has epochs"),
        ({"command": [PYTHON, "{loss.gama}"]}, r"loss 'focal' has no 'gama'; it has gamma; did you mean"),
        ({"code": ["prig.py"]}, r"trainer.code: there is no 'prig.py' in .*; did you mean 'prog.py'"),
        ({"code": ["."]}, r"trainer.code: '.' holds the suite itself"),
        ({"code": ["prog.py", "../"]}, r"trainer.code: '../' holds the suite itself"),
        ({"stop": "SIGTREM"}, r"unknown signal 'SIGTREM'; .*did you mean 'SIGTERM'"),
        ({"stop": "SIGKILL"}, r"unknown signal 'SIGKILL'"),
        ({"result": {"file": "r.txt"}}, r"result: file: found 'r.txt', expected one that ends in .csv"),
        ({"result": {"file": "/r.csv", "column": "a"}}, r"a path within the program's folder"),
        ({"result": {"file": "r.csv"}}, r"column: is missing"),
        ({"result": {"file": "r.csv", "column": "a", "row": "best"}}, r"row: .*chosen on the test images"),
        (
            {"result": {"file": "r.csv", "column": "a", "row": {"best": "a"}}},
            r"row: best: found 'a', which is the result itself",
        ),
        ({"result": {"file": "{folder/r.json"}}, r"trainer: result: .*found a single '\{'"),
        ({"result": {"file": "{sed}.json"}}, r"unknown placeholder '\{sed\}'; .*mean 'seed'"),
        ({"progress": {"file": "{sed}.csv"}}, r"trainer: progress: unknown placeholder '\{sed\}'"),
        ({"progress": {"file": "{loss.gama}.csv"}}, r"loss 'focal' has no 'gama'; it has gamma"),
        ({"command": [PYTHON, "a\0b"]}, r"trainer: command: found 'a.*b', and no word"),
        ({"result": {"stdout": "accuracy"}}, r"expected a group around the number"),
        ({"result": {}}, r"expected either file: .* or stdout:"),
        ({"results": {"file": "r.json"}}, r"unknown key 'results'; .*did you mean 'result'"),
        ({"gpus": -1}, r"trainer: gpus: found -1"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_read(by: Any, changes: Any, message: str) -> None:
    suite = {"losses": {"focal": {"gamma": 2}}, "recipe": {"epochs": 2}}
    with pytest.raises(BenchError, match=message):
        by(suite=suite, **changes)


def test_metrics_that_no_result_gives_are_refused_when_it_is_read(by: Any) -> None:
    with pytest.raises(BenchError, match=r"metrics: 'nll' cannot be had: trainer\.result gives accuracy"):
        by(result={"stdout": "acc (.*)"}, suite={"metrics": ["accuracy", "nll"]})


SAYS = "print('epoch 1'); print('accuracy: 93.5'); print('accuracy: 94.5')"
CSV = "import sys; open(sys.argv[1] + '/t.csv', 'w').write('epoch,val,top1\\n0,70,80\\n1,90,60\\n2,80,70\\n')"


@pytest.mark.parametrize(
    ("script", "result", "value", "validation"),
    [
        (SAYS, {"stdout": "accuracy: ([0-9.]+)", "unit": "percent"}, 0.945, None),
        (CSV, {"file": "t.csv", "column": "top1", "unit": "percent"}, 0.7, None),
        (CSV, {"file": "t.csv", "column": "top1", "unit": "percent", "row": "first"}, 0.8, None),
        (CSV, {"file": "t.csv", "column": "top1", "unit": "percent", "row": {"best": "val"},
               "validation": "val"}, 0.6, 0.9),
        (COUNTS.replace("'correct': 9, 'total': 10", "'eval': {'acc': 0.25}"),
         {"file": "r.json", "column": "eval.acc"}, 0.25, None),
    ],
)  # fmt: skip
def test_one_number_comes_back(
    by: Any, tmp_path: Path, script: str, result: Any, value: float, validation: float | None
) -> None:
    folder = attempt(by(script, result), tmp_path / "results")
    assert folder.done, reason(folder)
    made = folder.result()
    assert made is not None
    assert made.values == {"accuracy": pytest.approx(value)}
    assert made.validation == ({} if validation is None else {"accuracy": validation})
    assert made.accuracy == pytest.approx(value)


def test_a_table_of_results_is_followed_while_it_grows(by: Any, tmp_path: Path) -> None:
    folder = attempt(by(CSV, {"file": "t.csv", "column": "top1", "unit": "percent"}), tmp_path / "results")
    lines = folder.metrics()
    assert [(line["epoch"], line["top1"], line["val"]) for line in lines] == [
        (1, 80, 70),
        (2, 60, 90),
        (3, 70, 80),
    ]


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        ("json", "json.dumps({'epoch': k, 'loss': 1 / k})"),
        (r"epoch (?P<epoch>\d+): (?P<loss>[\d.]+)", "f'epoch {k}: {1 / k}'"),
    ],
)
def test_what_it_says_is_followed(by: Any, tmp_path: Path, progress: str, line: str) -> None:
    script = f"import json\nfor k in (1, 2, 4): print({line})\n{COUNTS}"
    folder = attempt(by(script, progress={"stdout": progress}), tmp_path / "results")
    assert [(line["epoch"], line["loss"]) for line in folder.metrics()] == [(1, 1.0), (2, 0.5), (4, 0.25)]


PREDICTED = """
import sys
import numpy as np
labels, p = np.array([0, 1, 2, 1]), np.eye(3)[[0, 1, 2, 2]] * 0.7 + 0.1
np.savez(sys.argv[1] + "/p.npz", labels=labels, {})
"""


def test_epochs_that_are_counted_from_0_are_shown_from_1(by: Any, tmp_path: Path) -> None:
    script = f"import json\nfor k in (0, 1, 2): print(json.dumps({{'epoch': k, 'loss': k}}))\n{COUNTS}"
    folder = attempt(by(script, progress={"stdout": "json"}), tmp_path / "results")
    assert [(line["epoch"], line["loss"]) for line in folder.metrics()] == [(1, 0), (2, 1), (3, 2)]


def test_nothing_that_it_says_of_its_progress_fails_it(by: Any, tmp_path: Path) -> None:
    script = f"""
print('{{"epoch": Infinity, "loss": 3}}')
print('{{"loss": 1' + 400 * '0' + '}}')
print(100_000 * '{{"loss":')
{COUNTS}"""
    folder = attempt(by(script, progress={"stdout": "json"}), tmp_path / "results")
    assert folder.done, reason(folder)
    assert [(line["epoch"], line.get("loss")) for line in folder.metrics()] == [(1, 3), (2, None)]


def test_a_line_without_end_is_cut(by: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = "import sys\nfor _ in range(48): sys.stdout.write(65536 * 'x')\nprint(); print('accuracy: 0.5')"
    folder = attempt(by(script, {"stdout": "accuracy: (.*)"}), tmp_path / "results")
    assert folder.done, reason(folder)
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("xx")]
    assert max(map(len, lines)) < 2**21
    assert sum(map(len, lines)) == 48 * 65536


def test_probabilities_give_all_metrics(by: Any, tmp_path: Path) -> None:
    suite = by(
        PREDICTED.format("probabilities=p"),
        {"file": "p.npz"},
        suite={"metrics": ["accuracy", "nll", "brier", "ece"], "keep_probabilities": True},
    )
    folder = attempt(suite, tmp_path / "results")
    assert folder.done, reason(folder)
    result = folder.result(check_details=True)
    assert result is not None
    assert (result.correct, result.total) == (3, 4)
    assert result.nll == pytest.approx(-(3 * math.log(0.8) + math.log(0.1)) / 4)
    assert folder.predictions(result).probabilities.shape == (4, 3)


@pytest.mark.parametrize(
    ("script", "result", "message"),
    [
        ("raise SystemExit('no luck')", None, "prog.py exited with 1; its last lines: no luck"),
        ("import os; os.abort()", None, "prog.py was ended by SIGABRT"),
        ("pass", None, "ended without a result: result.file: it left no 'r.json'; it wrote no file"),
        ("import sys; open(sys.argv[1] + '/s.json', 'w')", None, "there are s.json; did you mean 's.json'"),
        ("print('acc 1')", {"stdout": "accuracy: (.*)"}, "no line of its standard output matches"),
        ("print('accuracy: nan')", {"stdout": "accuracy: (.*)"}, "found nan, expected a finite number"),
        ("print('accuracy: ?')", {"stdout": "accuracy: (.*)"}, r"found '\?', expected a number"),
        ("print('accuracy: 93.5')", {"stdout": "accuracy: (.*)"}, "found 93.5, .*say `unit: percent`"),
        (CSV, {"file": "t.csv", "column": "top5"}, "unknown column 'top5'; allowed: .*; did you mean"),
        (CSV.replace("70", "nan"), {"file": "t.csv", "column": "top1"}, "top1: found nan, expected a finite"),
        ("import sys; open(sys.argv[1] + '/t.csv', 'w')", {"file": "t.csv", "column": "a"}, "it has no rows"),
        ("import sys; open(sys.argv[1] + '/r.json', 'w').write('{')", None, "it is no JSON"),
        (COUNTS.replace("'correct': 9", "'correct': 10**400"), None, "correct: found 1.*, expected a whole"),
        (COUNTS.replace("'correct': 9", "'a': 10**400"), {"file": "r.json", "column": "a"}, "expected a fin"),
        (COUNTS.replace("{", "[{").replace("}", "}]"), {"file": "r.json", "column": "a"}, "a list of 1"),
        (CSV.replace("epoch,", "epoch;").replace("0,", "0,,"), {"file": "t.csv", "column": "a"},
         "unknown column 'a'; allowed: epoch;val, top1"),
        (COUNTS.replace("9", "11"), None, "correct, total: found 11 of 10"),
        (COUNTS.replace(", 'total': 10", ""), None, "total: is missing"),
        (PREDICTED.format("predictions=labels[1:]"), {"file": "p.npz"}, "found 3 of them for 4 labels"),
        (PREDICTED.format("predictions=p"), {"file": "p.npz"}, r"predictions: found float64 \[4, 3\].*argm"),
        (PREDICTED.format("probabilities=p * 9"), {"file": "p.npz"}, "are these logits"),
        (PREDICTED.format("probabilities=p * np.nan"), {"file": "p.npz"}, "of image 0 found .*nan"),
        (PREDICTED.format("probabilities=p[:, :2]"), {"file": "p.npz"}, "labels: found 2, and .* 2 classes"),
        (PREDICTED.format("guesses=labels"), {"file": "p.npz"}, "guesses: found an array .* a finite"),
    ],
)  # fmt: skip
def test_bad_results_are_failures_with_their_reason(
    by: Any, tmp_path: Path, script: str, result: Any, message: str
) -> None:
    folder = attempt(by(script, result), tmp_path / "results")
    assert re.search(message, reason(folder)), reason(folder)
    failure = folder.failure()
    assert failure is not None
    assert "Traceback" not in failure.trace


def test_what_is_asked_and_cannot_be_had_fails_the_run(by: Any, tmp_path: Path) -> None:
    suite = by(
        PREDICTED.format("predictions=labels"), {"file": "p.npz"}, suite={"metrics": ["accuracy", "nll"]}
    )
    folder = attempt(suite, tmp_path / "results")
    assert "metric 'nll' cannot be had of classes alone: give the probabilities" in reason(folder)


def test_a_program_that_is_not_there_is_named(by: Any, tmp_path: Path) -> None:
    folder = attempt(by(command=["pyhton3", "prog.py"]), tmp_path / "results")
    assert "command: 'pyhton3' is not found in PATH; did you mean 'python3'?" in reason(folder)


# -------------------------------------------------------------------------------------- stopped and killed

COUNTING = """
import json, os, signal, sys, time
state = sys.argv[1] + "/state"
done = int(open(state).read()) if os.path.exists(state) else 0
def stop(*_):
    open("stopped", "a").write(f"{done}\\n")
    sys.exit(0)
signal.signal(signal.SIGUSR1, stop)
while done < STEPS:
    time.sleep(0.05)
    done += 1
    open(state + ".new", "w").write(str(done)); os.replace(state + ".new", state)
    print(json.dumps({"epoch": done}), flush=True)
json.dump({"correct": done, "total": 100}, open(sys.argv[1] + "/r.json", "w"))
"""


def test_it_is_told_to_stop_and_goes_on_in_the_same_folder(by: Any, tmp_path: Path) -> None:
    suite = by(COUNTING.replace("STEPS", "12"), stop="USR1", progress={"stdout": "json"})
    results = tmp_path / "results"
    folder = attempt(suite, results, stop=Stop(after=9))
    assert not folder.done
    assert not folder.failed
    stopped = int((tmp_path / "stopped").read_text())
    assert 0 < stopped < 12
    assert folder.info()["attempts"][-1]["outcome"] == "stopped"
    assert attempt(suite, results).done
    result = folder.result()
    assert result is not None
    assert result.correct == 12
    assert [line["epoch"] for line in folder.metrics()] == [*range(1, 13)]
    assert not folder.work.exists()


def test_one_that_does_not_stop_is_killed_after_its_grace(
    by: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)"
    began = time.monotonic()
    folder = attempt(by(script, grace=0.3), tmp_path / "results", stop=Stop(after=5))
    assert time.monotonic() - began < 20
    assert not folder.failed
    assert "prog.py did not end within 0.3 s of SIGTERM: it was killed" in capfd.readouterr().err


def test_one_that_somebody_kills_is_started_again(by: Any, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\nmark = sys.argv[1] + '/begun'\n"
        "if not os.path.exists(mark): open(mark, 'w'); os.kill(os.getpid(), signal.SIGKILL)\n" + COUNTS
    )
    folder = attempt(by(script), tmp_path / "results")
    assert folder.done
    assert [one.get("outcome") for one in folder.info()["attempts"]] == [
        "its program was killed by SIGKILL",
        None,
    ]


def test_one_that_dies_over_and_over_fails(by: Any, tmp_path: Path) -> None:
    folder = attempt(by("import os; print('so far'); os.kill(os.getpid(), 9)"), tmp_path / "results")
    assert "killed by SIGKILL, again and again (for its memory?); its last lines: so far" in reason(folder)
    assert len(folder.info()["attempts"]) == 3


CHILDREN = """
import os, subprocess, sys, time
for more in ({}, {"start_new_session": True}):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"], **more)
"""


def marked(folder: Path) -> list[int]:
    wanted = f"{watcher.MARK}={folder.absolute()}".encode()
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and wanted in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                found.append(int(name))
        except OSError:
            continue
    return found


def test_nothing_of_it_is_left_when_it_has_ended(by: Any, tmp_path: Path) -> None:
    folder = attempt(by(CHILDREN + COUNTS), tmp_path / "results")
    assert folder.done
    assert not marked(folder.work)


def test_nothing_of_it_survives_its_worker(by: Any, tmp_path: Path) -> None:
    suite = by(CHILDREN + "time.sleep(100)")
    results = tmp_path / "results"
    work = RunFolder(results, suite.runs()[0].id).work
    child = os.fork()
    if child == 0:
        try:
            attempt(suite, results)
        finally:
            os._exit(1)
    wait_for(lambda: len(marked(work)) == 3)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    wait_for(lambda: not marked(work), 5)


def test_what_an_earlier_attempt_left_is_killed_before_the_next_begins(by: Any, tmp_path: Path) -> None:
    suite = by()
    results = tmp_path / "results"
    folder = RunFolder(results, suite.runs()[0].id)
    left = subprocess.Popen(["sleep", "100"], env={**os.environ, watcher.MARK: str(folder.work.absolute())})
    attempt(suite, results)
    assert left.wait(5) == -signal.SIGKILL


def test_its_watcher_is_replaced_where_that_is_killed(by: Any, tmp_path: Path) -> None:
    suite = by("import time; time.sleep(1.5)\n" + COUNTS)
    before = process._watcher(anew=True)
    thread = threading.Timer(0.5, before.kill)
    thread.start()
    assert attempt(suite, tmp_path / "results").done
    thread.join()
    assert process._watcher() is not before
    assert process._watcher().poll() is None


# ------------------------------------------------------------------------------------------------ its code


def test_code_is_part_of_the_identity_and_runs_as_it_was_submitted(by: Any, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "part.py").write_text("CORRECT = 3")
    script = "import sys; from src.part import CORRECT\n" + COUNTS.replace("9", "CORRECT")
    suite = by(script, code=["src/"])
    run = suite.runs()[0]
    results = tmp_path / "results"
    store.keep(suite, results)
    (tmp_path / "src" / "part.py").write_text("CORRECT = 4")  # while it waits
    folder = attempt(suite, results)
    result = folder.result()
    assert result is not None
    assert result.correct == 3
    edited = by(script, code=["src/"])
    assert edited.runs()[0].id != run.id
    assert "part.py changed after 1 run of this suite had finished" in " ".join(
        counting.changes(edited, results)
    )
    assert "by your word; 1 run" in counting.declare_same(edited, results)[0]
    assert [one.id for one in counting.as_counted(edited, results).runs()] == [run.id]


@pytest.mark.parametrize("command", [["sh", "-c", "exec $PY prog.py {folder}"]])
def test_a_command_that_cannot_run_the_copy_does_not_run_other_code(
    by: Any, tmp_path: Path, command: list[str]
) -> None:
    command = [word.replace("$PY", PYTHON) for word in command]
    suite = by(command=command, code=["prog.py"])
    results = tmp_path / "results"
    store.keep(suite, results)
    before = (tmp_path / "prog.py").read_text()
    (tmp_path / "prog.py").write_text(before + "\n# edited")
    folder = attempt(suite, results)
    assert "prog.py changed after this was submitted" in reason(folder)
    (tmp_path / "prog.py").write_text(before)
    folder.forget_failure()
    assert attempt(suite, results).done


def test_seeds_that_are_added_are_trained_by_what_was_submitted(
    by: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_submitted", {})
    suite, results = by(), tmp_path / "results"
    store.keep(suite, results)
    (tmp_path / "prog.py").write_text("pass")
    assert load(tmp_path / "small.yaml").runs()[0].id != suite.runs()[0].id
    store.use(results, digests.of_suite(suite))
    assert load(tmp_path / "small.yaml").runs()[0].id == suite.runs()[0].id


def test_large_files_are_no_code(by: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "MOST_BYTES", 1000)
    (tmp_path / "data.bin").write_bytes(b"x" * 2000)
    with pytest.raises(BenchError, match=r"data.bin most.*name data by a folder"):
        by(command=[PYTHON, "prog.py", "data.bin"])


def test_the_python_of_an_environment_beside_the_suite_is_nobodys_own(by: Any, tmp_path: Path) -> None:
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (tmp_path / "venv" / "bin" / "python").write_text("#!/bin/sh")
    [program] = by(command=["venv/bin/python", "prog.py"]).programs.values()
    assert [*program.files] == ["prog.py"]


@pytest.mark.parametrize(
    ("trainer", "device", "message"),
    [
        ({"gpus": 3}, "auto", "trainer.gpus: found 3, and this machine has 2; --on PROFILE"),
        ({"gpus": 1}, "cpu", r"this machine has 0 \(--device cpu leaves none\)"),
        ({"nodes": 2}, "auto", "trainer.nodes: found 2, and this machine is one"),
        ({"command": ["pyhton3"]}, "auto", "'pyhton3' is not found in PATH; did you mean 'python3'"),
    ],
)
def test_what_this_machine_does_not_have_is_refused(
    by: Any, monkeypatch: pytest.MonkeyPatch, trainer: Any, device: str, message: str
) -> None:
    monkeypatch.setattr(needs, "gpus_here", lambda: [0, 1])
    with pytest.raises(BenchError, match=message):
        needs.check_here(by(**trainer), device)
    needs.check_here(by(gpus=2), "auto")


def test_runs_with_several_gpus_have_them_for_themselves(
    by: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "gpus_here", lambda: [0, 1, 2, 3, 4])
    suite = by(gpus=2, suite={"seeds": 9})
    [(wanted, runs)] = needs.by_needs(suite.runs()).items()
    crew = local.Crew(suite, runs, tmp_path / "results", tmp_path, [], None, "auto", wanted)
    monkeypatch.setattr(crew, "_submit", lambda: None)
    crew.start()
    assert crew.size == 2
    assert crew.executor.gpus == [(0, 1), (2, 3)]


def test_jobs_of_such_runs_ask_for_all_nodes_and_train_one_run_at_a_time(by: Any) -> None:
    wanted = needs.needs_of(by(gpus=8, nodes=2).runs()[0])
    profile = needs.profile_for(wanted, Profile(gpus=1, cpus=32, workers=4))
    asked = profile.parameters("name", 1)
    assert (asked["nodes"], asked["ntasks_per_node"], asked["cpus_per_task"]) == (2, 1, 32)
    assert asked["additional_parameters"]["gres"] == "gpu:8"
    assert asked["srun_args"] == ["--nodes=1", "--ntasks=1", "--overlap"]


def test_how_it_is_stopped_and_followed_is_no_part_of_the_identity(by: Any) -> None:
    one, other = by(), by(stop="SIGINT", grace=5, progress={"stdout": "json"})
    assert one.runs()[0].id == other.runs()[0].id
    assert by(gpus=2).runs()[0].id != one.runs()[0].id
    assert by(suite={"selection": "validation"}).runs()[0].id == one.runs()[0].id


def test_where_the_suite_lies_is_no_part_of_the_identity(by: Any, tmp_path: Path) -> None:
    here = by()
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("prog.py", "small.yaml"):
        (moved / name).write_bytes((tmp_path / name).read_bytes())
    assert load(moved / "small.yaml").runs()[0].id == here.runs()[0].id
    (moved / "prog.py").write_text("pass")
    assert load(moved / "small.yaml").runs()[0].id != here.runs()[0].id


def test_names_are_kept_as_they_are_given_and_ours_where_bench_trains(write_suite: Write) -> None:
    trainer = {"command": ["true", "{loss}"], "result": {"stdout": "(.*)"}}
    path = write_suite(models=["vgg5-tiny", {"net": {"trainer": trainer}}], losses=["ce", "mae"])
    ours, theirs = (json.loads(cell.text) for cell in (load(path).cells[0], load(path).cells[2]))
    assert "trainer" not in ours
    assert theirs["loss"] == {"name": "ce"}
    assert theirs["trainer"]["command"] == ["true", "{loss}"]
    assert "selection" not in theirs
    plain = load(write_suite(losses=["ce", "mae"]))
    assert plain.cells[0].text == load(path).cells[0].text  # as if there were no other
    broken = write_suite(models=["vgg5-tiny", {"net": {"trainer": trainer}}], losses=["ce", "theirs"])
    with pytest.raises(BenchError, match="losses: unknown loss 'theirs'"):
        load(broken)


def test_such_a_run_is_read_back_from_its_description(by: Any) -> None:
    run = by().runs()[0]
    assert Run.from_description(run.description) == run
    with pytest.raises(BenchError, match="bench knows nothing of its network"):
        run.resolve()
