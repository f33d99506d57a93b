"""The release's arithmetic: the worked numbers of data.md section 1, by name, and what follows from its rules."""

import math

import numpy as np
import pytest
import SimpleITK as sitk

from cinema.data.public import letter

ROW = [0, 1, 2, 3, 10, 20]
FLIP = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def image(array, spacing=(1.0, 1.0, 1.0), dtype=np.float32, direction=None, origin=(0.0, 0.0, 0.0)):
    """A SimpleITK image of an (x, y, z) array, built without the module under test."""
    made = sitk.GetImageFromArray(np.ascontiguousarray(np.asarray(array, dtype).transpose(2, 1, 0)))
    made.SetSpacing(spacing)
    made.SetOrigin(origin)
    if direction is not None:
        made.SetDirection(direction)
    return made


def row(values, dtype, direction=None):
    """Six samples at 1.5 mm along x, resampled to 1 mm."""
    made = image(np.reshape(values, (-1, 1, 1)), (1.5, 1.0, 1.0), dtype, direction)
    return letter.to_array(letter.resampled(made, (1.0, 1.0, 1.0)))[:, 0, 0]


# --- resampling -----------------------------------------------------------------------------------------------------


def test_resampled_row_of_int16_along_the_axis_is_truncated():
    np.testing.assert_array_equal(row(ROW, np.int16), [0, 0, 1, 1, 2, 4, 8, 15, 20])


def test_resampled_row_of_floats_along_the_axis():
    np.testing.assert_allclose(row(ROW, np.float32), [0, 0.5, 1.167, 1.833, 2.5, 4.167, 8.833, 15, 20], atol=6e-4)


def test_resampled_row_of_floats_against_the_axis_is_shifted():
    expected = [0.167, 0.833, 1.5, 2.167, 2.833, 6.5, 11.667, 18.333, 20]
    np.testing.assert_allclose(row(ROW, np.float32, FLIP), expected, atol=6e-4)


def test_resampled_row_of_int16_against_the_axis_is_the_truncated_float_row():
    np.testing.assert_array_equal(row(ROW, np.int16, FLIP), [0, 0, 1, 2, 2, 6, 11, 18, 20])


def test_seven_slices_at_5_mm_become_four_at_10_mm_and_the_last_is_zero():
    made = image(np.arange(7).reshape(1, 1, 7), (1.0, 1.0, 5.0))
    result = letter.resampled(made, (1.0, 1.0, 10.0))
    assert result.GetSize() == (1, 1, 4)  # 3.5 rounds half to even
    np.testing.assert_allclose(letter.to_array(result)[0, 0], [0.5, 2.5, 4.5, 0])


@pytest.mark.parametrize(("slices", "expected"), [(5, 2), (7, 4), (9, 4), (11, 6)])
def test_sizes_round_half_to_even(slices, expected):
    assert letter.resampled(image(np.zeros((1, 1, slices)), (1, 1, 5.0)), (1, 1, 10.0)).GetSize()[2] == expected


def test_origin_moves_along_the_worlds_axes_whatever_the_direction():
    made = image(np.zeros((6, 4, 2)), (1.5, 1.5, 5.0), direction=FLIP, origin=(7.0, 8.0, 9.0))
    result = letter.resampled(made, (1.0, 1.0, 10.0))
    np.testing.assert_allclose(result.GetOrigin(), (6.75, 7.75, 11.5))
    assert result.GetDirection() == FLIP


@pytest.mark.parametrize("sign", [1, -1])
def test_every_sample_lies_where_the_formula_of_data_md_says(sign):
    rng, spacing, target = np.random.default_rng(0), 1.4, 1.0
    values = rng.random(40)
    made = image(values.reshape(-1, 1, 1), (spacing, 1.0, 1.0), np.float64, FLIP if sign < 0 else None)
    result = letter.to_array(letter.resampled(made, (target, 1.0, 1.0)))[:, 0, 0]
    where = sign * 0.5 * (target - spacing) / spacing + np.arange(len(result)) * target / spacing
    inside = (where >= -0.5) & (where < 39.5)
    expected = np.where(inside, np.interp(where, np.arange(40), values), 0)  # np.interp clamps at the edges
    np.testing.assert_allclose(result, expected, atol=1e-9)


