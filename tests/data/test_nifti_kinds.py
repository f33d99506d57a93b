"""The same heart in every way that files come: axes, units, sizes, a file a frame or slice; and what is refused."""

import itertools
import time

import dicom_writer as writer
import nibabel as nib
import numpy as np
import pytest
from places import SHARED
from scipy import ndimage

from cinema.cli import main
from cinema.data.inputs import read_input
from cinema.data.nifti import volume
from cinema.data.nifti_views import read_nifti
from cinema.data.reading import describe

TROUBLE = SHARED / "real" / "trouble"
LATERAL, ANTERIOR = writer.frame_vectors()
AFFINE = writer.affine(LATERAL, -ANTERIOR, writer.CENTRE, (1.3, 1.3, 8), (25, 24, 3))
NAME = "Doe_Jane_19500229"


def heart(slices=6, frames=5):
    """(52, 50, slices, frames): pictures that differ from slice to slice, in which a disc beats."""
    rng = np.random.default_rng(0)
    still = ndimage.gaussian_filter(rng.normal(size=(52, 50, slices, 1)), (2, 2, 0, 0)) * 3000 + 600
    x, y, _, t = np.ogrid[:52, :50, :slices, :frames]
    beating = np.hypot(x - 25, y - 24) < 8 + 3 * np.cos(2 * np.pi * t / frames)
    return (still + 500 * beating + rng.normal(size=(52, 50, slices, frames)) * 5).astype(np.int16)


def store(data, path, affine=AFFINE, pixdim=(), units=("mm", "sec")):
    file = nib.Nifti1Image(data, affine)
    file.header.set_xyzt_units(*units)
    for axis, size in dict(pixdim).items():
        file.header["pixdim"][axis] = size
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(file, path)
    return path


def time_third(folder):
    return store(heart().swapaxes(2, 3), folder / f"{NAME}.nii.gz")


def sizes_third(folder):
    """Time third in the header, too: its step in seconds, the distance of slices where time should be."""
    affine = AFFINE.copy()
    affine[:3, 2] *= 0.04 / 8
    return store(heart().swapaxes(2, 3), folder / f"{NAME}.nii.gz", affine, {4: 8})


def five_axes(folder):
    return store(heart()[:, :, :, None], folder / f"{NAME}.nii")


def in_metres(folder):
    return store(heart(), folder / f"{NAME}.nii", np.diag([1e-3, 1e-3, 1e-3, 1]) @ AFFINE, units=("meter", "sec"))


def in_microns(folder):
    return store(heart(), folder / f"{NAME}.nii", np.diag([1e3, 1e3, 1e3, 1]) @ AFFINE, units=("micron", "sec"))


def metres_only_said(folder):
    return store(heart(), folder / f"{NAME}.nii", units=("meter", "sec"))


def sizes_in_affine_only(folder):
    return store(heart(), folder / f"{NAME}.nii", pixdim={1: 1, 2: 1, 3: 1})


def file_a_frame(folder):
    for k, frame in enumerate(np.moveaxis(heart(), -1, 0), start=8):  # 8, 9, 10 ..: letters would sort 10 before 8
        store(frame, folder / f"{NAME}_t{k}.nii.gz")
    return folder


def slices_of(folder, shape):
    for k, name in enumerate("febcda"):
        affine = AFFINE.copy()
        affine[:3, 3] = AFFINE[:3, :3] @ [0, 0, k] + AFFINE[:3, 3]
        store(heart()[:, :, k].reshape(shape), folder / f"{NAME}_{name}.nii.gz", affine)
    return folder


def file_a_slice(folder):
    return slices_of(folder, (52, 50, 1, 5))


def file_a_slice_of_three_axes(folder):
    return slices_of(folder, (52, 50, 5))


def packed_and_not(folder):
    store(heart(), folder / f"{NAME}.nii")
    store(heart(), folder / f"{NAME}.nii.gz")
    return folder


def one_file_damaged(folder):
    store(heart(), folder / f"{NAME}.nii.gz")
    (folder / f"{NAME}_b.nii.gz").write_bytes(b"hello")
    return folder


