"""DICOM out: what the reader gets back is what was written, and nothing but geometry tells the views."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest

from cinema.data.dicom import read_dicom
from cinema.phantom import cohort
from cinema.phantom.dicom_export import write_dicom
from cinema.terms import LAX_VIEWS

GRID = {"sax": ((48, 48, 6), (4.0, 4.0, 14.0)), **{view: ((48, 48), (4.0, 4.0)) for view in LAX_VIEWS}}


@pytest.fixture(scope="module")
def study():
    return cohort.study(cohort.person("population", 1, 0), 9, GRID)


def test_what_is_written_is_read_back(study, tmp_path):
    n_files = write_dicom(study, tmp_path, np.random.default_rng(0), 8.0)
    files = sorted(tmp_path.glob("*.dcm"))
    assert n_files == len(files) == 9 * (6 + 3 + 1) + 3
    assert {pydicom.dcmread(file, stop_before_pixels=True).SeriesDescription for file in files} == {"cine"}
    reading = read_dicom(tmp_path)
    assert set(reading.study.views) == set(study.views)
    for name, view in study.views.items():
        back = reading.study.views[name]
        steps = np.linalg.inv(view.affine) @ back.affine  # slices may be counted from the other end
        assert np.array_equal(back.image[:, :, :: int(np.sign(steps[2, 2]))], view.image)
        assert np.allclose(steps[:2], np.eye(4)[:2], atol=1e-3)
        assert np.allclose(back.frame_times_ms, view.frame_times_ms, rtol=1e-3)
    assert all(reading.study.attributes[name] == study.attributes[name] for name in ("vendor", "sex"))


def test_scouts_and_the_spoiled_attempt_are_set_aside(study, tmp_path):
    write_dicom(study, tmp_path, np.random.default_rng(1))
    aside = {row["series"]: row["reason"] for row in read_dicom(tmp_path).table if row["view"] is None}
    assert set(aside) == {1, 2, 3, 4}
    assert all("single image" in aside[number] for number in (1, 2, 3)) and "same place" in aside[4]


def test_same_generator_same_bytes(study, tmp_path):
    for name in ("a", "b"):
        write_dicom(study, tmp_path / name, np.random.default_rng(3))
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("a", "b"))
    assert first == second


def test_refusals(study, tmp_path):
    view = study.views["sax"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").write_text("", encoding="utf-8")
    for folder, changes, words in (
        ("new", {"image": view.image / 7.0}, "whole numbers"),
        ("new", {"image": view.image.astype(np.int32) * 99}, "whole numbers"),
        ("new", {"frame_times_ms": None}, "frame times"),
        ("full", {}, "not empty"),
    ):
        with pytest.raises(ValueError, match=words):
            spoiled = replace(study, views={"sax": replace(view, **changes)})
            write_dicom(spoiled, tmp_path / folder, np.random.default_rng(0))
    assert not (tmp_path / "new").exists()