def test_nearest_rounds_halves_up_and_keeps_the_values():
    made = image(np.array([5, 6, 7, 8]).reshape(-1, 1, 1), (1.0, 1.0, 1.0), np.uint8)
    result = letter.to_array(letter.resampled(made, (2.0, 1.0, 1.0), label=True))[:, 0, 0]
    np.testing.assert_array_equal(result, [6, 8])  # samples at .5 and 2.5


def test_a_spacing_of_none_stays():
    result = letter.resampled(image(np.zeros((4, 4, 1)), (2.0, 2.0, 6.5)), letter.LAX_SPACING)
    assert result.GetSize() == (8, 8, 1) and result.GetSpacing() == (1.0, 1.0, 6.5)


def test_frames_of_a_4d_image_are_resampled_one_by_one():
    frames = [image(np.random.default_rng(t).random((6, 4, 3)), (1.5, 1.5, 5.0)) for t in range(3)]
    whole = letter.resampled(letter.join(frames), (1.0, 1.0, 10.0))
    assert whole.GetDimension() == 4 and whole.GetPixelID() == sitk.sitkFloat32
    for t, single in enumerate(frames):
        alone = letter.resampled(single, (1.0, 1.0, 10.0))
        np.testing.assert_array_equal(letter.to_array(letter.frame(whole, t)), letter.to_array(alone))
        assert letter.frame(whole, t).GetOrigin() == alone.GetOrigin()


def test_nothing_is_left_of_one_thin_slice():
    with pytest.raises(ValueError, match="no voxel left"):
        letter.resampled(image(np.zeros((4, 4, 1)), (1.0, 1.0, 4.0)), (1.0, 1.0, 10.0))


# --- crops ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0, 3, (0, 10)), (15, 20, (10, 0)), (8, 12, (5, 5)), (8, 13, (5, 5))]
)
def test_crop_table_20_to_10(low, high, expected):
    assert letter.bounds(low, high, 20, 10) == expected


def test_small_images_are_not_cropped():
    assert letter.bounds(0, 3, 10, 10) == letter.bounds(0, 3, 7, 10) == (0, 0)


def test_label_crop_takes_the_boxes_of_x_and_y_and_never_z():
    label = np.zeros((20, 20, 30))
    label[0:3, 8:13, 29] = 3
    label[10, 10, 0] = 1  # another structure
    lower, upper = letter.label_crop(image(label, dtype=np.uint8), 3, (10, 10))
    assert (lower, upper) == ((0, 5), (10, 5))
    cut = letter.cropped(image(label, dtype=np.uint8), lower, upper)
    np.testing.assert_array_equal(letter.to_array(cut), label[:10, 5:15])


def test_the_same_crop_of_a_cine():
    frames = [image(np.random.default_rng(t).random((20, 20, 2))) for t in range(2)]
    cut = letter.cropped(letter.join(frames), (0, 5), (10, 5))
    np.testing.assert_array_equal(letter.to_array(letter.frame(cut, 1)), letter.to_array(frames[1])[:10, 5:15])


def test_a_missing_label_is_an_error_only_where_something_has_to_be_cut():
    empty = image(np.zeros((20, 8, 1)), dtype=np.uint8)
    with pytest.raises(ValueError, match="label 3 does not occur"):
        letter.label_crop(empty, 3, (10, 10))
    assert letter.label_crop(empty, 3, (20, 10)) == ((0, 0), (0, 0))


def plane(normal, through, size=(8, 8), spacing=(1.0, 1.0, 6.0)):
    """A one-slice image whose plane has this normal; its first voxel lies off `through`, in the plane."""
    normal = np.asarray(normal, float) / np.linalg.norm(normal)
    x = np.cross(normal, [0.3, 0.5, 0.8])
    x /= np.linalg.norm(x)
    y = np.cross(normal, x)
    direction = np.stack([x, y, normal], axis=1)
    origin = np.asarray(through, float) - 3.0 * x - 2.0 * y
    return image(
        np.arange(np.prod(size)).reshape(*size, 1),
        spacing,
        direction=direction.ravel().tolist(),
        origin=origin.tolist(),
    )