@pytest.mark.parametrize(
    "written",
    [
        *(time_third, sizes_third, five_axes, in_metres, in_microns, metres_only_said, sizes_in_affine_only),
        *(file_a_frame, file_a_slice, file_a_slice_of_three_axes, packed_and_not, one_file_damaged),
    ],
)
def test_one_heart_however_it_is_stored(tmp_path, written):
    reading = read_nifti(written(tmp_path / "in"))
    view = reading.study.views["sax"]
    np.testing.assert_array_equal(view.image, heart())
    np.testing.assert_allclose(view.affine, AFFINE, atol=1e-3)
    np.testing.assert_allclose(reading.sax_positions_mm, np.arange(6) * 8, atol=1e-3)
    assert NAME not in describe(reading) + " ".join(reading.notes)


def test_a_missing_slice_stays_empty(tmp_path):
    file_a_slice(tmp_path)
    (tmp_path / f"{NAME}_b.nii.gz").unlink()  # the third
    reading = read_nifti(tmp_path)
    np.testing.assert_allclose(reading.sax_positions_mm, [0, 8, np.nan, 24, 32, 40], atol=1e-3)
    assert any("5 short-axis slices lie 8.0 to 16.0 mm apart" in note for note in reading.notes)


def test_one_slice_over_time_is_no_stack(tmp_path):
    path = store(heart()[:, :, 2], tmp_path / "cine.nii.gz")
    with pytest.raises(ValueError, match="third axis is time, of one slice, .*; add --view .*--view sax"):
        read_nifti(path)
    for view in ("sax", "lax_4c"):
        np.testing.assert_array_equal(read_nifti(path, view).study.views[view].image, heart()[:, :, 2:3])
    named = store(heart()[:, :, 2], tmp_path / "named" / "4ch.nii.gz")
    assert read_nifti(named).study.views["lax_4c"].image.shape == (52, 50, 1, 5)


def plane(degrees):
    return writer.affine(*writer.long_axis_plane(degrees), writer.CENTRE, (1.3, 1.3, 8), (25, 24, 0))


def test_planes_count_before_names(tmp_path):
    store(heart(), tmp_path / "sax.nii.gz")
    store(heart(1), tmp_path / "2ch.nii.gz", plane(12))
    store(heart(1), tmp_path / "4ch.nii.gz", plane(70))
    store(heart(1), tmp_path / "3ch.nii.gz", AFFINE)
    reading = read_nifti(tmp_path)
    assert [row["view"] for row in reading.table] == ["lax_4c", None, "lax_2c", "sax"]
    for words in (
        "name says 2C, its plane is 4C",
        "name says 4C, its plane is 2C",
        "name says 3C, its plane lies across",
    ):
        assert any(words in note for note in reading.notes)


def test_a_stack_across_the_heart_counts_before_others(tmp_path):
    store(heart(), tmp_path / "b.nii.gz")
    store(
        heart(9),
        tmp_path / "a_sax.nii.gz",
        writer.affine(*writer.long_axis_plane(12), writer.CENTRE, (2, 2, 8), (25, 24, 4)),
    )
    store(heart(1), tmp_path / "c.nii.gz", plane(12))
    assert [row["view"] for row in read_nifti(tmp_path).table] == [None, "sax", "lax_4c"]


def claims(folder, shape):
    """A whole header of a huge image, and next to no voxels."""
    path = store(heart(), folder / "huge.nii")
    content = bytearray(path.read_bytes())
    content[40:56] = np.array([len(shape), *shape, *[1] * (7 - len(shape))], np.int16).tobytes()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ("states no voxel sizes", lambda to: store(heart(), to / "a.nii", np.diag([-1.0, -1, 1, 1]))),
        ("states no voxel sizes", lambda to: store(heart(), to / "a.nii", AFFINE @ np.diag([1, 1, 1 / 8, 1]))),
        ("either may be right", lambda to: store(heart(), to / "a.nii", pixdim={3: 6.5})),
        ("voxels of 0.0013", lambda to: store(heart(), to / "a.nii", np.diag([1e-3, 1e-3, 1e-3, 1]) @ AFFINE)),
        ("voxels of 13 x 13", lambda to: store(heart(), to / "a.nii", np.diag([10, 10, 10, 1]) @ AFFINE)),
        ("no usable geometry", lambda to: store(heart(), to / "a.nii", AFFINE[:, [0, 1, 1, 3]])),
        ("claims 2.7e.13 voxels", lambda to: claims(to, (30000, 30000, 30000))),
        ("claims 3.6e.09 voxels", lambda to: claims(to, (30000, 30000, 4))),
        ("claims 3.12e.05 voxels", lambda to: claims(to, (52, 50, 6, 20))),
        ("plain numbers", lambda to: store(heart().astype(np.complex64), to / "a.nii")),
    ],
)
def test_what_would_give_wrong_numbers_is_refused(tmp_path, words, written):
    path = written(tmp_path)
    begun = time.monotonic()
    with pytest.raises(ValueError, match=words) as error:
        read_nifti(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value) and time.monotonic() - begun < 10


