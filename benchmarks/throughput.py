"""Images a second and finished runs an hour, beside the trainers that people would use instead.

All on the same machine, the same data, model, batch and augmentation; in alternating rounds, so that whatever
else the machine does hits all alike. Each row is what all processes of a trainer get done together, with the
test set scored after every epoch; ratios are taken round by round.

    python benchmarks/throughput.py                       # everything that the README's table holds
    python benchmarks/throughput.py --only speed --models vgg5 --rounds 5
    python benchmarks/throughput.py --only library --models timm/resnet18:64
    python benchmarks/throughput.py --quick               # what 150 seconds of a GPU show

Sections: ``speed`` (this trainer, the reference pipeline as its authors wrote it, a careful plain script, and
what users hit today: two processes at torch's default threads), ``library`` (models of timm and torchvision,
beside a DataLoader), ``quickstart`` (60 short runs: beside a process for each run, and beside Lightning),
``accuracy`` (equal epochs, paired seeds, two one-sided tests), ``bits`` (a run in company gives the bits that
it gives alone), ``kernels`` (where the time of a step goes).

Lightning is no dependency of this project; its row is skipped where it cannot be imported:

    pip install --target /tmp/peers --no-deps lightning lightning-utilities torchmetrics pytorch-lightning
    PYTHONPATH=/tmp/peers python benchmarks/throughput.py --only quickstart

timm's own training script is not in its package and reads folders of images; it is not among the rows.

Nothing here has been run on a GPU yet. There the same command takes CUDA (``--device cuda``), has the
reference train two models from each loader as its authors do, runs under MPS if that can be started, and
tries several numbers of processes (``--workers``), as ``bench run`` does by itself. ``--only kernels`` is the
roofline of a step.

Tried, and lost (measured once on two CPU cores with AMX, before this script was; on a GPU all of it is open):

- several models stacked by ``vmap``: 0.5 to 0.8 times as fast on 28 × 28 convolutional nets, and other bits
  than a run alone; 3 to 5 times as fast for a tiny MLP only;
- several models as one grouped convolution: about as fast, and bits that depend on the place in the group;
- ``torch.compile`` on a CPU: 1.0 to 1.2 times as fast, after 7 to 40 s of compiling;
- larger batches on a CPU: slower; and the batch size is part of what is compared, never touched for speed.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
FULL_RUN = 200 * 124_800  # images of a run of 200 epochs on EMNIST-Letters
MODELS = {"small CNN": "pipelines:small_cnn", "VGG, 16 wide": "vgg5-tiny", "VGG-5": "vgg5"}
LIBRARY = ["timm/resnet18:32", "timm/convnext_atto:32", "timm/vit_tiny_patch16_224:224"]
LIBRARY += ["timm/efficientnet_b0:32", "torchvision/vgg11_bn:32"]
SECTIONS = ("speed", "library", "quickstart", "accuracy", "bits", "kernels")


@dataclass
class Trainer:
    """A row: so many processes of one kind, with these environment variables."""

    name: str
    kind: str
    told: dict[str, Any]
    processes: int = 1
    threads: int | None = None
    """Of each process; None: torch's default."""
    rates: list[float] = field(default_factory=list)
    servers: list[subprocess.Popen[str]] = field(default_factory=list)
    epochs: int = 1

    def start(self) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
        )
        if self.threads is not None:
            environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(self.threads))
        command = [sys.executable, str(HERE / "pipelines.py"), self.kind, json.dumps(self.told)]
        pipe = subprocess.PIPE
        self.servers = [
            subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
            for _ in range(self.processes)
        ]
        for server in self.servers:
            hear(server)

    def work(self, epochs: int) -> tuple[list[dict[str, Any]], float]:
        """All processes train for so many epochs; what they answer, and the seconds until the last has."""
        began = time.perf_counter()
        for server in self.servers:
            assert server.stdin is not None
            server.stdin.write(f"{epochs}\n")
            server.stdin.flush()
        answers = [hear(server) for server in self.servers]
        return answers, time.perf_counter() - began

    def warm_up(self, seconds: float) -> None:
        """The first epoch is not counted; the second says how many make up a round."""
        self.work(1)
        _, took = self.work(1)
        self.epochs = max(1, round(seconds / took))

    def round(self) -> None:
        answers, took = self.work(self.epochs)
        self.rates.append(sum(answer["images"] for answer in answers) / took)

    def stop(self) -> None:
        for server in self.servers:
            server.kill()
            server.communicate()
        self.servers = []


def hear(server: subprocess.Popen[str]) -> dict[str, Any]:
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        raise SystemExit(f"a process died: {' '.join(map(str, server.args))[:300]}")  # type: ignore[arg-type]
    answer: dict[str, Any] = json.loads(line)
    return answer


