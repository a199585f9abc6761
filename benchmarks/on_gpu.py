"""All that a quarter of an hour of a GPU can show of what only a GPU can, most doubtful first.

Each stage runs in processes of its own, under a time limit, and writes what it says into a folder; one that
fails or hangs costs no other. The limits together are ten minutes.

    python benchmarks/on_gpu.py OUT                      # all stages, on the GPU
    python benchmarks/on_gpu.py OUT --device cpu --tenth # the same with the tests' recorder, small
    python benchmarks/on_gpu.py OUT --only same growth

``recording``: what a recording that fails leaves behind, and what is seen before it is tried. ``same``:
trainings replayed, taken one by one and replayed again, by hashes of weights and moments. ``growth``: memory
over many trainings of one process, and a suite in which one loss asks the GPU for a value. ``workers``: how
many processes train a suite, without MPS and with it, and whether a run has the same bits in company.
``speed``: images a second, and where a step's time goes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.training.loop import Training

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]
LIMITS = {"recording": 40, "same": 150, "growth": 90, "workers": 150, "speed": 150}
"""Seconds."""
LIBRARY = [
    {"timm/resnet18": {"image_size": 32}},
    {"timm/convnext_atto": {"image_size": 32}},
    {"timm/efficientnet_b0": {"image_size": 32}},
    {"timm/vit_tiny_patch16_224": {"image_size": 32, "img_size": 32}},
    {"torchvision/vgg11_bn": {"image_size": 32}},
]
ASKS = """from torch.nn.functional import cross_entropy


def asks(logits, target):
    loss = cross_entropy(logits, target)
    return loss / (1 + loss.item())


