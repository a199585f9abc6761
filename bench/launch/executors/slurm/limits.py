"""How many jobs Slurm lets a user queue: the size of an array, and the submit limits of accounts and QOS."""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Iterator
from dataclasses import dataclass

from bench.launch.executors import Limits, Trouble
from bench.launch.executors.slurm.commands import ask, configuration, option_of
from bench.launch.profile import Profile


def limits_of(profile: Profile) -> Limits:
    """``MaxArraySize`` of the cluster, and what the submit limits of associations and QOS leave."""
    config = configuration(profile.clusters)
    # Indices are 0 to one less; 0 and 1 leave single jobs only. Slurm's default is 1001.
    array = max(int(config.get("MaxArraySize", 1001)), 1)
    room, words = None, ""
    with contextlib.suppress(Trouble):  # a cluster without accounting has no such limits
        for cap in _caps(profile, config.get("ClusterName", "")):
            queue = ["squeue", *option_of(profile.clusters), "--noheader", "--array"]
            queued = ask(*queue, *cap.scope, "--format=|")
            left = max(cap.most - queued.count("|"), 0)
            if room is None or left < room:
                room, words = left, cap.words
    return Limits(array, room, words)


@dataclass(frozen=True)
class _Cap:
    """A limit on queued jobs."""

    most: int
    words: str
    scope: tuple[str, ...]
    """Which jobs count, as squeue is asked for them."""


def _caps(profile: Profile, cluster: str) -> Iterator[_Cap]:
    """Submit limits of the user's association and its account, of the QOS, and of the partition's.

    Those of the accounts above are not read: what they refuse is submitted in smaller parts.
    """
    user = getpass.getuser()
    accounts = ["sacctmgr", "--noheader", "--parsable2", "show"]
    account = profile.account or ask(*accounts, "user", user, "format=defaultaccount").strip()
    fields = "format=user,partition,defaultqos,maxsubmitjobs,grpsubmitjobs"
    default = "normal"  # Slurm's own
    for row in ask(*accounts, "assoc", f"account={account}", f"cluster={cluster}", fields).splitlines():
        owner, partition, qos, most, together = row.split("|")
        if owner not in ("", user) or partition not in ("", profile.partition):
            continue
        scope = (*(("--me",) if owner else ()), f"--account={account}")
        if owner and most:
            yield _Cap(int(most), f"MaxSubmitJobs={most} of account {account}", scope)
        if together:
            yield _Cap(int(together), f"GrpSubmitJobs={together} of account {account}", scope)
        default = qos if owner and qos else default
    destination = _partition(profile)
    counted = {profile.qos or default: f"--qos={profile.qos or default}"}
    if destination.get("QoS", "N/A") != "N/A":
        counted[destination["QoS"]] = f"--partition={destination['PartitionName']}"
    fields = "format=name,maxsubmitjobsperuser,maxsubmitjobsperaccount,grpsubmitjobs"
    for row in ask(*accounts, "qos", f"name={','.join(counted)}", fields).splitlines():
        name, of_user, of_account, together = row.split("|")
        for most, limit, scope in (
            (of_user, "MaxSubmitJobsPerUser", ("--me",)),
            (of_account, "MaxSubmitJobsPerAccount", (f"--account={account}",)),
            (together, "GrpSubmitJobs", ()),
        ):
            if most:
                yield _Cap(int(most), f"{limit}={most} of QOS {name}", (*scope, counted[name]))


def _partition(profile: Profile) -> dict[str, str]:
    """The properties of the partition that jobs go to."""
    for row in ask("scontrol", *option_of(profile.clusters), "--oneliner", "show", "partition").splitlines():
        fields = dict(word.split("=", 1) for word in row.split() if "=" in word)
        name = fields.get("PartitionName")
        if name == profile.partition if profile.partition else fields.get("Default") == "YES":
            return fields
    return {}
