"""How exported weights are loaded: lines of Python that a reader can paste.

They need torch, safetensors and whoever has the code of the network: timm, torchvision, the user, or bench.
"""

from __future__ import annotations

import pprint
from collections.abc import Mapping
from typing import Any

from bench.datasets import Form
from bench.models import LibraryModel
from bench.runs import Resolved
from bench.training.reading import EXPORTED


def loading(resolved: Resolved, form: Form) -> str:
    """Lines of Python that load the weights, beside them: with bench only where it has the network's code."""
    kind = {255.0: "uint8", 65_535.0: "uint16"}.get(form.top, "floats")
    mean, std = (f"torch.tensor({list(v)}).view(1, -1, 1, 1)" for v in (form.mean, form.std))
    imports, build, resized = _network(resolved, form)
    normalised = f"(images / {form.top:g} - mean) / std" if form.top != 1 else "(images - mean) / std"
    load = [f'weights = load_file("{EXPORTED}")']
    if resized is not None:
        load.append('weights = {name.removeprefix("model."): tensor for name, tensor in weights.items()}')
        imports = [*imports, "from torch.nn.functional import interpolate"]
    lines = [
        "import torch",
        *imports,
        "from safetensors.torch import load_file",
        "",
        f"model = {build}",
        *load,
        "model.load_state_dict(weights)",
        "model.eval()",
        f"mean, std = {mean}, {std}",
        "",
        "",
        "def logits(images):",
        f'    """Of images, {kind} [N, {", ".join(map(str, form.shape))}]: [N, {form.classes}]."""',
        f"    shown = {normalised}",
    ]
    if resized is not None:
        size = f"size=({resized}, {resized})"
        lines.append(f'    shown = interpolate(shown, {size}, mode="bilinear", antialias=True)')
    lower = {"bf16": "bfloat16", "fp16": "float16"}.get(resolved.recipe.precision)
    precision = f", torch.autocast(images.device.type, dtype=torch.{lower})" if lower else ""
    return "\n".join([*lines, f"    with torch.inference_mode(){precision}:", "        return model(shown)"])


def _network(resolved: Resolved, form: Form) -> tuple[list[str], str, int | None]:
    """Imports, the call that builds the network, and the side to which images are resized, if they are."""
    choice = resolved.model
    channels, classes = form.shape[0], form.classes
    library, _, name = choice.name.partition("/")
    if isinstance(choice.options, LibraryModel) and (library == "timm" or channels == 3):
        options: dict[str, Any] = {"num_classes": classes, **(choice.options.model_extra or {})}
        resized = choice.options.image_size
        if library == "timm":
            call = _call("timm.create_model", name, {**options, "in_chans": channels})
            return ["import timm"], call, resized
        options = {"weights": None, **options}
        return ["import torchvision"], _call("torchvision.models.get_model", name, options), resized
    if ":" in choice.name:
        module, _, function = choice.name.partition(":")
        options = {"channels": channels, "classes": classes, **(choice.options.model_extra or {})}
        options.pop("source", None)
        return [f"from {module} import {function}"], _call(function, None, options), None
    description = {k: v for k, v in choice.describe().items() if k not in ("weights", "digest")}
    chosen = f"choose_model({pprint.pformat(description, width=90, sort_dicts=False)})"
    built = f"build({chosen}, {form.shape}, {classes})"
    return ["from bench.models import build, choose_model"], built, None


def _call(function: str, first: str | None, options: Mapping[str, Any]) -> str:
    arguments = [*([repr(first)] if first else []), *(f"{key}={value!r}" for key, value in options.items())]
    return f"{function}({', '.join(arguments)})"
