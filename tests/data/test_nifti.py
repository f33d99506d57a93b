"""NIfTI in and out: views from names, shapes and affines; geometry kept; one-line errors."""

import gzip

import dicom_writer as writer
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from cinema.data.nifti import write_nifti
from cinema.data.nifti_views import read_nifti
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
    assert reading.table[0]["series"] == 1 and "no 4C view given" in reading.notes


def test_views_by_name(tmp_path):
    names = {"lax_2c": "p_lax_2c.nii", "lax_3c": "3ch.nii.gz", "lax_4c": "X-4CH.nii", "sax": "a_sax_t.nii.gz"}
    for view, name in (*names.items(), ("sax", "001_SA_ED.nii.gz")):
        assert list(read_nifti(store(image(40, 36, 1, 4), tmp_path / name)).study.views) == [view]


def test_one_nameless_slice_asks(tmp_path):
    path = store(image(40, 36, 1, 4), tmp_path / "cine.nii")
    with pytest.raises(ValueError, match="add --view"):
        read_nifti(path)
    assert list(read_nifti(path, "lax_3c").study.views) == ["lax_3c"]
    assert read_nifti(path, "sax").study.views["sax"].image.shape == (40, 36, 1, 4)
    with pytest.raises(ValueError, match="unknown view 'lax'"):
        read_nifti(path, "lax")


def test_nameless_slices_beside_a_stack_are_told_by_their_planes(tmp_path):
    lateral, anterior = writer.frame_vectors()
    stack = writer.affine(lateral, -anterior, writer.CENTRE, (5, 5, 10), (19.5, 19.5, 3))
    four_chamber = writer.affine(*writer.long_axis_plane(12), writer.CENTRE, (5, 5, 8), (19.5, 19.5, 0))
    for phase in ("ED", "ES"):
        store(image(40, 40, 7), tmp_path / f"one_SA_{phase}.nii.gz", stack)
        store(image(40, 40, 1), tmp_path / f"one_LA_{phase}.nii.gz", four_chamber)
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
    assert [row["view"] for row in reading.table] == ["sax", None, "sax", None]
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
        file.set_qform(AFFINE, 1), file.set_sform(None, 0)
        nib.save(file, path)
    reading = read_nifti(path)
    mask = (reading.study.views["sax"].image > 500).astype(np.uint8)
    write_nifti(mask, AFFINE, tmp_path / "mask.nii.gz", 40.0, reading.headers["sax"])
    before, after = nib.load(path), nib.load(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(after.dataobj, mask)
    assert after.get_data_dtype() == np.uint8 and after.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_array_equal(before.affine, after.affine)
    np.testing.assert_allclose(before.header.get_zooms(), after.header.get_zooms())
    assert all(before.header[name] == after.header[name] for name in ("qform_code", "sform_code"))


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
    good = store(image(40, 36, 5, 4), tmp_path / "good_sax.nii.gz").read_bytes()
    for content in (good[:4000], gzip.compress(gzip.decompress(good)[:4000]), b"hello"):
        (tmp_path / "cut.nii.gz").write_bytes(content)
        refused("no readable NIfTI", tmp_path / "cut.nii.gz")
    for words, data, name in (
        ("take it apart", image(40, 36, 5, 4, 2), "five"),
        ("first two axes", image(7, 40, 36), "turned"),
        ("is empty", np.zeros((40, 36, 4), np.int16), "zero"),
        ("not numbers", np.full((40, 36, 4), np.nan, np.float32), "nan"),
        ("has 3 slices", image(40, 36, 3), "lax_4c"),
    ):
        refused(words, store(data, tmp_path / f"{name}.nii"))
    others = tmp_path / "two"
    others.mkdir()
    store(image(40, 36, 5), others / "a_sax.nii"), store(image(40, 36, 5), others / "ed_sax.nii")
    refused("2 files of the SAX view", others)
    refused("leave --view out", others, view="sax")
    (others / "a_sax.nii").unlink()
    store(image(40, 30, 5), others / "es_sax.nii")
    refused("must share one grid", others)
