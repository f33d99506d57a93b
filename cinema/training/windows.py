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


def exceeds(images: dict[str, Tensor], window: dict | None) -> bool:
    """Whether windows are needed: some image is larger than `window` (view -> size; None never is).

    Raises ValueError where they are needed and impossible: several views, or several items.
    """
    extents = [] if window is None else [(image.shape[2:], window[view]) for view, image in images.items()]
    if all(have <= n for size, limit in extents for have, n in zip(size, limit, strict=True)):
        return False
    shapes = {view: tuple(image.shape) for view, image in images.items()}
    if len(images) > 1 or any(shape[0] > 1 for shape in shapes.values()):
        raise ValueError(f"images {shapes} exceed the windows {window}; windows need one view and batches of one: crop")
    return True


def dense(model: nn.Module, images: dict[str, Tensor], window: Any, activation: Callable) -> dict[str, Tensor]:
    """{view: activation(model output)}, float32, for a result per pixel; over a larger image the mean over windows."""
    if not exceeds(images, window):
        return {view: activation(output.float()) for view, output in model(images).items()}
    ((view, image),) = images.items()
    overlap = [n // 2 for n in window[view]]
    output = model({view: split(image[0], window[view], overlap)})[view].float()
    return {view: merge(activation(output), image.shape[2:], overlap)[None]}


def pooled(model: nn.Module, images: dict[str, Tensor], window: Any, activation: Callable) -> Tensor:
    """(b, n) activation(model output), float32, for a result per image; over a larger image the mean over windows."""
    if not exceeds(images, window):
        return activation(model(images).float())
    ((view, image),) = images.items()
    parts = split(image[0], window[view], [n // 2 for n in window[view]])
    return activation(model({view: parts}).float()).mean(0, keepdim=True)