def test_centre_is_the_common_point_of_three_oblique_planes():
    point = np.array([12.0, -30.0, 45.0])
    views = [plane(normal, point) for normal in ([1, 0.2, 0.1], [0.1, 1, -0.3], [0.2, -0.1, 1])]
    np.testing.assert_allclose(letter.centre(*views), point, atol=1e-9)
    np.testing.assert_allclose(letter.centre(*[letter.join([view, view]) for view in views]), point, atol=1e-9)


def test_centre_refuses_planes_without_a_common_point():
    with pytest.raises(ValueError, match="no single common point"):
        letter.centre(plane([1, 0, 0], [0, 0, 0]), plane([1, 0, 0], [5, 0, 0]), plane([0, 0, 1], [0, 0, 0]))
    with pytest.raises(ValueError, match="no single common point"):  # the line of 2C and 4C lies in the SAX slice
        letter.centre(plane([1, 0, 0], [0, 0, 0]), plane([0, 1, 0], [0, 0, 0]), plane([1, 1, 0], [0, 0, 0]))


@pytest.mark.parametrize(
    ("point", "start"),
    [
        ((10.0, 10.0), (6, 6)),  # 10 - 3.5 = 6.5, cut to 6
        ((3.0, 2.6), (0, 0)),  # -0.5 and -0.9 go up to 0, not down to -1
        ((1.0, 19.0), (-2, 15)),  # -2.5 goes up to -2; 15.5 runs over the end
    ],
)
def test_crop_at_cuts_the_start_toward_zero_and_pads(point, start):
    array = np.random.default_rng(0).random((20, 20, 2)) + 1
    result = letter.crop_at(image(array, (1.0, 1.0, 5.0)), (*point, 0.0), (8, 8))
    expected = np.zeros((8, 8, 2))
    for x in range(8):
        for y in range(8):
            i, j = start[0] + x, start[1] + y
            if 0 <= i < 20 and 0 <= j < 20:
                expected[x, y] = array[i, j]
    np.testing.assert_allclose(letter.to_array(result), expected, rtol=1e-6)
    np.testing.assert_allclose(result.GetOrigin()[:2], start)  # so that the geometry stays true


def test_crop_at_has_the_full_size_even_for_small_images_and_far_points():
    assert letter.crop_at(image(np.ones((4, 30, 1))), (2.0, 15.0, 0.0), (8, 8)).GetSize() == (8, 8, 1)
    far = letter.crop_at(image(np.ones((4, 4, 1))), (100.0, 2.0, 0.0), (8, 8))
    assert far.GetSize() == (8, 8, 1) and not letter.to_array(far).any()


def test_crop_at_follows_the_direction_and_takes_every_frame():
    point = np.array([12.0, -30.0, 45.0])  # lies at voxel (3, 2) of the plane
    view = plane([0.1, 1, -0.3], point)
    cut = letter.crop_at(letter.join([view, view + 1]), point, (2, 2))
    first = letter.to_array(view)[2:4, 1:3]  # 3 - .5 = 2.5 and 2 - .5 = 1.5
    np.testing.assert_allclose(letter.to_array(cut)[..., 0], first)
    np.testing.assert_allclose(letter.to_array(cut)[..., 1], first + 1)


# --- intensity ------------------------------------------------------------------------------------------------------


def test_clamp_truncates_bounds_of_integer_images_toward_zero():
    """Bounds 1.7 and -2.7 act as 1 and -2 on integer pixels: what data.md says of the filter used here."""
    ramp = image(np.arange(-5, 6).reshape(-1, 1, 1), dtype=np.int16)
    clamped = letter.to_array(sitk.Clamp(ramp, ramp.GetPixelID(), -2.7, 1.7))[:, 0, 0]
    np.testing.assert_array_equal(clamped, np.clip(np.arange(-5, 6), -2, 1))


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64])
def test_unit_values_are_those_between_the_extremes_after_clamping(dtype):
    array = np.random.default_rng(1).gamma(2.0, 30.0, (30, 20, 4)).astype(dtype)
    low, high = (float(np.percentile(array, p)) for p in (0.95, 99.5))
    if np.issubdtype(dtype, np.integer):
        low, high = math.trunc(low), math.trunc(high)
    clamped = np.clip(array.astype(np.float64), dtype(low), dtype(high))
    expected = (clamped - clamped.min()) / (clamped.max() - clamped.min())
    unit = letter.to_array(letter.to_unit(image(array, dtype=dtype)))
    np.testing.assert_allclose(unit, expected, atol=3e-7 if dtype == np.float32 else 1e-12)
    bytes_ = letter.to_array(letter.to_uint8(image(array, dtype=dtype)))
    assert bytes_.dtype == np.uint8 and bytes_.max() == 255 and bytes_.min() == 0
    difference = bytes_.astype(int) - np.floor(expected * 255).astype(int)
    assert np.abs(difference).max() <= 1 and np.mean(difference != 0) < 0.02


