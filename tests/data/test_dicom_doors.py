"""DICOM that went wrong: read as it is meant, set aside with its reason, or refused in one line."""

import shutil
import tempfile
import time

import dicom_writer as writer
import numpy as np
import pydicom
import pytest
from places import SHARED
from pydicom.uid import RLELossless

from cinema.data import frames, views
from cinema.data.dicom import read_dicom
from cinema.inference import measures, segment
from cinema.terms import VIEWS

TROUBLE = SHARED / "real/trouble"
LATERAL, ANTERIOR = writer.frame_vectors()
SAX = LATERAL, -ANTERIOR
SAGITTAL, CORONAL = (np.eye(3)[1], -np.eye(3)[2]), (np.eye(3)[0], -np.eye(3)[2])


def trouble(name):
    if not (TROUBLE / name).exists():
        pytest.skip("the troublesome files are not at hand (../shared/real/trouble)")
    return TROUBLE / name


def pictures(reading, names=VIEWS):
    return {name: view.image for name, view in reading.study.views.items() if name in names}


def equal(found, expected):
    assert found.keys() == expected.keys()
    for name, image in expected.items():
        np.testing.assert_array_equal(found[name], image)


@pytest.mark.parametrize(
    "name, base, names, word",
    [
        ("01-monochrome1/input", "00-base/input", ["sax"], ""),
        ("02-enhanced-compressed/rle", "02-enhanced-compressed/plain", VIEWS, ""),
        ("02-enhanced-compressed/j2k", "02-enhanced-compressed/plain", VIEWS, ""),
        ("08-one-sop-uid-for-all/input", "00-base/input", ["sax"], ""),
        (
            "09-scan-stopped-early/input",
            "00-base/input",
            ["sax"],
            "9 of 12 frames are there; they cover the beat evenly",
        ),
        ("10-one-map-without-orientation/input", "00-base/input", VIEWS, "without position or orientation"),
        ("12-enhanced-order-by-temporal-index/input", "00-base/input", VIEWS, "in order of temporal position"),
    ],
)
def test_trouble_gives_the_pictures_of_the_sound_study(name, base, names, word):
    reading = read_dicom(trouble(name))
    equal(pictures(reading), pictures(read_dicom(trouble(base)), names))
    assert word in " ".join(reading.notes)


def test_sagittal_planes_are_no_short_axis():
    reading = read_dicom(trouble("06-sax-beside-sagittal-stack/input"))
    assert {row["series"] for row in reading.table if row["view"] == "sax"} == {*range(7001, 13000, 1000)}
    assert list(reading.study.views) == ["sax"] and "nan" not in str(reading.table)


@pytest.mark.parametrize(
    "name, said",
    [
        ("dicom_meta_length_byte.dcm", "byte.dcm is damaged or cut short"),
        ("dicom_unknown_vr_byte.dcm", "damaged: 1 of 8 frames"),
    ],
)
def test_damage_is_one_line_with_a_remedy_that_holds(name, said):
    for view in (None, "sax", "lax_4c"):
        with pytest.raises(ValueError, match=said) as error:
            read_dicom(trouble("damaged") / name, view)
        assert "\n" not in str(error.value) and "--view" not in str(error.value)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return writer.write_study(tmp_path_factory.mktemp("plain"), slices=4, angles=(10, 70))


@pytest.fixture
def folder(plain, tmp_path):
    return shutil.copytree(plain, tmp_path / "study")


def change(folder, edit, part="*"):
    """Every file below `part` edited: edit(number in order of time, dataset)."""
    for home in sorted({path.parent for path in folder.rglob(f"{part}/*.dcm")}):
        paths = sorted(home.glob("*.dcm"), key=lambda path: pydicom.dcmread(path).InstanceNumber)
        for t, path in enumerate(paths):
            data = pydicom.dcmread(path)
            edit(t, data)
            writer.save(data, path)


def inverted(t, data, **shown):
    data.PixelData = (4095 - data.pixel_array).tobytes()
    for name, value in shown.items():
        setattr(data, name, value)


def one_identity(t, data):
    data.SOPInstanceUID = "1.2.3.4"


