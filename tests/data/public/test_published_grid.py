"""Studies on the published grid: what lies at a place in the patient lies there afterwards,
whatever the axes' directions."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from cinema.data.geometry import to_voxel, to_world
from cinema.data.public.published_grid import standardised
from cinema.data.study import Study, View

SLOPE = np.array([0.7, -0.4, 0.9])  # of the ramp of grey values, per mm of the patient


def rotation(*degrees):
    """Rotation about x, y, z in turn."""
    total = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        i, j = [k for k in range(3) if k != axis]
        turn = np.eye(3)
        turn[[i, j], [i, j]] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        total = turn @ total
    return total


def affine(direction, spacing, origin=(11.0, -23.0, 57.0)):
    made = np.eye(4)
    made[:3, :3] = direction * np.asarray(spacing)
    made[:3, 3] = origin
    return made


DIRECTIONS = {
    "along": np.eye(3),
    "flipped": np.diag([-1.0, 1.0, -1.0]),
    "both flipped": np.diag([-1.0, -1.0, 1.0]),
    "oblique": rotation(25, -40, 70),
    "left-handed": rotation(10, 30, -20) @ np.diag([1.0, 1.0, -1.0]),
}


def places(view):
    """World position of every voxel, (x, y, z, 3)."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in view.image.shape[:3]], indexing="ij"), axis=-1)
    return to_world(view.affine, index)


def study(view, name="sax", **more):
    return Study("a", "test", {name: view}, **more)


def with_pattern(shape, matrix, pattern, dtype=np.float32):
    empty = View(np.zeros((*shape, 1), dtype), matrix)
    return replace(empty, image=pattern(places(empty))[..., None].astype(dtype))


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_a_ramp_in_the_patients_space_is_reproduced(direction):
    """Grey values after scaling are linear in the world's millimetres, with one slope and offset for all voxels."""
    view = with_pattern((60, 50, 9), affine(direction, (1.7, 1.3, 8.0)), lambda mm: mm @ SLOPE)
    result = standardised(study(view)).views["sax"]
    assert result.image.shape == (102, 65, 7, 1) and result.image.dtype == np.uint8
    np.testing.assert_allclose(result.spacing_mm, (1, 1, 10), atol=1e-9)
    # The ramp at the new voxels, held at the edges as interpolation holds it: what the percentiles are taken of.
    held = np.clip(to_voxel(view.affine, places(result)), 0, np.array(view.image.shape[:3]) - 1)
    low, high = np.percentile(to_world(view.affine, held) @ SLOPE, (0.95, 99.5))
    inner = (slice(2, -2), slice(2, -2), slice(1, -1))  # at the very edge the edge value counts
    ramp, grey = (places(result) @ SLOPE)[inner].ravel(), result.image[..., 0][inner].ravel().astype(float)
    free = (grey > 0) & (grey < 255)  # not clamped by the percentiles
    np.testing.assert_allclose(grey[free], ((ramp - low) * 255 / (high - low))[free], atol=0.51)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
@pytest.mark.parametrize("spacing", [(1.7, 1.7, 8.0), (0.7, 0.8, 5.0)], ids=["finer", "coarser"])
def test_a_sphere_keeps_its_volume_and_centroid_in_image_and_labels(direction, spacing):
    size = np.array([120, 110, 90]) / spacing
    matrix = affine(direction, spacing)
    middle = to_world(matrix, size / 2 + 0.3)
    ball = lambda mm: 1000.0 * (np.linalg.norm(mm - middle, axis=-1) < 30)  # noqa: E731
    view = with_pattern(size.astype(int), matrix, ball, np.int16)
    view = replace(view, labels=(3 * (view.image > 0)).astype(np.uint8), label_frames=(0,))
    result = standardised(study(view)).views["sax"]
    true_ml = 4 / 3 * np.pi * 30**3 / 1000
    for weight in (result.image / 255.0, result.labels == 3):
        ml = weight.sum() * np.prod(result.spacing_mm) / 1000
        centroid = np.average(places(result).reshape(-1, 3), axis=0, weights=weight.ravel())
        assert ml == pytest.approx(true_ml, rel=0.06)  # a sphere of six slices: between two of them it is cut short
        np.testing.assert_allclose(centroid, middle, atol=0.6)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_landmarks_stay_at_their_place(direction):
    matrix = affine(direction, (1.4, 1.9, 6.0))
    points = np.array([[[40.25, 30.5], [60, 28], [55, 80.75]], [[41, 31], [np.nan, np.nan], [55, 79]]], np.float32)
    rng = np.random.default_rng(0)
    view = View(rng.integers(0, 900, (240, 200, 1, 2)).astype(np.uint16), matrix, landmarks=points)
    result = standardised(study(view, "lax_2c")).views["lax_2c"]
    assert result.image.shape == (256, 256, 1, 2) and result.spacing_mm[2] == pytest.approx(6.0)
    before, after = (to_world(v.affine, np.concatenate([v.landmarks, np.zeros((2, 3, 1))], -1)) for v in (view, result))
    np.testing.assert_allclose(after, before, atol=1e-4)  # NaN where it was NaN


