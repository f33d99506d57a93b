"""The Data Science Bowl: splits, volumes, what is read by default; slice loading itself."""

from dataclasses import fields, replace
from io import BytesIO

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless
from rawtrees import kaggle as builder
from rawtrees.hearts import SMALL
from rawtrees.pictures import SCALE, picture_bytes

from cinema.data.frames import picture
from cinema.data.public import kaggle
from cinema.data.public.common import cine_views
from cinema.data.study import View

OPTIONS = {"grid": SMALL}


def test_splits_and_volumes_of_the_tables_where_duplicates_count_by_their_mean(tree):
    splits = {"1": "train", "2": "train", "3": "train", "4": "train", "501": "val", "701": "test"}
    assert {name: tree.found[name].split for name in tree.facts["ids"]} == splits
    for name in splits:
        _, edv, esv = tree.facts["volumes"][int(name)]
        known = tree.found[name].attributes
        assert known["lv_edv_ml"] == pytest.approx(edv) and known["lv_esv_ml"] == pytest.approx(esv)
        assert known["lv_ef_percent"] == pytest.approx((edv - esv) / edv * 100)


def test_an_id_unlike_701_diastole_stops_the_run(tmp_path):
    (tmp_path / "test" / "test").mkdir(parents=True)
    (tmp_path / "solution.csv").write_text("Id,Volume\n701,3\n", encoding="utf-8")
    with pytest.raises(ValueError, match="'701' is not like 701_Diastole"):
        kaggle.subjects(tmp_path)


def test_default_takes_the_later_repeat_and_sets_odd_slices_aside(tree):
    notes = {}
    for name in tree.facts["ids"]:
        study, truth = kaggle.read(tree.found[name]), tree.facts["studies"][name]
        assert set(study.views) == {"sax", "lax_2c", "lax_4c"} and study.attributes["sex"] == "F"
        notes[name] = study.attributes.get("notes", "")
        for kind, view in study.views.items():
            expected = truth.views[kind].image.astype(np.uint16) * SCALE
            assert view.image.shape == expected.shape
            different = int((view.image != expected).any(axis=(0, 1)).sum())
            assert different == (2 if int(name) == builder.CUT and kind == "sax" else 0), (name, kind)
    assert "sax_3 lies where sax_12 does" in notes["2"] and "sax_55 has another size" in notes["3"]
    assert notes["1"] == notes["4"] == notes["701"] == "" and "2 missing or unreadable frames" in notes["501"]


# Slice loading by itself: pictures of random numbers, eight frames, on an oblique grid.


def stack(spacing=(1.2, 1.2, 8.0), slices_=3, frames=8):
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * np.linalg.det(turn) * spacing, (10, -20, 30)
    return View(rng.integers(0, 200, (9, 7, slices_, frames)), affine)


def pictures(view, z, lose=(), **fields):
    fields = {"ImagePositionPatient": exact(view, z), "ImageOrientationPatient": exact(view)} | fields
    return [
        picture(f"{t:02d}.dcm", picture_bytes(view, z, t, z + 1, **fields))
        for t in range(view.n_frames)
        if t not in lose
    ]


