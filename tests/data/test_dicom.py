"""DICOM in: views from geometry, quirks of exports, and what must be refused in one line."""

import dataclasses
import locale
import shutil
from pathlib import Path

import dicom_writer as writer
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from places import SHARED

from cinema.data import views
from cinema.data.dicom import read_dicom
from cinema.data.reading import describe, slice_widths_mm
from cinema.data.study import save_study

REAL = SHARED / "real/cine_study_dicom"
LATERAL, ANTERIOR = writer.frame_vectors()
SAX = LATERAL, -ANTERIOR  # row and column of a short-axis picture


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return writer.write_study(tmp_path_factory.mktemp("plain"))


@pytest.fixture
def folder(plain, tmp_path):
    """A copy to spoil."""
    return Path(shutil.copytree(plain, tmp_path / "study"))


def taken(reading):
    return {row["series"]: row["view"] for row in reading.table}


def test_views_of_a_plain_study(plain):
    reading = read_dicom(plain)
    assert taken(reading) == dict.fromkeys(range(1, 7), "sax") | {7: "lax_4c", 8: "lax_2c", 9: "lax_3c"}
    sax = reading.study.views["sax"]
    assert sax.image.shape == (48, 40, 6, 10) and reading.study.views["lax_4c"].image.shape == (48, 40, 1, 10)
    np.testing.assert_allclose(sax.spacing_mm, (5, 5, 14), atol=1e-4)
    np.testing.assert_allclose(sax.frame_times_ms, np.arange(10) * 90, atol=0.01)
    np.testing.assert_allclose(reading.sax_positions_mm, np.arange(6) * 14, atol=1e-3)
    assert "set aside" not in describe(reading) and len(describe(reading).splitlines()) == 10


def test_pixels_lie_where_the_affine_says(plain):
    for view in read_dicom(plain).study.views.values():
        index = np.stack(np.meshgrid(*map(np.arange, view.image.shape[:3]), indexing="ij"), -1)
        points = (index @ view.affine[:3, :3].T + view.affine[:3, 3]) * (-1, -1, 1)
        for t in (0, 4):
            assert np.mean(view.image[..., t] == writer.heart(points, t / 10)) > 0.999


def test_same_geometry_as_simpleitk(tmp_path):
    paths = writer.write_series(tmp_path, 3, *SAX, writer.sax_centres()[::-1])
    first = [path for path in paths if float(pydicom.dcmread(path).TriggerTime) == 0]
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    reference = sitk.ReadImage([name for name in names if Path(name) in first])
    sax = read_dicom(tmp_path).study.views["sax"]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(reference).transpose(2, 1, 0), sax.image[..., 0])
    flip = np.diag([-1, -1, 1])
    np.testing.assert_allclose(flip @ np.array(reference.GetOrigin()), sax.affine[:3, 3], atol=1e-3)
    direction = np.array(reference.GetDirection()).reshape(3, 3) * reference.GetSpacing()
    np.testing.assert_allclose(flip @ direction, sax.affine[:3, :3], atol=1e-3)


def test_random_hearts_and_operators():
    """Heart axes, rotations and plane errors as wide as between people; RV planes among them."""
    rng, right, ras = np.random.default_rng(0), 0, np.diag([-1.0, -1, 1])
    for _ in range(200):
        axis = writer.AXIS + rng.normal(0, 0.2, 3)
        axis /= np.linalg.norm(axis)
        lateral, _ = writer.frame_vectors(axis)
        centre, rotation = rng.normal(0, 30, 3), rng.normal(0, 12)
        planes = []
        for angle in (10, 70, 130):
            row, column = writer.long_axis_plane(angle + rotation + rng.normal(0, 7), axis + rng.normal(0, 0.07, 3))
            row = row / np.linalg.norm(row)
            column = column - row * (row @ column)
            column /= np.linalg.norm(column)
            planes.append(writer.affine(row, column, centre + rng.normal(0, 4, 3), middle=(100, 90, 0)))
        rv_long_axis = (*writer.long_axis_plane(70 + rotation, axis), centre - 42 * lateral)
        planes.append(writer.affine(*rv_long_axis, middle=(100, 90, 0)))
        heart = ras @ (centre - 15 * lateral + rng.normal(0, 8, 3))
        result = views.assign(planes, ras @ axis, heart)
        right += result.lax == {"lax_4c": 0, "lax_2c": 1, "lax_3c": 2}
    assert right >= 196


