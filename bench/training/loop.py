"""The training loop: one run, on one device, from its description to its result.

Everything random comes from (data set, model, seed) through generators of their own for each purpose
(:meth:`bench.run.Resolved.derive`), drawn anew each epoch or step. So a training that stops after any step
goes on from its checkpoint to the same bits, and two losses see the same images in the same order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import datasets, losses, models
from bench.choices import Choice
from bench.errors import BenchError
from bench.results import Damaged, RunFolder
from bench.run import Resolved, Run
from bench.training import augment, checkpoint, evaluation, optimization, weights

_CHUNK = 512  # images augmented at once: enough to be fast, few enough to stay in the cache
_EVALUATION_BATCH = {"cpu": 500, "cuda": 5000}


class Diverged(BenchError):
    """The loss is no longer a number. More epochs would not help."""


def train(
    run: Run,
    folder: RunFolder,
    *,
    device: torch.device,
    data: Path,
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint_seconds: float = 60.0,
    keep_weights: bool = False,
) -> bool:
    """Train a run from where its folder says it is, and write its result there.

    Args:
        run: what to train.
        folder: where metrics, checkpoint and result go. The caller holds its claim.
        device: from :func:`bench.training.device.prepare`.
        data: the folder of the data sets.
        should_stop: asked before every step; once true, the state is saved and the training ends.
        checkpoint_seconds: least time between two checkpoints. They follow the clock, so that a run of
            seconds writes none.
        keep_weights: also write the weights of the epoch that counts.

    Returns:
        Whether the run is finished; False where it was stopped.

    Raises:
        Diverged: the loss became NaN or infinite.
        BenchError: the data set, the model or the loss cannot be built.
        OSError: the results folder cannot be written.
    """
    began = saved = time.monotonic()
    path = folder.path / "checkpoint.pt"
    training = Training(run.resolve(), data, device, keep_weights)
    try:
        state = checkpoint.load(path, device)
    except Damaged as damage:
        training.warnings.append(f"{damage}; set aside as {folder.set_aside('checkpoint.pt')}, started again")
        state = None
    if state is not None:
        training.load_state(state)
    folder.write_metrics(training.history)
    earlier = training.seconds

    while training.epoch < training.recipe.epochs:
        for _ in training.steps():
            now = time.monotonic()
            stop = should_stop()
            if stop or now - saved >= checkpoint_seconds:
                training.seconds = earlier + now - began
                checkpoint.save(path, training.state())
                saved = time.monotonic()
            if stop:
                return False
        folder.append_metrics(training.end_epoch())

    training.seconds = earlier + time.monotonic() - began
    kept = weights.to_bytes(training.kept, run) if training.kept else None
    if keep_weights and kept is None:
        training.warnings.append("weights were not kept: that was asked for after the epoch that counts")
    folder.finish(training.result(), training.predictions(), kept)
    return True


class Objective(torch.nn.Module):
    """A loss as a module, which owns the weights that the loss learns, if it learns any."""

    def __init__(self, choice: Choice) -> None:
        super().__init__()
        self.function = losses.as_function(choice)
        initial = choice.options.initial_weights() if isinstance(choice.options, losses.Loss) else ()
        self.weights = torch.nn.Parameter(torch.tensor(initial)) if initial else None

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean loss of logits [N, K] for labels [N] or probabilities [N, K]."""
        if self.weights is None:
            return self.function(logits, target)
        return self.function(logits, target, self.weights)

    def learned_weights(self) -> list[float]:
        """The weights of the loss's terms as they are now; empty where they are not learned."""
        if self.weights is None:
            return []
        assert isinstance(self.function, losses.Loss)
        found: list[float] = self.function.weigh(self.weights.detach()).tolist()
        return found


