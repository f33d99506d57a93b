"""Augmentation against SciPy's resampling and against what must stay the same."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from cinema.data import transforms
from cinema.data.transforms import Augment, augmented

STILL = replace(transforms.NOTHING, probability=1.0)
SPACING = (2.0, 2.0, 10.0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def smooth(rng, size):
    return ndimage.gaussian_filter(rng.random(size), 2).astype(np.float32)


def test_min_max():
    np.testing.assert_allclose(transforms.min_max(np.array([[-1.0, 1.0], [3.0, 0.0]])), [[0, 0.5], [1, 0.25]])
    assert not transforms.min_max(np.full((2, 2), 7.0)).any()


def test_pad_end_and_crop_undo_each_other(rng):
    x = rng.random((2, 5, 6, 3))
    padded = transforms.pad_end(x, (8, 6, 4))
    assert padded.shape == (2, 8, 6, 4) and padded.sum() == pytest.approx(x.sum())
    np.testing.assert_array_equal(transforms.crop_to(padded, x.shape[1:]), x)
    assert transforms.pad_end(x, (4, 4, 2)).shape == x.shape


def test_nothing_to_do_changes_nothing(rng):
    image, labels = smooth(rng, (1, 16, 16, 4)), rng.integers(4, size=(16, 16, 4))
    points = np.array([[3.0, 4.0]])
    out = augmented(image, labels, points, (16, 16, 4), SPACING, STILL, rng)
    np.testing.assert_allclose(out[0], transforms.min_max(image), atol=1e-6)
    np.testing.assert_array_equal(out[1], labels)
    np.testing.assert_allclose(out[2], points, atol=1e-5)


def test_crop_then_pad(rng):
    image = np.arange(20.0 * 10 * 6, dtype=np.float32).reshape(1, 20, 10, 6)
    labels = (image[0] > 600).astype(np.int64)
    out, cut, _ = augmented(image, labels, None, (12, 16, 4), SPACING, STILL, rng)
    assert out.shape == (1, 12, 16, 4) and cut.shape == (12, 16, 4) and not out[:, :, 10:].any()
    back = np.rint(out[0, :, :10] * image.max()).astype(int)  # each voxel tells where it came from
    first = np.array(np.unravel_index(back[0, 0, 0], (20, 10, 6)))
    expected = image[0, first[0] : first[0] + 12, :, first[2] : first[2] + 4]
    np.testing.assert_array_equal(back, expected)
    np.testing.assert_array_equal(cut[:, :10], expected > 600)


def test_pose_agrees_with_scipy(rng):
    image = smooth(rng, (1, 24, 20, 3))
    pose = replace(STILL, rotation_deg=180.0, translation_mm=4.0, scale=(0.2, 0.2))
    matrix, offset = transforms._pose((24, 20), (24, 20), (2.0, 2.0), None, pose, 1.0, rng)
    ours = transforms._resample(image, matrix, offset, (24, 20), "bilinear")
    for k in range(3):
        scipy = ndimage.affine_transform(image[0, ..., k], matrix, offset, order=1, mode="grid-constant")
        np.testing.assert_allclose(ours[0, ..., k], scipy, atol=2e-5)


def test_labels_and_points_follow_the_image(rng):
    labels = np.zeros((48, 48), np.int64)
    labels[28:35, 17:24] = 3
    points = np.array([[31.0, 20.0], [27.0, 16.0], [27.0, 24.0], [35.0, 16.0], [35.0, 24.0]])  # middle and corners
    pose = Augment(1.0, noise=0.0, rotation_deg=90.0, translation_mm=12.0)
    for _ in range(20):
        image, moved, found = augmented(np.float32(labels == 3)[None], labels, points, (40, 44), (1.0, 1.5), pose, rng)
        np.testing.assert_allclose(ndimage.center_of_mass(moved == 3), found[0], atol=0.4)
        np.testing.assert_allclose(ndimage.center_of_mass(image[0]), found[0], atol=0.2)
        assert set(np.unique(moved)) <= {0, 3}


def test_rotation_keeps_lengths_in_mm(rng):
    spacing = np.array([1.0, 2.0])
    points = np.array([[20.0, 12.0], [30.0, 15.0]])
    pose = replace(STILL, rotation_deg=180.0)
    length = np.linalg.norm((points[0] - points[1]) * spacing)
    for _ in range(10):
        moved = augmented(np.ones((1, 50, 30), np.float32), None, points, (50, 30), spacing, pose, rng)[2]
        assert np.linalg.norm((moved[0] - moved[1]) * spacing) == pytest.approx(length, rel=1e-4)


def test_landmarks_stay_inside(rng):
    wild = Augment(1.0, translation_mm=200.0)
    points = np.array([[2.0, 2.0], [60.0, 60.0], [30.0, 2.0]])
    for _ in range(30):
        moved = augmented(smooth(rng, (1, 64, 64)), None, points, (64, 64), (2.5, 2.5), wild, rng)[2]
        assert (moved >= -1e-3).all() and (moved <= 63.001).all()


def test_zoom_is_common_to_all_axes(rng):
    image = np.zeros((1, 33, 33, 17), np.float32)
    image[:, 8:25, 8:25, 4:13] = 1.0
    out = augmented(image, None, None, (33, 33, 17), (1.0, 1.0, 1.0), replace(STILL, zoom=(1.2, 1.2)), rng)[0][0]
    assert out.shape == (33, 33, 17)
    extents = [out.sum(other).max() / out[16, 16, 8] for other in (0, 1, 2)]
    np.testing.assert_allclose(extents, [17 * 1.2, 17 * 1.2, 9 * 1.2], rtol=0.02)
    np.testing.assert_allclose(ndimage.center_of_mass(out), [16, 16, 8], atol=1e-3)


def test_hole_keeps_labels_and_has_its_size(rng):
    image, labels = np.ones((1, 30, 30, 6), np.float32), np.ones((30, 30, 6), np.int64)
    image[0, 0, 0, 0] = 0  # so that scaling leaves the ones alone
    out, kept, _ = augmented(image, labels, None, (30, 30, 6), SPACING, replace(STILL, hole_mm=20.0), rng)
    assert (out == 0).sum() in (200, 201) and kept.all()


def test_each_happens_with_its_probability(rng):
    image = smooth(rng, (1, 8, 8, 2))
    preset, plain = replace(STILL, probability=0.3, gamma=(0.5, 0.9)), transforms.min_max(image)
    drawn = [augmented(image, None, None, (8, 8, 2), SPACING, preset, rng)[0] for _ in range(600)]
    changed = [not np.allclose(one, plain) for one in drawn]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.06)


def test_same_generator_same_result(rng):
    image = smooth(rng, (2, 16, 16, 4))
    preset = transforms.varied(transforms.SEGMENTATION, probability=1.0)["sax"]
    first, second, third = (
        augmented(image, None, None, (16, 16, 4), SPACING, preset, np.random.default_rng(seed))[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)
    assert first.dtype == np.float32 and first.min() >= 0 and first.max() <= 1
