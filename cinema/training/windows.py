"""Images larger than a model's input: overlapping windows over them, and their results put together."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn


def corners(image_size: Sequence[int], window: Sequence[int], overlap: Any) -> list[tuple[int, ...]]:
    """First voxel of every window, last axis fastest: along an axis every window - overlap, and flush with the end."""
    starts = []
    for n, wide, shared in zip(image_size, window, overlap, strict=True):
        if not 0 <= shared < wide:
            raise ValueError(f"overlap is {shared}; it must be at least 0 and less than the window, {wide}")
        last = max(0, n - wide)
        starts.append([*range(0, last, wide - shared), last])
    return list(product(*starts))


def _boxes(image_size, window, overlap):
    for corner in corners(image_size, window, overlap):
        yield (slice(None), *(slice(first, first + n) for first, n in zip(corner, window, strict=True)))


def split(image: Any, window: Sequence[int], overlap: Any) -> Tensor:
    """(c, *size) -> (windows, c, *window), in the order of `corners`."""
    return torch.stack([image[box] for box in _boxes(image.shape[1:], window, overlap)])


def merge(patches: Tensor, image_size: Sequence[int], overlap: Any) -> Tensor:
    """(windows, c, *window) -> (c, *image_size), the plain mean where windows overlap."""
    total, count = (patches.new_zeros(channels, *image_size) for channels in (patches.shape[1], 1))
    for patch, box in zip(patches, _boxes(image_size, patches.shape[2:], overlap), strict=True):
        total[box] += patch
        count[box] += 1
    return total / count


def exceeds(images: dict[str, Tensor], window: dict | None) -> str | None:
    """The view that needs windows, its image being larger than `window` (view -> size; None never is); None: no view.

    Raises ValueError where they are needed and impossible: in several views at once, or for several items.
    """
    shapes = {view: tuple(image.shape) for view, image in images.items()}
    over = lambda view, size: any(have > n for have, n in zip(size, window[view], strict=True))
    large = [view for view, (_, _, *size) in shapes.items() if window is not None and over(view, size)]
    if len(large) > 1 or (large and any(shape[0] > 1 for shape in shapes.values())):
        raise ValueError(f"images {shapes} exceed the windows {window}; they may in one view, in batches of one: crop")
    return large[0] if large else None


def _windowed(images, large, window):
    """(images with the windows of the view `large` as items, each beside the whole other views; the overlap)."""
    overlap = [n // 2 for n in window[large]]
    parts = split(images[large][0], window[large], overlap)
    return {v: parts if v == large else x.expand(len(parts), *x.shape[1:]) for v, x in images.items()}, overlap


def dense(model: nn.Module, images: dict[str, Tensor], window: Any, activation: Callable) -> dict[str, Tensor]:
    """{view: activation(model output)}, float32, for a result per pixel; over a larger image the mean over windows.

    The other views are read once with each window, as in the release; theirs is the mean of these readings.
    """
    large = exceeds(images, window)
    if not large:
        return {view: activation(output.float()) for view, output in model(images).items()}
    parts, overlap = _windowed(images, large, window)
    found = {view: activation(output.float()) for view, output in model(parts).items()}
    whole = merge(found[large], images[large].shape[2:], overlap)
    return {view: whole[None] if view == large else part.mean(0, keepdim=True) for view, part in found.items()}


def pooled(model: nn.Module, images: dict[str, Tensor], window: Any, activation: Callable) -> Tensor:
    """(b, n) activation(model output), float32, for a result per image; over a larger image the mean over windows."""
    large = exceeds(images, window)
    if not large:
        return activation(model(images).float())
    return activation(model(_windowed(images, large, window)[0]).float()).mean(0, keepdim=True)