def race(trainers: Sequence[Trainer], rounds: int, seconds: float) -> None:
    """Alternating rounds of all of them, each after a warm-up."""
    try:
        for trainer in trainers:
            say(f"  starting {trainer.name}")
            trainer.start()
            trainer.warm_up(seconds)
        for number in range(rounds):
            say(f"  round {number + 1} of {rounds}")
            for trainer in trainers:
                trainer.round()
    finally:
        for trainer in trainers:
            trainer.stop()


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------------- the sections


class Machine:
    """What is measured on, and how many processes this trainer has there."""

    def __init__(self, device: str, workers: Sequence[int], folder: Path, dataset: str, scale: float) -> None:
        self.device, self.folder, self.dataset, self.scale = device, folder, dataset, scale
        self.cuda = device.startswith("cuda")
        self.cores = len(os.sched_getaffinity(0))
        self.workers = workers or ([1, 2, 4, 8] if self.cuda else [self.cores])
        self.loaders = min(self.cores, 16)

    @functools.cached_property
    def peaks(self) -> dict[str, float]:
        """FLOP a second of large matrix products, on all cores or the GPU, in each precision."""
        return {precision: peak(self, precision) for precision in ("fp32", "bf16")}

    @property
    def precisions(self) -> tuple[str, ...]:
        """What it has units for, best last: a processor without those for bf16 imitates it, at a fortieth."""
        return ("fp32", "bf16") if self.peaks["bf16"] > self.peaks["fp32"] else ("fp32",)

    def images(self, count: int) -> int:
        """How many make an epoch: enough for it to last a moment, few enough for several in a round."""
        return max(200, round(count * self.scale * (20 if self.cuda else 1)))

    def data(self, images: int) -> str:
        """A file with so many training images, and a sixth as many test images, as EMNIST-Letters has."""
        path = self.folder / f"{self.dataset}-{images}.npz"
        if not path.exists():
            say(f"  making {images:,} images")
            import numpy as np

            train, labels, test, test_labels = (part.numpy() for part in self._images(images))
            np.savez(path, train=train, train_labels=labels, test=test, test_labels=test_labels)
        return str(path)

    def _images(self, count: int) -> tuple[Any, ...]:
        if self.dataset == "synthetic-letters":
            from bench.datasets.letters import synthetic_letters

            return tuple(synthetic_letters(count, count // 6, 0))
        import torch

        from bench.datasets import choose_dataset, load

        digits = load(choose_dataset("digits"), self.folder)
        larger = [
            torch.nn.functional.interpolate(images.float(), size=(28, 28), mode="bilinear").round().byte()
            for images in (digits.train_images, digits.test_images)
        ]
        times = -(-count // len(digits.train_labels))
        return (
            larger[0].repeat(times, 1, 1, 1)[:count],
            digits.train_labels.repeat(times)[:count],
            larger[1],
            digits.test_labels,
        )

    def told(self, model: Any, images: int, precision: str = "fp32", **more: Any) -> dict[str, Any]:
        common = {"model": model, "data": self.data(images), "precision": precision, "device": self.device}
        return {**common, "loaders": self.loaders, **more}

    def ours(self, told: dict[str, Any]) -> list[Trainer]:
        """This project's, by as many processes as are to be tried."""
        return [
            Trainer(f"bench, {told['precision']}, {count} processes", "ours", told, count, threads=1)
            for count in self.workers
        ]


def speed(machine: Machine, models: Sequence[str], rounds: int, seconds: float) -> None:
    shown = ", ".join(f"{value / 1e9:,.0f} GFLOP/s in {name}" for name, value in machine.peaks.items())
    print(f"\nLarge matrix products on all of this machine, measured: {shown}.\n")
    if machine.precisions == ("fp32",):
        print("It has no units for bf16, which it only imitates: no rows in bf16, fp32 is the best.\n")
    print("| model | trainer | images/s | spread | runs/h | beside the reference | of the peak |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for label in models:
        model = MODELS.get(label, label)
        images = machine.images({"VGG-5": 1_200, "VGG, 16 wide": 6_000}.get(label, 12_000))
        fp32, bf16 = (machine.told(model, images, precision) for precision in ("fp32", "bf16"))
        # Its rate does not depend on how many images there are, and on a GPU its epochs would take minutes.
        few = {**fp32, "data": machine.data(images // 20)} if machine.cuda else fp32
        reference = Trainer(
            "reference, as written", "reference", {**few, "together": 2 if machine.cuda else 1}
        )
        trainers = [
            reference,
            Trainer("reference, two processes at default threads", "reference", few, 2),
            Trainer("plain script, fp32", "plain", fp32),
            Trainer("plain script, bf16", "plain", bf16),
            machine.ours(fp32)[-1],
            *machine.ours(bf16),
        ]
        trainers = [trainer for trainer in trainers if trainer.told["precision"] in machine.precisions]
        race(trainers, rounds, seconds)
        flops = flops_per_image(model)
        for trainer in trainers:
            rate = statistics.median(trainer.rates)
            precision = trainer.told["precision"]
            print(
                f"| {label} | {trainer.name} | {rate:,.0f} "
                f"| {min(trainer.rates):,.0f}–{max(trainer.rates):,.0f} | {rate * 3600 / FULL_RUN:.3g} "
                f"| {ratio(trainer, reference)} | {rate * flops / machine.peaks[precision]:.0%} |",
                flush=True,
            )
    print("\nRuns/h: of 200 epochs on 124,800 images, at this speed. Ratios: median over rounds.")


def ratio(one: Trainer, other: Trainer) -> str:
    return f"{statistics.median(a / b for a, b in zip(one.rates, other.rates, strict=True)):.2f}×"


def peak(machine: Machine, precision: str) -> float:
    count = 1 if machine.cuda else machine.cores
    trainer = Trainer("products", "product", {"device": machine.device, "precision": precision}, count, 1)
    race([trainer], rounds=3, seconds=2.0)
    return max(trainer.rates)


def flops_per_image(model: Any) -> float:
    """Of one image forwards and backwards, as torch counts them."""
    import pipelines
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    built = pipelines.initial_model({"model": model, "data": "", "precision": "fp32"}, 26)
    with FlopCounterMode(display=False) as counter:
        built(torch.zeros(10, 1, 28, 28)).sum().backward()
    return counter.get_total_flops() / 10


def library(machine: Machine, models: Sequence[str], rounds: int, seconds: float) -> None:
    """Models of timm and torchvision, beside the careful script with a DataLoader, in equal precision."""
    print("\n| model, image side | precision | plain script, images/s | bench, images/s | ratio | spread |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for entry, precision in itertools.product(models, machine.precisions):
        name, _, side = entry.partition(":")
        model = {name: {"image_size": int(side)}}
        told = machine.told(model, machine.images(400), precision)
        trainers = [Trainer("plain", "plain", told), machine.ours(told)[-1]]
        race(trainers, rounds, seconds)
        plain, own = (statistics.median(trainer.rates) for trainer in trainers)
        ratios = [b / a for a, b in zip(trainers[0].rates, trainers[1].rates, strict=True)]
        print(
            f"| {name}, {side} | {precision} | {plain:,.0f} | {own:,.0f} | {statistics.median(ratios):.2f}× "
            f"| {min(ratios):.2f}×–{max(ratios):.2f}× |",
            flush=True,
        )


def accuracy(machine: Machine, seeds: int, margin: float) -> None:
    """After equal epochs, ours and the reference get the same images right, within a margin.

    On handwritten digits, which are learned in that time: before that, accuracy says little.
    """
    import numpy as np

    from bench.statistics.equivalence import tost
    from bench.statistics.paired import paired_t

    machine = Machine(machine.device, machine.workers, machine.folder, "digits", machine.scale)
    images, epochs = max(200, round(6_000 * machine.scale)), 8
    with np.load(machine.data(images)) as saved:
        total = len(saved["test_labels"])
    correct: dict[str, list[int]] = {"reference": [], "ours": []}
    for seed in range(seeds):
        for kind, found in correct.items():
            trainer = Trainer(
                kind, kind, machine.told(MODELS["small CNN"], images, seed=seed), 1, threads=machine.cores
            )
            trainer.start()
            [answer], _ = trainer.work(epochs)
            trainer.stop()
            found.append(answer["correct"])
        say(f"  seed {seed}: {correct['reference'][-1]} and {correct['ours'][-1]} of {total}")
    differences = [a - b for a, b in zip(correct["ours"], correct["reference"], strict=True)]
    result = paired_t(differences, total)
    means = [statistics.mean(found) / total for found in correct.values()]
    p = tost(result, margin / 100)
    print(
        f"\nAccuracy on {total} images of digits after {epochs} epochs, {seeds} paired seeds: "
        f"reference {means[0]:.2%}, bench {means[1]:.2%}; two one-sided tests within ±{margin:g} points: "
        f"{'undefined' if p is None else f'p = {p:.3g}'}"
    )


def bits(machine: Machine) -> None:
    """A run's weights, alone and beside others, by their hash."""
    hashes = []
    for precision in machine.precisions:
        told = machine.told("vgg5", machine.images(1_200), precision)
        for count in (1, machine.workers[-1]):
            trainer = Trainer("hashes", "weights", told, count, threads=1)
            trainer.start()
            answers, _ = trainer.work(1)
            trainer.stop()
            hashes.append({answer["hash"] for answer in answers})
            for note in {note for answer in answers for note in answer["notes"]}:
                print(f"- {note}")
        same = len(hashes[-1]) == 1 and hashes[-1] == hashes[-2]
        print(
            f"\nBits in {precision}: alone {sorted(hashes[-2])}, {machine.workers[-1]} side by side "
            f"{sorted(hashes[-1])}: {'the same' if same else 'DIFFERENT'}"
        )


def kernels(machine: Machine, models: Sequence[str]) -> None:
    """Where the time of a step goes."""
    for label in models:
        precision = machine.precisions[-1]
        images = max(machine.images(6_000), 20_000 if machine.cuda else 3_000)  # for so many steps
        told = machine.told(MODELS.get(label, label), images, precision)
        trainer = Trainer("kernels", "kernels", told, 1, threads=1)
        trainer.start()
        # On a GPU images are prepared for some 80 steps at once: two such chunks.
        [answer], _ = trainer.work(162 if machine.cuda else 20)
        trainer.stop()
        print(
            f"\nA step of {label} in {precision}, batch 100: kernels {answer['total_us']:,.0f} µs of "
            f"{answer['wall_us']:,.0f} µs, profiled\n"
        )
        print("| kernel | times a step | share |\n| --- | ---: | ---: |")
        for name, times, share in answer["kernels"]:
            print(f"| `{name[:90].replace('|', ' ')}` | {times:.3g} | {share:.1%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="what 150 seconds of a GPU show: kernels and speed of VGG-5, two rounds of three seconds, a "
        "fifth of the images, 1, 8 and 16 processes",
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS[:5])
    parser.add_argument("--models", nargs="+", help="of speed and kernels, or with :SIDE of library")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dataset", choices=("synthetic-letters", "digits"), default="synthetic-letters")
    parser.add_argument(
        "--workers",
        type=int,
        nargs="+",
        help="numbers of processes of bench to try in speed, of which the other sections take the last "
        "(default: one a core; 1 2 4 8 on a GPU)",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of one round of one trainer")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of images in an epoch")
    parser.add_argument("--runs", type=int, default=60, help="of the quickstart")
    parser.add_argument("--seeds", type=int, default=10, help="of the check of accuracy")
    parser.add_argument("--margin", type=float, default=1.0, help="of that check, in accuracy points")
    if parser.parse_known_args()[0].quick:
        parser.set_defaults(
            only=["kernels", "speed"], models=["VGG-5"], rounds=2, seconds=3.0, scale=0.2, workers=[1, 8, 16]
        )
    asked = parser.parse_args()
    began = time.time()
    import torch

    device = asked.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    from bench.launch.side_by_side import multi_process_service

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        mps = "CUDA_MPS_PIPE_DIRECTORY" in os.environ  # somebody else's
        if device.startswith("cuda") and stack.enter_context(multi_process_service()):
            mps = reaches_gpu()
            if not mps:
                stack.close()
        machine = Machine(device, asked.workers, Path(folder), asked.dataset, asked.scale)
        header(machine, mps)
        for section in asked.only:
            say(section)
            if section == "speed":
                speed(machine, asked.models or list(MODELS), asked.rounds, asked.seconds)
            elif section == "library":
                library(machine, asked.models or LIBRARY, asked.rounds, asked.seconds)
            elif section == "quickstart":
                from short_runs import compare

                compare(asked.rounds, machine.cores, asked.runs)
            elif section == "accuracy":
                accuracy(machine, asked.seeds, asked.margin)
            elif section == "bits":
                bits(machine)
            else:
                kernels(machine, asked.models or ["VGG-5"])
    print(f"\n{(time.time() - began) / 60:.0f} minutes; load average at the end {os.getloadavg()[0]:.1f}")


def reaches_gpu() -> bool:
    """Whether a process can use the GPU under the MPS that was started: in some containers none can."""
    command = [sys.executable, "-c", "import torch; torch.zeros(1, device='cuda').item()"]
    try:
        return subprocess.run(command, timeout=60, stderr=subprocess.DEVNULL, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def header(machine: Machine, mps: bool) -> None:
    """What the figures belong to."""
    import torch

    from bench.training.device import fingerprint

    seen = fingerprint(torch.device(machine.device))
    what = f", {'with' if mps else 'without'} MPS" if machine.cuda else f", {machine.cores} cores"
    print(f"`{' '.join(['python', *sys.argv])}`\n")
    print(
        f"{seen['device']}{what} ({seen['instructions']}), torch {seen['torch']}, Python "
        f"{platform.python_version()}, data {machine.dataset}; load average at the start "
        f"{os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
