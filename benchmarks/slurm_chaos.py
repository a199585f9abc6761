"""Does a suite on a real Slurm lose or double anything, whatever fails?

Starts the cluster of slurm/local-cluster, trains a small suite on this machine, undisturbed, and then on the
cluster while faults hit it: workers and launchers killed, a node dead and back, jobs requeued, cancelled and
preempted, slurmctld restarted, slurmdbd down for a while, the results folder full (where it may be mounted).
At last `bench run` until nothing is left; then what lies on disk, in MLflow and in Slurm's books is counted.
Exit status 1 where a count is not what it should be. Linux with Slurm only; some minutes on two cores.

    python benchmarks/slurm_chaos.py [--seeds 70] [--faults 30] [--seed 0] [--cluster FOLDER] [--keep FOLDER]
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
from pathlib import Path

import yaml
from chaos import MARK, check_folders, check_mlflow, processes, say, watch

sys.path.append(str(Path(__file__).parents[1] / "slurm" / "local-cluster"))
from cluster import NODES, Cluster

EPOCHS = 4  # as chaos.py counts them
SUITE = {
    "question": "Does Slurm lose or double anything?",
    "datasets": "digits",
    "models": "vgg5-tiny",
    "losses": ["ce", "mae", "mix_ent"],
    "baseline": "ce",
    "recipe": {"epochs": EPOCHS, "batch_size": 16, "optimizer": {"adam": {"lr": 0.005}}},
    "selection": "last",
}
PROFILE = {"partition": "low", "gpus": 1, "cpus": 2, "device": "cpu", "time": 10, "grace": 20, "fill": 0.03}
MOST_LAUNCHERS = 20  # to finish what the faults left
ENDING = 60  # seconds, at most, until the last job has ended and slurmdbd knows it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=70, help="of each of three losses (default 70)")
    parser.add_argument("--faults", type=int, default=30, help="how many (default 30)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and faults (default 0)")
    parser.add_argument("--cluster", type=Path, help="folder of a running local cluster (default: start one)")
    parser.add_argument("--keep", type=Path, help="new folder for all of it (default: temporary, removed)")
    args = parser.parse_args()
    folder = (args.keep or Path(tempfile.mkdtemp(prefix="bench-slurm-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "chaos.yaml").write_text(yaml.safe_dump({**SUITE, "seeds": args.seeds}, sort_keys=False))
    (folder / "low.yaml").write_text(yaml.safe_dump(PROFILE))
    cluster = Cluster(args.cluster or Path(tempfile.mkdtemp(prefix="bench-cluster-")))
    cluster.up()
    chaos = Chaos(folder, cluster, random.Random(args.seed))
    try:
        broken = chaos.experiment(args.faults)
    finally:
        chaos.clean()
        if not args.cluster:
            cluster.down()
    if broken:
        sys.exit(f"slurm_chaos: {broken} of the counts are not what they should be; see {folder}")
    print("runs lost: 0, runs doubled: 0")
    if not args.keep:
        shutil.rmtree(folder)


class Chaos:
    """One experiment: its folder, its cluster, and the launchers that are under way."""

    def __init__(self, folder: Path, cluster: Cluster, rng: random.Random) -> None:
        self.folder, self.cluster, self.rng = folder, cluster, rng
        self.results = folder / "killed"
        self.launchers: list[subprocess.Popen[bytes]] = []
        self.mounted = False
        self.seen: dict[str, bytes] = {}
        self.changed: set[str] = set()
        self.faults = {
            "worker killed": self.kill_worker,
            "launcher killed": self.kill_launcher,
            "node dead and back": self.kill_node,
            "job requeued": lambda: self.slurm_job("scontrol", "requeue"),
            "job cancelled": lambda: self.slurm_job("scancel"),
            "preempted": self.preempt,
            "slurmctld restarted": self.restart_slurmctld,
            "slurmdbd down": self.stop_slurmdbd,
            "results folder full": self.fill_disk,
        }

    def experiment(self, faults: int) -> int:
        """Train undisturbed, train under fire, compare. Returns how many checks do not hold."""
        began = time.monotonic()
        say(f"undisturbed run on this machine, in {self.folder}")
        if self.launch("undisturbed", on_cluster=False).wait():
            sys.exit(f"slurm_chaos: the undisturbed run failed; see {self.folder / 'undisturbed.log'}")
        say(f"took {time.monotonic() - began:.0f} s; now on Slurm, with {faults} faults")
        self.results.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(self.results)]
        self.mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        if not self.mounted:
            del self.faults["results folder full"]
        injected = self.disturb(faults)
        say("no more faults: `bench run` until nothing is left")
        status = self.finish()
        say(f"all done in {time.monotonic() - began:.0f} s\n")
        print(
            f"faults: {injected.total()} ({', '.join(f'{name} {n}' for name, n in sorted(injected.items()))})"
        )
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

    def disturb(self, faults: int) -> Counter[str]:
        """One fault after another, every kind in turn, at random moments."""
        injected: Counter[str] = Counter()
        order: list[str] = []
        while injected.total() < faults:
            if len(list(self.results.glob("runs/*/result.json"))) == len(self.planned()):
                say("all runs are done before all faults were injected")
                break
            if not order:
                order = self.rng.sample(list(self.faults), len(self.faults))
            self.launchers = [launcher for launcher in self.launchers if launcher.poll() is None]
            if not self.launchers:
                self.launchers = [self.launch("killed") for _ in range(self.rng.choice((1, 1, 2)))]
            self.wait(self.rng.uniform(1, 6))
            name = order.pop()
            try:
                hit = self.faults[name]()
            except subprocess.SubprocessError as error:
                say(f"{name}: {error}")
                hit = False
            if hit:
                injected[name] += 1
                done = len(list(self.results.glob("runs/*/result.json")))
                say(f"fault {injected.total()} of {faults}: {name}; {done} runs done")
        return injected

    def finish(self) -> int:
        """Start launchers until one says that everything is done."""
        status = 1
        for _ in range(MOST_LAUNCHERS):
            self.launchers = [launcher for launcher in self.launchers if launcher.poll() is None]
            launcher = self.launch("killed")
            while launcher.poll() is None:
                self.wait(0.2)
            status = launcher.returncode
            if len(list(self.results.glob("runs/*/result.json"))) == len(self.planned()) and status == 0:
                break
        for other in self.launchers:
            other.wait()
        return status

    # -------------------------------------------------------------------------------------- the faults

    def kill_worker(self) -> bool:
        """SIGKILL to one process that trains."""
        workers = [pid for pid, kind in processes(self.folder).items() if kind == "worker"]
        return bool(workers) and self.kill(self.rng.choice(workers))

    def kill_launcher(self) -> bool:
        """SIGKILL to a `bench run`."""
        launcher = self.rng.choice(self.launchers)
        launcher.kill()
        launcher.wait()
        return True

    def kill_node(self) -> bool:
        """SIGKILL to a slurmd, until Slurm gives the node up, then start it again."""
        node = f"node{self.rng.randint(1, NODES)}"
        self.cluster.stop(node, signal.SIGKILL)
        self.wait(self.rng.choice((3, 25)))
        self.cluster.start_slurmd(node)
        return True

    def slurm_job(self, *command: str) -> bool:
        """Something done to one running job."""
        running = self.slurm(
            "squeue", "--noheader", "--array", "--states=RUNNING", "--partition=low", "--format=%i"
        )
        ids = running.split()
        if not ids:
            return False
        self.slurm(*command, self.rng.choice(ids))
        return True

    def preempt(self) -> bool:
        """Two whole nodes for a partition that comes first."""
        if not self.slurm(
            "squeue", "--noheader", "--states=RUNNING", "--partition=low", "--format=%i"
        ).split():
            return False
        self.slurm("sbatch", "--partition=high", "--array=0-1", "--cpus-per-task=4", "--output=/dev/null",
                   "--wrap=sleep 4")  # fmt: skip
        self.wait(3)
        return True

    def restart_slurmctld(self) -> bool:
        """The controller away for some seconds."""
        self.cluster.stop("slurmctld", signal.SIGKILL)
        self.wait(3)
        self.cluster.start_slurmctld()
        return True

    def stop_slurmdbd(self) -> bool:
        """No accounting for some seconds."""
        self.cluster.stop("slurmdbd")
        self.wait(8)
        self.cluster.start_slurmdbd()
        return True

    def fill_disk(self) -> bool:
        """No space in the results folder for some seconds."""
        filler = self.results / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(2**20))
        self.wait(2)
        filler.unlink(missing_ok=True)
        return True

    # ------------------------------------------------------------------------------------ small helpers

    def launch(self, results: str, *, on_cluster: bool = True) -> subprocess.Popen[bytes]:
        """A `bench run`, in a session of its own."""
        foreign = ("BENCH_", "MLFLOW_", "SUBMITIT_", "SLURM_")
        environment = {k: v for k, v in self.cluster.environment.items() if not k.startswith(foreign)}
        environment |= {MARK: str(self.folder), "SLURM_CONF": str(self.cluster.conf)}
        where = ["--on", "low.yaml"] if on_cluster else ["--workers", "2", "--device", "cpu"]
        with (self.folder / f"{results}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "bench.cli", "run", "chaos.yaml", "--results", results, *where],
                cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def slurm(self, *command: str) -> str:
        """Run one of Slurm's commands."""
        environment = self.cluster.environment
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=30, check=True
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
        while time.monotonic() < until:
            self.look()
            time.sleep(0.1)

    def look(self) -> None:
        """Remember every result, and whether it has changed."""
        watch(self.results, self.seen, self.changed)

    def planned(self) -> list[str]:
        """Ids of the suite's runs."""
        from bench import suite as suites

        return [run.id for run in suites.load(self.folder / "chaos.yaml").runs()]

    def check_jobs(self) -> list[tuple[str, int, int]]:
        """What Slurm's books say of the submissions: (what, count, expected count)."""
        from bench.launch.submission import read_all

        folders = read_all(self.results / "chaos" / "jobs")
        rows = self.slurm("sacct", "--allocations", "--noheader", "--parsable2", "--format=JobName,JobID",
                          "--starttime=now-3hours").split()  # fmt: skip
        names = {folder.content.name for folder in folders}
        numbers = {
            (name, job.partition("_")[0]) for name, job in (row.split("|") for row in rows) if name in names
        }
        known = {(folder.content.name, folder.content.job) for folder in folders if not folder.content.void}
        # A controller that is killed may forget what it took a moment ago.
        print(f"submissions that Slurm has forgotten: {len(known - numbers)}")
        from bench.launch.executors.slurm import Slurm
        from bench.launch.queue import look

        os.environ.update(self.cluster.environment)
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
        with contextlib.suppress(subprocess.SubprocessError):
            self.slurm("scancel", "--partition=low")
        for process in processes(self.folder):
            self.kill(process)
        if self.mounted:
            kept = self.folder / "kept"
            shutil.copytree(self.results, kept, dirs_exist_ok=True)
            subprocess.run(["umount", "--lazy", str(self.results)], check=False)


if __name__ == "__main__":
    main()