class Training:
    """A run under way: its model, its optimizer, and how far it is. Starts at the first step."""

    def __init__(
        self, resolved: Resolved, data: Path, device: torch.device, keep_weights: bool = False
    ) -> None:
        self.resolved = resolved
        self.recipe = resolved.recipe
        self.device = device
        images = datasets.load(resolved.dataset, data)
        self.form = images.form
        self._place_data(images)

        torch.manual_seed(resolved.derive("init"))
        model = models.build(resolved.model, self.form.shape, self.form.classes)
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.objective = Objective(resolved.loss).to(device)
        self.optimizer = optimization.build_optimizer(
            self.recipe.optimizer, [*self.model.parameters(), *self.objective.parameters()]
        )
        self.base_rate: float = self.optimizer.param_groups[0]["lr"]
        self.dropout_seed = resolved.derive("dropout")
        # Not torch.manual_seed: that walks over every kind of device, 0.5 ms a call.
        cuda = device.type == "cuda"
        self.device_generator = (
            torch.cuda.default_generators[device.index or 0] if cuda else torch.default_generator
        )

        self.epoch = 0  # epochs finished
        self.step = 0  # steps taken in the epoch under way
        self.rate = 1.0  # what random_cube has made of the learning rate
        self.seconds = 0.0
        self.history: list[dict[str, Any]] = []
        self.warnings: list[str] = []
        self.chosen: dict[str, Any] = {}  # test predictions and scores at the epoch that counts so far
        self.keep_weights = keep_weights
        self.kept: dict[str, Tensor] = {}  # the weights at that epoch, where they are wanted
        self._start_epoch()

    def _place_data(self, images: datasets.Images) -> None:
        """Split off the validation images, and put everything on the device, as uint8."""
        train_images, train_labels = images.train_images, images.train_labels
        self.validation: tuple[Tensor, Tensor] | None = None
        if self.resolved.selection == "validation":
            rng = np.random.default_rng(self.resolved.derive("split"))
            size = round(self.recipe.validation * len(train_labels))
            if not 0 < size < len(train_labels):
                raise BenchError(
                    f"recipe.validation: a share of {self.recipe.validation} leaves {size} validation images "
                    f"of {len(train_labels)}; at least one must stay on either side"
                )
            held_out, kept = datasets.stratified_split(train_labels.numpy(), size, rng)
            self.validation = self._placed(train_images[held_out], train_labels[held_out])
            train_images, train_labels = train_images[kept], train_labels[kept]
        self.images, self.labels = self._placed(train_images, train_labels)
        self.test = self._placed(images.test_images, images.test_labels)
        scale = 1 / (255 * torch.tensor(self.form.std, device=self.device))
        shift = torch.tensor(self.form.mean, device=self.device) * 255 * scale
        self.scale, self.shift = scale.view(1, -1, 1, 1), shift.view(1, -1, 1, 1)

    def _placed(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return images.to(self.device), labels.to(self.device)

    # ------------------------------------------------------------------------------------ one epoch

    def _start_epoch(self) -> None:
        self.step = 0
        # Sums stay on the device: asking for their values would wait for it at every step.
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.correct = torch.zeros((), dtype=torch.int64, device=self.device)
        self.epoch_seconds = 0.0

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch. A last batch of one image is left out: batch norm cannot use it."""
        whole, rest = divmod(len(self.labels), self.recipe.batch_size)
        return whole + (rest > 1)

    def steps(self) -> Iterator[None]:
        """Take the remaining steps of this epoch; yields before each one, when the state may be saved."""
        self.model.train()
        batches = self._batches()
        while self.step < self.steps_per_epoch:
            yield
            began = time.monotonic()
            self._take_step(*next(batches))
            self.step += 1
            self.epoch_seconds += time.monotonic() - began

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of this epoch from the current step on: normalised images and labels."""
        count, size = len(self.labels), self.recipe.batch_size
        order = torch.randperm(count, generator=self._generator("order"))
        drawn = augment.draw(self.recipe.augment, count, self.form.shape, self._generator("augmentation"))
        chunk = max(1, _CHUNK // size) * size
        skip = self.step * size
        for start in range(skip - skip % chunk, count, chunk):
            rows = slice(start, min(start + chunk, count))
            chosen = order[rows].to(self.device)
            raw = self.images[chosen].float()
            images = self._normalised(augment.apply(self.recipe.augment, drawn, raw, rows))
            labels = self.labels[chosen]
            for first in range(max(skip - start, 0), len(labels), size):
                yield images[first : first + size], labels[first : first + size]

    def _take_step(self, images: Tensor, labels: Tensor) -> None:
        step = self.epoch * self.steps_per_epoch + self.step
        total = self.recipe.epochs * self.steps_per_epoch
        factor = optimization.learning_rate(self.recipe.schedule, step, total, self.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = self.base_rate * self.rate * factor
        # Seeding every step makes dropout a function of the step, whatever else drew random numbers.
        self.device_generator.manual_seed((self.dropout_seed + step) % 2**63)
        with self._precision():
            logits = self.model(images)
        logits = logits.float()
        loss = self.objective(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.loss_sum += loss.detach().double() * len(labels)
            self.correct += (logits.argmax(dim=1) == labels).sum()

    def end_epoch(self) -> dict[str, Any]:
        """Score the epoch, decide whether it counts, and return its line of ``metrics.jsonl``.

        Raises:
            Diverged: the mean training loss, or the test loss, is not finite.
        """
        seen = min(len(self.labels), self.steps_per_epoch * self.recipe.batch_size)
        train_loss, correct = float(self.loss_sum) / seen, int(self.correct)
        if not math.isfinite(train_loss):
            raise Diverged(f"diverged: the training loss is {train_loss} in epoch {self.epoch + 1}")
        rate = self.optimizer.param_groups[0]["lr"]
        speed = seen / max(self.epoch_seconds, 1e-9)

        self.model.eval()
        logits = self._logits(self.test[0])
        test = evaluation.score(logits, self.test[1])
        if not math.isfinite(test.nll):
            raise Diverged(f"diverged: the test loss is {test.nll} after epoch {self.epoch + 1}")
        line = {
            "epoch": self.epoch + 1,
            "time": time.time(),
            "lr": rate,
            "train_loss": train_loss,
            "train_accuracy": correct / seen,
            "test_loss": test.nll,
            "test_accuracy": test.correct / test.total,
            "test_correct": test.correct,
            "images_per_second": speed,
        }
        if self.validation is not None:
            validation = evaluation.score(self._logits(self.validation[0]), self.validation[1])
            line["validation_loss"] = validation.nll
            line["validation_accuracy"] = validation.correct / validation.total
        line |= {f"w{k}": w for k, w in enumerate(self.objective.learned_weights(), start=1)}
        self._choose_epoch(line, test, logits)
        self.history.append(line)
        self.epoch += 1
        self._start_epoch()
        return line

    def _choose_epoch(self, line: dict[str, Any], test: evaluation.Scores, logits: Tensor) -> None:
        """Keep this epoch's test scores if it is the one that counts; let random_cube act if it is not."""
        selection = self.resolved.selection
        judged = "validation_accuracy" if selection == "validation" else "test_accuracy"
        best = all(line[judged] > earlier[judged] for earlier in self.history)
        if best or selection == "last":
            kind = torch.uint8 if self.form.classes <= 256 else torch.int32
            predicted = logits.argmax(dim=1).to(kind).cpu()
            self.chosen = {**test._asdict(), "epoch": line["epoch"], "predicted": predicted}
            self.kept = weights.held(self.model) if self.keep_weights else {}
        elif self.recipe.schedule.name == "random_cube":
            self.rate = optimization.random_cube(self.resolved.derive("schedule", line["epoch"]))

    @torch.inference_mode()
    def _logits(self, images: Tensor) -> Tensor:
        """Logits [N, K] in float32 of raw images, in large batches."""
        size = _EVALUATION_BATCH[self.device.type]
        parts = []
        for start in range(0, len(images), size):
            with self._precision():
                batch = self._normalised(images[start : start + size].float())
                parts.append(self.model(batch).float())
        return torch.cat(parts)

    def _normalised(self, raw: Tensor) -> Tensor:
        return (raw * self.scale - self.shift).contiguous(memory_format=torch.channels_last)

    def _precision(self) -> AbstractContextManager[Any]:
        if self.recipe.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def _generator(self, purpose: str) -> torch.Generator:
        """A generator on the CPU, so that what it draws does not depend on the device."""
        return torch.Generator().manual_seed(self.resolved.derive(purpose, self.epoch))

    # --------------------------------------------------------------------------------- state, result

    def state(self) -> dict[str, Any]:
        """Everything needed to go on from here to the same bits."""
        return {
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sums": (self.loss_sum, self.correct, self.epoch_seconds),
            "progress": (self.epoch, self.step, self.rate, self.seconds),
            "history": self.history,
            "warnings": self.warnings,
            "chosen": self.chosen,
            "kept": self.kept,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a saved :meth:`state`."""
        self.model.load_state_dict(state["model"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.loss_sum, self.correct, self.epoch_seconds = state["sums"]
        self.epoch, self.step, self.rate, self.seconds = state["progress"]
        self.history, self.chosen = state["history"], state["chosen"]
        self.kept = state.get("kept", {}) if self.keep_weights else {}
        self.warnings += state["warnings"]

    def predictions(self) -> np.ndarray[Any, Any]:
        """Predicted and true class of every test image at the epoch that counts, [2, N]."""
        kind = np.uint8 if self.form.classes <= 256 else np.uint16
        pair = [self.chosen["predicted"].cpu().numpy(), self.test[1].cpu().numpy()]
        return np.stack(pair).astype(kind)

    def result(self) -> dict[str, Any]:
        """The fields of :class:`bench.results.Result` that training decides."""
        best = max(self.history, key=lambda line: line["test_correct"])
        images = sum(line["images_per_second"] for line in self.history)
        return {
            **{key: value for key, value in self.chosen.items() if key != "predicted"},
            "last": {"epoch": self.epoch, "correct": self.history[-1]["test_correct"]},
            "best_test": {"epoch": best["epoch"], "correct": best["test_correct"]},
            "images_per_second": images / len(self.history),
            "seconds": self.seconds,
            "warnings": self.warnings,
        }
