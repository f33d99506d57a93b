"""NIfTI in and out: views from names, shapes and affines; geometry kept; one-line errors."""

import gzip

import dicom_writer as writer
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from cinema.data.nifti import read_nifti, write_nifti
from cinema.data.reading import slice_widths_mm

AFFINE = np.array([[-1.2, 0.5, 1.0, 40], [0.5, 1.2, 2.0, -12], [0.0, 0.0, 7.6, 90], [0, 0, 0, 1]])
AFFINE[:3, 2] = np.cross(AFFINE[:3, 0], AFFINE[:3, 1]) / 1.69 * 8


def image(*shape):
    return np.random.default_rng(0).integers(0, 900, shape).astype(np.int16)


def store(data, path, affine=AFFINE, step=0.04):
    file = nib.Nifti1Image(data, affine)
    if data.ndim == 4:
        file.header["pixdim"][4] = step
        file.header.set_xyzt_units("mm", "sec")
    nib.save(file, path)
    return path


def test_a_cine_stack(tmp_path):
    data = image(40, 36, 5, 6)
    reading = read_nifti(store(data, tmp_path / "p01_4d.nii.gz"))
    view = reading.study.views["sax"]
    np.testing.assert_array_equal(view.image, data)
    np.testing.assert_allclose(view.affine, AFFINE, atol=1e-5)
    np.testing.assert_allclose(view.frame_times_ms, np.arange(6) * 40, atol=1e-3)
    np.testing.assert_allclose(slice_widths_mm(reading.sax_positions_mm), 8, atol=1e-4)
    assert reading.table[0]["series"] == "p01_4d.nii.gz" and "no 4C view given" in reading.notes


@pytest.mark.parametrize(
    "name, view",
    [
        ("p_lax_2c.nii", "lax_2c"),
        ("3ch.nii.gz", "lax_3c"),
        ("X-4CH.nii", "lax_4c"),
        ("a_sax_t.nii.gz", "sax"),
        ("001_SA_ED.nii.gz", "sax"),
    ],
)
def test_views_by_name(tmp_path, name, view):
    store(image(40, 36, 1, 4), tmp_path / name)
    assert list(read_nifti(tmp_path / name).study.views) == [view]


def test_one_nameless_slice_asks(tmp_path):
    path = store(image(40, 36, 1, 4), tmp_path / "cine.nii")
    with pytest.raises(ValueError, match="add --view"):
        read_nifti(path)
    assert list(read_nifti(path, "lax_3c").study.views) == ["lax_3c"]
    with pytest.raises(ValueError, match="no SAX"):
        read_nifti(path, "sax")
    with pytest.raises(ValueError, match="unknown view 'lax'"):
        read_nifti(path, "lax")


def test_nameless_slices_beside_a_stack_are_told_by_their_planes(tmp_path):
    lateral, anterior = writer.frame_vectors()
    flip = np.diag([-1.0, -1, 1])

    def affine(row, column, across_mm):
        matrix = np.eye(4)
        matrix[:3, 0], matrix[:3, 1] = flip @ row * 5, flip @ column * 5
        matrix[:3, 2] = flip @ np.cross(row, column) * across_mm
        matrix[:3, 3] = flip @ (writer.CENTRE - 2.5 * 39 * (row + column)) - matrix[:3, 2] * 3 * (across_mm > 8)
        return matrix

    store(image(40, 40, 7), tmp_path / "one_SA_ED.nii.gz", affine(lateral, -anterior, 10))
    store(image(40, 40, 7), tmp_path / "one_SA_ES.nii.gz", affine(lateral, -anterior, 10))
    for phase in ("ED", "ES"):
        store(image(40, 40, 1), tmp_path / f"one_LA_{phase}.nii.gz", affine(*writer.long_axis_plane(12), 8))
    reading = read_nifti(tmp_path)
    assert list(reading.study.views) == ["sax", "lax_4c"]
    assert (reading.study.ed_frame, reading.study.es_frame) == (0, 1)
    assert reading.study.views["lax_4c"].image.shape == (40, 40, 1, 2)


def test_ed_es_and_masks_in_a_folder(tmp_path):
    ed, es = image(40, 36, 5), image(40, 36, 5) + 1
    for data, name in ((ed, "ed"), (es, "es"), (ed % 4, "ed_gt"), (es % 4, "es_gt")):
        store(data, tmp_path / f"{name}.nii.gz")
    reading = read_nifti(tmp_path)
    np.testing.assert_array_equal(reading.study.views["sax"].image, np.stack([ed, es], axis=-1))
    assert (reading.study.ed_frame, reading.study.es_frame) == (0, 1)
    assert [row["view"] for row in reading.table] == [None, None, "sax", "sax"]
    single = read_nifti(tmp_path / "es.nii.gz").study
    assert single.ed_frame is None and single.es_frame == 0


