"""From an examination to masks, numbers and a report, with a reader that looks at grey values only."""

import json
import os
import re
import shutil
from pathlib import Path
from unittest import mock

import dicom_writer as writer
import nibabel as nib
import numpy as np
import pytest

from cinema.data.geometry import to_voxel
from cinema.data.inputs import read_input
from cinema.data.nifti import write_nifti
from cinema.data.study import save_study
from cinema.inference import dicom_seg, measures, segment, studies
from cinema.phantom import cohort
from cinema.terms import LAX_VIEWS, VIEWS

FLIP = np.array([-1.0, -1, 1])


READERS = dict.fromkeys(VIEWS, writer.GreyReader())


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return writer.write_study(tmp_path_factory.mktemp("dicom"), slices=8, step=12.0, spacing=(3.0, 3.0), shape=(60, 54))


@pytest.fixture(scope="module")
def results(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "deep" / "out"
    return out, segment.segment(study, out, readers=READERS)


def test_every_file_is_there(results):
    out, metrics = results
    assert sorted(os.listdir(out)) == sorted(set(segment.RESULTS) - set(dicom_seg.FILES.values())) and os.listdir(
        out.parent
    ) == ["out"]
    stored = json.loads((out / "metrics.json").read_bytes())
    measured = "ed_frame es_frame lv_volumes rv_volumes MAPSE GLshortening landmarks"
    assert set(stored) >= {*segment.UNITS, *measured.split()}
    assert stored["LVEF"] == pytest.approx(metrics["LVEF"], abs=1e-3)


def test_numbers_are_those_of_the_masks_and_of_the_heart(results):
    out, metrics = results
    mask = nib.load(out / "sax.nii.gz")
    data = np.asarray(mask.dataobj)
    voxel_ml = np.prod(mask.header.get_zooms()[:3]) / 1000
    summed = np.sum(data == 3, axis=(0, 1, 2)) * voxel_ml
    phases = np.arange(10) / 10  # the ellipsoid's volume over the cycle, as dicom_writer.heart squeezes it
    squeeze = 1 - 0.25 * np.sin(np.pi * np.minimum(phases / 0.4, (1 - phases) / 0.6) / 2) ** 2
    closed_ml = 4 / 3 * np.pi * 44 * 25 * 25 / 1000 * squeeze**3
    off = [np.divide(volumes, closed_ml) - 1 for volumes in (metrics["lv_volumes"], summed)]
    at_valve, all_slices = np.abs(off)  # eight slices of 12 mm: single frames of either are 5 to 6 % off
    assert max(at_valve.mean(), all_slices.mean()) < 0.025 and at_valve.max() < all_slices.max()
    assert at_valve[0] < 0.05
    assert metrics["all_slices"]["LVEDV"] == pytest.approx(summed[0], rel=1e-3)
    np.testing.assert_allclose(metrics["rv_volumes"], np.sum(data == 1, axis=(0, 1, 2)) * voxel_ml, rtol=1e-3)
    assert (metrics["ed_frame"], metrics["es_frame"]) == (0, 4)
    assert metrics["LVEDV"] == metrics["lv_volumes"][0] and metrics["LVESV"] == metrics["lv_volumes"][4]
    assert metrics["LVEF"] == pytest.approx(100 * (1 - 0.75**3), abs=3)
    assert metrics["all_slices"]["LVM"] == pytest.approx(1.05 * np.sum(data[..., 0] == 2) * voxel_ml, rel=1e-3)


def test_masks_lie_on_the_scanners_grid(results, study):
    out, _ = results
    mask = nib.load(out / "sax.nii.gz")
    assert mask.shape == (60, 54, 8, 10) and mask.get_data_dtype() == np.uint8
    assert mask.header.get_zooms()[3] == pytest.approx(0.09, abs=1e-4)
    index = np.argwhere(np.asarray(mask.dataobj)[..., 0] == 3)
    points = (index @ mask.affine[:3, :3].T + mask.affine[:3, 3]) * FLIP
    assert np.mean(writer.heart(points, 0.0) == writer.GREY["LV"]) > 0.999
    assert nib.load(out / "lax_4c.nii.gz").shape == (60, 54, 1, 10)
    scanned = read_input(study).study.views["lax_3c"]
    np.testing.assert_allclose(nib.load(out / "lax_3c.nii.gz").affine, scanned.affine, atol=1e-4)


def test_landmarks_and_long_axis_function(results, study):
    out, metrics = results
    assert set(metrics["MAPSE"]) == {"lax_2c", "lax_3c", "lax_4c"}
    apex = np.array(metrics["landmarks"]["lax_4c"])[0, 2]
    view = read_input(study).study.views["lax_4c"]
    expected = to_voxel(view.affine, (writer.CENTRE + 44 * writer.AXIS) * FLIP)[:2]
    assert np.linalg.norm((apex - expected) * 3.0) < 6
    # of the ellipsoid that `writer.heart` draws: it shrinks by a quarter, 11 mm at either end; its pixels are 3 mm
    assert abs(metrics["GLshortening"]["lax_4c"] - 25) < 2 and abs(metrics["MAPSE"]["lax_4c"] - 11) < 1


def test_the_report_stands_alone(results):
    page = (results[0] / "report.html").read_text(encoding="utf-8")
    assert not re.search("https?:|//", re.sub('base64,[^"]*', "", page)) and "default-src 'none'" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert (
        page.count("data:image/webp") == 8 + 3 and page.count("data:image/png") == 4
    )  # slices, and curve, ED, ES, lax
    for words in (
        "Not for clinical use",
        "virtual hearts",
        "series 9",
        "LV ejection fraction",
        "4C",
        "MAPSE",
        "Siemens, 1.5 T",
    ):
        assert words in page
    written = re.sub(r"base64,[^\"]*", "", page) + (results[0] / "metrics.json").read_text(encoding="utf-8")
    for secret in (writer.NAME, "Doe", writer.PATIENT_ID, writer.ACCESSION, "20240229"):
        assert secret not in written


def test_command_line(study, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(segment, "open_readers", lambda weights, device: {"sax": writer.GreyReader()})
    options = dict(input=[str(study)], out=str(tmp_path / "out"), weights=None, view=None, device="cpu")
    assert studies.command(**options) == 0
    said = capsys.readouterr().out
    assert "4C" in said and "note: these weights do not read the 4C view" in said and "LVEF 55.7 %" in said


def test_gaps_count_with_their_real_distance(study, results, tmp_path):
    folder = Path(shutil.copytree(study, tmp_path / "dicom"))
    shutil.rmtree(folder / "a/3")
    metrics = segment.segment(folder, tmp_path / "out", readers=READERS)
    assert metrics["LVEDV"] == pytest.approx(results[1]["LVEDV"], rel=0.06)
    assert np.asarray(nib.load(tmp_path / "out/sax.nii.gz").dataobj)[:, :, 4].max() == 0
    assert "missing" in (tmp_path / "out/report.html").read_text(encoding="utf-8")


def nifti(folder, name="patient.nii.gz", frames=(0.0, 0.4)):
    """The synthetic heart as a short-axis NIfTI stack with an empty slice at the end."""
    lateral, anterior = writer.frame_vectors()
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = FLIP * lateral * 3, -FLIP * anterior * 3, -FLIP * writer.AXIS * 10
    affine[:3, 3] = FLIP * writer.CENTRE - affine[:3, :3] @ [25, 25, 5]
    index = np.stack(np.meshgrid(*[np.arange(n) for n in (51, 51, 12)], indexing="ij"), -1)
    points = (index @ affine[:3, :3].T + affine[:3, 3]) * FLIP
    data = np.stack([writer.heart(points, phase) for phase in frames], -1).astype(np.int16)
    data[:, :, 11] = 0
    folder.mkdir(exist_ok=True, parents=True)
    write_nifti(data, affine, folder / name)
    return folder / name


def test_low_confidence_is_said_first_and_with_its_reason(study, tmp_path, monkeypatch):
    class Unsure(writer.GreyReader):
        def read_sax(self, image, spacing_mm):
            labels = self.predict_sax(image, spacing_mm)
            return labels, np.where(labels == 3, 0.6, 0.0).astype(np.float32)

    seen = []
    verdict = {"expected_LVEF_error": 12.0, "low": True, "reason": "of a planted doubt", "signs": {}}
    monkeypatch.setattr(segment.confidence, "confidence", lambda signs: (seen.append(signs), verdict)[1])
    metrics = segment.segment(study, tmp_path / "out", readers=dict.fromkeys(VIEWS, Unsure()))
    assert seen[0]["doubt"] == pytest.approx(0.4) and metrics["confidence"] == verdict
    said = "LVEF may well be off by 12 points, since of a planted doubt"
    assert said in metrics["warnings"]["confidence"] and list(metrics)[0] == "warnings"
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.index(said) < page.index("<h2>Numbers")
    segment.segment(study, tmp_path / "out", weights="others", readers=dict.fromkeys(VIEWS, Unsure()))
    assert seen[1] is None  # the weights of the signs hold for the project's readers


def test_nifti_and_stored_studies(tmp_path, results):
    path = nifti(tmp_path / "in")
    metrics = segment.segment(path, tmp_path / "out", readers=READERS)
    assert metrics["LVEDV"] == pytest.approx(results[1]["LVEDV"], rel=0.06)
    assert (metrics["ed_frame"], metrics["es_frame"]) == (0, 1)
    np.testing.assert_array_equal(nib.load(tmp_path / "out/sax.nii.gz").affine, nib.load(path).affine)
    assert not any(b"patient.nii" in file.read_bytes() for file in (tmp_path / "out").iterdir())
    stored = save_study(read_input(path).study, tmp_path / "store")
    again = segment.segment(stored, tmp_path / "again", readers=READERS)
    assert again["LVEF"] == pytest.approx(metrics["LVEF"], abs=0.5)


def test_one_frame_has_no_ejection_fraction(tmp_path):
    metrics = segment.segment(nifti(tmp_path, "es.nii.gz", (0.4,)), tmp_path / "out", readers=READERS)
    assert metrics["LVEDV"] is None and metrics["LVEF"] is None and metrics["LVESV"] > 30


def test_weights_that_read_some_views_only(study, tmp_path):
    segment.segment(study, tmp_path / "out", readers={"sax": writer.GreyReader()})
    assert sorted(os.listdir(tmp_path / "out")) == ["metrics.json", "numbers.csv", "report.html", "sax.nii.gz"]
    with pytest.raises(ValueError, match="choose other weights"):
        segment.segment(nifti(tmp_path / "in"), tmp_path / "none", readers={"lax_4c": writer.GreyReader()})
    assert not (tmp_path / "none").exists()


@pytest.fixture
def out(tmp_path):
    """A folder with an earlier run's files and one of the user's own."""
    (tmp_path / "out").mkdir()
    for name in ("sax.nii.gz", "lax_2c.nii.gz", "metrics.json", "mine.txt"):
        (tmp_path / "out" / name).write_text(f"earlier {name}", encoding="utf-8")
    return tmp_path / "out"


def test_earlier_results_survive_failure_and_interruption(study, out, tmp_path, monkeypatch):
    def content():
        return {file.name: file.read_bytes() for file in out.iterdir()}

    before = content()
    for name, error, seen, words in (
        ("measured", KeyboardInterrupt("Ctrl-C"), KeyboardInterrupt, "Ctrl-C"),
        ("read_input", FileNotFoundError("nothing there"), FileNotFoundError, "nothing there"),
        ("write_nifti", OSError(28, "No space left on device"), ValueError, "No space left"),
    ):
        with monkeypatch.context() as patch, pytest.raises(seen, match=words):
            patch.setattr(segment, name, mock.Mock(side_effect=error))
            segment.segment(study, out, readers=READERS)
        assert content() == before and os.listdir(tmp_path) == ["out"]
    with pytest.raises(FileNotFoundError):
        segment.segment(tmp_path / "nowhere", out, readers=READERS)
    assert content() == before and os.listdir(tmp_path) == ["out"]
    new, moves = tmp_path / "new", iter(range(1, 99))
    new.mkdir()
    for name in ("sax.nii.gz", "metrics.json"):
        (new / name).write_text("new", encoding="utf-8")

    def interrupted(source, target):
        if next(moves) == 5:  # as the second new file moves in
            raise KeyboardInterrupt
        os.rename(source, target)

    monkeypatch.setattr(segment.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        segment._deliver(new, out)
    assert content() == before


def test_new_results_replace_all_of_the_earlier_ones(out, tmp_path):
    segment.segment(nifti(tmp_path / "in"), out, readers=READERS)
    assert sorted(os.listdir(out)) == ["metrics.json", "mine.txt", "numbers.csv", "report.html", "sax.nii.gz"]
    assert (out / "mine.txt").read_text(encoding="utf-8") == "earlier mine.txt"
    assert json.loads((out / "metrics.json").read_bytes())


def test_out_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    for out, words in (("file", "is a file"), ("file/out", "cannot write")):
        with pytest.raises(ValueError, match=words):
            segment.segment(tmp_path, tmp_path / out, readers=READERS)


def test_slices_beyond_the_valve_are_atrium():
    labels = np.zeros((20, 20, 6, 2), np.uint8)
    labels[6:14, 6:14] = 3
    labels[15:18, 6:14] = 1
    affine = np.diag([2.0, 2, 10, 1])  # slice 0 is the apex; the valve lies at 38 mm at ED, at 22 mm at ES
    along, across, depth = [2.0, 0, 0, 0], [0, 0, 1.0, 20], [0, 2.0, 0, 0]
    affines = {"lax_2c": np.array([along, across, depth, [0, 0, 0, 1]])}
    affines["lax_4c"] = affines["lax_2c"][[1, 0, 2, 3]]
    marks = np.array([[[5, valve / 2], [15, valve / 2], [10, 0]] for valve in (38.0, 22.0)])
    landmarks = {"lax_2c": marks, "lax_4c": marks}
    distance = measures.valve_distance_mm(labels, affine, landmarks, affines)
    np.testing.assert_allclose(distance, np.subtract.outer([38, 22], np.arange(6) * 10.0).T, atol=1e-9)
    coverage = measures.valve_coverage(distance, np.arange(6) * 10.0)
    np.testing.assert_allclose(coverage.T, [[1, 1, 1, 1, 0.3, 0], [1, 1, 0.7, 0, 0, 0]], atol=1e-9)
    # an upright cylinder of 16 x 16 mm from half a slice below the apex slice to the valve
    volumes = measures.volumes_ml(labels, (2, 2, 10), np.arange(6) * 10.0, "LV", coverage)
    np.testing.assert_allclose(volumes, 16 * 16 * np.array([43, 27]) / 1000)
    cleared = measures.without_atrium(labels, coverage == 0)
    assert cleared[:, :, 3:, 1].max() == 1 and np.array_equal(cleared[:, :, :3], labels[:, :, :3])
    assert np.isnan(measures.valve_distance_mm(labels, affine, {"lax_2c": marks}, affines)).all()  # one view: a line


def test_a_slice_within_the_lv_that_shows_none_is_counted():
    distance, positions = np.array([[34.0, 24, 14, 4]]).T, [0.0, 10, 20, 30]
    labels = np.zeros((8, 8, 4, 1), int)
    labels[2:6, 2:6] = 3
    assert measures.slices_to_valve(labels, distance, positions, 0) == pytest.approx(0.4)
    labels[:, :, 3] = 0
    labels[2, 2, 3] = 3  # a speck
    assert measures.slices_to_valve(labels, distance, positions, 0) == pytest.approx(1.4)
    assert np.isnan(measures.slices_to_valve(labels, np.full((4, 1), np.nan), positions, 0))


def test_the_most_basal_slice_reaches_up_to_the_valve():
    """A slice whose neighbour toward the valve was not imaged stands for more than its own distance, up to a limit."""
    distance = np.array([[34.0, 24, 14, 4], [32, 22, 12, 2], [50, 40, 30, 20], [np.nan] * 4]).T
    coverage = measures.valve_coverage(distance, [0.0, 10, 20, 30])
    np.testing.assert_allclose(coverage[3], [0.9, 0.7, measures.MAX_COVERAGE, 1])
    assert (coverage[:3] == 1).all()


def test_ending_at_the_valve_more_than_halves_the_error_of_thick_slices():
    """Exact masks and landmarks of virtual hearts, slices 17.7 mm apart: the error left by disc summation."""
    grid = {"sax": ((96, 96, 7), (2.0, 2.0, 17.7)), **dict.fromkeys(LAX_VIEWS, ((96, 96), (2.0, 2.0)))}
    positions, errors = np.arange(7) * 17.7, []
    for index in range(10):
        study = cohort.study(cohort.person("fairness", 900 + index), grid=grid)
        sax, lax = study.views["sax"], {name: study.views[name] for name in LAX_VIEWS}
        marks, affines = ({name: getattr(view, of) for name, view in lax.items()} for of in ("landmarks", "affine"))
        masks, _, coverage = measures.lv_extent(sax.labels, sax.affine, positions, marks, affines)
        of = (sax.spacing_mm, positions, 0, 1)
        found = [measures.sax_metrics(sax.labels, *of), measures.sax_metrics(masks, *of, coverage)]
        errors.append([abs(one["LVEF"] - study.truth["lv_ef_percent"]) for one in found])
    summed, to_the_valve = np.mean(errors, axis=0)
    assert to_the_valve < 0.4 * summed
