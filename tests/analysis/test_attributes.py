"""Occlusion: what is hidden is hidden, the same for everybody, and nothing else changes."""

import numpy as np
import pytest
import torch

from cinema.analysis import attributes
from cinema.terms import SMALL_GRID


def test_what_a_disc_hides_is_the_mean_image_and_the_rest_is_untouched():
    mask, (dx, dy) = attributes.disc(40.0), SMALL_GRID["sax"][1][:2]
    assert np.array_equal(mask, mask[::-1, ::-1])
    assert mask.sum() * dx * dy == pytest.approx(np.pi * 40.0**2, rel=0.03)
    two = [{"image": {"sax": torch.full((2, 64, 64, 8), value)}} for value in (1.0, 2.0)]
    for item, value in zip(attributes.hidden(two, mask), (1.0, 2.0), strict=True):
        assert (item["image"]["sax"][:, mask] == 0).all() and (item["image"]["sax"][:, ~mask] == value).all()


def test_windows_cover_the_image_evenly():
    apart, sliding = attributes.windows(16, 16), attributes.windows(16, 8)
    assert len(apart) == 16 and (apart.sum(axis=0) == 1).all()
    assert len(sliding) == 49 and (sliding.sum(axis=(1, 2)) == 256).all()
    assert (sliding.sum(axis=0)[8:-8, 8:-8] == 4).all() and sliding.sum(axis=0)[0, 0] == 1
    for step in (10, 24):  # leaves an edge out, leaves gaps
        with pytest.raises(ValueError, match="do not cover"):
            attributes.windows(16, step)


def test_a_map_shows_each_pixel_the_mean_of_its_windows():
    masks = attributes.windows(32, 16)
    where = np.array([mask[20, 40] for mask in masks])
    shown = attributes.spread(np.where(where, 3.0, 1.0), masks)
    assert shown[20, 40] == 3 and shown[63, 0] == 1 and shown.max() == 3
    assert np.allclose(attributes.spread(np.full(len(masks), 0.7), masks), 0.7)


def test_spectrum_tells_blur_from_noise():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((64, 64, 2, 2)).astype(np.float32)
    smooth = noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (0, 1))
    assert attributes._spectrum(noise)[-1] > attributes._spectrum(smooth)[-1] + 1
