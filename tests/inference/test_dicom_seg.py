"""DICOM-SEG against the NIfTI masks, by three readers: voxels at the same places, nothing that leads to the patient."""

import builtins
import subprocess
from pathlib import Path

import dicom_writer as writer
import nibabel as nib
import numpy as np
import pydicom
import pytest
from scipy.spatial import cKDTree

from cinema.data.inputs import read_input
from cinema.inference import dicom_seg, segment, studies
from cinema.terms import VIEWS

RAS_TO_LPS = np.diag([-1.0, -1, 1])
VALUES = (3, 2, 1)  # in the NIfTI masks, of segments 1 to 3
READERS = dict.fromkeys(VIEWS, writer.GreyReader())


def test_without_highdicom_one_line_with_the_remedy_before_anything_is_read(tmp_path, monkeypatch):
    real = builtins.__import__

    def absent(name, *rest):
        if name.startswith("highdicom"):
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    for call in (studies.command, segment.segment):
        option = {"dicom_seg": True} if call is studies.command else {"as_seg": True}
        given = [tmp_path / "none"] if call is studies.command else tmp_path / "none"
        with pytest.raises(
            ValueError, match=r'highdicom, which is not there; install it: pip install "highdicom'
        ) as told:
            call(given, tmp_path / "out", **option)
        assert "\n" not in str(told.value) and not (tmp_path / "out").exists()


def dicom(folder):
    return writer.write_study(folder, slices=5, step=18.0, spacing=(3.0, 3.0), shape=(60, 54), angles=(10,))


def nifti(folder):
    view = read_input(writer.write_study(folder / "plain", spacing=(3.0, 3.0), shape=(60, 54))).study.views["sax"]
    nib.save(nib.Nifti1Image(np.round(view.image).astype(np.int16), view.affine), folder / "sax.nii.gz")
    return folder / "sax.nii.gz"


@pytest.fixture(scope="module", params=[dicom, nifti])
def results(request, tmp_path_factory):
    pytest.importorskip("highdicom")
    given, out = request.param(tmp_path_factory.mktemp("given")), tmp_path_factory.mktemp("out") / "out"
    return out, segment.segment(given, out, readers=READERS, as_seg=True)


def places(there, affine):
    """(n, 3) mm of the voxels that are True, in the space of the affine."""
    return np.argwhere(there) @ affine[:3, :3].T + affine[:3, 3]


def by_hand(path):
    """segment number -> LPS mm, from pydicom's elements alone."""
    data = pydicom.dcmread(path)
    (shared,) = data.SharedFunctionalGroupsSequence
    row, column = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(float)
    along_column, along_row = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    found = {1: [], 2: [], 3: []}
    for frame, groups in zip(data.pixel_array, data.PerFrameFunctionalGroupsSequence, strict=True):
        corner = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        y, x = np.nonzero(frame)
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found[number].append(corner + x[:, None] * row * along_row + y[:, None] * column * along_column)
    return {number: np.concatenate(corners) for number, corners in found.items()}


def by_highdicom(path):
    import highdicom

    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    return {number: places(volume.array == number, volume.affine) for number in (1, 2, 3)}


def by_dcmqi(path):
    dcmqi = pytest.importorskip("dcmqi")
    tool = next(Path(dcmqi.__file__).parent.glob("**/segimage2itkimage*"))
    folder = path.parent / "dcmqi"
    folder.mkdir(exist_ok=True)
    asked = ["--inputDICOM", path, "--outputDirectory", folder, "--outputType", "nii", "--prefix", path.stem]
    subprocess.run([tool, *asked], check=True, capture_output=True)
    found = {}
    for number in (1, 2, 3):
        mask = nib.load(folder / f"{path.stem}-{number}.nii.gz")
        found[number] = places(np.asarray(mask.dataobj) > 0, mask.affine) @ RAS_TO_LPS
    return found


@pytest.mark.parametrize("read", [by_hand, by_highdicom, by_dcmqi])
def test_voxels_lie_where_those_of_the_nifti_masks_lie(results, read):
    out, metrics = results
    assert metrics["made"]["dicom_seg"] == list(dicom_seg.FILES.values())
    mask = nib.load(out / "sax.nii.gz")
    for phase, name in dicom_seg.FILES.items():
        found = read(out / name)
        for number, value in enumerate(VALUES, start=1):
            there = np.asarray(mask.dataobj)[..., metrics[phase]] == value
            wanted = places(there, mask.affine) @ RAS_TO_LPS
            assert len(found[number]) == len(wanted) > 50
            assert cKDTree(found[number]).query(wanted)[0].max() < 0.02  # mm; voxels are 3 mm wide


def test_what_the_file_says_of_itself_and_what_it_does_not(results):
    out, metrics = results
    ed, es = (pydicom.dcmread(out / name) for name in dicom_seg.FILES.values())
    assert [one.SegmentLabel for one in ed.SegmentSequence] == ["LV cavity", "LV myocardium", "RV cavity"]
    codes = [one.SegmentedPropertyTypeCodeSequence[0] for one in ed.SegmentSequence]
    assert [(one.CodeValue, one.CodingSchemeDesignator) for one in codes] == [
        ("87878005", "SCT"),
        ("49848007", "SCT"),
        ("53085002", "SCT"),
    ]
    (measures,) = ed.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    edges = [*measures.PixelSpacing, measures.SpacingBetweenSlices]
    assert np.prod(edges) == pytest.approx(abs(np.linalg.det(nib.load(out / "sax.nii.gz").affine[:3, :3])), rel=1e-3)
    (algorithm,) = ed.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    assert (
        algorithm.AlgorithmVersion == metrics["made"]["version"] and "readers handed" in algorithm.AlgorithmParameters
    )
    for shared in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
        assert ed[shared].value == es[shared].value
    assert ed.SOPInstanceUID != es.SOPInstanceUID and ed.SeriesInstanceUID != es.SeriesInstanceUID
    dates = {str(one.value) for one in ed.iterall() if one.VR in ("DA", "DT", "TM")}
    assert dates <= {"", "None", dicom_seg.NO_DATE, dicom_seg.NO_TIME}
    assert not {"ReferencedSeriesSequence", "DerivationImageSequence"} & {one.keyword for one in ed.iterall()}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "sax_ed.seg.dcm, sax_es.seg.dcm" in page and "3D Slicer" in page


def test_identifiers_are_others_in_each_run(tmp_path):
    pytest.importorskip("highdicom")
    labels = np.ones((8, 6, 2, 3), np.uint8)
    made = {"ed_frame": 0, "es_frame": None, "made": {"version": "1", "weights": {"a.safetensors": "f" * 64}}}
    found = []
    for _ in range(2):
        assert dicom_seg.write(tmp_path, labels, np.diag([-2.0, -2, 10, 1]), made) == ["sax_ed.seg.dcm"]
        data = pydicom.dcmread(tmp_path / "sax_ed.seg.dcm")
        found.append({str(one.value) for one in data.iterall() if one.VR == "UI"} | {data.PatientID})
    assert {uid for uid in found[0] & found[1] if not uid.startswith("1.2.840.10008.")} == set()
    assert "f" * 64 in str(data.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters)
    sheared = np.diag([2.0, 2, 10, 1])
    sheared[0, 1] = 1
    with pytest.raises(ValueError, match="right angles"):
        dicom_seg.write(tmp_path, labels, sheared, made)
