#!/usr/bin/env python3
"""A real Slurm cluster on this machine: for the tests, and for anyone who wants to try `bench run --on`.

    cluster.py install   install the Debian packages that are missing; asks first, unless --yes
    cluster.py up        the same, then start, and wait until it answers
    cluster.py status    which of its processes run, and what sinfo says
    cluster.py down      end exactly the processes that `up` started
    eval "$(cluster.py env)"    let sbatch, squeue and bench talk to it

Debian's munge, MariaDB, slurmdbd, slurmctld and one slurmd a node run as plain processes of the user who
calls, on loopback ports, with all their files in one folder (--folder, by default state/ beside this file).
Four nodes of this host have two fake GPUs each: ordinary files, which Slurm hands out and nothing more.
Partitions: main (the default), high (preempts low), low (preemptible), short (two minutes at most).
Accounting is real: sacct reads it from slurmdbd; `up --no-accounting` leaves it out. `up --beside FOLDER`
starts a second cluster, `other`, with the accounting of one that runs in FOLDER, as sites with several have
it: `sbatch --clusters=other`. Python's standard library is all it needs.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PACKAGES = ["slurm-wlm", "slurmdbd", "mariadb-server", "munge"]
PROGRAMS = [
    "munged",
    "mariadbd",
    "mariadb-install-db",
    "slurmdbd",
    "slurmctld",
    "slurmd",
    "sbatch",
    "sacctmgr",
]
NODES = 4
GPUS = 2  # a node
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["install", "up", "down", "status", "env"])
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent / "state")
    parser.add_argument("--yes", action="store_true", help="install what is missing without asking")
    parser.add_argument("--no-accounting", action="store_true", help="without slurmdbd, for `up`")
    parser.add_argument(
        "--beside", type=Path, help="folder of the cluster whose accounting is used, for `up`"
    )
    arguments = parser.parse_args()
    cluster = Cluster(
        arguments.folder.absolute(),
        accounting=not arguments.no_accounting,
        beside=arguments.beside and arguments.beside.absolute(),
    )
    if arguments.command == "install":
        install(arguments.yes)
    elif arguments.command == "up":
        install(arguments.yes)
        cluster.up()
        print(f"up. To use it: export SLURM_CONF={cluster.conf}")
    elif arguments.command == "down":
        print(f"ended {cluster.down()} processes")
    elif arguments.command == "env":
        print(f"export SLURM_CONF={cluster.conf}")
    else:
        sys.exit(cluster.status())


def install(agreed: bool) -> None:
    """Install Debian's packages where a program is missing, after asking."""
    missing = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    if not missing:
        return
    root = [] if os.geteuid() == 0 else ["sudo"]
    # Another apt may be at work, and is waited for.
    apt = [*root, "apt-get", "-o", "DPkg::Lock::Timeout=300"]
    command = [*apt, "install", "--yes", "--no-install-recommends", *PACKAGES]
    print(f"missing: {', '.join(missing)}\nto be run: {' '.join(command)}", flush=True)
    if not agreed and input("install? [y/N] ").strip().lower() not in ("y", "yes"):
        sys.exit("cluster: nothing was installed, nothing was started")
    # No service of the system's own is wanted: policy 101 keeps the packages from starting theirs.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for step in ([*apt, "update"], command):
        done = subprocess.run(
            step, env=environment, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            # Not even `update` waits for one that reads lists.
            said = done.stderr.strip()
            sys.exit(f"cluster: {' '.join(step)}: {said}\nIf another apt is at work, wait for its end")


class Cluster:
    """All the processes and files of one cluster, in one folder."""

    def __init__(self, folder: Path, *, accounting: bool = True, beside: Path | None = None) -> None:
        self.folder = folder
        self.accounting = accounting
        self.beside = beside
        self.name = "other" if beside else "bench"
        self.conf = folder / "slurm.conf"
        self.started = folder / "processes.json"  # name → process id and its start time
        self.user = getpass.getuser()

    # -------------------------------------------------------------------------------------- commands

    def up(self) -> None:
        """Start what does not run yet; returns once every node is idle."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if len(str(self.folder)) > 80:
            sys.exit(f"cluster: {self.folder} is too long a path for sockets; choose another with --folder")
        if not self.conf.exists():
            self._configure()
        if not self.beside:
            self._start("munged", ["munged", "--foreground", "--force", *self._munge_options()])
            self._wait(
                "munge", lambda: self._answers(["munge", f"--socket={self.folder}/munge.socket", "-n"])
            )
            if self.accounting:
                self._start_books()
        if self.accounting:
            accounts = ["sacctmgr", "--immediate", "--quiet", "add"]
            here = f"cluster={self.name}"
            for words in (["cluster", self.name], ["account", "research", here],
                          ["user", self.user, "account=research", here]):  # fmt: skip
                self._answers([*accounts, *words])  # it may be there already
        self.start_slurmctld()
        for number in range(1, NODES + 1):
            self.start_slurmd(f"node{number}")
        self._wait("the nodes", self._nodes_idle, seconds=90)

    def _start_books(self) -> None:
        """The database, and slurmdbd."""
        if not (self.folder / "mariadb" / "mysql").exists():
            self._call(
                ["mariadb-install-db", f"--datadir={self.folder}/mariadb", f"--user={self.user}",
                 "--auth-root-authentication-method=normal", "--skip-test-db"]
            )  # fmt: skip
        self._start("mariadbd", ["mariadbd", "--no-defaults", *self._mariadb_options()])
        client = ["mariadb", "--no-defaults", f"--socket={self.folder}/mariadb.socket", "--user=root"]
        self._wait("MariaDB", lambda: self._answers([*client, "--execute=SELECT 1"]))
        self._call(
            [*client, "--execute=CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED BY 'slurm';"
             " CREATE USER IF NOT EXISTS slurm@'127.0.0.1' IDENTIFIED BY 'slurm';"
             " GRANT ALL ON slurm_acct_db.* TO slurm@localhost, slurm@'127.0.0.1'"]
        )  # fmt: skip
        self.start_slurmdbd()
        self._wait("slurmdbd", lambda: self._answers(["sacctmgr", "-n", "list", "cluster"]))

    def down(self) -> int:
        """End what `up` started, in the opposite order. Returns how many processes that were."""
        ended = 0
        for name in reversed(list(self._processes())):
            ended += self.stop(name)
        return ended

    def status(self) -> int:
        """Print what runs; 0 if all of it does."""
        processes = self._processes()
        for name, process in processes.items():
            print(f"{name:10} {'runs' if _is(process) else 'ended'} (process {process[0]})")
        if not processes or not all(map(_is, processes.values())):
            print("the cluster is down" if not processes else "not all of it runs")
            return 1
        return subprocess.run(["sinfo"], env=self.environment, check=False).returncode

    # ----------------------------------------------------------------------- single daemons, for tests

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Slurm's commands talk to this cluster."""
        return {**os.environ, "PATH": PATH, "SLURM_CONF": str(self.conf)}

    def start_slurmdbd(self) -> None:
        """Accounting."""
        # It looks for its file beside slurm.conf.
        self._start("slurmdbd", ["slurmdbd", "-D"])

    def start_slurmctld(self) -> None:
        """The controller, with the state that it saved."""
        self._start("slurmctld", ["slurmctld", "-D", "-f", str(self.conf)])

    def try_to_start(self, daemon: str) -> bool:
        """slurmctld or slurmdbd. False: it ended at once."""
        try:
            {"slurmctld": self.start_slurmctld, "slurmdbd": self.start_slurmdbd}[daemon]()
        except SystemExit:
            return False
        return True

    def runs(self, name: str) -> bool:
        """Whether a process that was started here has not ended."""
        return name in (processes := self._processes()) and _is(processes[name])

    def start_slurmd(self, node: str) -> None:
        """One node."""
        self._start(node, ["slurmd", "-D", "-N", node, "-f", str(self.conf)])

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM, seconds: float = 20) -> bool:
        """End one process that was started here; KILL if it does not listen. False where it was gone."""
        processes = self._processes()
        process = processes.pop(name, None)
        alive = process is not None and _is(process)
        if process is not None and alive:
            os.kill(process[0], number)
            deadline = time.monotonic() + seconds
            while _is(process):
                if time.monotonic() > deadline:
                    os.kill(process[0], signal.SIGKILL)
                time.sleep(0.05)
        self._write(processes)
        return alive

    def send(self, name: str, number: signal.Signals) -> None:
        """A signal to one process that runs: SIGSTOP holds it, SIGCONT lets it go on."""
        process = self._processes()[name]
        if _is(process):
            os.kill(process[0], number)

    # --------------------------------------------------------------------------------------- within

    def _configure(self) -> None:
        """Write every file that the daemons read."""
        for name in ("spool", "state", "logs", "mariadb", "gpus"):
            (self.folder / name).mkdir(exist_ok=True)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        ports = free_ports(NODES + 3)
        (self.folder / "mariadb.port").write_text(str(ports[0]))
        host = socket.gethostname().split(".")[0]
        gpus = []
        for number in range(1, NODES + 1):
            for gpu in range(GPUS):
                file = self.folder / "gpus" / f"node{number}-gpu{gpu}"
                file.touch()
                gpus.append(f"NodeName=node{number} Name=gpu Type=fake File={file}")
        (self.folder / "gres.conf").write_text("\n".join(gpus) + "\n")
        dbd = self.folder / "slurmdbd.conf"
        dbd.touch(mode=0o600)  # slurmdbd refuses a file that others can read
        dbd.write_text(
            f"AuthType=auth/munge\nAuthInfo=socket={self.folder}/munge.socket\nDbdHost=localhost\n"
            f"DbdAddr=127.0.0.1\nDbdPort={ports[1]}\nSlurmUser={self.user}\nStorageType=accounting_storage/mysql\n"
            f"StorageHost=127.0.0.1\nStoragePort={ports[0]}\nStorageUser=slurm\nStoragePass=slurm\n"
            f"LogFile={self.folder}/logs/slurmdbd.log\nPidFile={self.folder}/slurmdbd.pid\n"
        )
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        nodes = "\n".join(
            f"NodeName=node{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2 + number]} "
            f"CPUs=4 RealMemory={memory // 2} Gres=gpu:fake:{GPUS}"
            for number in range(1, NODES + 1)
        )
        socket_of = f"{self.beside or self.folder}/munge.socket"
        # cred_expire: a requeued job starts again after that many seconds (120 by default). A node that does
        # not answer is given up after SlurmdTimeout. MaxArraySize is small so that large suites are split.
        self.conf.write_text(f"""\
ClusterName={self.name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[2]}
SlurmUser={self.user}
SlurmdUser={self.user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={socket_of},cred_expire=5
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool/%n
SlurmctldLogFile={self.folder}/logs/slurmctld.log
SlurmdLogFile={self.folder}/logs/%n.log
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1,sched_min_interval=500000,requeue_delay=1
GresTypes=gpu
{self._accounting_lines(ports[1], socket_of)}
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
JobRequeue=1
MaxArraySize=6
MaxJobCount=20000
ReturnToService=2
SlurmdTimeout=15
SlurmctldTimeout=15
InactiveLimit=0
MpiDefault=none
SlurmdParameters=config_overrides
KillWait=10
OverTimeLimit=0
MessageTimeout=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{nodes}
PartitionName=DEFAULT Nodes=node[1-{NODES}] State=UP OverSubscribe=NO
PartitionName=main Default=YES PriorityTier=10 MaxTime=4:00:00 DefaultTime=10:00 PreemptMode=OFF
PartitionName=high PriorityTier=100 MaxTime=4:00:00 DefaultTime=10:00 PreemptMode=OFF
PartitionName=low PriorityTier=1 MaxTime=4:00:00 DefaultTime=10:00 PreemptMode=REQUEUE GraceTime=10
PartitionName=short PriorityTier=10 MaxTime=2 DefaultTime=1 PreemptMode=OFF
""")

    def _accounting_lines(self, port: int, socket_of: str) -> str:
        if not self.accounting:
            return "AccountingStorageType=accounting_storage/none"
        if self.beside:
            [found] = re.findall(r"AccountingStoragePort=(\d+)", (self.beside / "slurm.conf").read_text())
            port = int(found)
        return f"""\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={socket_of}
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=associations,limits,qos"""

    def _munge_options(self) -> list[str]:
        at = f"{self.folder}/munge"
        return [
            f"--socket={at}.socket", f"--key-file={at}.key", f"--pid-file={at}.pid",
            f"--log-file={self.folder}/logs/munged.log", f"--seed-file={at}.seed",
        ]  # fmt: skip

    def _mariadb_options(self) -> list[str]:
        port = (self.folder / "mariadb.port").read_text()
        return [
            f"--datadir={self.folder}/mariadb", f"--socket={self.folder}/mariadb.socket", f"--port={port}",
            f"--pid-file={self.folder}/mariadb.pid", "--bind-address=127.0.0.1", f"--user={self.user}",
            "--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900",
        ]  # fmt: skip

    def _start(self, name: str, command: Sequence[str]) -> None:
        """Start a daemon in the foreground mode that it has, in a session of its own."""
        processes = self._processes()
        if name in processes and _is(processes[name]):
            return
        log = self.folder / "logs" / f"{name}.out"
        with log.open("ab") as output:
            daemon = subprocess.Popen(
                [shutil.which(command[0], path=PATH) or command[0], *command[1:]],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=self.environment, start_new_session=True, cwd=self.folder,
            )  # fmt: skip
        time.sleep(0.1)
        if daemon.poll() is not None:
            sys.exit(f"cluster: {name} ended at once; see {log} and {self.folder}/logs")
        self._write({**processes, name: [daemon.pid, started_at(daemon.pid)]})

    def _processes(self) -> dict[str, list[int]]:
        try:
            return dict(json.loads(self.started.read_text()))
        except FileNotFoundError:
            return {}

    def _write(self, processes: dict[str, list[int]]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.started.write_text(json.dumps(processes))

    def _nodes_idle(self) -> bool:
        found = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%N %T"],
            env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        lines = set(found.stdout.splitlines())
        ready = {line.split()[0] for line in lines if line.split()[1] in ("idle", "mixed", "allocated")}
        return len(ready) == NODES

    def _answers(self, command: Sequence[str]) -> bool:
        quiet = subprocess.DEVNULL
        done = subprocess.run(
            command, env=self.environment, stdin=quiet, stdout=quiet, stderr=quiet, timeout=60, check=False
        )
        return done.returncode == 0

    def _call(self, command: Sequence[str]) -> None:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"cluster: {command[0]}: {done.stderr or done.stdout}")

    def _wait(self, what: str, ready: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                sys.exit(f"cluster: {what} did not answer within {seconds:.0f} s; see {self.folder}/logs")
            time.sleep(0.2)


def started_at(process: int) -> int:
    """When a process started, in clock ticks since boot: with its number, a name that is never used again."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])


def _is(process: Sequence[int]) -> bool:
    """Whether a process that was started here still runs."""
    number, started = process
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" and started_at(number) == started
    except FileNotFoundError:
        return False


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on, below those that systems give to outgoing connections."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            found.append(port)
    return found


if __name__ == "__main__":
    main()
