"""Does anything that lies in a results folder make a verb fall over, run code, or lose what is undamaged?

Makes up a results folder with finished, failed, begun and waiting runs, jobs of a cluster and of this
machine, a plan, kept code, a report and an MLflow store; then damages one file of it after another: empties
it, cuts it, changes its types, plants pickles, puts pipes, folders, devices and links in its place, writes
what steers a terminal. Verbs look at each damaged folder in this process, where every traceback, every
reading of a pickle, every order to a terminal and every change of another file is seen. A line for each kind
of damage. Exit status 1 where anything was found. Linux only; two thousand cases take some minutes.

    python benchmarks/fuzz_results.py [--cases 2000] [--seed 0]
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import io
import json
import os
import pickle
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from made_up import answers

from bench import cli
from bench.errors import BenchError
from bench.launch.arrays import Cluster
from bench.launch.executors import Job, Request
from bench.launch.executors.local import Local
from bench.launch.pack import Pack
from bench.launch.preflight import set_aside_damaged
from bench.launch.profile import Profile
from bench.launch.submission import Continuation, SubmissionFolder
from bench.launch.submitter import Submitter
from bench.results.folder import RunFolder
from bench.sequential_design import SequentialDesign
from bench.suite import load
from bench.versions.counting import as_counted

SUITE = {
    "name": "fuzzed",
    "question": "What does a results folder do to whoever looks?",
    "datasets": "digits",
    "models": "vgg5-tiny",
    "losses": ["ce", "mae", "fuzzed_loss:loss"],
    "baseline": "ce",
    "seeds": 4,
    "recipe": {"epochs": 20},
    "selection": "last",
}
IMAGES = 60
SECONDS = 60  # that a verb may take
MOST_MEMORY = 8 * 2**30  # bytes, of all of them
STEERING = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
EVIL = "evil \x1b]0;owned\x07\x1b[2J\x9b31m \u202egnp\u2066 \r\x7f <script>alert(1)</script> \n$HOME"
MAY_CHANGE = re.compile(  # what verbs write, or hold for a moment
    r"fuzzed/(report|cells|comparisons|methods|references|agreement|suite\.json|plan\.json|\.launch)"
    r"|fuzzed/jobs/.*/(submission\.json|.*_ended\.json)|set-aside/|\.mlflow|mlflow\.db|mlartifacts"
    r"|runs/[0-9a-f]+/\.claim|code/"
)


class Planted:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


class Queue(Local):
    """Takes jobs, and keeps those that it had; only what was written before it is known to it by name."""

    def __init__(self, names: dict[str, str]) -> None:
        super().__init__()
        self.names = names
        self.workers: list[Any] = []

    def submit(self, folder: Path, workers: Sequence[Callable[[], object]], request: Request) -> str:
        self.workers += workers
        return "900"

    def find(
        self,
        folder: Path,
        workers: Sequence[Callable[[], object]],
        name: str,
        since: float,
        cluster: str | None = None,
    ) -> str | None:
        return self.names.get(name)

    def jobs(self, ids: Sequence[str], since: float) -> dict[str, Job]:
        return {name: Job(name, "PENDING") for name in ids}

    def cancel(self, ids: Iterable[str]) -> None:
        pass


@dataclass
class Folder:
    """A results folder that is whole, and what is known of it."""

    root: Path
    mark: Path
    names: dict[str, str] = field(default_factory=dict)
    covered: set[str] = field(default_factory=set)

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def suite(self) -> Path:
        return self.root / "fuzzed.yaml"


def make(root: Path, mark: Path) -> Folder:
    """The folder. Of each loss: two finished runs, and one begun, failed or queued."""
    made = Folder(root, mark)
    made.suite.write_text(yaml.safe_dump(SUITE))
    (root / "fuzzed_loss.py").write_text("def loss(logits, target):\n    return logits.sum() * 0\n")
    sys.path[:0] = [str(root)]
    suite, results = load(made.suite), made.results
    invented = answers(IMAGES)
    for cell in suite.cells:
        for number, run in enumerate(cell.runs):
            folder = RunFolder(results, run.id)
            metrics, result, predictions = next(invented)
            git = {"commit": "0" * 40, "dirty": False}
            if number < 3:
                folder.start(run, {"started": 1.0, "host": "here", "device": "cpu", "job": "7", "git": git})
                folder.write_metrics(metrics)
            if number < 2:
                folder.finish(result, predictions)
            elif cell.loss == "mae":
                folder.fail("it fell", "Traceback\n  it fell")
            elif number < 3:
                content = pickle.dumps(Planted(mark))  # a digest is no signature
                (folder.path / "checkpoint.pt").write_bytes(hashlib.sha256(content).digest() + content)
    jobs = results / "fuzzed" / "jobs"
    queued = [run for cell in suite.cells for run in cell.runs[3:]]
    place = {"results": results, "data": root / "data", "device": "cpu", "search_path": [], "git": None}
    folder = SubmissionFolder.intend(jobs, "fuzzed", [Pack(runs=[run], **place) for run in queued], 2, 0, 1)
    folder.content.job = "71"
    folder.write()
    made.names[folder.content.name] = "71"
    made.covered = {run.id for run in queued}
    told = Continuation(
        suite=made.suite, scale="full", results=results, data=root, profile=root, search_path=[], since=1.0
    )
    adds = SubmissionFolder.intend_to_continue(jobs, "fuzzed", told)
    adds.content.job = "72"
    adds.write()
    here = jobs / "20200101T000000-abcdef"
    Pack(runs=[queued[0]], launcher=1, **place).write(here)
    log = f"12:00:00 run {suite.cells[0].runs[2].id} (seed 2) begins\nsomething\n"
    (here / "7_0_log.err").write_text(log)
    (here / "7_0_log.out").write_text("")
    (here / "7_ended.json").write_text('{"time": 2.0, "message": "no device"}')
    (folder.path / "71_0_log.err").write_text(log)
    for name in ("7_submitted.pkl", "7_0_result.pkl"):
        (here / name).write_bytes(pickle.dumps(Planted(mark)))
    for arguments in (["freeze"], ["report"], ["track"]):
        status, said = verb(made, made.results, [*arguments, str(made.suite)])
        assert status in (0, 1), said
    assert not mark.exists()
    return made


# ------------------------------------------------------------------------------------------------ damage


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in plain data."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, content in inner:
        yield from places(content, (*at, key))


def replaced(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = replaced(value[at[0]], at[1:], new)
    return copy


def other_types(file: Path, rng: random.Random, mark: Path) -> None:
    """Something else at some place of a JSON file, or of its lines."""
    new = rng.choice([None, True, -1, 0, 1e308, 10**400, 1.5, "x", "", [], {}, [[]], {"a": 1}, ["x", 2]])
    edit(file, rng, lambda value, at: replaced(value, at, new))


def not_numbers(file: Path, rng: random.Random, mark: Path) -> None:
    """NaN, or what is none of JSON's numbers."""
    new = rng.choice([float("nan"), float("inf"), -float("inf")])
    edit(file, rng, lambda value, at: replaced(value, at, new))


