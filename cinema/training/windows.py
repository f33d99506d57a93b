"""Images larger than a model's input: overlapping windows over them, and their results put together."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn


def starts(length: int, window: int, overlap: Any) -> list[int]:
    """Where windows begin along one axis: every window - overlap, plus one flush with the end."""
    if not 0 <= overlap < window:
        raise ValueError(f"overlap is {overlap}; it must be at least 0 and less than the window, {window}")
    last = max(0, length - window)
    return [*range(0, last, window - overlap), last]


def corners(image_size: Sequence[int], window: Sequence[int], overlap: Any) -> list[tuple[int, ...]]:
    """First voxel of every window, last axis fastest: list of tuples."""
    return list(product(*(starts(n, w, o) for n, w, o in zip(image_size, window, overlap, strict=True))))


def split(image: Any, window: Sequence[int], overlap: Any) -> Tensor:
    """(c, *size) -> (windows, c, *window), in the order of `corners`."""
    places = corners(image.shape[1:], window, overlap)
    return torch.stack([image[(slice(None), *_box(place, window))] for place in places])


def merge(patches: Tensor, image_size: Sequence[int], overlap: Any) -> Tensor:
    """(windows, c, *window) -> (c, *image_size), the plain mean where windows overlap."""
    window = patches.shape[2:]
    total = patches.new_zeros(patches.shape[1], *image_size)
    count = patches.new_zeros(1, *image_size)
    for patch, place in zip(patches, corners(image_size, window, overlap), strict=True):
        box = (slice(None), *_box(place, window))
        total[box] += patch
        count[box] += 1
    return total / count


def _box(place, window):
    return tuple(slice(first, first + n) for first, n in zip(place, window, strict=True))


def exceeds(images: dict[str, Tensor], window: dict | None) -> bool:
    """Whether windows are needed: some image is larger than `window` (view -> size; None never is).

    Raises ValueError where they are needed and impossible: several views, or several items.
    """
    pairs = [] if window is None else [(image.shape[2:], window[view]) for view, image in images.items()]
    if all(have <= n for size, limit in pairs for have, n in zip(size, limit, strict=True)):
        return False
    shapes = {view: tuple(image.shape) for view, image in images.items()}
    if len(images) > 1 or any(shape[0] > 1 for shape in shapes.values()):
        raise ValueError(f"images {shapes} exceed the windows {window}; windows need one view and batches of one: crop")
    return True


def dense(model: nn.Module, images: dict[str, Tensor], window: Any, activation: Callable) -> dict[str, Tensor]:
    """{view: (1, c, *size)} mean over windows of activation(model output): for a result per pixel."""
    ((view, image),) = images.items()
    size, overlap = tuple(window[view]), [n // 2 for n in window[view]]
    results = activation(model({view: split(image[0], size, overlap)})[view].float())
    return {view: merge(results, image.shape[2:], overlap)[None]}


def pooled(model: nn.Module, images: dict[str, Tensor], window: Any, activation: Callable) -> Tensor:
    """(1, n) mean over windows of activation(model output): for a result per image."""
    ((view, image),) = images.items()
    size, overlap = tuple(window[view]), [n // 2 for n in window[view]]
    return activation(model({view: split(image[0], size, overlap)}).float()).mean(0, keepdim=True)
