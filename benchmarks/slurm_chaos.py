"""Does a suite on a real Slurm lose or double anything, whatever fails?

Starts two clusters of slurm/local-cluster that share their accounting, trains a small suite on this machine,
undisturbed, and then on both clusters while faults hit it, many a minute and several at once: workers and
launchers killed, launchers started in shells full of settings for Slurm, a node dead and back, a node on
which every job fails at once, jobs requeued, cancelled and preempted, slurmctld restarted, slurmdbd down or
stopped for a while, the results folder full (where it may be mounted). Controllers forget an ended job within
seconds, so that only the books have it, if they have. At last `bench run` until nothing is left; then what
lies on disk, in MLflow and in Slurm's books is counted. Exit status 1 where a count is not what it should be.
Linux with Slurm only; about ten minutes on two cores.

    python benchmarks/slurm_chaos.py [--seeds 25] [--faults 340] [--seed 0 1 2] [--keep FOLDER]
    python benchmarks/slurm_chaos.py --cluster FOLDER --other FOLDER    on clusters that run already
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import yaml
from chaos import MARK, check_folders, check_mlflow, processes, say, watch

sys.path.append(str(Path(__file__).parents[1] / "slurm" / "local-cluster"))
from cluster import NODES, Cluster, started_at

EPOCHS = 4  # as chaos.py counts them
SUITE = {
    "question": "Does Slurm lose or double anything?",
    "datasets": "digits",
    "models": "vgg5-tiny",
    "losses": ["ce", "mae", "slow_loss:slow"],
    "baseline": "ce",
    "recipe": {"epochs": EPOCHS, "batch_size": 64, "optimizer": {"adam": {"lr": 0.005}}},
    "selection": "last",
}
LOSS = f"""
import os, time
from torch.nn.functional import cross_entropy
def slow(logits, target):
    if "{MARK}" in os.environ: time.sleep(0.1)
    return cross_entropy(logits, target, label_smoothing=0.1)