def test_cut_around_the_cavity_of_the_labelled_frame():
    labels = np.zeros((300, 260, 3, 2), np.uint8)
    labels[70:80, 150:170, 1, 1], labels[:5, :5, 0, 1], labels[200:210, 20:30, :, 0] = 3, 1, 3
    image = np.random.default_rng(0).integers(0, 9, (300, 260, 3, 4)).astype(np.int16)
    view = View(image, affine(np.diag([-1.0, -1.0, 1.0]), (1, 1, 10)), labels, (0, 3))
    result = standardised(study(view, ed_frame=3, es_frame=0))
    found = result.views["sax"]
    assert found.image.shape == (192, 192, 3, 4) and found.label_frames == (0, 3) and result.ed_frame == 3
    # Box 70..79 has its middle at 74.5: cut to the border. Box 150..169, at 159.5: 64 to 255.
    np.testing.assert_array_equal(found.labels, labels[:192, 64:256])
    np.testing.assert_allclose(to_voxel(view.affine, found.affine[:3, 3]), [0, 64, 0], atol=1e-9)


def test_without_labels_cut_around_the_common_point_of_the_planes():
    point, rng = np.array([15.0, -20.0, 40.0]), np.random.default_rng(0)
    turns = {"lax_2c": rotation(90, 20, 5), "lax_4c": rotation(80, -50, 30), "sax": rotation(8, -6, 12)}
    views = {}
    for name, turn in turns.items():
        index = np.array([170.0, 100.0, 0.0])  # where the point lies in this view: off its middle
        origin = point - turn @ (index * (1.2, 1.2, 10.0))
        slices = 6 if name == "sax" else 1
        views[name] = View(rng.random((320, 320, slices, 1)).astype(np.float32), affine(turn, (1.2, 1.2, 10.0), origin))
    result = standardised(Study("a", "test", views))
    for name, view in result.views.items():
        size = 192 if name == "sax" else 256
        assert view.image.shape[:2] == (size, size)
        where = to_voxel(view.affine, point)
        # 1.2 * (170, 100) = (204, 120) mm from the corner of 384: 204 is free to be in the middle, 120 not for 256.
        np.testing.assert_allclose(where[:2], [(size - 1) / 2, (size - 1) / 2 if size == 192 else 120.1], atol=0.6)


def test_without_labels_and_planes_cut_around_what_moves():
    x, y = np.meshgrid(np.arange(300), np.arange(300), indexing="ij")
    radius = np.hypot(x - 190, y - 110)
    image = np.stack([radius < 20 + 6 * np.cos(t) for t in range(6)], axis=-1)[:, :, None] * np.float32(100)
    result = standardised(study(View(image, affine(np.eye(3), (1, 1, 6))), "lax_4c")).views["lax_4c"]
    where = to_voxel(result.affine, to_world(affine(np.eye(3), (1, 1, 6)), (190, 110, 0)))
    np.testing.assert_allclose(where[:2], [190 - 44, 110], atol=1)  # cut at the border: 300 - 256 = 44


def test_small_images_stay_small_thin_stacks_keep_a_slice_and_a_constant_view_becomes_zero():
    view = View(np.full((90, 80, 1, 1), 7, np.int16), affine(np.eye(3), (1, 1, 4.0)))
    image = standardised(study(view)).views["sax"].image
    assert image.shape == (90, 80, 1, 1) and not image.any()


