"""The weights of a network as a safetensors file: numbers and names, no code, readable without ``bench``."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors.torch import save
from torch import Tensor

from bench.runs import Run, canonical

RUN_KEY = "bench.runs"
"""Of the file's metadata: the description of the run that made it, as JSON."""


def held(model: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers on the CPU, which further training leaves as it is.

    Other things that a user's model has in its state are for checkpoints alone.
    """
    state = model.state_dict().items()
    return {name: _own(tensor) for name, tensor in state if isinstance(tensor, Tensor)}


def to_bytes(state: Mapping[str, Tensor], run: Run) -> bytes:
    """The file. The same weights of the same run give the same bytes."""
    # One key: safetensors writes several in no certain order.
    content: bytes = save(dict(state), {RUN_KEY: canonical(run.description)})
    return content


def _own(tensor: Tensor) -> Tensor:
    # safetensors takes neither channels_last nor two names of one memory.
    return tensor.detach().to("cpu", copy=True).contiguous(memory_format=torch.contiguous_format)
