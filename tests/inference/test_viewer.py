"""The cine in the page: outlines against the masks they go around, sheets against their frames, base before apex."""

import base64
import io
import json
import re

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from PIL import Image

from cinema.data.study import View
from cinema.inference import viewer

AFFINE = np.diag([2.0, 2, 10, 1])


def polygons(path):
    """Corners of each closed part of an SVG path of relative lines, in pixels."""
    for begin, steps in re.findall(r"M(\S+ \S+)l([^z]*)z", path):
        moves = np.array(steps.split(), float).reshape(-1, 2)
        yield (np.cumsum([np.array(begin.split(), float), *moves], axis=0) - 1) / 2


@pytest.mark.parametrize("seed", range(5))
def test_an_outline_parts_what_is_in_a_mask_from_what_is_not(seed):
    mask = np.random.default_rng(seed).random((12, 9)) < 0.6  # holes, islands, corners that touch, the picture's edge
    pixels = np.argwhere(np.ones_like(mask))
    inside = sum(Polygon(corners).contains_points(pixels).astype(int) for corners in polygons(viewer.outline(mask)))
    np.testing.assert_array_equal(inside % 2 == 1, mask.ravel())
    assert viewer.outline(np.zeros((3, 3), bool)) == ""


def stack(large_first=True, turned=1):
    """A view of four slices and its labels; the LV is largest in the first, or in the last; frames get brighter."""
    image = np.zeros((40, 36, 4, 5), np.float32) + np.arange(5) * 20 + np.random.default_rng(0).random((40, 36, 4, 5))
    mask = np.zeros(image.shape, np.uint8)
    for z, half in enumerate((10, 8, 6, 4)[:: 1 if large_first else -1]):
        mask[20 - half : 20 + half, 18 - half : 18 + half, z] = 3
    return View(image, AFFINE @ np.diag([1, 1, turned, 1]), frame_times_ms=np.arange(5) * 90.0), mask


@pytest.mark.parametrize("large_first, order", [(True, [0, 1, 2, 3]), (False, [3, 2, 1, 0])])
def test_the_base_is_where_the_cavity_is_large_if_no_valve_is_seen(large_first, order):
    view, mask = stack(large_first)
    assert viewer.base_first(view, mask, {}, {"sax": view}) == order


@pytest.mark.parametrize("turned", [1, -1])
@pytest.mark.parametrize("valve_mm, apex_mm", [(30, 0), (0, 30)])
def test_the_base_is_where_the_valve_is(turned, valve_mm, apex_mm):
    view, mask = stack(turned=turned)
    lax = View(np.zeros((40, 40, 1, 5)), np.array([[0, 0, 1.0, 0], [0, 1.0, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1]]))
    marks = np.tile([[valve_mm, 5.0], [valve_mm, 25.0], [apex_mm, 15.0]], (5, 1, 1))  # pixel x is the scanner's z
    order = viewer.base_first(view, mask, {"lax_4c": marks}, {"sax": view, "lax_4c": lax})
    assert order == ([3, 2, 1, 0] if (valve_mm > apex_mm) == (turned > 0) else [0, 1, 2, 3])


def test_the_page_part_holds_every_frame_of_every_slice():
    view, mask = stack(large_first=False)
    view.image[:, :, 1] = 0  # a slice that was not imaged
    text = viewer.viewer_html({"sax": view}, {"sax": mask}, {}, {"sax": {"ED": 0, "ES": 3}}, 900.0)
    planes = json.loads(re.search(r"id=data>(.*?)</script>", text)[1])
    assert [one["name"] for one in planes] == ["SAX 1 of 3 (base)", "SAX 2 of 3", "SAX 3 of 3"]
    one = planes[0]
    assert (one["ED"], one["ES"], one["n"], one["ms"]) == (0, 3, 5, [0, 90, 180, 270, 360])
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(one["sheet"].split(",")[1]))).convert("L"), float)
    tiles = [(t % one["columns"] * one["w"], t // one["columns"] * one["h"]) for t in range(5)]
    light = [sheet[y : y + one["h"], x : x + one["w"]].mean() for x, y in tiles]
    assert np.all(np.diff(light) > 20)
    assert all(len(one["paths"][name]) == 5 for name in ("LV", "MYO", "RV")) and 'data-ms="900"' in text
    assert not re.search(
        r"https?:|src=|href=|fetch|import\(", re.sub('base64,[^"]*', "", text).replace("p.image.src =", "")
    )


def test_pictures_are_made_smaller_until_they_fit(monkeypatch):
    view, mask = stack()
    asked = ({"sax": view}, {"sax": mask}, {}, {"sax": {}}, 900.0)
    large = len(viewer.viewer_html(*asked))
    monkeypatch.setattr(viewer, "LIMIT_BYTES", 1)
    assert len(viewer.viewer_html(*asked)) < large


def test_a_cross_marks_the_middle_of_a_pixel():
    ends = np.array(re.findall(r"M(\d+) (\d+)l6 -?6", viewer._cross(np.array([[10.0, 20.0]]))), int)
    np.testing.assert_array_equal(ends.mean(axis=0) + [3, 0], [21, 41])  # half pixels