def nameless_now_and_then(t, data):
    if t % 3 == 1:
        data.PatientID = ""
    if t % 3 == 2:
        data.PatientName = " "


def after_midnight(t, data):
    data.StudyDate = "20240301" if t > 5 else "20240229"


def more_promised(t, data):
    data.CardiacNumberOfImages = 14


def odd_text(t, data):
    for tag, text in ((0x00101020, b"1,75"), (0x00200011, b"2;"), (0x00101010, b"?")):  # height, series, age
        data[tag] = pydicom.dataelem.RawDataElement(pydicom.tag.Tag(tag), "DS", len(text), text, 0, False, True)


def map_without_position(folder):
    data = pydicom.dcmread(next((folder / "b/0").iterdir()))
    del data.ImagePositionPatient, data.ImageOrientationPatient
    data.SOPInstanceUID, data.SeriesNumber = "1.9", 99
    writer.save(data, folder / "map.dcm")


@pytest.mark.parametrize(
    "spoil, word",
    [
        (lambda folder: change(folder, lambda *of: inverted(*of, PhotometricInterpretation="MONOCHROME1")), ""),
        (lambda folder: change(folder, lambda *of: inverted(*of, PresentationLUTShape="INVERSE")), ""),
        (lambda folder: change(folder, one_identity), ""),
        (lambda folder: change(folder, odd_text), ""),
        (lambda folder: change(folder, nameless_now_and_then), ""),
        (lambda folder: change(folder, after_midnight), ""),
        (lambda folder: change(folder, more_promised), "10 of 14 frames are there; they cover the beat evenly"),
        (lambda folder: change(folder, lambda t, data: data.compress(RLELossless), "a/*"), ""),
        (map_without_position, "set aside: 1 x an image without position"),
    ],
)
def test_oddities_of_exports_change_nothing(folder, plain, spoil, word):
    spoil(folder)
    reading = read_dicom(folder)
    equal(pictures(reading), pictures(read_dicom(plain)))
    assert word in " ".join(reading.notes) and "copies" not in " ".join(reading.notes)