def test_padding_stays_empty(tmp_path):
    data = image(40, 36, 6, 3)
    data[:, :, [0, 5]] = 7
    reading = read_nifti(store(data, tmp_path / "a.nii.gz"))
    np.testing.assert_allclose(slice_widths_mm(reading.sax_positions_mm), [0, 8, 8, 8, 8, 0], atol=1e-4)
    assert any("2 of 6 short-axis slices are empty" in note for note in reading.notes)


def test_voxel_sizes_the_affine_lacks(tmp_path):
    file = nib.Nifti1Image(image(40, 36, 5), np.diag([-1.0, -1, 1, 1]))
    file.header["pixdim"][1:4] = 1.5, 1.5, 10
    nib.save(file, tmp_path / "a.nii.gz")
    reading = read_nifti(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(reading.study.views["sax"].spacing_mm, (1.5, 1.5, 10))
    assert "the header's count" in reading.notes[0]


@pytest.mark.parametrize("qform_only", [False, True])
def test_masks_go_back_on_the_same_grid(tmp_path, qform_only):
    path = store(image(40, 36, 5, 6), tmp_path / "a.nii.gz")
    if qform_only:
        file = nib.load(path)
        file.set_qform(AFFINE, 1)
        file.set_sform(None, 0)
        nib.save(file, path)
    reading = read_nifti(path)
    mask = (reading.study.views["sax"].image > 500).astype(np.uint8)
    write_nifti(mask, AFFINE, tmp_path / "mask.nii.gz", 40.0, reading.headers["sax"])
    before, after = nib.load(path), nib.load(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(after.dataobj, mask)
    assert after.get_data_dtype() == np.uint8 and after.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_array_equal(before.affine, after.affine)
    np.testing.assert_allclose(before.header.get_zooms(), after.header.get_zooms())
    for name in ("qform_code", "sform_code"):
        assert before.header[name] == after.header[name]


def test_written_geometry_is_what_simpleitk_reads(tmp_path):
    mask = (image(40, 36, 5, 3) > 400).astype(np.uint8)
    write_nifti(mask, AFFINE, tmp_path / "m.nii.gz", frame_ms=35.0)
    itk = sitk.ReadImage(str(tmp_path / "m.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(itk).transpose(3, 2, 1, 0), mask)
    np.testing.assert_allclose(itk.GetSpacing(), (1.3, 1.3, 8, 0.035), rtol=1e-4)
    np.testing.assert_allclose(np.array(itk.GetOrigin()[:3]) * (-1, -1, 1), AFFINE[:3, 3], atol=1e-3)
    header = nib.load(tmp_path / "m.nii.gz").header
    assert (header["sform_code"], header["qform_code"]) == (1, 1)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.nii.gz"]


def test_bad_files_are_named_in_one_line(tmp_path):
    def refused(words, path, **kwargs):
        with pytest.raises((ValueError, FileNotFoundError), match=words) as error:
            read_nifti(path, **kwargs)
        assert "\n" not in str(error.value)

    refused("does not exist", tmp_path / "none.nii")
    refused("holds no NIfTI", tmp_path)
    good = store(image(40, 36, 5, 4), tmp_path / "good_sax.nii.gz")
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(good.read_bytes()[:4000])
    refused("no readable NIfTI", cut)
    cut.write_bytes(gzip.compress(gzip.decompress(good.read_bytes())[:4000]))
    refused("no readable NIfTI", cut)
    cut.write_text("hello", encoding="utf-8")
    refused("no readable NIfTI", cut)
    cut.unlink()
    refused("shape", store(image(40, 36, 5, 4, 2), tmp_path / "five.nii"))
    refused("first two axes", store(image(7, 40, 36), tmp_path / "turned.nii"))
    refused("is empty", store(np.zeros((40, 36, 4), np.int16), tmp_path / "zero.nii"))
    refused("not numbers", store(np.full((40, 36, 4), np.nan, np.float32), tmp_path / "nan.nii"))
    refused("has 3 slices", store(image(40, 36, 3), tmp_path / "lax_4c.nii"))
    others = tmp_path / "two"
    others.mkdir()
    store(image(40, 36, 5), others / "a_sax.nii"), store(image(40, 36, 5), others / "b_sax.nii")
    refused("2 files of the SAX view", others)
    refused("leave --view out", others, view="sax")
    store(image(40, 30, 5), others / "es_sax.nii"), (others / "b_sax.nii").rename(others / "ed_sax.nii")
    (others / "a_sax.nii").unlink()
    refused("must share one grid", others)
