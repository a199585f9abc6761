"""A real DistributedDataParallel on two nodes of the local cluster: killed, resumed, and trained once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import bench, wait_for

from bench.results.folder import RunFolder
from bench.suite import load

Write = Callable[..., Path]
DDP = """
import json, os, sys, time
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

folder, seed = sys.argv[1], int(sys.argv[2])
if "RANK" not in os.environ:  # of srun, and no torchrun
    os.environ |= {"RANK": os.environ["SLURM_PROCID"], "WORLD_SIZE": os.environ["SLURM_NTASKS"]}
    port = 20000 + int(os.environ["SLURM_JOB_ID"]) % 9000
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
dist.init_process_group("gloo")
rank, world = dist.get_rank(), dist.get_world_size()
torch.manual_seed(seed)
model = DistributedDataParallel(torch.nn.Linear(8, 2))
optimizer, path, begun = torch.optim.SGD(model.parameters(), 0.1), folder + "/state.pt", 0
if os.path.exists(path):
    state = torch.load(path)
    model.load_state_dict(state["model"])
    begun = state["epoch"]
for epoch in range(begun, EPOCHS):
    x = torch.randn(16, 8, generator=torch.Generator().manual_seed(1000 * epoch + rank))
    loss = torch.nn.functional.cross_entropy(model(x), (x.sum(1) > 0).long())
    optimizer.zero_grad(); loss.backward(); optimizer.step()
    if rank == 0:
        torch.save({"model": model.state_dict(), "epoch": epoch + 1}, path + ".new")
        os.replace(path + ".new", path)
        print(json.dumps({"epoch": epoch + 1, "world": world, "loss": loss.item()}), flush=True)
    time.sleep(0.1)
if rank == 0:
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    import numpy as np
    p = model(x).softmax(1).detach().numpy()
    np.savez(folder + "/p.npz", labels=(x.sum(1) > 0).long().numpy(), probabilities=p)
dist.barrier()
"""


def suite_of(tmp_path: Path, command: list[str], epochs: int) -> Path:
    (tmp_path / "ddp.py").write_text(DDP.replace("EPOCHS", str(epochs)))
    values = {
        "question": "Does it run on two nodes?",
        **{"datasets": "normal", "models": "linear", "losses": "ce", "seeds": 1},
        "trainer": {
            "command": [*command, "ddp.py", "{folder}", "{seed}"],
            "result": {"file": "p.npz"},
            "progress": {"stdout": "json"},
            **{"gpus": 1, "nodes": 2, "grace": 5},
        },
    }
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def by_srun() -> list[str]:
    return ["srun", "--nodes={nodes}", "--ntasks={nodes}", "--ntasks-per-node=1", sys.executable]


def test_two_nodes_train_one_run_that_is_killed_and_goes_on(profile: Write, tmp_path: Path) -> None:
    path, results = suite_of(tmp_path, by_srun(), 40), tmp_path / "results"
    [run] = load(path).runs()
    folder = RunFolder(results, run.id)
    assert bench("run", path, "--on", profile(), "--results", results, "--detach").returncode == 0
    wait_for(lambda: len(folder.metrics()) > 5)
    worker = folder.info()["attempts"][-1]
    asked = ["squeue", "-h", "-o", "%D", "-j", worker["job"]]  # the job before may still be ending
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split() == ["2"]
    os.kill(worker["pid"], signal.SIGKILL)
    done = bench("run", path, "--on", profile(), "--results", results, timeout=500)
    assert done.returncode == 0, done.stderr
    lines = folder.metrics()
    assert [line["epoch"] for line in lines] == [*range(1, 41)]
    assert {line["world"] for line in lines} == {2}
    assert len(folder.info()["attempts"]) == 2
    result = folder.result(check_details=True)
    assert result is not None
    assert result.total == 64


def test_torchrun_starts_a_process_for_each_gpu(profile: Write, tmp_path: Path) -> None:
    rendezvous = ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:29417", "--rdzv-id={seed}"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node={gpus}"]
    command = ["srun", "--nodes={nodes}", "--ntasks={nodes}", "--ntasks-per-node=1", *torchrun, *rendezvous]
    path, results = suite_of(tmp_path, command, 3), tmp_path / "results"
    done = bench("run", path, "--on", profile(), "--results", results, timeout=500)
    assert done.returncode == 0, done.stderr
    [run] = load(path).runs()
    assert {line["world"] for line in RunFolder(results, run.id).metrics()} == {2}


@pytest.mark.parametrize(
    ("trainer", "changes", "message"),
    [
        ({"gpus": 1}, {"gpus": 0}, "trainer.gpus: found 1, and .* asks for none"),
        ({"gpus": 64}, {}, "gpus|node configuration|GRES|gres"),
        ({"grace": 30}, {}, "trainer.grace: found 30 s, and .* leaves a job 20 s"),
        ({"nodes": 99}, {}, "[Nn]ode"),
    ],
)
def test_what_the_cluster_does_not_have_is_refused(
    profile: Write, tmp_path: Path, trainer: Any, changes: Any, message: str
) -> None:
    import re

    path = suite_of(tmp_path, by_srun(), 3)
    values = yaml.safe_load(path.read_text())
    values["trainer"] |= trainer
    path.write_text(yaml.safe_dump(values))
    for verb in ("plan", "run"):
        refused = bench(verb, path, "--on", profile(**changes), "--results", tmp_path / "results")
        assert re.search(message, refused.stdout + refused.stderr), refused.stdout + refused.stderr
        assert "Traceback" not in refused.stderr