def missing_keys(file: Path, rng: random.Random, mark: Path) -> None:
    def without(value: Any, at: tuple[Any, ...]) -> Any:
        inner = value
        for key in at[:-1]:
            inner = inner[key]
        copy = dict(inner) if isinstance(inner, dict) else list(inner)
        del copy[at[-1]]
        return replaced(value, at[:-1], copy)

    edit(file, rng, lambda value, at: without(value, at) if at else {})


def escapes(file: Path, rng: random.Random, mark: Path) -> None:
    """What steers a terminal, in a string of a JSON file; at the end of others."""
    try:
        content = json.loads(
            file.read_text().splitlines()[0] if file.suffix == ".jsonl" else file.read_text()
        )
    except (ValueError, IndexError):
        with file.open("ab") as opened:
            opened.write(f"{EVIL} {EVIL}".encode())
        return
    strings = [at for at in places(content) if isinstance(at_of(content, at), str)]
    if strings:
        content = replaced(content, rng.choice(strings), EVIL)
    file.write_text(json.dumps(content, ensure_ascii=rng.random() < 0.5) + "\n")


def at_of(value: Any, at: tuple[Any, ...]) -> Any:
    for key in at:
        value = value[key]
    return value


def edit(file: Path, rng: random.Random, change: Callable[[Any, tuple[Any, ...]], Any]) -> None:
    try:
        lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
        chosen = rng.randrange(len(lines))
        content = json.loads(lines[chosen])
    except (ValueError, IndexError):
        return garbage(file, rng, file)
    lines[chosen] = json.dumps(change(content, rng.choice([*places(content)])))
    file.write_text("\n".join(lines) + "\n")
    return None


def garbage(file: Path, rng: random.Random, mark: Path) -> None:
    file.write_bytes(rng.randbytes(rng.choice([1, 33, 5000])))


def other_json(file: Path, rng: random.Random, mark: Path) -> None:
    file.write_text(rng.choice(["[]", "{}", "3", "null", '"x"', "[" * 100_000, '{"a":' * 50_000, "{" * 9]))