def test_whatever_a_header_says_the_answer_is_one_line(tmp_path, capfd):
    path = store(heart(2, 2), tmp_path / "a.nii")
    whole, answers = path.read_bytes(), set()
    for place, value in itertools.product(range(348), (0, 127, 255)):
        path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
        for read in (read_nifti, volume):
            try:
                read(path)
                answers.add("read")
            except ValueError as error:
                assert "\n" not in str(error) and path.name in str(error)
                answers.add("refused")
    assert answers == {"read", "refused"} and capfd.readouterr() == ("", "")


LIKE_BASE = ["time_third.nii.gz", "five_d.nii.gz", "one_file_per_frame"]


@pytest.mark.skipif(not TROUBLE.is_dir(), reason=f"{TROUBLE} is not there")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        *[(f"04-nifti-axes/{name}", "") for name in LIKE_BASE],
        ("04-nifti-axes/slice_time_as_3d.nii.gz", "third axis is time, of one slice"),
        ("05-nifti-sizes/sform_right_pixdim_ones.nii.gz", ""),
        ("05-nifti-sizes/no_geometry.nii.gz", "states no voxel sizes"),
        *[
            (f"damaged/h5_one_byte_{name}.h5", "not a readable study")
            for name in ("905_segfault", "2057_hang", "939_3.4GB")
        ],
    ],
)
def test_real_troubles(name, words):
    begun = time.monotonic()
    if words:
        with pytest.raises(ValueError, match=words) as error:
            read_input(TROUBLE / name)
        assert "\n" not in str(error.value) and time.monotonic() - begun < 10
        return
    found, right = (read_input(TROUBLE / one).study.views["sax"] for one in (name, "00-base/sax.nii.gz"))
    np.testing.assert_array_equal(found.image, right.image)
    np.testing.assert_allclose(found.affine, right.affine, atol=1e-4)


@pytest.mark.skipif(not TROUBLE.is_dir(), reason=f"{TROUBLE} is not there")
def test_a_converters_folder_is_what_its_dicom_files_are(tmp_path):
    scanned = read_input(TROUBLE / "00-base" / "input")
    planes = [(view, z) for view in scanned.study.views.values() for z in range(view.image.shape[2])]
    for number, (view, z) in zip(np.random.default_rng(0).permutation(len(planes)), planes, strict=True):
        affine = np.array(view.affine)
        affine[:3, 3] += affine[:3, 2] * z
        store(view.image[:, :, z : z + 1], tmp_path / f"series_{number}.nii.gz", affine)
    reading = read_nifti(tmp_path)
    np.testing.assert_allclose(reading.sax_positions_mm, scanned.sax_positions_mm, atol=0.01)
    for name, view in scanned.study.views.items():
        np.testing.assert_array_equal(reading.study.views[name].image, view.image)
        np.testing.assert_allclose(reading.study.views[name].affine, view.affine, atol=1e-3)


@pytest.mark.skipif(not TROUBLE.is_dir(), reason=f"{TROUBLE} is not there")
def test_an_unpacked_mirror_is_prepared(tmp_path, capsys):
    assert main(["prepare", "acdc", str(TROUBLE / "16-acdc-nii-not-gz"), "--out", str(tmp_path / "out")]) == 0
    assert "1 ready, 0 skipped" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a\n2.dcm", "a\n2.nii", "a\n2.h5"])
def test_a_name_of_two_lines_is_told_in_one(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(ValueError) as error:
            read_input(path)
        assert "\n" not in str(error.value) and (path == tmp_path or "a 2" in str(error.value))
