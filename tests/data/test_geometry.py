"""Geometry against SimpleITK, and against what must come back unchanged."""

import numpy as np
import pytest
import SimpleITK as sitk

from cinema.data import geometry

OBLIQUE = np.array([[1.2, 0.3, 0.1, -40], [-0.3, 1.1, 2.0, 12], [0.1, -0.5, 7.5, 90], [0, 0, 0, 1]])


def test_world_and_voxel_are_inverse():
    points = np.random.default_rng(0).normal(size=(7, 3)) * 30
    np.testing.assert_allclose(geometry.to_voxel(OBLIQUE, geometry.to_world(OBLIQUE, points)), points, atol=1e-9)


def test_spacing_and_normal():
    np.testing.assert_allclose(geometry.spacing_mm(np.diag([1.5, 2, 8, 1])), [1.5, 2, 8])
    across = geometry.normal(OBLIQUE)
    assert abs(across @ OBLIQUE[:3, 0]) < 1e-12 and abs(across @ OBLIQUE[:3, 1]) < 1e-12
    with pytest.raises(ValueError, match="parallel"):
        geometry.normal(np.ones((4, 4)))


def test_views_meet_where_they_were_made_to():
    rng = np.random.default_rng(1)
    centre, affines = np.array([3.0, -20, 44]), np.stack([np.eye(4)] * 3)
    affines[:, :3, :2] = rng.normal(size=(3, 3, 2))
    affines[:, :3, 3] = centre + np.sum(affines[:, :3, :2] * rng.normal(size=(3, 1, 2)), axis=2)  # other points of them
    np.testing.assert_allclose(geometry.view_intersection(*affines), centre, atol=1e-8)
    with pytest.raises(ValueError, match="no single common point"):
        geometry.view_intersection(*affines[[0, 0, 1]])


@pytest.mark.parametrize("pixel_mm", [0.9, 1.4])
def test_grid_equals_simpleitk_linear(pixel_mm):
    image = np.random.default_rng(2).normal(size=(31, 26)).astype(np.float32)
    spacing, centre, size = (1.4, 1.5), (14.3, 12.6), 24
    reference = sitk.GetImageFromArray(image.T)
    reference.SetSpacing(spacing)
    grid = sitk.Image(size, size, sitk.sitkFloat32)
    grid.SetSpacing((pixel_mm, pixel_mm))
    grid.SetOrigin([centre[a] * spacing[a] - (size - 1) / 2 * pixel_mm for a in (0, 1)])
    expected = sitk.GetArrayFromImage(sitk.Resample(reference, grid, sitk.Transform(), sitk.sitkLinear, 0.0)).T
    np.testing.assert_allclose(geometry.to_grid(image, spacing, centre, pixel_mm, size), expected, atol=1e-5)


def test_coarser_grid_averages():
    stripes = np.tile([0.0, 1.0], 32)[:, None] * np.ones(64)
    patch = geometry.to_grid(stripes, (1, 1), (31.5, 31.5), 4.0, 8)
    np.testing.assert_allclose(patch, 0.5, atol=1e-6)


def test_masks_come_back_where_they_were():
    x, y = np.mgrid[:90, :80]
    labels = np.zeros((90, 80, 2, 3), np.uint8)
    for t in range(3):
        radius = np.hypot((x - 47.2) * 1.4, (y - 38.9) * 1.3)
        labels[radius < 34 - t, :, t], labels[radius < 24 - t, :, t] = 2, 3
    spacing, centre = (1.4, 1.3), (46.0, 40.5)
    patch = geometry.to_grid(labels == 3, spacing, centre, 1.0, 128) > 0.5
    back = geometry.labels_from_grid(patch.astype(np.uint8) * 3, labels.shape[:2], spacing, centre, 1.0)
    assert 2 * np.sum((back == 3) & (labels == 3)) / (np.sum(back == 3) + np.sum(labels == 3)) > 0.99
    np.testing.assert_allclose(np.argwhere(back == 3).mean(0), np.argwhere(labels == 3).mean(0), atol=0.05)


def test_same_pixels_come_back_exactly():
    labels = np.random.default_rng(3).integers(0, 4, (40, 40, 5)).astype(np.uint8)
    patch = geometry.to_grid(labels, (1.25, 1.25), (19.5, 19.5), 1.25, 40)
    np.testing.assert_array_equal(patch, labels)
    np.testing.assert_array_equal(
        geometry.labels_from_grid(patch.astype(np.uint8), (40, 40), (1.25, 1.25), (19.5, 19.5), 1.25), labels
    )


def test_points_follow_the_image():
    image = np.zeros((50, 60), np.float32)
    image[33, 21] = 1
    args = ((1.0, 1.0), (30.0, 24.0), 0.5)
    patch = geometry.to_grid(image, *args, 81)
    peak = np.unravel_index(patch.argmax(), patch.shape)
    np.testing.assert_allclose(geometry.points_to_grid((33, 21), *args, 81), peak)
    np.testing.assert_allclose(geometry.points_from_grid(peak, *args, 81), (33, 21))


def test_the_heart_is_where_it_moves():
    x, y = np.mgrid[:100, :90]
    radii = 12 + 4 * np.cos(np.linspace(0, 2 * np.pi, 10, endpoint=False))
    image = np.stack([np.hypot(x - 62, y - 31) < radius for radius in radii], axis=-1).astype(float)
    image[10:30, 50:80] += 5  # bright and still
    np.testing.assert_allclose(geometry.moving_centre(image, (1.5, 1.5)), (62, 31), atol=1)
    np.testing.assert_allclose(geometry.moving_centre(np.ones((11, 5, 3)), (1, 1)), (5, 2))