def flipped(file: Path, rng: random.Random, mark: Path) -> None:
    content = bytearray(file.read_bytes())
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def truncated(file: Path, rng: random.Random, mark: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: rng.randrange(max(len(content), 1))])


def pickled(file: Path, rng: random.Random, mark: Path) -> None:
    """A pickle in its place: as it is, behind its digest, or as torch.save would have it."""
    content = pickle.dumps(Planted(mark), protocol=rng.choice([0, 2, 5]))
    if rng.random() < 0.5:
        content = hashlib.sha256(content).digest() + content
    file.write_bytes(content)


def beside(file: Path, rng: random.Random, mark: Path) -> None:
    """A pickle beside it, under a name that something might read."""
    name = rng.choice(["71_0_result.pkl", "71_submitted.pkl", "checkpoint.pt", "predictions.npy", "a.pkl"])
    if not (file.parent / name).exists():
        (file.parent / name).write_bytes(pickle.dumps(Planted(mark)))


def instead(put: Callable[[Path], object]) -> Callable[[Path, random.Random, Path], None]:
    def damage(file: Path, rng: random.Random, mark: Path) -> None:
        file.unlink()
        put(file)

    return damage


DAMAGE: dict[str, Callable[[Path, random.Random, Path], None]] = {
    "empty": lambda file, rng, mark: file.write_bytes(b"") and None,
    "truncated": truncated,
    "bit flipped": flipped,
    "garbage": garbage,
    "other JSON": other_json,
    "other types": other_types,
    "no numbers": not_numbers,
    "missing keys": missing_keys,
    "escape characters": escapes,
    "pickle in its place": pickled,
    "pickle beside it": beside,
    "missing": instead(lambda file: None),
    "folder in its place": instead(Path.mkdir),
    "pipe in its place": instead(os.mkfifo),
    "link to nowhere": instead(lambda file: file.symlink_to("nowhere")),
    "link to itself": instead(lambda file: file.symlink_to(file.name)),
    "link to a device": instead(lambda file: file.symlink_to("/dev/zero")),
    "link to a folder": instead(lambda file: file.symlink_to("/")),
    "link to another file": instead(lambda file: file.symlink_to("/etc/hostname")),
}
MORE = {"other types": 6, "escape characters": 3, "missing keys": 2, "truncated": 2, "pickle beside it": 2}
"""How much more often than others some kinds are tried, as there are more ways of them."""


# ------------------------------------------------------------------------------------------------- verbs


@contextlib.contextmanager
def patience(seconds: int) -> Iterator[None]:
    """Whoever waits for a pipe, or reads a device, is ended with a traceback."""

    def late(*_: object) -> None:
        raise AssertionError(f"it took more than {seconds} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def verb(folder: Folder, results: Path, arguments: Sequence[str]) -> tuple[int, str]:
    """The command in this process: its exit status, and all that it prints. What it raises, raises."""
    out = io.StringIO()
    before, path, stdin = sys.argv, [*sys.path], sys.stdin
    sys.argv, sys.stdin = ["bench", *arguments, "--results", str(results)], io.StringIO("")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), patience(SECONDS):
            cli.main()
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    finally:
        sys.argv, sys.path[:], sys.stdin = before, path, stdin
    return 0, out.getvalue()


def submit(folder: Folder, results: Path, _: Sequence[str]) -> tuple[int, str]:
    """What `bench run --on PROFILE` does before it waits. Nothing that is queued may be submitted again."""
    said: list[str] = []
    queue = Queue(folder.names)
    try:
        with patience(SECONDS):
            suite = as_counted(load(folder.suite), results)
            set_aside_damaged(suite, results, said.append)
            suite = as_counted(suite, results)
            place = results, folder.root / "data", Profile(gpus=0, time=600), folder.root / "profile.yaml"
            cluster = Cluster(queue, suite, *place, [], said.append)
            runs = SequentialDesign(suite, results).now().runs()
            submitter = Submitter(cluster, runs, time.time(), {}, first=True)
            submitter._guess = lambda run: 1.0  # type: ignore[method-assign]
            submitter.step()
    except (BenchError, OSError) as error:
        return 2, f"{error}"
    submitted = [run for worker in queue.workers for run in Pack.read(worker.pack).run_ids]
    assert len(submitted) == len({*submitted}), "runs were submitted twice"
    assert not folder.covered & {*submitted}, "runs that are queued were submitted again"
    return 0, ""


VERBS: dict[str, Callable[[Folder, Path, Sequence[str]], tuple[int, str]]] = {
    **dict.fromkeys(("status", "logs", "plan", "cancel", "report", "beside", "track"), verb),
    "run": submit,
}
OFTEN = {
    "status": 6,
    "logs": 3,
    "plan": 3,
    "cancel": 2,
    "run": 6,
    "report": 3,
    "beside": 1,
    "track": 1,
}


