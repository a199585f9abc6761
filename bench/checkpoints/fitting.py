"""A file's tensors put into a network: all of them, exactly, or a message that says what does not fit.

Training wraps networks, and wrappers leave their marks on names: those that are known are taken off where
that makes more names fit. How many outputs a network has is what its file says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bench import models
from bench.datasets import Form
from bench.errors import BenchError, nearest
from bench.registry import Choice
from bench.training.reading import Checkpoint

_MARKS = (
    (
        r"^((module|_orig_mod)\.)+",
        "",
        "without the 'module.' of DataParallel or '_orig_mod.' of torch.compile",
    ),
    (r"(?<=\.)_orig_mod\.", "", "without the '_orig_mod.' of torch.compile within them"),
    (
        r"^((module|_orig_mod|model|net|network)\.)+",
        "",
        "without what the network is called in what trained it",
    ),
    (r"^(?=fc_)", "classifier.", "with the head of the reference's Spinal-VGG moved into 'classifier'"),
    (r"^", "model.", "with 'model.' before each, as the images are resized"),
)
"""Pattern, replacement, and how that is said."""

_SHOWN = 4  # names of each kind in a message


@dataclass
class Fitted:
    """A network with somebody's weights in it, ready to be asked."""

    model: torch.nn.Module
    outputs: int
    parameters: int
    notes: list[str] = field(default_factory=list)
    """How it was made to fit."""


def fit(checkpoint: Checkpoint, choice: Choice, form: Form) -> Fitted:
    """Build the network that ``choice`` names, for images of ``form``, and give it a file's weights.

    It gets as many outputs as the file has, which may be more than there are classes.

    Raises:
        BenchError: the network cannot be built, or something is missing, unexpected or of another shape.
    """
    model = models.build(choice, form.shape, form.classes)
    state, notes = _without_marks(checkpoint.state, model.state_dict())
    outputs = _outputs(state, model.state_dict(), form.classes)
    if outputs != form.classes:
        model = models.build(choice, form.shape, outputs)
    expected = model.state_dict()
    used = {name: tensor for name, tensor in state.items() if name in expected}
    extra, remarks = _explained(state, used)
    complaints = _complaints(expected, used, extra)
    if complaints:
        fits = sum(tensor.shape == expected[name].shape for name, tensor in used.items())
        raise BenchError(
            f"{checkpoint.path}: does not fit model '{choice.label()}' (of its {len(expected)} names, {fits} "
            f"do): {'; '.join(complaints)}; name another with --model, or rename with --key-map"
        )
    if outputs < form.classes:
        raise BenchError(f"{checkpoint.path}: has {outputs} outputs, and the data set {form.classes} classes")
    notes += [*remarks, *_numbers(checkpoint, used, expected)]
    model.load_state_dict(used, strict=False)
    return Fitted(model.eval(), outputs, sum(p.numel() for p in model.parameters()), notes)


def _without_marks(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Names without what training put around them, as long as that makes more of them fit."""
    state, notes = dict(state), []
    again = True
    while again:
        again = False
        for pattern, replacement, words in _MARKS:
            renamed = {re.sub(pattern, replacement, name): tensor for name, tensor in state.items()}
            better = len(renamed.keys() & expected.keys()) > len(state.keys() & expected.keys())
            if better and len(renamed) == len(state):
                state, again = renamed, True
                notes.append(f"names {words}")
    return state, notes


def _outputs(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], classes: int) -> int:
    """Outputs of the file's network: what its last layers have in place of ``classes``, if others agree."""
    sizes = set()
    for name in state.keys() & expected.keys():
        theirs, ours = state[name].shape, expected[name].shape
        if theirs != ours:
            last = ours[:1] == (classes,) and theirs[1:] == ours[1:] and len(theirs) == len(ours)
            sizes.add(theirs[0] if last else None)
    [outputs] = sizes if len(sizes) == 1 else [None]
    return outputs or classes


def _explained(
    state: Mapping[str, Tensor], used: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """What is left over once everything is taken out that is known to be no part of a network.

    The authors of arXiv:2501.13709 keep the loss inside the network, as ``loss_module``, and all of its
    parts a second time under ``params``, for their optimizer.
    """
    extra = {name: tensor for name, tensor in state.items() if name not in used}
    notes = []
    if loss := {name: extra.pop(name) for name in list(extra) if name.startswith("loss_module.")}:
        values = (f"{name} = {t.item():.4g}" if t.numel() == 1 else name for name, t in loss.items())
        notes.append(f"not used: {', '.join(values)} (of the loss)")
    originals = [*used.values(), *loss.values()]
    twice = [name for name, t in extra.items() if name.startswith("params.") and _among(t, originals)]
    if twice:
        notes.append(f"not used: {len(twice)} tensors under 'params.' that are there twice")
    return {name: tensor for name, tensor in extra.items() if name not in twice}, notes


def _among(tensor: Tensor, tensors: Iterable[Tensor]) -> bool:
    return any(tensor.shape == other.shape and torch.equal(tensor, other) for other in tensors)


def _complaints(
    expected: Mapping[str, Tensor], used: Mapping[str, Tensor], extra: Mapping[str, Tensor]
) -> list[str]:
    # Old files lack the counters of batch norm, which only training reads.
    missing = [n for n in expected if n not in used and not n.endswith("num_batches_tracked")]
    pairs = [(name, [*tensor.shape], [*expected[name].shape]) for name, tensor in used.items()]
    shapes = [f"'{name}' is {shape} and not {other}" for name, shape, other in pairs if shape != other]
    near = [f"'{name}'{nearest(name, extra).removeprefix(';').replace('?', '')}" for name in missing]
    unexpected = [f"'{name}'" for name in extra]
    kinds = (("missing", near), ("unexpected", unexpected), ("of another shape", shapes))
    return [f"{kind}: {_listed(names)}" for kind, names in kinds if names]


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _numbers(checkpoint: Checkpoint, used: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Notes on how numbers are stored. Raises BenchError where they are no weights."""
    kinds = set()
    for name, tensor in used.items():
        if not expected[name].is_floating_point():
            continue
        if not tensor.is_floating_point():
            raise BenchError(
                f"{checkpoint.path}: '{name}' is {tensor.dtype}, expected floating-point numbers"
            )
        if not tensor.isfinite().all():
            raise BenchError(f"{checkpoint.path}: '{name}' holds values that are not finite")
        if tensor.dtype != expected[name].dtype:
            kinds.add(str(tensor.dtype).removeprefix("torch."))
    return [f"stored as {', '.join(sorted(kinds))}, computed in float32"] if kinds else []