def test_what_is_not_needed_is_set_aside(folder):
    stack, slice_ = (*SAX, writer.sax_centres(3)), (*SAX, [writer.sax_centres()[3]])
    flow = (*writer.long_axis_plane(40), [writer.CENTRE])
    writer.write_series(folder / "rv", 20, *writer.long_axis_plane(68), [writer.CENTRE - 45 * LATERAL])
    writer.write_series(folder / "scout", 30, *np.eye(3)[:2], [writer.CENTRE], frames=1)
    writer.write_series(folder / "perfusion", 31, *stack, frames=20, TriggerTime="300", CardiacNumberOfImages=None)
    for t, path in enumerate(writer.write_series(folder / "map", 33, *stack, frames=8)):
        data = pydicom.dcmread(path)
        data.InversionTime = 100 + 80 * (t % 8)
        writer.save(data, path)
    writer.write_series(folder / "flow", 34, *flow, ImageType=["ORIGINAL", "PRIMARY", "P"])
    writer.write_series(folder / "size", 35, *flow)
    writer.write_series(folder / "tagged", 41, *slice_, EchoTime="3.9")  # does not replace a slice of the stack
    for t, path in enumerate(writer.write_series(folder / "dynamic", 43, *slice_, 20, triggers=False)):
        data = pydicom.dcmread(path)
        data.AcquisitionTime = f"1200{0.9 * t:09.6f}"
        writer.save(data, path)
    words = {20: "beside the LV axis", 30: "single image", 31: "phases of the cycle", 33: "inversion time"}
    words |= {34: "velocity", 35: "magnitude", 41: "the same place as series 4", 43: "beats apart"}
    reasons = {row["series"]: row["reason"] for row in read_dicom(folder).table if row["view"] is None}
    assert set(reasons) == set(words) and all(word in reasons[number] for number, word in words.items())


def test_repeats_and_copies(folder):
    writer.write_series(folder / "again", 40, *writer.long_axis_plane(70), [writer.CENTRE + 0.5])
    shutil.copytree(folder / "a/0", folder / "copy of 0")
    reading = read_dicom(folder)
    assert taken(reading)[40] == "lax_2c" and taken(reading)[8] is None
    assert reading.study.views["sax"].image.shape[2] == 6 and "10 files are copies" in " ".join(reading.notes)


def test_frames_without_trigger_times(tmp_path):
    ordered = read_dicom(writer.write_study(tmp_path / "x", slices=3)).study.views["sax"]
    reading = read_dicom(writer.write_study(tmp_path / "y", slices=3, triggers=False))
    np.testing.assert_array_equal(reading.study.views["sax"].image, ordered.image)
    assert reading.study.views["sax"].frame_times_ms is None
    assert any("in order of image number" in note for note in reading.notes)


def test_frame_counts_and_intervals_that_differ(folder, plain):
    shutil.rmtree(folder / "a/2")
    writer.write_series(folder / "a/2", 3, *SAX, [writer.sax_centres()[2]], frames=20, rr_ms=1100.0)
    reading = read_dicom(folder)
    np.testing.assert_array_equal(reading.study.views["sax"].image, read_dicom(plain).study.views["sax"].image)
    notes = " ".join(reading.notes)
    assert "10 or 20 frames" in notes and "900 to 1100 ms" in notes


def test_gaps_and_uneven_slices(folder):
    shutil.rmtree(folder / "a/3")
    reading = read_dicom(folder)
    image = reading.study.views["sax"].image
    assert image.shape[2] == 6 and np.ptp(image[:, :, 2]) == 0
    assert "1 short-axis slice is missing" in " ".join(reading.notes)
    np.testing.assert_allclose(slice_widths_mm(reading.sax_positions_mm), [14, 21, 0, 21, 14, 14], atol=0.01)
    places = np.array([0, 9.0, 21, 31, 44])  # from apex to base, as slices are ordered
    uneven = folder.parent / "uneven"
    writer.write_series(uneven, 1, *SAX, [writer.CENTRE - writer.AXIS * place for place in places])
    reading = read_dicom(uneven)
    assert "unevenly spaced (9.0 to 13.0 mm)" in " ".join(reading.notes)
    np.testing.assert_allclose(reading.sax_positions_mm, places, atol=0.01)