def test_slices_at_10_mm_are_not_touched_and_closer_ones_are_interpolated_about_the_same_middle():
    image = np.zeros((40, 40, 7, 1), np.float32) + np.arange(7)[:, None]
    at_5 = standardised(study(View(image, affine(np.eye(3), (1, 1, 5.0))))).views["sax"]
    # four slices share the middle of seven, at 0, 2, 4 and 6; grey values 0 to 6 become 0 to 255
    np.testing.assert_array_equal(at_5.image[0, 0, :, 0], [0, 85, 170, 255])
    at_10 = standardised(study(View(image, affine(np.eye(3), (1, 1, 10.0))))).views["sax"]
    np.testing.assert_array_equal(at_10.image[0, 0, :, 0], np.floor(np.arange(7) * 255 / 6 + 0.5))


def test_one_grey_scale_for_all_frames_of_a_cine_and_one_each_for_sequences():
    image = np.random.default_rng(0).random((40, 40, 3, 2)).astype(np.float32) * [1.0, 10.0]
    view = View(image.astype(np.float32), affine(np.eye(3), (1, 1, 10)))
    cine = standardised(study(view)).views["sax"].image
    low, high = np.percentile(view.image, (0.95, 99.5))
    np.testing.assert_array_equal(cine, np.floor(np.clip((view.image - low) / (high - low), 0, 1) * 255 + 0.5))
    apart = standardised(study(view, attributes={"sequences": "C0,DE"})).views["sax"].image
    assert [apart[..., t].max() for t in (0, 1)] == [255, 255] and cine[..., 0].max() < 30


def test_percentiles_of_large_images_from_every_second_row_are_as_good():
    image = np.random.default_rng(0).gamma(2, 50, (192, 192, 12, 6)).astype(np.float32)
    result = standardised(study(View(image, affine(np.eye(3), (1, 1, 10))))).views["sax"].image
    low, high = np.percentile(image, (0.95, 99.5))
    expected = np.clip((image - low) / (high - low), 0, 1) * 255
    assert np.abs(result - expected).max() < 1.5


def to_sitk(view):
    """SimpleITK image of a view of one frame; its world is LPS."""
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) @ view.affine
    image = sitk.GetImageFromArray(np.ascontiguousarray(view.image[..., 0].T))
    image.SetSpacing(view.spacing_mm)
    image.SetOrigin(matrix[:3, 3].tolist())
    image.SetDirection((matrix[:3, :3] / view.spacing_mm).ravel().tolist())
    return image


def test_agrees_with_simpleitk_on_the_same_grid():
    """An independent resampler asked for our grid gives our grey values."""
    rng = np.random.default_rng(0)
    view = View(rng.integers(0, 800, (70, 60, 6, 1)).astype(np.int16), affine(rotation(25, -40, 70), (1.8, 1.6, 8.0)))
    result = standardised(study(view)).views["sax"]
    image = sitk.Cast(to_sitk(view), sitk.sitkFloat32)
    theirs = sitk.Resample(image, to_sitk(result), sitk.Transform(), sitk.sitkLinear, 0.0)
    theirs = sitk.GetArrayFromImage(theirs).T
    low, high = np.percentile(theirs, (0.95, 99.5))
    expected = np.clip((theirs - low) / (high - low), 0, 1) * 255
    assert np.abs(result.image[..., 0] - expected).max() < 0.6


def test_where_axes_run_along_the_world_the_releases_grid_differs_by_rounding_only():
    """Sizes that need no rounding: the release's origin, moved by half the change of spacing along LPS, is ours."""
    view = View(np.random.default_rng(0).random((40, 40, 4, 1)).astype(np.float32), np.diag([-1.5, -1.5, 5.0, 1.0]))
    result = standardised(study(view)).views["sax"]
    release = 0.5 * (np.array([1.0, 1.0, 10.0]) - [1.5, 1.5, 5.0])
    np.testing.assert_allclose(result.affine[:3, 3], np.array([-1, -1, 1]) * release, atol=1e-6)