def exact(view, z=None):
    """Orientation, or position of a slice, in the 16 characters that DICOM has for a number."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ view.affine
    unit = lps[:3, :2] / np.linalg.norm(lps[:3, :2], axis=0)
    values = unit.T.ravel() if z is None else (lps @ [0, 0, z, 1])[:3]
    return [f"{value:.12f}"[:16] for value in values]


def default(*folders, view="sax"):
    """(View, notes) of the pictures of one folder each."""
    notes = []
    return cine_views({view: [(f"{view}_{rank}", one) for rank, one in enumerate(folders)]}, notes)[view], notes


def test_default_sorts_slices_whichever_way_they_are_numbered():
    view = stack(slices_=5)
    for order in ((0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (1, 0, 2, 3, 4)):
        image, notes = default(*[pictures(view, z) for z in order])
        expected = view.image[:, :, ::-1] if order[0] == 4 else view.image
        assert np.array_equal(image.image, expected * SCALE)
        start = (view.affine @ [0, 0, order[0] - order[0] % 4, 1])[:3]
        np.testing.assert_allclose(image.affine[:3, 3], start, atol=1e-6)
        assert np.sign(image.affine[:3, 2] @ view.affine[:3, 2]) == (-1 if order[0] == 4 else 1)
        assert bool(notes) == (order[0] == 1)


def test_default_fills_one_missing_slice_and_refuses_more():
    view = stack(slices_=7)
    image, notes = default(*[pictures(view, z) for z in (0, 1, 3, 4, 5)])
    assert image.image.shape[2] == 6 and "1 of 6 were interpolated" in notes[0]
    np.testing.assert_allclose(image.image[:, :, 2], (view.image[:, :, 1] + view.image[:, :, 3]) * SCALE / 2, atol=0.51)
    with pytest.raises(ValueError, match="24.0 mm in one place; several slices are missing"):
        default(*[pictures(view, z) for z in (0, 1, 4, 5, 6)])


def test_default_sets_a_turned_slice_and_a_broken_off_series_aside():
    view = stack(slices_=4)
    turned = replace(view, affine=view.affine[:, [2, 0, 1, 3]])
    good, broken = [pictures(view, z) for z in range(4)], pictures(view, 2, lose=range(4))
    image, notes = default(*good, pictures(turned, 1), broken)
    assert np.array_equal(image.image, view.image * SCALE) and len(notes) == 2
    assert "4 of 8 frames" in notes[0] and "sax_4 has another orientation" in notes[1]


def test_default_moves_a_slice_that_lies_beside_the_others_onto_their_grid():
    view = stack(slices_=4)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ view.affine
    beside = [replace(one, position=(lps @ [2, -1, 1, 1])[:3]) for one in pictures(view, 1)]
    image, notes = default(pictures(view, 0), beside, pictures(view, 2), pictures(view, 3))
    # Its pixel (0, 1) lies where the others have (2, 0).
    np.testing.assert_allclose(image.image[2:, :-1, 1], view.image[:-2, 1:, 1] * SCALE, atol=0.5)
    assert np.array_equal(image.image[:, :, [0, 2, 3]], view.image[:, :, [0, 2, 3]] * SCALE)
    assert notes == ["1 short-axis slices lie beside the first; they were moved onto its grid"]


def test_default_brings_a_slice_of_fewer_frames_to_the_others():
    """A ramp in time: linear interpolation gives it back, but for the jump from the last frame to the first."""
    view = stack(frames=20)
    ramp = replace(view, image=np.broadcast_to(np.arange(20) * 10, view.image.shape))
    short = replace(ramp, image=ramp.image[..., ::2] * 1)
    image, notes = default(pictures(ramp, 0), pictures(ramp, 1), pictures(short, 2))
    np.testing.assert_allclose(image.image[3, 3, 2, :19], np.arange(19) * 10 * SCALE, atol=0.51)
    np.testing.assert_allclose(image.frame_times_ms, np.arange(20) * 45)
    assert "1 short-axis slices brought to the others' number of frames" in notes


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, "JPEG", "rescaled", "plain"]
)
def test_every_encoding_gives_the_same_picture(syntax, tmp_path):
    view = stack()
    data = picture_bytes(view, 1, 2, 3)
    plain = picture("x", data)
    read = pydicom.dcmread(BytesIO(data))
    assert plain.shape == (read.Columns, read.Rows) and plain.trigger_ms == float(read.TriggerTime)
    assert plain.position.tolist() == list(map(float, read.ImagePositionPatient)) and plain.declared == 8
    assert (plain.series, plain.number, plain.instance) == (read.SeriesInstanceUID, 3, 3)
    if syntax == "rescaled":
        read.RescaleSlope, read.RescaleIntercept = "2", "5"
    elif syntax == RLELossless:
        read.compress(RLELossless)
    elif syntax == "JPEG":
        sitk.WriteImage(sitk.GetImageFromArray(read.pixel_array[None]), str(tmp_path / "x.dcm"), True)
        packed = pydicom.dcmread(tmp_path / "x.dcm")
        assert packed.file_meta.TransferSyntaxUID.is_compressed
        read.file_meta.TransferSyntaxUID, read.PixelData = packed.file_meta.TransferSyntaxUID, packed.PixelData
        for name in ("BitsAllocated", "BitsStored", "HighBit"):
            read[name] = packed[name]
    elif syntax == ExplicitVRBigEndian:
        read.PixelData = np.frombuffer(read.PixelData, "<u2").astype(">u2").tobytes()
    file = BytesIO()
    if syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian):
        read.file_meta.TransferSyntaxUID = syntax
        implicit = syntax == ImplicitVRLittleEndian
        pydicom.dcmwrite(file, read, implicit_vr=implicit, little_endian=implicit, force_encoding=True)
    else:
        read.save_as(file)
    other = picture("x", file.getvalue())
    expected = plain.pixels * 2.0 + 5 if syntax == "rescaled" else plain.pixels
    assert np.array_equal(other.pixels, expected) and np.array_equal(plain.pixels, view.image[:, :, 1, 2] * SCALE)
    for field in fields(plain):
        if field.name != "pixels":
            np.testing.assert_equal(getattr(other, field.name), getattr(plain, field.name), field.name)


def test_a_file_without_geometry_is_refused():
    data = pydicom.dcmread(BytesIO(picture_bytes(stack(), 0, 0, 1)))
    del data.PixelSpacing
    file = BytesIO()
    data.save_as(file)
    for bad in (file.getvalue(), b"", b"no picture"):
        with pytest.raises(ValueError, match="x lacks|x is damaged"):
            picture("x", bad)


def test_default_mends_a_long_axis_view_of_which_the_latest_complete_series_counts():
    view = stack(slices_=1, frames=10)
    spoiled = replace(view, image=view.image * 0)
    series = [
        pictures(one, 0, lose=lost, SeriesInstanceUID=f"1.{rank}")
        for rank, (one, lost) in enumerate(((spoiled, ()), (view, ()), (spoiled, (4,))))
    ]
    read, notes = default(*series, view="lax_2c")
    assert np.array_equal(read.image, view.image * SCALE) and "latest complete one" in notes[0]
    read, notes = default(pictures(view, 0, lose=(4,)), view="lax_2c")
    between = (view.image[..., 3] + view.image[..., 5]) * SCALE / 2
    np.testing.assert_allclose(read.image[..., 4], between, atol=0.51)
    np.testing.assert_allclose(read.frame_times_ms, np.arange(10) * 90)
    assert notes == ["1 missing or unreadable frames interpolated in time"]
