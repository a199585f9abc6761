"""The network that a training begins with: as its seed draws it, or with weights that there are already."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from bench import models
from bench.errors import BenchError, nearest
from bench.models import LibraryModel, StartingWeights
from bench.models.resize import Resized
from bench.registry import Choice
from bench.training.reading import read_checkpoint

_MARKS = ("", "module.", "model.", "_orig_mod.")
"""What wrappers put before the names of all weights."""


def begin(choice: Choice, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build a model for images of ``shape`` (C, H, W), with the weights that its options ask for.

    A last layer for another number of classes is left as the seed draws it. Everything random comes from
    torch's default generator, which the caller seeds.

    Raises:
        BenchError: the model cannot be built, the weights cannot be had here, or they are another model's.
    """
    model = models.build(choice, shape, classes)
    options = choice.options
    network = model.model if isinstance(model, Resized) else model
    if isinstance(options, StartingWeights) and options.weights is not None:
        checkpoint = read_checkpoint(models.find_weights(options.weights))
        if not checkpoint.sha256.startswith(options.digest):
            raise BenchError(f"{checkpoint.path}: changed while it was read")
        _fit(network, checkpoint.state, f"{checkpoint.path}: does not fit model '{choice.label()}'")
    elif isinstance(options, LibraryModel) and options.pretrained:
        return _pretrained(choice, model, network, shape, classes)
    return model


def _pretrained(
    choice: Choice, model: nn.Module, network: nn.Module, shape: tuple[int, int, int], classes: int
) -> nn.Module:
    library, _, name = choice.name.partition("/")
    if library == "timm":
        import timm

        # In its name's own words: which of the weights, or none.
        if not any(getattr(network, "pretrained_cfg", {}).get(key) for key in ("hf_hub_id", "url", "file")):
            names = {name.partition(".")[0] for name in timm.list_pretrained()}
            raise BenchError(
                f"model '{choice.name}': timm has no pretrained weights for it{nearest(name, names)}"
            )
        call = f"import timm; timm.create_model('{name}', pretrained=True)"
    else:
        call = f"import torchvision; torchvision.models.get_model('{name}', weights='DEFAULT')"
    try:
        if library == "timm":
            return models.build(choice, shape, classes, pretrained=True)
        import torchvision

        weights = torchvision.models.get_model_weights(name).DEFAULT
        state = weights.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # of the hub, of the network, of the disk: each library has its own
        cause = error.__cause__ if isinstance(error, BenchError) else error
        reason = f"{type(cause).__name__}: {cause}".partition("\n")[0][:100]
        raise BenchError(
            f"model '{choice.name}': its pretrained weights are not here, and fetching them failed "
            f"({reason}). Where there is a network and the same home folder, fetch them once: "
            f'python -c "{call}". '
            f"Or name a file that you have: {{{choice.name}: {{weights: FILE}}}}"
        ) from None
    _fit(network, state, f"model '{choice.name}': its pretrained weights do not fit")
    return model


def _fit(network: nn.Module, state: Mapping[str, Tensor], complaint: str) -> None:
    """Load a state, but for a last layer of another size.

    Raises:
        BenchError: another tensor is missing, or of another shape, or has no place; ``complaint`` begins it.
    """
    expected = network.state_dict()
    cut = (
        {name.removeprefix(mark): tensor for name, tensor in state.items() if name.startswith(mark)}
        for mark in _MARKS
    )
    weights = max(cut, key=lambda renamed: len(renamed.keys() & expected.keys()))
    last = [name for name, _ in network.named_parameters()][-1].rpartition(".")[0]
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    other = [name for name in expected.keys() & weights.keys() if shapes[name] != tuple(expected[name].shape)]
    missing = [name for name in expected.keys() - weights.keys() if not name.endswith("num_batches_tracked")]
    left_out = {name for name in (*other, *missing) if name.rpartition(".")[0] == last}
    extra = [name for name in weights.keys() - expected.keys() if name.rpartition(".")[0] != last]
    grey = [name for name in other if _is_grey(expected[name], weights[name])]
    wrong = {
        "missing": sorted({*missing} - left_out),
        "unexpected": sorted(extra),
        "of another shape": [
            f"{name} {shapes[name]} for {tuple(expected[name].shape)}"
            for name in sorted({*other} - left_out - {*grey})
        ],
    }
    if any(wrong.values()):
        parts = [f"{len(some)} {kind}, such as {', '.join(some[:3])}" for kind, some in wrong.items() if some]
        raise BenchError(f"{complaint}: {'; '.join(parts)}")
    fitting = {name: tensor for name, tensor in weights.items() if name in expected and name not in left_out}
    # The sum over colours: what a grey image in all three would give.
    fitting |= {name: weights[name].sum(1, keepdim=True) for name in grey}
    network.load_state_dict(fitting, strict=False)


def _is_grey(ours: Tensor, theirs: Tensor) -> bool:
    """Whether they are a convolution of one channel and the same one of three."""
    return ours.ndim == 4 and ours.shape[1] == 1 and theirs.shape == (ours.shape[0], 3, *ours.shape[2:])