def arguments_of(name: str, folder: Folder, results: Path, rng: random.Random) -> list[str]:
    run = rng.choice(sorted(path.name for path in (folder.results / "runs").iterdir()))
    suite = str(folder.suite)
    return {
        "logs": ["logs", suite, *([run] if rng.random() < 0.7 else [])],
        "beside": ["report", suite, str(results / "fuzzed")],
        "status": ["status", suite, *(["--json"] if rng.random() < 0.2 else [])],
    }.get(name, [name, suite])


# ------------------------------------------------------------------------------------------------- cases


def contents(folder: Path) -> dict[str, str]:
    """Digests of all files."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def lost(before: dict[str, str], results: Path, damaged: str) -> list[str]:
    """Files of undamaged things that are gone, or changed. What stands beside damage may be set aside."""
    home = damaged.rpartition("/")[0] if damaged.startswith("runs/") else damaged
    now = contents(results)
    aside = {digest for name, digest in now.items() if name.startswith("set-aside/")}
    gone = []
    for name, digest in before.items():
        if name in now and (now[name] == digest or MAY_CHANGE.match(name)):
            continue
        if name in now or not (name.startswith(home) and digest in aside):
            gone.append(name)
    return gone


READ: list[str] = []
"""Pickles that were read in this process, as its audit hook sees."""


def case(folder: Folder, work: Path, rng: random.Random, kind: str, names: Sequence[str]) -> list[str]:
    """Damage one file of a copy, look at it with some verb, and say what was wrong with that."""
    results = folder.results
    shutil.rmtree(results)
    shutil.copytree(work, results, symlinks=True)
    # Copies for MLflow are many, and read by nobody here.
    name = rng.choice(names if rng.random() < 0.1 else [one for one in names if "mlartifacts" not in one])
    before = contents(results)
    DAMAGE[kind](results / name, rng, folder.mark)
    before.pop(name, None)
    READ.clear()
    chosen = rng.choices([*OFTEN], [*OFTEN.values()])[0]
    what = f"{kind}: {name}: bench {chosen}"
    try:
        status, said = VERBS[chosen](folder, results, arguments_of(chosen, folder, results, rng))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return [f"{what}: {''.join(traceback.format_exception(error)[-4:])}"]
    found = []
    if status not in (0, 1, 2):
        found.append(f"{what}: exit status {status}: {said}")
    if "Traceback (most recent call last)" in said:
        found.append(f"{what}: prints a traceback: {said}")
    if steering := STEERING.search(said):
        found.append(
            f"{what}: {steering[0]!r} reaches the terminal: {said[max(steering.start() - 60, 0) :][:120]!r}"
        )
    if folder.mark.exists() or READ:
        found.append(f"{what}: a planted pickle was read: {READ[:1]}")
        folder.mark.unlink(missing_ok=True)
    for made in ("report.html", "report.md", "report.tex", "methods.md"):
        page = results / "fuzzed" / made
        written = chosen in ("report", "track") and status < 2
        if written and page.is_file() and STEERING.search(page.read_text()):
            found.append(f"{what}: what steers a terminal reaches {made}")
    if gone := lost(before, results, name):
        found.append(f"{what}: lost: {gone}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    faulthandler.enable()
    # What reads a device to its end is found, and does not take the machine with it.
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    os.environ["PATH"] = ""  # no Slurm, no git: they are asked nothing here
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    rng = random.Random(asked.seed)
    counts: Counter[str] = Counter()
    found: dict[str, list[str]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary).resolve()
        folder = make(root, root / "mark")
        work = root / "work"
        shutil.copytree(folder.results, work)
        names = sorted(contents(work))
        sys.addaudithook(lambda event, _: READ.append(event) if event == "pickle.find_class" else None)
        weights = [MORE.get(kind, 1) for kind in DAMAGE]
        for kind in [*DAMAGE, *rng.choices([*DAMAGE], weights, k=asked.cases)][: asked.cases]:
            counts[kind] += 1
            found[kind] += case(folder, work, rng, kind, names)
    for kind in DAMAGE:
        mark = "FOUND" if found[kind] else "ok   "
        print(f"{mark} {kind}: {counts[kind]} cases, {len(found[kind])} found")
    for words in [words for kind in DAMAGE for words in found[kind]][:40]:
        print(f"\n{words}")
    total = sum(map(len, found.values()))
    print(f"cases: {asked.cases}, seed {asked.seed}; found: {total}")
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