def test_bytes_are_truncated_not_rounded():
    array = np.array([0.0, 0.499, 0.999, 1.0])  # times 255: 0, 127.2, 254.7, 255
    array = np.repeat(array, [400, 1, 1, 400])
    made = letter.to_array(letter.to_uint8(image(array.reshape(-1, 1, 1), dtype=np.float64)))[:, 0, 0]
    np.testing.assert_array_equal(made[399:403], [0, 127, 254, 255])


def test_constant_volume_becomes_nan_and_then_0():
    flat = image(np.full((6, 6, 2), 7), dtype=np.int16)
    assert np.isnan(letter.to_array(letter.to_unit(flat))).all()
    assert not letter.to_array(letter.to_uint8(flat)).any()


def test_each_frame_of_a_cine_has_its_own_percentiles():
    frames = [image(np.random.default_rng(t).random((10, 10, 2)) * (t + 1)) for t in range(2)]
    whole = letter.to_array(letter.to_uint8(letter.join(frames)))
    for t, single in enumerate(frames):
        np.testing.assert_array_equal(whole[..., t], letter.to_array(letter.to_uint8(single)))


# --- labels, volumes, files -----------------------------------------------------------------------------------------


def test_labels_are_exchanged_at_once_and_keep_their_pixel_type():
    raw = image(np.array([0, 1, 2, 3, 9]).reshape(-1, 1, 1), (1.5, 1.0, 1.0), np.int16)
    swapped = letter.translated(raw, {1: 3, 3: 1})
    np.testing.assert_array_equal(letter.to_array(swapped)[:, 0, 0], [0, 3, 2, 1, 9])
    assert swapped.GetPixelID() == sitk.sitkInt16 and swapped.GetSpacing() == (1.5, 1.0, 1.0)


def test_volumes_count_voxels_of_the_target_spacing():
    ed, es = np.zeros((10, 10, 2)), np.zeros((10, 10, 2))
    ed[:5, :8, 0], ed[:2, :5, 1], es[:4, :5, 0], es[:1, :5, 1] = 3, 1, 3, 1
    result = letter.volumes(*[image(each, (1.0, 1.0, 10.0), np.uint8) for each in (ed, es)])
    assert result == {"lv_edv": 0.4, "lv_esv": 0.2, "lv_ef": 50.0, "rv_edv": 0.1, "rv_esv": 0.05, "rv_ef": 50.0}


def test_arrays_with_an_affine_become_the_image_that_simpleitk_reads(tmp_path):
    import nibabel as nib

    affine = np.array([[-1.2, 0.5, 1.0, 40], [0.5, 1.2, 2.0, -12], [0.0, 0.0, 7.6, 90], [0, 0, 0, 1.0]])
    affine[:3, 2] = np.cross(affine[:3, 0], affine[:3, 1]) / 1.69 * 8
    array = np.random.default_rng(0).random((7, 6, 5, 3)).astype(np.float32)
    nib.save(nib.Nifti1Image(array, affine), tmp_path / "a.nii.gz")
    theirs, ours = letter.read(tmp_path / "a.nii.gz"), letter.from_array(array, affine)
    for t in range(3):
        one, other = letter.frame(theirs, t), letter.frame(ours, t)
        np.testing.assert_array_equal(letter.to_array(one), letter.to_array(other))
        for name in ("GetSpacing", "GetOrigin", "GetDirection"):
            np.testing.assert_allclose(getattr(one, name)(), getattr(other, name)(), atol=1e-5)


def test_an_unreadable_file_gives_one_line(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"no image")
    with pytest.raises(ValueError, match="no readable image") as caught:
        letter.read(tmp_path / "a.nii.gz")
    assert "\n" not in str(caught.value)
