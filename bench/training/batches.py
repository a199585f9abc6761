"""Where the images of a run come from, chunk by chunk: the device's memory, or a file of any size.

Both give the same values in the same order, so a run has the same bits from either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

_SHARE = 0.4
"""Of a GPU's free memory that images may take; the rest is for the training."""


class Batches(Protocol):
    """A set of raw images [N, C, H, W], of the type that they are stored in."""

    def __len__(self) -> int:
        """The number of images N."""

    def __getitem__(self, part: slice) -> Tensor:
        """Consecutive images, on the device."""

    def chunks(self, rows: Tensor, parts: Sequence[slice]) -> Iterator[Tensor]:
        """For each part of ``rows`` (int64, on the CPU), the images of those rows, on the device."""


def batches_of(
    parts: Sequence[Tensor], device: torch.device, rows: Tensor | None = None, *, mapped: bool
) -> Batches:
    """Images [N, C, H, W] for a device, where :func:`to_device` has put them.

    Args:
        parts: of one type and shape, one after another.
        rows: int64 on the CPU, which of them there are; None: all.
        mapped: whether they are files that are mapped into memory. Those are streamed on a CPU, too.
    """
    if all(part.device == device for part in parts) and not (mapped and device.type == "cpu"):
        images = parts[0] if len(parts) == 1 else torch.cat([*parts])
        return Resident(images if rows is None else images[rows.to(device)])
    return Streamed(parts, device, rows)


def to_device(images: Tensor, device: torch.device, *, mapped: bool) -> Tensor:
    """Images on the device; those that are mapped from a file, where they fit there, and else as they are."""
    if mapped and device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if images.numel() * images.element_size() > _SHARE * free:
            return images
    if images.device == device:
        return images
    # A GPU can do next to nothing with uint16.
    return images.to(device, torch.int32 if images.dtype == torch.uint16 else images.dtype)


class Resident:
    """Images in the device's memory."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> Tensor:
        return self.images[part]

    def chunks(self, rows: Tensor, parts: Sequence[slice]) -> Iterator[Tensor]:
        """As :class:`Batches` has it; nothing in here waits for the device."""
        moved = move(rows, self.images.device)
        for part in parts:
            yield self.images[moved[part]]


class Streamed:
    """Images that stay on the host: a thread gathers the next chunk, and sends it, while one is used.

    Args:
        parts: on the CPU or the device, most often mapped from files, one after another.
        rows: int64 [N] on the CPU, which of them there are; None: all.
    """

    def __init__(self, parts: Sequence[Tensor], device: torch.device, rows: Tensor | None = None) -> None:
        last = [part.permute(0, 2, 3, 1) for part in parts]
        # As the cache stores them. What is one piece of memory for each image is gathered many times as fast.
        self.channels_last = all(part.is_contiguous() for part in last)
        self.parts = last if self.channels_last else [*parts]
        self.device = device
        self.rows = rows
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return sum(map(len, self.parts)) if self.rows is None else len(self.rows)

    def __getitem__(self, part: slice) -> Tensor:
        if self.rows is None and len(self.parts) == 1:
            images = self.parts[0][part]
        else:
            images = self._gathered(torch.arange(len(self))[part] if self.rows is None else self.rows[part])
        return self._channels_first(images.to(self.device))

    def chunks(self, rows: Tensor, parts: Sequence[slice]) -> Iterator[Tensor]:
        """As :class:`Batches` has it."""
        of_all = rows if self.rows is None else self.rows[rows]
        reader = ThreadPoolExecutor(1, thread_name_prefix="images")
        try:
            ahead: Future[tuple[Tensor, torch.cuda.Event | None]] | None = None
            for number in range(len(parts)):
                ahead = ahead or reader.submit(self._fetch, of_all[parts[number]])
                chunk, sent = ahead.result()
                more = number + 1 < len(parts)
                ahead = reader.submit(self._fetch, of_all[parts[number + 1]]) if more else None
                if sent is not None:
                    stream = torch.cuda.current_stream(self.device)
                    stream.wait_event(sent)
                    chunk.record_stream(stream)
                yield self._channels_first(chunk)
        finally:
            reader.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, rows: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        images = self._gathered(rows)
        if self._copies is None:
            return images, None
        with torch.cuda.stream(self._copies):
            chunk = images.to(self.device, non_blocking=True)
            return chunk, self._copies.record_event()

    def _gathered(self, rows: Tensor) -> Tensor:
        first = self.parts[0]
        shape, pinned = (len(rows), *first.shape[1:]), self._copies is not None
        images = torch.empty(shape, dtype=first.dtype, pin_memory=pinned)
        if len(self.parts) == 1:
            return torch.index_select(first, 0, rows, out=images)
        start = 0
        for part in self.parts:
            (places,) = torch.where((rows >= start) & (rows < start + len(part)))
            images[places] = part[rows[places] - start]
            start += len(part)
        return images

    def _channels_first(self, images: Tensor) -> Tensor:
        return images.permute(0, 3, 1, 2) if self.channels_last else images


class Smaller:
    """Images that are shown at another size than they are stored at: those that are held out of training.

    Args:
        size: height and width.
    """

    def __init__(self, images: Batches, size: tuple[int, int]) -> None:
        self.images = images
        self.size = size

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> Tensor:
        return resized(self.images[part], self.size)

    def chunks(self, rows: Tensor, parts: Sequence[slice]) -> Iterator[Tensor]:
        """As :class:`Batches` has it."""
        for chunk in self.images.chunks(rows, parts):
            yield resized(chunk, self.size)


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images [N, C, H, W] at another size, as torchvision does it: bilinear, with antialiasing; float32.

    Whole numbers stay whole.
    """
    smaller = functional.interpolate(images.float(), size, mode="bilinear", antialias=True)
    return smaller if images.is_floating_point() else smaller.round_()


def move(drawn: Tensor, device: torch.device) -> Tensor:
    """To the device, without waiting for it: that takes memory which stays where it is."""
    return drawn.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else drawn