slow.recordable = True
"""  # ten seconds a run that cost no core: faults hit it under way
PROFILE = {"partition": "low", "gpus": 1, "cpus": 2, "device": "cpu", "time": 10, "grace": 20, "fill": 0.004}
SHELL = {  # each of them would hide jobs, lose them, or change what is asked for
    "SBATCH_JOB_NAME": "mine", "SBATCH_OUTPUT": "/dev/null", "SBATCH_ERROR": "/dev/null", "SBATCH_HOLD": "1",
    "SBATCH_NO_REQUEUE": "1", "SBATCH_PARTITION": "nowhere", "SBATCH_GRES": "gpu:9", "SBATCH_TIMELIMIT": "1",
    "SBATCH_ARRAY_INX": "7-9", "SBATCH_ACCOUNT": "nobody", "SBATCH_WCKEY": "none", "SBATCH_EXPORT": "NONE",
    "SBATCH_CLUSTERS": "nowhere", "SBATCH_SIGNAL": "KILL@590", "SBATCH_OPEN_MODE": "truncate",
    "SQUEUE_STATES": "RUNNING", "SQUEUE_FORMAT": "%A", "SQUEUE_PARTITION": "short", "SQUEUE_USERS": "nobody",
    "SQUEUE_NAMES": "mine", "SQUEUE_SORT": "-i", "SQUEUE_ARRAY": "0", "SQUEUE_CLUSTERS": "nowhere",
    "SLURM_TIME_FORMAT": "relative", "SLURM_CLUSTERS": "nowhere", "SLURM_BITSTR_LEN": "1",
    "SLURM_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "3", "SLURM_NTASKS": "64", "SLURM_MEM_PER_CPU": "999999",
    "SACCT_FORMAT": "User", "SCANCEL_STATE": "RUNNING", "SCANCEL_NAME": "mine", "SCANCEL_PARTITION": "short",
    "SINFO_FORMAT": "%A", "SINFO_PARTITION": "short", "SCONTROL_ALL": "1", "SRUN_EXPORT_ENV": "NONE",
}  # fmt: skip
OFTEN = {"worker killed": 4, "job requeued": 4, "job cancelled": 2}
"""Faults of one job come several times in each round of all kinds."""
REST = {
    "launcher killed": 8, "shell full of settings": 9, "node dead and back": 9, "node where all fails": 10,
    "preempted": 8, "slurmctld restarted": 20, "slurmdbd down": 20, "slurmdbd stopped": 20,
    "results folder full": 11,
}  # fmt: skip
"""Seconds between two of a kind of the others."""
PACE = 0.6  # seconds at most from one fault to the next
WORK = 2  # workers at least, or there is nothing to disturb
CALM = 8  # seconds at most until an epoch is through, before each round of faults
LOOKED = 8  # seconds after which a launcher has asked Slurm
UPKEEP = 2  # seconds between looks at what has ended by itself
MOST_AT_ONCE = 3  # launchers
MOST_LAUNCHERS = 20  # to finish what the faults left
ENDING = 60  # seconds, at most, until the last job has ended and slurmdbd knows it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=25, help="of each of three losses (default 25)")
    parser.add_argument("--faults", type=int, default=340, help="how many (default 340)")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="of the random moments and faults,"
                        " one experiment each (default 0)")  # fmt: skip
    parser.add_argument("--cluster", type=Path, help="folder of a running local cluster (default: start one)")
    parser.add_argument("--other", type=Path, help="folder of one that runs beside it, with its accounting")
    parser.add_argument("--keep", type=Path, help="new folder for all of it (default: temporary, removed)")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("slurm_chaos: terminated"))  # what was started ends too
    folder = (args.keep or Path(tempfile.mkdtemp(prefix="bench-slurm-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "chaos.yaml").write_text(yaml.safe_dump({**SUITE, "seeds": args.seeds}, sort_keys=False))
    (folder / "slow_loss.py").write_text(LOSS)
    sys.path.insert(0, str(folder))
    first = Cluster(args.cluster or Path(tempfile.mkdtemp(prefix="bench-cluster-")))
    second = Cluster(args.other or Path(tempfile.mkdtemp(prefix="bench-cluster-")), beside=first.folder)
    own = [cluster for cluster, given in ((first, args.cluster), (second, args.other)) if not given]
    try:
        for cluster in (first, second):
            cluster.up()
        for cluster in own:
            forget_soon(cluster)
        undisturbed(folder)
        broken = 0
        for seed in args.seed:
            chaos = Chaos(folder, [first, second], seed)
            try:
                broken += chaos.experiment(args.faults)
            finally:
                chaos.clean()
    finally:
        for cluster in reversed(own):
            cluster.down()
            shutil.rmtree(cluster.folder)
    if broken:
        sys.exit(f"slurm_chaos: {broken} of the counts are not what they should be; see {folder}")
    print("runs lost: 0, runs doubled: 0")
    if not args.keep:
        shutil.rmtree(folder)


def forget_soon(cluster: Cluster) -> None:
    """What has ended is in the books, or nowhere. By itself a controller remembers it for five minutes."""
    with cluster.conf.open("a") as file:
        file.write("MinJobAge=2\n")
    subprocess.run(["scontrol", "reconfigure"], env=cluster.environment, check=True)


def undisturbed(folder: Path) -> None:
    """Train on this machine."""
    began = time.monotonic()
    say(f"undisturbed run on this machine, in {folder}")
    command = [sys.executable, "-m", "bench", "run", "chaos.yaml", "--results", "undisturbed"]
    with (folder / "undisturbed.log").open("ab") as log:
        done = subprocess.run(
            [*command, "--workers", "2", "--device", "cpu"],
            cwd=folder, env=own_environment(), stdout=log, stderr=log, check=False,
        )  # fmt: skip
    if done.returncode:
        sys.exit(f"slurm_chaos: the undisturbed run failed; see {folder / 'undisturbed.log'}")
    say(f"took {time.monotonic() - began:.0f} s")


def own_environment() -> dict[str, str]:
    """This process's environment, without what is set in it for bench or for Slurm."""
    foreign = ("BENCH_", "MLFLOW_", "SUBMITIT_", "SLURM_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


@dataclass
class Lasting:
    """A fault that lasts for some seconds."""

    what: str
    until: float
    undo: Callable[[], object]


class Chaos:
    """One experiment: its folder, its clusters, and the launchers that are under way."""

    def __init__(self, folder: Path, clusters: list[Cluster], seed: int) -> None:
        self.folder, self.clusters, self.rng = folder / f"seed-{seed}", clusters, random.Random(seed)
        self.folder.mkdir()
        for name in ("chaos.yaml", "slow_loss.py", "undisturbed"):
            (self.folder / name).symlink_to(folder / name)
        self.results = self.folder / "killed"
        self.launchers: list[subprocess.Popen[bytes]] = []
        self.mounted = False
        self.seen: dict[str, bytes] = {}
        self.changed: set[str] = set()
        self.lasting: list[Lasting] = []
        self.kept_up = 0.0
        self.injected: Counter[str] = Counter()
        self.faults = {
            "worker killed": self.kill_worker,
            "launcher killed": self.kill_launcher,
            "shell full of settings": self.launch_from_a_shell,
            "node dead and back": self.kill_node,
            "node where all fails": self.open_black_hole,
            "job requeued": lambda: self.slurm_job("scontrol", "requeue"),
            "job cancelled": lambda: self.slurm_job("scancel"),
            "preempted": self.preempt,
            "slurmctld restarted": self.restart_slurmctld,
            "slurmdbd down": self.end_slurmdbd,
            "slurmdbd stopped": self.hold_slurmdbd,
            "results folder full": self.fill_disk,
        }
        for cluster in clusters:
            hole = f"{self.folder}/{cluster.name}-$SLURMD_NODENAME"
            profile = {**PROFILE, "setup": [f'if [ -e "{hole}" ]; then echo hit >> "{hole}"; exit 7; fi']}
            if cluster.beside:
                profile["clusters"] = cluster.name
            (self.folder / f"{cluster.name}.yaml").write_text(yaml.safe_dump(profile))

    def experiment(self, faults: int) -> int:
        """Train under fire, compare. Returns how many checks do not hold."""
        began = time.monotonic()
        say(f"on Slurm, with {faults} faults, in {self.folder}")
        self.results.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(self.results)]
        self.mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        if not self.mounted:
            del self.faults["results folder full"]
        self.disturb(faults)
        say("no more faults: `bench run` until nothing is left")
        status = self.finish()
        say(f"all done in {time.monotonic() - began:.0f} s\n")
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.injected.items()))
        print(f"faults: {self.injected.total()} ({kinds})")
        self.look()
        checks = [
            ("exit status of the last run", status, 0),
            ("results that changed or vanished once they were seen", len(self.changed), 0),
            *check_folders(self.folder),
            *check_mlflow(self.folder),
            *self.check_jobs(),
        ]
        for what, found, expected in checks:
            print(f"{'ok  ' if found == expected else 'FAIL'}  {what}: {found} (expected {expected})")
        return sum(found != expected for _, found, expected in checks)

    def disturb(self, faults: int) -> None:
        """One fault after another, every kind in turn, at random moments, while others still last."""
        order: list[str] = []
        rested: dict[str, float] = {}
        while self.injected.total() < faults:
            done = self.done()
            if done == len(self.planned):
                say("all runs are done before all faults were injected")
                break
            if not order:
                self.let_it_train()
                more = [name for name, count in OFTEN.items() for _ in range(count - 1)]
                order = self.rng.sample(more, len(more)) + self.rng.sample([*self.faults], len(self.faults))
            name = order.pop()
            if rested.get(name, 0.0) > time.monotonic():
                continue
            self.launchers = [launcher for launcher in self.launchers if launcher.poll() is None]
            if not self.launchers:
                self.launchers = [self.launch(self.rng.choice(self.clusters))]
            self.wait(self.rng.uniform(0, PACE))
            if len(self.workers()) < WORK:
                order.append(name)
                continue
            try:
                hit = self.faults[name]()
            except subprocess.SubprocessError:  # Slurm does not answer, or the job has just ended
                hit = False
            if hit is not False:
                rested[name] = time.monotonic() + REST.get(name, 0)
            if hit:
                self.count(name)
                say(f"fault {self.injected.total()} of {faults}: {name}; {done} runs done")
        self.restore()

    def let_it_train(self) -> None:
        """Wait for the next epoch that is trained anywhere."""
        began, now = time.monotonic(), time.time()
        while time.monotonic() - began < CALM:
            self.wait(0.2)
            if any(path.stat().st_mtime > now for path in self.results.glob("runs/*/metrics.jsonl")):
                return

    def finish(self) -> int:
        """Start launchers until one says that everything is done."""
        status = 1
        for _ in range(MOST_LAUNCHERS):
            self.launchers = [launcher for launcher in self.launchers if launcher.poll() is None]
            launcher = self.launch(self.rng.choice(self.clusters))
            while launcher.poll() is None:
                self.wait(0.2)
            status = launcher.returncode
            if self.done() == len(self.planned) and status == 0:
                break
        for other in self.launchers:
            other.wait()
        return status

    # -------------------------------------------------------------------------------------- the faults

    def count(self, name: str) -> None:
        """A fault that was carried out."""
        self.injected[name] += 1

    def lasts(self, what: str, seconds: float, undo: Callable[[], object]) -> bool:
        """Undo a fault after some seconds."""
        self.lasting.append(Lasting(what, time.monotonic() + seconds, undo))
        return True

    def already(self, what: str) -> bool:
        """Whether something is out of order as it is."""
        return any(fault.what == what for fault in self.lasting)

    def restore(self, until: float = float("inf")) -> None:
        """Undo what has lasted long enough."""
        for fault in [fault for fault in self.lasting if fault.until <= until]:
            self.lasting.remove(fault)
            fault.undo()
        self.keep_up()

    def keep_up(self) -> None:
        """Start controllers and accounting that have ended by themselves, as systemd does at a site.

        A slurmctld that starts while slurmdbd goes down ends at once. And nodes that Slurm drained, as a task
        could not be killed or a job came twice, are put back, as administrators do.
        """
        if time.monotonic() < self.kept_up + UPKEEP:
            return
        self.kept_up = time.monotonic()
        for cluster in self.clusters:
            if self.already(cluster.name):
                continue
            if not cluster.runs("slurmctld"):
                cluster.try_to_start("slurmctld")
            with contextlib.suppress(subprocess.SubprocessError):  # it does not answer yet
                drained = self.slurm(
                    cluster, "sinfo", "--noheader", "--states=drained", "--format=%N", timeout=5
                )
                for nodes in {*drained.split()}:
                    self.slurm(cluster, "scontrol", "update", f"NodeName={nodes}", "State=RESUME", timeout=5)
        if not self.already("books") and not self.clusters[0].runs("slurmdbd"):
            self.clusters[0].try_to_start("slurmdbd")

    def kill_worker(self) -> bool:
        """SIGKILL to one process that trains: mostly one that has been at it for longer than others."""
        workers = self.workers()
        return bool(workers) and self.kill(workers[self.among(len(workers))])

    def among(self, count: int) -> int:
        """An index, near 0 more often."""
        return int(count * self.rng.random() ** 2)

    def workers(self) -> list[int]:
        """Processes that train, or are about to, the oldest first."""
        found = [pid for pid, kind in processes(self.folder).items() if kind == "worker"]
        ages = {}
        for pid in found:
            with contextlib.suppress(FileNotFoundError):  # it has just ended
                ages[pid] = started_at(pid)
        return sorted(ages, key=ages.__getitem__)

    def kill_launcher(self) -> bool:
        """SIGKILL to a `bench run`."""
        launcher = self.rng.choice(self.launchers)
        if launcher.poll() is not None:
            return False
        launcher.kill()
        launcher.wait()
        self.launchers.remove(launcher)
        return True

    def launch_from_a_shell(self) -> bool | None:
        """One more launcher, where somebody has set what Slurm's commands read; counted once it has asked."""
        if len(self.launchers) == MOST_AT_ONCE:
            return False
        settings = dict(self.rng.sample([*SHELL.items()], self.rng.randint(5, len(SHELL))))
        launcher = self.launch(self.rng.choice(self.clusters), settings=settings)
        self.launchers.append(launcher)

        def look() -> None:
            if launcher.poll() in (None, 0):
                self.count("shell full of settings")

        self.lasts("shell", LOOKED, look)
        return None

    def kill_node(self) -> bool:
        """SIGKILL to a slurmd, often until Slurm gives the node up, then start it again."""
        cluster, node = self.some_node()
        if self.already(f"{cluster.name} {node}"):
            return False
        cluster.stop(node, signal.SIGKILL)
        seconds = self.rng.choice((2, 20))
        return self.lasts(f"{cluster.name} {node}", seconds, lambda: cluster.start_slurmd(node))

    def open_black_hole(self) -> bool | None:
        """A node on which every job fails within a second; counted if any did."""
        cluster, node = self.some_node()
        hole = self.folder / f"{cluster.name}-{node}"
        if self.already(hole.name):
            return False
        hole.touch()

        def close() -> None:
            if hole.read_text():
                self.count("node where all fails")
            hole.unlink()

        self.lasts(hole.name, self.rng.uniform(10, 20), close)
        return None

    def some_node(self) -> tuple[Cluster, str]:
        return self.rng.choice(self.clusters), f"node{self.rng.randint(1, NODES)}"

    def running(self, cluster: Cluster) -> list[str]:
        """Jobs of the suite that run, the oldest first; none are known while the controller is away."""
        if self.already(cluster.name):
            return []
        return self.slurm(
            cluster, "squeue", "--noheader", "--array", "--states=RUNNING", "--partition=low", "--format=%i",
            "--sort=S", timeout=5,
        ).split()  # fmt: skip

    def slurm_job(self, *command: str) -> bool:
        """Something done to one running job."""
        cluster = self.rng.choice(self.clusters)
        if jobs := self.running(cluster):
            self.slurm(cluster, *command, jobs[self.among(len(jobs))], timeout=5)
        return bool(jobs)

    def preempt(self) -> bool:
        """Two whole nodes for a partition that comes first."""
        cluster = self.rng.choice(self.clusters)
        if not self.running(cluster):
            return False
        self.slurm(cluster, "sbatch", "--partition=high", "--array=0-1", "--cpus-per-task=4",
                   "--output=/dev/null", "--wrap=sleep 4", timeout=5)  # fmt: skip
        return True

    def restart_slurmctld(self) -> bool:
        """The controller away for some seconds."""
        cluster = self.rng.choice(self.clusters)
        if self.already(cluster.name):
            return False
        cluster.stop("slurmctld", signal.SIGKILL)
        return self.lasts(cluster.name, self.rng.uniform(1, 3), partial(cluster.try_to_start, "slurmctld"))

    def end_slurmdbd(self) -> bool:
        """No accounting for some seconds; and for some more it does not know what ended meanwhile."""
        if self.already("books"):
            return False
        self.clusters[0].stop("slurmdbd", signal.SIGKILL)
        return self.lasts("books", self.rng.uniform(2, 8), partial(self.clusters[0].try_to_start, "slurmdbd"))

    def hold_slurmdbd(self) -> bool:
        """Accounting that takes calls and does not answer."""
        if self.already("books"):
            return False
        self.clusters[0].send("slurmdbd", signal.SIGSTOP)
        undo = partial(self.clusters[0].send, "slurmdbd", signal.SIGCONT)
        return self.lasts("books", self.rng.choice((3, 3, 3, 22)), undo)

    def fill_disk(self) -> bool:
        """No space in the results folder for some seconds."""
        filler = self.results / "filler"
        if filler.exists():
            return False
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(2**20))
        return self.lasts("folder", 1.5, filler.unlink)

    # ------------------------------------------------------------------------------------ small helpers

    def launch(self, cluster: Cluster, settings: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A `bench run`, in a session of its own. It talks to the first cluster, whichever gets its jobs.

        A run of which three jobs died has failed, says bench: whoever knows why asks for it again.
        """
        here = self.clusters[0]
        environment = own_environment() | {"PATH": here.environment["PATH"], "SLURM_CONF": str(here.conf)}
        command = [sys.executable, "-m", "bench", "run", "chaos.yaml", "--results", "killed"]
        with (self.folder / "killed.log").open("ab") as log:
            return subprocess.Popen(
                [*command, "--on", f"{cluster.name}.yaml", "--retry-failed"],
                cwd=self.folder, env={**environment, MARK: str(self.folder), **(settings or {})},
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def slurm(self, cluster: Cluster, *command: str, timeout: float = 60) -> str:
        """Run one of Slurm's commands."""
        return subprocess.run(
            command, env=cluster.environment, capture_output=True, text=True, timeout=timeout, check=True
        ).stdout

    def kill(self, process: int) -> bool:
        """SIGKILL; False where the process has just ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
            return True
        return False

    def wait(self, seconds: float) -> None:
        """Let it run, and look at the results meanwhile."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            self.look()
            self.restore(now)
            time.sleep(max(0.0, min(0.2, until - now)))

    def look(self) -> None:
        """Remember every result, and whether it has changed."""
        watch(self.results, self.seen, self.changed)

    def done(self) -> int:
        """How many runs have a result."""
        return len(list(self.results.glob("runs/*/result.json")))

    @cached_property
    def planned(self) -> list[str]:
        """Ids of the suite's runs."""
        from bench import suite as suites

        return [run.id for run in suites.load(self.folder / "chaos.yaml").runs()]

    def check_jobs(self) -> list[tuple[str, int, int]]:
        """What Slurm's books say of the submissions: (what, count, expected count)."""
        from bench.launch.submission import read_all

        folders = read_all(self.results / "chaos" / "jobs")
        names = {folder.content.name for folder in folders}
        numbers = set()
        for cluster in self.clusters:
            rows = self.slurm(cluster, "sacct", "--allocations", "--noheader", "--parsable2",
                              "--format=JobName,JobID", "--starttime=now-3hours").split()  # fmt: skip
            there = f"{cluster.name}:" if cluster.beside else ""
            for name, job in (row.split("|") for row in rows):
                if name in names:
                    numbers.add((name, there + job.partition("_")[0]))
        known = {(folder.content.name, folder.content.job) for folder in folders if not folder.content.void}
        # A controller that is killed may forget what it took a moment ago.
        print(f"submissions that Slurm has forgotten: {len(known - numbers)}")
        from bench.launch.executors.slurm import Slurm
        from bench.launch.queue import look

        os.environ.update(self.clusters[0].environment)
        # A job that came too late finds nothing left to do, and takes seconds to end; and accounting that was
        # away hears late of what has ended. Whoever is alive for longer than that is one that bench made up.
        until = time.monotonic() + ENDING
        while (alive := look(self.results / "chaos" / "jobs", Slurm()).alive) and time.monotonic() < until:
            time.sleep(1)
        for job in alive:
            print(f"still alive: job {job.id}, {job.state} {job.reason}".rstrip())
        return [
            ("submissions that Slurm has twice", len(numbers) - len({name for name, _ in numbers}), 0),
            ("jobs that bench still takes for alive", len(alive), 0),
        ]

    def clean(self) -> None:
        """End what was started here."""
        self.restore()
        for cluster in self.clusters:
            with contextlib.suppress(subprocess.SubprocessError):
                self.slurm(cluster, "scancel", "--partition=low")
        for process in processes(self.folder):
            self.kill(process)
        if self.mounted:
            kept = self.folder / "kept"
            shutil.copytree(self.results, kept, dirs_exist_ok=True)
            subprocess.run(["umount", "--lazy", str(self.results)], check=False)


if __name__ == "__main__":
    main()