asks.recordable = True
"""


def recording(device: str, scale: float) -> None:
    """Of torch alone: nothing of this project is used."""
    import torch

    print("python", sys.version.split()[0], "torch", torch.__version__, "CUDA", torch.version.cuda)
    print("MPS:", shutil.which("nvidia-cuda-mps-control") or "not here")
    if device == "cpu":
        return
    subprocess.run(["nvidia-smi", "--query-gpu=name,uuid,compute_mode,mig.mode.current", "--format=csv"])
    x, side = torch.randn(64, 64, device="cuda"), torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.nn.functional.dropout(x @ x).sum()
    torch.cuda.synchronize()
    for again in range(3):

        def broken() -> None:
            with torch.cuda.graph(torch.cuda.CUDAGraph(), stream=side):
                torch.nn.functional.dropout(x @ x).sum().item()

        tried(f"recording {again} that asks for a value", broken)
        print("  the side stream is still current:", torch.cuda.current_stream() == side)
        print("  reserved MiB:", torch.cuda.memory_reserved() >> 20)
        tried("  dropout after it", lambda: torch.nn.functional.dropout(x))
    torch.cuda.set_sync_debug_mode("error")
    tried("seen beforehand, .item()", lambda: x.sum().item())
    tried("seen beforehand, a tensor from the host", lambda: torch.tensor([1.0], device="cuda"))
    tried("seen beforehand, a boolean mask", lambda: x[x > 0])


def tried(name: str, work: Callable[[], Any]) -> None:
    try:
        work()
        print(name, "- works")
    except Exception as error:
        print(name, "-", type(error).__name__, str(error).partition("\n")[0][:120])


def trained(
    device: str, model: Any, precision: str = "bf16", optimizer: str = "adam", epochs: int = 2,
    images: int = 200, one_by_one: str = "",
) -> Training:  # fmt: skip
    """A training of digits; on a CPU with the recorder of the tests."""
    from training.recorder import FakeRecorder

    from bench.suite import Suite
    from bench.training.device import prepare
    from bench.training.loop import Training

    suite = Suite.model_validate(
        {
            "name": "on_gpu",
            "question": "?",
            "datasets": {"digits": {"train_size": images, "test_size": 50}},
            "models": model,
            "losses": "ce",
            "seeds": 1,
            "selection": "last",
            "recipe": {
                "epochs": epochs,
                "batch_size": 32,
                "optimizer": optimizer,
                "precision": precision,
                "schedule": "one_cycle",
                "augment": [{"rotation": {}}],
            },
        }
    )
    recorder = FakeRecorder() if device == "cpu" else None
    made = Training(suite.runs()[0].resolve(), Path("data"), prepare(device), recorder, one_by_one=one_by_one)
    while made.epoch < epochs:
        for _ in made.steps():
            pass
        made.end_epoch()
    return made


def same(device: str, scale: float) -> None:
    tiny = {"vgg5-tiny": {"dropout": 0.3, "width": 16}}
    cases: list[tuple[Any, str, str]] = [
        (tiny, precision, optimizer)
        for precision in ("fp32", "bf16")
        for optimizer in ("adam", "adamw", "sgd")
    ]
    cases += [(model, precision, "adam") for model in LIBRARY for precision in ("fp32", "bf16")]
    for model, precision, optimizer in cases[:: max(1, round(0.3 / scale))]:
        short = isinstance(model, dict) and model is not tiny
        began, digests, notes = time.monotonic(), [], []
        for one_by_one in ("", "to compare", ""):
            made = trained(
                device, model, precision, optimizer, 1 if short else 2, 72 if short else 200, one_by_one
            )
            digests.append(digest(made))
            notes += [note for note in made.warnings if "to compare" not in note]
        name = model if isinstance(model, str) else next(iter(model))
        told = "the same" if len({*digests}) == 1 else f"DIFFERENT {digests}"
        print(name, precision, optimizer, told, notes, f"{time.monotonic() - began:.1f} s", flush=True)


def digest(made: Training) -> str:
    found = hashlib.sha256()
    for _, tensor in made.step.tensors():
        found.update(tensor.detach().double().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:12]


def growth(device: str, scale: float) -> None:
    import torch

    for number in range(max(2, round(60 * scale))):
        trained(device, {"vgg5-tiny": {"width": 16}}, epochs=1)
        if number % 10 == 0 and device != "cpu":
            free, _ = torch.cuda.mem_get_info()
            print(
                number, "reserved MiB", torch.cuda.memory_reserved() >> 20, "free MiB", free >> 20, flush=True
            )
    with suite_of(["ce", "own_asking_loss:asks", "mae"], 2) as (folder, name):
        Path(folder, "own_asking_loss.py").write_text(ASKS)
        bench(folder, "run", name, "--device", device)
        for path in sorted(Path(folder, "results", "runs").glob("*/result.json")):
            print(path.parent.name, json.loads(path.read_text())["warnings"])


def workers(device: str, scale: float) -> None:
    runs = max(2, round(40 * scale))
    for mps in (False, True):
        hidden = (
            {"CUDA_MPS_PIPE_DIRECTORY": ""} if not mps else {}
        )  # named, and so left alone: none is started
        with suite_of(["ce", "mae"], runs) as (folder, name):
            began = time.monotonic()
            bench(folder, "run", name, "--device", device, **hidden)
            print(
                f"{2 * runs} runs {'with' if mps else 'without'} MPS: {time.monotonic() - began:.1f} s",
                flush=True,
            )
    throughput("--only", "bits", "--workers", "8" if device != "cpu" else "2", "--device", device,
               "--scale", f"{scale:g}")  # fmt: skip


def speed(device: str, scale: float) -> None:
    small = [] if device != "cpu" else ["--scale", f"{scale / 5:g}", "--workers", "1", "2"]
    throughput("--quick", "--device", device, *small)


@contextlib.contextmanager
def suite_of(losses: list[str], seeds: int) -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        told = {
            "question": "?", "datasets": "digits", "models": "vgg5-tiny", "losses": losses, "seeds": seeds,
            "recipe": {"epochs": 4, "batch_size": 128, "optimizer": {"adam": {"lr": 0.02}}},
        }  # fmt: skip
        Path(folder, "tried.yaml").write_text(json.dumps(told))
        yield folder, "tried.yaml"


def bench(folder: str, *arguments: str, **environment: str) -> None:
    command = [sys.executable, "-m", "bench", *arguments]
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": path, **environment})


def throughput(*arguments: str) -> None:
    subprocess.run([sys.executable, str(HERE / "throughput.py"), *arguments])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=LIMITS, default=list(LIMITS))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tenth", action="store_true", help="of all steps")
    parser.add_argument("--stage", choices=LIMITS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    scale = 0.1 if asked.tenth else 1.0
    if asked.stage:
        stages = {"recording": recording, "same": same, "growth": growth, "workers": workers, "speed": speed}
        return stages[asked.stage](asked.device, scale)
    asked.out.mkdir(parents=True, exist_ok=True)
    for stage in asked.only:
        began, path = time.monotonic(), asked.out / f"{stage}.txt"
        command = [sys.executable, __file__, str(asked.out), "--stage", stage, "--device", asked.device]
        with path.open("w") as file:
            done = subprocess.Popen(
                [*command, *["--tenth"] * asked.tenth],
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                how = f"exit status {done.wait(LIMITS[stage])}"
            except subprocess.TimeoutExpired:
                how = f"stopped after {LIMITS[stage]} s"
            with contextlib.suppress(ProcessLookupError):  # whatever it has left on the GPU ends, too
                os.killpg(done.pid, signal.SIGKILL)
        print(f"{stage}: {how}, {time.monotonic() - began:.0f} s, {path}", flush=True)


if __name__ == "__main__":
    main()
