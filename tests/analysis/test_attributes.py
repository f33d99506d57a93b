"""Which attributes can be read, and how well; what is hidden is hidden, and nothing else changes."""

import numpy as np
import pandas as pd
import pytest
import torch

from cinema.analysis import attributes
from cinema.terms import SMALL_GRID


def rng():
    return np.random.default_rng(0)


def test_attributes_that_a_set_lacks_or_has_too_few_of_are_named():
    table = pd.DataFrame({"sex": list("FFFFFFMMMMMM"), "vendor": list("AAAAAAAABBBB")})
    table["age_years"] = [40.0] * 5 + [np.nan] * 7
    told = {name: attributes.known(table, name) for name in attributes.ATTRIBUTES}
    assert not told["sex"].lacks and len(told["sex"].rows) == 12
    assert "needs 10" in told["vendor"].lacks  # B has fewer than folds and goes; A alone is too few
    assert len(attributes.known(table, "vendor", least=None).rows) == 12
    assert "5 usable" in told["age"].lacks and told["BMI"].lacks == "the data set does not tell it"
    assert list(attributes.readable(told)) == ["sex"]
    with pytest.raises(ValueError, match="no attribute can be read .*BMI: the data set does not tell it"):
        attributes.readable({"BMI": told["BMI"]})


def test_a_planted_attribute_is_read_and_a_shuffled_one_is_not():
    x = rng().standard_normal((60, 8))
    table = pd.DataFrame({"sex": np.where(x[:, 0] > 0, "M", "F"), "age_years": 50 + 10 * x[:, 1]})
    for name in ("sex", "age"):
        told = attributes.known(table, name)
        got = attributes.quality(attributes.read(x, told), told, rng())
        idle = np.abs(told.values - told.values.mean()).mean() if told.unit else 0.5
        assert got.value > 0.9 if name == "sex" else got.value < 0.3 * idle
        mixed = attributes.Known(name, told.rows, rng().permutation(told.values))
        lost = attributes.quality(attributes.read(x, mixed), mixed, rng())
        assert lost.value < 0.75 if name == "sex" else lost.value > 0.8 * idle


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
    noise = rng().standard_normal((64, 64, 2, 2)).astype(np.float32)
    smooth = noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (0, 1))
    assert attributes._spectrum(noise)[-1] > attributes._spectrum(smooth)[-1] + 1
