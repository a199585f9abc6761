"""The training loop: one run, on one device, from its description to its result.

Everything random comes from (data set, model, seed) through generators of their own for each purpose
(:meth:`bench.runs.Resolved.derive`), drawn anew each epoch or step. So a training that stops after any step
goes on from its checkpoint to the same bits, and two losses see the same images in the same order.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.errors import BenchError
from bench.metrics import Metric
from bench.predictions import Predictions
from bench.runs import Resolved
from bench.training import device as devices
from bench.training import evaluation, optimization, parameters, schedules, weights
from bench.training.batches import Batches
from bench.training.data import Data
from bench.training.foreign_code import ForeignCode
from bench.training.objective import Objective
from bench.training.replay import CudaRecorder, Recorder, Replayed
from bench.training.start import begin
from bench.training.step import Step, precision


class Diverged(BenchError):
    """The loss is NaN or infinite."""


class Training:
    """A run under way: its model, its optimizer, and how far it is. Starts at the first step."""

    def __init__(
        self,
        resolved: Resolved,
        data: Path,
        device: torch.device,
        recorder: Recorder | None = None,
        keep_weights: bool = False,
        keep_probabilities: bool = False,
        one_by_one: str = "",
    ) -> None:
        """Build everything.

        Args:
            recorder: replays steps (default: on CUDA its graphs, on a CPU none).
            one_by_one: why it must not.
        """
        self.resolved = resolved
        self.metric = Metric.of(resolved.metric) if resolved.metric else None
        self.recipe = resolved.recipe
        self.device = device
        devices.repeat_bits(device)
        self.data = Data(resolved, data, device)

        torch.manual_seed(resolved.derive("init"))
        _seed_python(resolved.derive("init"))
        form = self.data.form
        model = begin(resolved.model, form.shape, form.classes)
        model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.fixed = parameters.freeze(model, self.recipe)
        label = resolved.model.label()
        objective = Objective(resolved.loss, model, self.data.class_counts, device, label).to(device)
        objective.check(self.recipe)
        if recorder is None and device.type == "cuda":
            recorder = CudaRecorder(device)
        optimizer = optimization.build_optimizer(
            self.recipe.optimizer,
            parameters.trained(model, objective, self.recipe),
            recorded_on=None if recorder is None else device,
        )
        self.base_rate = optimization.base_rate(self.recipe.optimizer, optimizer)
        self.rates = schedules.rates(self.recipe, self.base_rate, self.data.steps_per_epoch)
        self.step = Step(model, objective, optimizer, self.recipe, device)
        self.dropout_seed = resolved.derive("dropout")
        # Not torch.manual_seed: that walks over every kind of device, 0.5 ms a call.
        cuda = device.type == "cuda"
        self.generator = torch.cuda.default_generators[device.index or 0] if cuda else torch.default_generator

        self.epoch = 0  # epochs finished
        self.taken = 0  # steps taken in the epoch under way
        self.rate = 1.0  # what past epochs have made of the learning rate
        self.seconds = 0.0
        self.history: list[dict[str, Any]] = []
        self.warnings: list[str] = [*self.data.notes]
        self.chosen: dict[str, Any] = {}  # test predictions and scores at the epoch that counts so far
        self.keep_probabilities = keep_probabilities
        self.keep_weights = keep_weights and objective.classifier is None
        if keep_weights and not self.keep_weights:
            reason = "the loss brings the classifier that is scored, which is no part of the model"
            self.warnings.append(f"weights were not kept: {reason}")
        self.kept_weights: dict[str, Tensor] = {}  # the weights at that epoch, where they are wanted
        self.take: Callable[[Tensor, Tensor], None] = self.step
        parts = {"model": (resolved.model, model), "loss": (resolved.loss, objective.bare)}
        self.foreign_code = ForeignCode(parts, self.warnings)
        self.foreign_code.check(self.step.state())  # now, and not at the first checkpoint
        reason = one_by_one or optimization.not_recordable(self.recipe) or self.foreign_code.not_recordable()
        if not reason and objective.each_step:
            reason = f"{resolved.loss.label()} takes {' and '.join(objective.each_step)}"
        if recorder is not None and reason:
            self.warnings.append(f"steps were launched one by one, which is slower: {reason}")
        elif recorder is not None:
            # A list, and no method of this object: circles would keep a GPU's memory after the run.
            self.take = Replayed(self.step, self.generator, recorder, self.warnings)
        self._start_epoch()

    @property
    def ended(self) -> bool:
        """Whether all epochs are done, or enough of them without a better validation metric."""
        if self.recipe.stop_early is None or self.epoch == self.recipe.epochs:
            return self.epoch == self.recipe.epochs
        return self.recipe.stop_early.met(self._judged(line, "validation") for line in self.history)

    def _start_epoch(self) -> None:
        self.taken = 0
        self.step.start_epoch()
        self.epoch_seconds = 0.0

    def steps(self) -> Iterator[None]:
        """Take the remaining steps of this epoch; yields before each one, when the state may be saved."""
        self.step.model.train()
        for module in self.fixed:
            module.eval()
        batches = self.data.batches(self.epoch, self.taken)
        asks = self.step.objective.asks
        order = None
        if "index" in asks:
            order = self.data.order(self.epoch).to(self.device)[: self.data.seen_per_epoch]
        while self.taken < self.data.steps_per_epoch:
            yield
            began = time.monotonic()
            if order is not None:
                first = self.taken * self.data.step_size
                self.step.objective.now["index"] = order[first : first + self.data.step_size]
            self._take_step(*next(batches))
            self.foreign_code.watcher.count_step()
            self.taken += 1
            self.epoch_seconds += time.monotonic() - began

    def _take_step(self, images: Tensor, target: Tensor) -> None:
        step = self.epoch * self.data.steps_per_epoch + self.taken
        self.last_rate = self.rates(step) * self.rate
        self.step.set_rate(self.last_rate)
        if self.step.objective.asks:
            total = self.recipe.epochs * self.data.steps_per_epoch
            self.step.objective.now.update(progress=step / total, epoch=self.epoch)
        # Seeding every step makes dropout a function of the step, whatever else drew random numbers.
        self.generator.manual_seed((self.dropout_seed + step) % 2**63)
        if self.take is self.step:  # what is replayed draws nothing on the host
            _seed_python(self.dropout_seed + step)
        self.take(images, target)

    def end_epoch(self) -> dict[str, Any]:
        """Score the epoch, decide whether it counts, and return its line of ``metrics.jsonl``.

        Raises:
            Diverged: the mean training loss, or the test loss, is not finite.
            MetricError: the metric that chooses the epoch fails, or is no finite number.
        """
        images = self.data.seen_per_epoch
        began = time.monotonic()
        train_loss, correct = float(self.step.loss_sum) / images, int(self.step.correct)
        self.epoch_seconds += time.monotonic() - began  # a GPU is behind: this has waited for it
        if not math.isfinite(train_loss):
            raise Diverged(f"diverged: the training loss is {train_loss} in epoch {self.epoch + 1}")
        speed = images / max(self.epoch_seconds, 1e-9)

        self.step.scored.eval()
        answers = self._answers(self.data.test)
        test = evaluation.score(answers)
        if not math.isfinite(test.nll):
            raise Diverged(f"diverged: the test loss is {test.nll} after epoch {self.epoch + 1}")
        line = {
            "epoch": self.epoch + 1,
            "time": time.time(),
            "lr": self.last_rate,
            "train_loss": train_loss,
            "train_accuracy": correct / images,
            "test_loss": test.nll,
            "test_accuracy": test.correct / test.total,
            "test_correct": test.correct,
            "images_per_second": speed,
        }
        if self.metric is not None:
            line[f"test_{self.metric.key}"] = self.metric.value(answers.predictions())
        if self.data.validation is not None:
            held_out = self._answers(self.data.validation)
            validation = evaluation.score(held_out)
            line["validation_loss"] = validation.nll
            line["validation_accuracy"] = validation.correct / validation.total
            if self.metric is not None:
                line[f"validation_{self.metric.key}"] = self.metric.value(held_out.predictions())
        line |= {f"w{k}": w for k, w in enumerate(self.step.objective.learned_weights(), start=1)}
        self._choose_epoch(line, test, answers)
        self.foreign_code.watcher.look()
        self.history.append(line)
        self.epoch += 1
        self._start_epoch()
        return line

    def _choose_epoch(
        self, line: dict[str, Any], test: evaluation.Scores, answers: evaluation.Answers
    ) -> None:
        """Keep this epoch's test scores if it is the one that counts; let random_cube act if it is not."""
        selection = self.resolved.selection
        images = "validation" if selection == "validation" else "test"
        value = self._judged(line, images)
        best = all(value > self._judged(earlier, images) for earlier in self.history)
        if best or selection == "last":
            kind = torch.uint8 if self.data.form.classes <= 256 else torch.int32
            self.chosen = {
                **test._asdict(),
                "epoch": line["epoch"],
                "predicted": answers.predicted.to(kind).cpu(),
                "details": answers.details(probabilities=self.keep_probabilities),
            }
            self.kept_weights = weights.held(self.step.scored) if self.keep_weights else {}
        elif self.recipe.schedule.name == "random_cube":
            self.rate = schedules.random_cube(self.resolved.derive("schedule", line["epoch"]))
        if self.recipe.schedule.name == schedules.PLATEAU:
            judged = [self._judged(each, images) for each in (*self.history, line)]
            higher = self.metric is None or self.metric.higher_is_better
            values = judged if higher else [-value for value in judged]
            self.rate = schedules.plateau(self.recipe.schedule, values, self.base_rate, maximised=higher)

    def _judged(self, line: Mapping[str, Any], images: str) -> float:
        """How good an epoch is on the ``test`` or ``validation`` images: more is better."""
        if self.metric is None:
            return float(line[f"{images}_accuracy"])
        value = float(line[f"{images}_{self.metric.key}"])
        return value if self.metric.higher_is_better else -value

    @torch.inference_mode()
    def _answers(self, held: tuple[Batches, Tensor]) -> evaluation.Answers:
        """The predictions for raw images, in large batches."""
        images, labels = held
        side = getattr(self.resolved.model.options, "image_size", None)
        size = evaluation.batch_size(self.device, *((side, side) if side else self.data.form.shape[1:]))
        parts = []
        for start in range(0, len(images), size):
            with precision(self.recipe.precision, self.device):
                batch = self.data.normalised(images[start : start + size].float())
                logits = self.step.scored(batch).float()
            judged = self.step.objective.judged(logits)
            parts.append(evaluation.answer(judged, labels[start : start + size]))
        return evaluation.Answers.join(parts)

    def state(self) -> dict[str, Any]:
        """All that is needed to go on bit for bit.

        Raises:
            BenchError: the user's own code has state that cannot be kept.
        """
        step = self.step.state()
        self.foreign_code.check(step)
        return {
            **step,
            "sums": (self.step.loss_sum, self.step.correct, self.epoch_seconds),
            "progress": (self.epoch, self.taken, self.rate, self.seconds),
            "history": self.history,
            "seen": self.data.digests.model_dump(),
            "warnings": self.warnings,
            "chosen": self.chosen,
            "kept": self.kept_weights,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a saved :meth:`state`; a warning names code of the user's own that promised nothing."""
        self.step.load_state(state)
        loss_sum, correct, self.epoch_seconds = state["sums"]
        self.step.loss_sum.copy_(loss_sum)  # in place, as whatever has been recorded adds to these
        self.step.correct.copy_(correct)
        self.epoch, self.taken, self.rate, self.seconds = state["progress"]
        self.history, self.chosen = state["history"], state["chosen"]
        self.kept_weights = state.get("kept", {}) if self.keep_weights else {}
        self.warnings += [warning for warning in state["warnings"] if warning not in self.warnings]
        step = self.epoch * self.data.steps_per_epoch + self.taken
        self.foreign_code.warn_of_resuming(step, state)

    def predictions(self) -> Predictions:
        """What is kept of the answers to the test images at the epoch that counts."""
        details: dict[str, Tensor] = self.chosen.get("details", {})  # a bench before this one kept none
        if not self.keep_probabilities:
            details = {name: value for name, value in details.items() if name != "probabilities"}
        return evaluation.predictions(self.chosen["predicted"], self.data.test[1], details)

    def result(self) -> dict[str, Any]:
        """The fields of :class:`bench.results.schema.Result` that training decides."""
        best = max(self.history, key=lambda line: self._judged(line, "test"))
        images = sum(line["images_per_second"] for line in self.history)
        return {
            **{key: value for key, value in self.chosen.items() if key not in ("predicted", "details")},
            "last": self._score(self.history[-1]),
            "best_test": self._score(best),
            "images_per_second": images / len(self.history),
            "seconds": self.seconds,
            "data": self.data.digests.model_dump(),
            "class_counts": self.data.class_counts().tolist(),
            "warnings": self.warnings,
        }

    def _score(self, line: Mapping[str, Any]) -> dict[str, Any]:
        value = None if self.metric is None else line[f"test_{self.metric.key}"]
        return {"epoch": line["epoch"], "correct": line["test_correct"], "value": value}


def _seed_python(seed: int) -> None:
    """Seed Python's and numpy's global generators, for code of the user's own."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002, it is what that code draws from