def test_slices_on_other_grids(folder, plain):
    shutil.rmtree(folder / "a/2")
    turned = (ANTERIOR, LATERAL, [writer.sax_centres()[2] + 3 * LATERAL])  # the same plane, rows and columns exchanged
    writer.write_series(folder / "a/2", 3, *turned, shape=(60, 60), spacing=(4.0, 4.0))
    reading = read_dicom(folder)
    same = np.abs(reading.study.views["sax"].image - read_dicom(plain).study.views["sax"].image)
    assert same[:, :, [0, 1, 2, 4, 5]].max() == 0 and np.median(same[:, :, 3]) == 0 and same[:, :, 3].mean() < 12
    assert "1 of 6 short-axis slices" in " ".join(reading.notes)


def test_many_slices_in_one_series_and_a_second_stack(tmp_path):
    for number in (5, 9):
        writer.write_series(tmp_path / str(number), number, *SAX, writer.sax_centres())
    for number, angle in ((11, 12), (12, 71)):
        writer.write_series(tmp_path / str(number), number, *writer.long_axis_plane(angle), [writer.CENTRE])
    reading = read_dicom(tmp_path)
    assert taken(reading) == {5: None, 9: "sax", 11: "lax_4c", 12: "lax_2c"}
    assert any("no 3C view" in note for note in reading.notes)


def test_long_axis_views_alone(tmp_path):
    for number, angle in ((1, 132), (2, 8), (3, 66)):
        writer.write_series(tmp_path / str(number), number, *writer.long_axis_plane(angle), [writer.CENTRE])
    reading = read_dicom(tmp_path)
    assert taken(reading) == {1: "lax_3c", 2: "lax_4c", 3: "lax_2c"} and reading.sax_positions_mm is None
    with pytest.raises(ValueError, match="3 cine planes: leave --view out"):
        read_dicom(tmp_path, view="lax_4c")
    single = tmp_path / "1"
    assert list(read_dicom(single, view="lax_3c").study.views) == ["lax_3c"]
    with pytest.raises(ValueError, match="--view"):
        read_dicom(single)


