"""UK Biobank's archives: which visits they hold, what is read by default, bad deliveries."""

import os
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from places import SHARED
from rawtrees import ukb as builder
from rawtrees.hearts import SMALL
from rawtrees.pictures import SCALE

from cinema.data.dicom import read_dicom
from cinema.data.public import archive, prepare, ukb

OPTIONS = {"grid": SMALL}
REAL = SHARED / "real" / "cine_study_dicom"


@pytest.fixture(scope="module")
def studies(tree):
    """id -> (the Study, the virtual one behind it, its notes)."""
    read = {name: ukb.read(tree.found[name]) for name in tree.facts["ids"]}
    return {name: (one, tree.facts["studies"][name], one.attributes.get("notes", "")) for name, one in read.items()}


def test_each_visit_with_both_fields_is_a_study(tree):
    assert set(tree.facts["ids"]) <= set(tree.found) and "1000002_3" in tree.found
    assert list(tree.skipped) == [name for name, word in tree.facts["bad"].items() if word == "is missing"]
    assert {subject.split for subject in tree.found.values()} == {""}


def test_default_holds_the_scanners_pixels_in_order_of_place(studies):
    for study, truth, notes in studies.values():
        for name, view in study.views.items():
            expected = truth.views[name].image.astype(np.uint16) * SCALE
            assert view.image.shape == expected.shape and view.image.dtype == np.uint16
            same = (view.image == expected).all(axis=(0, 1))
            assert same.sum() == same.size - (2 if "interpolated" in notes and name == "sax" else 0)
            columns = [0, 1, 2, 3] if name == "sax" else [0, 1, 3]  # of one plane the thickness is no step
            np.testing.assert_allclose(view.affine[:, columns], truth.views[name].affine[:, columns], atol=2e-3)
            np.testing.assert_allclose(view.frame_times_ms, 900 * np.arange(10) / 10, atol=1e-3)


def test_missing_and_damaged_frames_lie_between_their_neighbours(studies):
    study, truth, notes = studies["1000005_2"]
    assert "2 missing or unreadable frames" in notes
    image = truth.views["sax"].image.astype(float) * SCALE
    for z, t in ((2, 3), (4, 5)):
        between = (image[:, :, z, t - 1] + image[:, :, z, t + 1]) / 2
        np.testing.assert_allclose(study.views["sax"].image[:, :, z, t], between, atol=0.51)


def test_odd_series_are_read_or_set_aside_and_named(studies):
    for name in ("1000001_2", "1000002_2", "1000003_2"):  # results, cvs, folders: nothing amiss
        assert studies[name][2] == ""
    assert studies["1000004_2"][2] == "no usable 3C view"
    notes = studies["1000006_2"][2]
    assert "3 of 10 frames are readable: set aside" in notes and "sorted by position" in notes


def test_the_visit_is_all_that_is_kept_of_the_person(studies):
    assert studies["1000002_2"][0].attributes == {"visit": 2}


def test_no_bad_entry_reached_the_disk(tree):
    for name in set(tree.facts["bad"]) & set(tree.found):
        with pytest.raises(ValueError):
            ukb.read(tree.found[name])
    assert not list(tree.raw.parent.rglob("outside*")) and not list(tree.raw.glob("*/link.dcm"))


def test_copies_of_a_delivery_are_named_and_one_is_read(tree, tmp_path):
    for name in ("1000001_20208_2_0.zip", "1000001_20209_2_0.zip"):
        for part in ("a", "b"):
            (tmp_path / part).mkdir(exist_ok=True)
            (tmp_path / part / name).write_bytes((tree.raw / name).read_bytes())
    subjects, skipped = ukb.subjects(tmp_path)
    assert [subject.id for subject in subjects] == ["1000001_2"] and len(skipped) == 2
    assert subjects[0].details["sax"].parent.name == "a" and "b/1000001_20208" in skipped[0].reason


def test_a_pipe_in_place_of_an_archive_is_not_waited_for(tree, tmp_path, capsys):
    raw = tmp_path / "raw"
    raw.mkdir()
    for path in tree.raw.glob("1000001_*.zip"):
        shutil.copy(path, raw)
    pipe = raw / "1000001_20209_2_0.zip"
    pipe.unlink()
    os.mkfifo(pipe)
    (subject,), _ = ukb.subjects(raw)
    assert prepare.command("ukb", raw, tmp_path / "out") == 2
    assert (
        "skipped 1000001_2: 1000001_20209_2_0.zip is no file that can be read; copy it again" in capsys.readouterr().out
    )
    with pytest.raises(ValueError, match="1000001_20209_2_0.zip is no file"):
        ukb.read(subject)


def test_declared_sizes_beyond_the_limit_are_refused_before_anything_is_read(tree, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="at most"), archive.opened(tree.raw / "1000001_20208_2_0.zip"):
        pass


def test_manifest_dates_with_a_comma_and_either_spelling():
    text = (
        b'filename,date,series discription\na.dcm,Aug 30, 2015,CINE_segmented_LAX_2Ch\nb.dcm,"May 1, 2016",X_InlineVF\n'
    )
    assert ukb.manifest(Path("x.zip"), ["manifest.cvs"], lambda name: text) == {"a.dcm": "CINE_segmented_LAX_2Ch"}
    with pytest.raises(ValueError, match="line 2 of manifest.csv has another number of columns"):
        ukb.manifest(Path("x.zip"), ["manifest.csv"], lambda name: b"filename,series discription\na,b,c\n")


def test_a_small_bench_reads_the_floors_pixels(tree, studies):
    from bench.prepare import floor

    volumes, study = floor(tree.found["1000001_2"].files), studies["1000001_2"][0]
    assert sorted(volumes) == sorted(study.views)
    for name, volume in volumes.items():
        assert (volume.transpose(3, 2, 1, 0) == study.views[name].image).all()


@pytest.mark.skipif(not REAL.is_dir(), reason="no shared/real/cine_study_dicom beside the checkout")
def test_a_real_study_packed_as_a_delivery(tmp_path):
    reading = read_dicom(REAL)
    names = {row["series"]: row["view"] for row in reading.table}
    sax = sorted(number for number, view in names.items() if view == "sax")
    packed = {"20208": {}, "20209": {}}
    for path in sorted(REAL.rglob("*.dcm")):
        number = int(pydicom.dcmread(path, stop_before_pixels=True).SeriesNumber)
        view = names[number]
        text = f"CINE_segmented_LAX_{view[4]}Ch" if view and view != "sax" else "other"
        if view == "sax":
            text = f"CINE_segmented_SAX_b{1 + sax.index(number)}"
        packed["20209" if view == "sax" else "20208"][path.name] = path.read_bytes(), text
    for field, files in packed.items():
        builder.write(tmp_path / f"77_{field}_2_0.zip", files, 0)
    study = ukb.read(ukb.subjects(tmp_path)[0][0])
    assert set(study.views) == set(reading.study.views)
    for name, view in study.views.items():
        wanted = reading.study.views[name]
        flipped = np.allclose(view.affine[:3, 2], -wanted.affine[:3, 2], atol=0.05)
        image = wanted.image[:, :, ::-1] if name == "sax" and flipped else wanted.image
        assert np.array_equal(view.image, image), name
