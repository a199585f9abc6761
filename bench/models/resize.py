"""What models of other libraries need before they take small greyscale images."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Resized(nn.Module):
    """A model that sees its images resized (bilinear, on the device) to ``size`` × ``size`` pixels."""

    def __init__(self, model: nn.Module, size: int) -> None:
        super().__init__()
        self.model = model
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """[N, C, H, W] to logits [N, classes]."""
        larger = F.interpolate(images, size=(self.size, self.size), mode="bilinear", antialias=True)
        logits: Tensor = self.model(larger)
        return logits


def first_convolution(model: nn.Module, channels: int) -> None:
    """Replace the first convolution of a 3-channel model by one for ``channels``, in place.

    torchvision's models take three channels only; timm has ``in_chans`` for this. The new convolution has
    torch's ordinary initial weights. Raises ValueError where there is none to replace.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            replacement = nn.Conv2d(
                channels,
                module.out_channels,
                module.kernel_size,  # type: ignore[arg-type]
                module.stride,  # type: ignore[arg-type]
                module.padding,  # type: ignore[arg-type]
                module.dilation,  # type: ignore[arg-type]
                bias=module.bias is not None,
            )
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, replacement)
            return
    raise ValueError("it has no convolution that could take another number of channels")
