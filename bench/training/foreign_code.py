"""A model and a loss of the user's own in a training: whether checkpoints keep their state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.errors import BenchError
from bench.registry import Choice, ForeignOptions, recordable
from bench.training import checkpoint
from bench.training.own_state import Watcher, keeps_state


class ForeignCode:
    """The model and the loss of a training, where they are the user's own.

    Args:
        parts: the choice and its object, by the part of the training's state that has its state.
        warnings: gets what is not kept.
    """

    def __init__(self, parts: Mapping[str, tuple[Choice, object]], warnings: list[str]) -> None:
        self.parts = {
            name: part for name, part in parts.items() if isinstance(part[0].options, ForeignOptions)
        }
        self.warnings = warnings
        # Those whose author does not promise that a step can be recorded.
        self.silent = {choice.label(): code for choice, code in self.parts.values() if not recordable(choice)}
        self.watcher = Watcher(self.silent, warnings)

    def check(self, state: Mapping[str, Any]) -> None:
        """Raise BenchError where a checkpoint cannot keep the state of a part."""
        for part, (choice, _) in self.parts.items():
            if reason := checkpoint.refusal(state.get(part)):
                raise BenchError(
                    f"{part} '{choice.label()}': a checkpoint cannot keep what its state_dict gives: {reason}"
                )

    def not_recordable(self) -> str:
        """Why steps must not be recorded; empty where they may be."""
        return f"`recordable = True` is not said by {' and '.join(self.silent)}" if self.silent else ""

    def warn_of_resuming(self, step: int, state: Mapping[str, Any]) -> None:
        """Warn of parts whose state a training that goes on from a checkpoint may lack."""
        self.warnings += [
            f"resumed at step {step:,}: what {choice.label()} keeps outside its state is not restored"
            for part, (choice, code) in self.parts.items()
            if step and not recordable(choice) and not (keeps_state(code) and part in state)
        ]