@pytest.fixture
def same_locale():
    """ITK's writer of compressed DICOM leaves the process in the C locale, where text is ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.mark.usefixtures("same_locale")
def test_rescaled_and_compressed_pixels(folder):
    expected = read_dicom(folder).study.views["lax_4c"].image
    for path in (folder / "b/0").iterdir():
        data = pydicom.dcmread(path)
        data.RescaleSlope, data.RescaleIntercept = "2", "-10"
        image = sitk.ReadImage(str(path))
        compressed = path.parent / "packed.dcm"
        out = sitk.ImageFileWriter()
        out.SetImageIO("GDCMImageIO"), out.SetFileName(str(compressed)), out.UseCompressionOn()
        out.Execute(image)
        packed = pydicom.dcmread(compressed)
        assert packed.file_meta.TransferSyntaxUID.is_compressed
        data.PixelData, data.file_meta.TransferSyntaxUID = packed.PixelData, packed.file_meta.TransferSyntaxUID
        data["PixelData"].is_undefined_length = True
        writer.save(data, path)
        compressed.unlink()
    np.testing.assert_allclose(read_dicom(folder).study.views["lax_4c"].image, expected * 2 - 10)


def test_enhanced_multi_frame(folder):
    expected = read_dicom(folder).study.views["lax_2c"].image
    paths = sorted((folder / "b/1").iterdir(), key=lambda path: pydicom.dcmread(path).InstanceNumber)
    slices = [pydicom.dcmread(path) for path in paths][::-1]  # not in order of time
    multi = writer.enhanced(slices, NominalCardiacTriggerDelayTime=[float(data.TriggerTime) for data in slices])
    shutil.rmtree(folder / "b/1")
    writer.save(multi, folder / "b/1.dcm")
    np.testing.assert_array_equal(read_dicom(folder).study.views["lax_2c"].image, expected)


def test_nothing_identifies_the_patient(plain, tmp_path):
    reading = read_dicom(plain)
    text = repr(dataclasses.asdict(dataclasses.replace(reading, study=None))) + repr(reading.study) + describe(reading)
    stored = save_study(reading.study, tmp_path).read_bytes()
    for secret in (writer.NAME, "Doe", writer.PATIENT_ID, writer.ACCESSION, "20240229", "1960", "1.2.3.", "misleading"):
        assert secret not in text and secret.encode() not in stored
    assert reading.study.attributes == {"vendor": "Siemens", "field_t": 1.5, "heart_rate_bpm": 66.7}


@pytest.mark.parametrize(
    "told, model",
    [("MAGNETOM Vida Fit", "Vida Fit"), ("Ingenia", "Ingenia"), ("SIGNA Artist", "Artist"), ("bought by Dr Doe", None)],
)
def test_a_scanner_is_named_only_if_it_is_a_known_one(told, model, tmp_path):
    reading = read_dicom(writer.write_study(tmp_path, slices=3, angles=(), ManufacturerModelName=told))
    assert reading.study.attributes.get("scanner_model") == model


def in_time(folder):
    return sorted(folder.iterdir(), key=lambda path: float(pydicom.dcmread(path).TriggerTime))


def cut(folder, end):
    path = next((folder / "a/1").iterdir())
    path.write_bytes(path.read_bytes()[:end])


def emptied(folder):
    shutil.rmtree(folder / "a"), shutil.rmtree(folder / "b")
    return folder


def with_another(folder, **fields):
    writer.write_series(folder / "c", 50, *writer.long_axis_plane(70), [writer.CENTRE], **fields)


@pytest.mark.parametrize(
    "words, spoil",
    [
        ("no frame between 270 and 450 ms", lambda folder: in_time(folder / "a/1")[4].unlink()),
        ("9 of 10 frames", lambda folder: in_time(folder / "b/1")[-1].unlink()),
        ("cut short", lambda folder: cut(folder, -900)),
        ("damaged", lambda folder: cut(folder, 420)),
        ("damaged or no DICOM", lambda folder: next((folder / "a/1").iterdir()).write_bytes(b"not an image")),
        ("mixes 2 patients", lambda folder: with_another(folder, patient="OTHER")),
        ("mixes 2 examinations", lambda folder: with_another(folder, StudyDate="20240301", study="4.5")),
        ("no cine", lambda folder: with_another(emptied(folder), frames=1)),
        ("none of them DICOM", lambda folder: (emptied(folder) / "notes.txt").write_bytes(b"nothing here")),
        ("is empty", emptied),
        ("does not exist", shutil.rmtree),
    ],
)
def test_bad_input_is_named_in_one_line(folder, words, spoil):
    spoil(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=words) as error:
        read_dicom(folder)
    message = str(error.value)
    assert "\n" not in message and writer.PATIENT_ID not in message and "Doe" not in message


def test_bystanders_are_left_out(folder):
    (folder / "LICENSE").write_text("text", encoding="utf-8"), (folder / "a/1/.DS_Store").write_bytes(b"\0" * 200)
    assert "2 files that are not DICOM left out" in read_dicom(folder).notes


@pytest.mark.skipif(not REAL.is_dir(), reason="the real study is not at hand (../shared/real)")
def test_real_study():
    reading = read_dicom(REAL)
    aside = {19001: None, 22001: None}
    lax = {14001: "lax_4c", 16001: "lax_3c", 17001: "lax_2c"}
    assert taken(reading) == dict.fromkeys(range(7001, 13000, 1000), "sax") | lax | aside
    assert reading.study.views["sax"].image.shape == (256, 208, 6, 25)
    assert reading.study.views["sax"].spacing_mm == pytest.approx((1.40625, 1.40625, 17.7), abs=0.01)
    reasons = {row["series"]: row["reason"] for row in reading.table}
    assert "long axis of the RV" in reasons[19001] and "outflow tract" in reasons[22001]