@pytest.mark.parametrize(
    "edit, words",
    [
        (lambda t, data: setattr(data, "PatientID", "A" if t else "B"), "mixes 2 patients"),
        (
            lambda t, data: (setattr(data, "PatientID", ""), setattr(data, "PatientName", "A" if t else "B")),
            "2 patients",
        ),
        (lambda t, data: setattr(data, "StudyDate", "20240229" if t else "20240310"), "mixes 2 examinations"),
        (lambda t, data: setattr(data, "PixelSpacing", [1e-5, 1e-5]), "pixel spacing is missing or not between"),
        (lambda t, data: setattr(data, "PixelSpacing", [300, 300]), "pixel spacing is missing or not between"),
        (lambda t, data: setattr(data, "ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "right angles"),
        (lambda t, data: setattr(data, "ImagePositionPatient", [1e9, 0, 0]), "metres outside"),
        (lambda t, data: setattr(data, "NumberOfFrames", 2_000_000), "cannot hold 2000000 images"),
        (lambda t, data: (setattr(data, "Rows", 65535), setattr(data, "Columns", 65535)), "more than a cine has"),
        (lambda t, data: delattr(data, "Rows"), "size of the image is missing"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(folder, edit, words):
    change(folder, edit)
    start = time.process_time()
    with pytest.raises(ValueError, match=words) as error:
        read_dicom(folder)
    assert "\n" not in str(error.value) and time.process_time() - start < 5


@pytest.mark.parametrize("raised", [NotImplementedError, KeyError, MemoryError, RecursionError, TypeError])
def test_whatever_is_raised_is_one_line(folder, monkeypatch, raised):
    def fails(*_, **__):
        raise raised(writer.NAME)

    for of, name in ((frames, "pixels_of"), (pydicom, "dcmread")):
        with monkeypatch.context() as patch:
            patch.setattr(of, name, fails)
            patch.setattr("cinema.data.planes.pixels_of", fails)
            with pytest.raises(ValueError, match="damaged or cut short") as error:
                read_dicom(folder)
        assert "\n" not in str(error.value) and writer.NAME not in str(error.value)


def shuffled(folder, **of_frame):
    """The 2C of the study as one enhanced file, frames out of order; of_frame: element -> its value at a time.

    A rescale slope goes into the pixels, so that the picture stays the same.
    """
    paths = sorted((folder / "b/1").iterdir(), key=lambda path: pydicom.dcmread(path).InstanceNumber)
    order = np.random.default_rng(0).permutation(len(paths))
    images = [pydicom.dcmread(paths[t]) for t in order]
    values = {name: [value(int(t)) for t in order] for name, value in of_frame.items()}
    for image, slope in zip(images, values.get("RescaleSlope", [1] * len(images)), strict=True):
        image.PixelData = (image.pixel_array // slope).tobytes()
    shutil.rmtree(folder / "b/1")
    writer.save(writer.enhanced(images, **values), folder / "b/1.dcm")
    return folder / "b/1.dcm"


@pytest.mark.parametrize(
    "of_frame",
    [
        {"TemporalPositionIndex": lambda t: t + 1},
        {"DimensionIndexValues": lambda t: [1, 1, t + 1]},
        {"TemporalPositionIndex": lambda t: 1, "DimensionIndexValues": lambda t: [1, t + 1, 1]},
        {"NominalCardiacTriggerDelayTime": lambda t: 90.0 * t, "TemporalPositionIndex": lambda t: 10 - t},
    ],
)
def test_enhanced_frames_are_in_the_order_that_their_fields_state(folder, plain, of_frame):
    shuffled(folder, **of_frame)
    equal(pictures(read_dicom(folder)), pictures(read_dicom(plain)))


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"])
def test_lossless_multi_frame_with_a_slope_for_each_frame(folder, plain, syntax, monkeypatch):
    gdcm = pytest.importorskip("gdcm")
    path = shuffled(folder, TemporalPositionIndex=lambda t: t + 1, RescaleSlope=lambda t: 2 ** (t % 3))
    reader, change_of, out = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change_of.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change_of.SetInput(reader.GetImage())
    assert change_of.Change()
    out.SetFile(reader.GetFile()), out.SetImage(change_of.GetOutput()), out.SetFileName(str(folder / "packed.dcm"))
    assert out.Write()
    data, packed = pydicom.dcmread(path), pydicom.dcmread(folder / "packed.dcm")
    assert packed.file_meta.TransferSyntaxUID.is_compressed
    data.PixelData, data.file_meta.TransferSyntaxUID = packed.PixelData, packed.file_meta.TransferSyntaxUID
    data["PixelData"].is_undefined_length = True
    writer.save(data, path)
    (folder / "packed.dcm").unlink()
    for name in ("mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryFile"):  # nothing of a patient lies about
        monkeypatch.delattr(tempfile, name)
    equal(pictures(read_dicom(folder)), pictures(read_dicom(plain)))


def test_odd_and_even_slices_in_two_series(tmp_path):
    centres = writer.sax_centres(8, 8.0)
    writer.write_series(tmp_path / "both", 1, *SAX, centres)
    for number in (1, 2):
        writer.write_series(tmp_path / f"apart/{number}", number, *SAX, centres[number - 1 :: 2])
    equal(pictures(read_dicom(tmp_path / "apart")), pictures(read_dicom(tmp_path / "both")))


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("series", [1, 2])
def test_ed_and_es_alone(folder, plain, series, timed):
    def only_ends(t, data):
        data.SeriesInstanceUID, data.SeriesNumber = f"7.{t if series == 2 else 1}", t + 1 if series == 2 else 1
        if not timed:
            del data.TriggerTime
        data.StudyDescription = "keep" if t in (0, 4) else "drop"

    change(folder, only_ends, "a/*")
    shutil.rmtree(folder / "b")
    for path in folder.rglob("*.dcm"):
        if pydicom.dcmread(path).StudyDescription == "drop":
            path.unlink()
    reading = read_dicom(folder)
    equal(pictures(reading), {"sax": read_dicom(plain).study.views["sax"].image[..., [0, 4]]})
    assert "only a few images at each place" in " ".join(reading.notes)


class Truth:
    """A reader that knows the labels of writer.heart by its grey values."""

    def predict_sax(self, image, spacing_mm):
        values = {writer.GREY["RV"]: 1, writer.GREY["MYO"]: 2, writer.GREY["LV"]: 3}
        return np.vectorize(lambda grey: values.get(int(grey), 0), otypes=[np.uint8])(image)


def likeness(image, spacing_mm):
    return measures.likeness_to_short_axis(Truth().predict_sax(image, spacing_mm), spacing_mm)


def test_one_slice_alone_has_areas_and_no_volume(tmp_path):
    writer.write_series(tmp_path / "in", 1, *SAX, [writer.CENTRE], spacing=(2, 2), shape=(80, 70))
    with pytest.raises(ValueError, match="give --view sax or lax_4c"):
        read_dicom(tmp_path / "in")
    metrics = segment.segment(tmp_path / "in", tmp_path / "out", view="sax", readers={"sax": Truth()})
    assert all(metrics[name] is None for name in segment.UNITS) and metrics["lv_volumes"] == []
    closed_mm2 = np.pi * 25**2 * np.array([1, 0.75**2])
    assert (metrics["ed_frame"], metrics["es_frame"]) == (0, 4)
    np.testing.assert_allclose([metrics["areas_mm2"]["LV"][t] for t in (0, 4)], closed_mm2, rtol=0.03)
    assert list(read_dicom(tmp_path / "in", view="lax_4c").study.views) == ["lax_4c"]


def stack_of(folder, number, plane, count):
    across = np.cross(*plane)
    centres = [writer.CENTRE + across * 8.0 * (k - (count - 1) / 2) for k in range(count)]
    writer.write_series(folder / str(number), number, *plane, centres, spacing=(3, 3), shape=(60, 54))


def oblique(plane, degrees):
    """A plane turned about its rows."""
    row, column = plane
    angle = np.radians(degrees)
    return row, np.cos(angle) * column + np.sin(angle) * np.cross(row, column)


@pytest.mark.parametrize("slices", [3, 6])
@pytest.mark.parametrize(
    "beside", [SAGITTAL, CORONAL, oblique(SAGITTAL, 12), oblique(CORONAL, -12), writer.long_axis_plane(70)]
)
def test_short_axis_beside_a_fuller_stack(tmp_path, slices, beside):
    stack_of(tmp_path, 1, SAX, slices)
    stack_of(tmp_path, 2, beside, 9)
    reading = read_dicom(tmp_path, likeness=likeness)
    assert reading.study.views["sax"].image.shape[2] == slices and "nan" not in str(reading.table)
    assert {row["view"] for row in reading.table if row["series"] == 1} == {"sax"}


@pytest.mark.parametrize("plane", [SAGITTAL, CORONAL, *map(writer.long_axis_plane, (10, 70, 130))])
def test_no_stack_is_a_short_axis_only_because_it_is_alone(tmp_path, plane):
    stack_of(tmp_path, 1, plane, 7)
    with pytest.raises(ValueError, match="give --view sax"):
        read_dicom(tmp_path, likeness=likeness)
    assert list(read_dicom(tmp_path, view="sax").study.views) == ["sax"]


@pytest.mark.parametrize("axis", [None, writer.AXIS * (-1, -1, 1)])
def test_many_planes_about_the_axis_cost_little(axis):
    """Every 4.5 degrees one, and as many beside the heart: the nearest to the typical angles are taken."""
    offsets = np.repeat([0.0, 60.0], 40) * LATERAL[:, None]
    angles = np.tile(4.5 * np.arange(40), 2)
    planes = [
        writer.affine(*writer.long_axis_plane(angle), writer.CENTRE + offset, middle=(100, 90, 0))
        for angle, offset in zip(angles, offsets.T, strict=True)
    ]
    start = time.process_time()
    found = views.assign(planes, axis, None if axis is None else writer.CENTRE * (-1, -1, 1)).lax
    assert time.process_time() - start < 5 and set(found) == set(views.ANGLES_DEG)
    off = [(angles[index] - views.ANGLES_DEG[view] + 90) % 180 - 90 for view, index in found.items()]
    assert np.abs(off).max() < 10 and (axis is None or max(found.values()) < 40)
