"""ACDC: layout, 1-based frames, the published validation draw, damaged patients."""

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from places import SHARED
from rawtrees import acdc as builder

from cinema.data.loaders import StudyFrames
from cinema.data.public import acdc
from cinema.data.public.cards import card
from cinema.data.public.prepare import command
from cinema.data.public.prepared import on_grid
from cinema.data.study import load_study, study_paths, study_table

REAL = SHARED / "real/acdc_labelled/patient110"


def test_subjects_splits_and_attributes(tree):
    assert sorted(tree.found) == tree.facts["ids"] and not tree.skipped
    splits = {pid: subject.split for pid, subject in tree.found.items()}
    classes = {pid: subject.attributes["disease"] for pid, subject in tree.found.items()}
    pair = [pid for pid in ("patient001", "patient006") if classes[pid] == "RV"]
    assert len(pair) == 2  # the only class with two patients of training: one of them validates
    assert sorted(splits.pop(pid) for pid in pair) == ["train", "val"]
    assert splits == {"patient101": "test", "patient003": "train", "patient004": "train", "patient005": "train"}
    one, who = tree.found["patient003"].attributes, tree.facts["studies"]["patient003"].attributes
    assert one["height_cm"] == pytest.approx(who["height_cm"], abs=0.05)
    assert one["bmi_kg_m2"] == pytest.approx(one["weight_kg"] / one["height_cm"] ** 2 * 1e4)
    assert set(classes.values()) <= set(card("acdc").classes["disease"])


def test_frames_are_counted_from_1_and_the_cine_keeps_every_frame(tree):
    for pid, subject in tree.found.items():
        study, virtual = acdc.read(subject), tree.facts["studies"][pid]
        view, source = study.views["sax"], virtual.views["sax"]
        ed, es = tree.facts["frames"][pid]
        assert ed > 1 and (study.ed_frame, study.es_frame) == (ed - 1, es - 1)
        np.testing.assert_array_equal(view.label_at(ed - 1), source.label_at(virtual.ed_frame))
        np.testing.assert_array_equal(view.label_at(es - 1), source.label_at(virtual.es_frame))
        np.testing.assert_array_equal(view.image, nib.load(subject.files[4]).get_fdata())
        assert view.spacing_mm == pytest.approx(source.spacing_mm, abs=1e-5)  # patient004's affine lacks the sizes
        assert view.image.dtype == np.int16


def test_frame_files_count_where_the_cine_differs(tmp_path):
    facts = builder.build(tmp_path, n=1)
    (subject,), _ = acdc.subjects(tmp_path)
    before = acdc.read(subject)
    still = nib.load(subject.files[0])
    brighter = np.asarray(still.dataobj) + np.int16(5)
    nib.save(nib.Nifti1Image(brighter, still.affine, still.header), subject.files[0])
    after = acdc.read(subject)
    difference = after.views["sax"].image - before.views["sax"].image
    ed = facts["frames"]["patient001"][0] - 1
    assert (difference[..., ed] == 5).all() and not np.delete(difference, ed, axis=3).any()


def test_without_a_cine_a_study_holds_ed_and_es(tmp_path, capsys):
    """As most public copies have it: no 4D file, and here and there .nii, or a folder .nii with the file."""
    raw, whole, out = tmp_path / "raw", tmp_path / "whole", tmp_path / "out"
    facts = builder.build(raw, n=3)
    assert command("acdc", raw, whole) == 0
    assert "no cine" not in capsys.readouterr().out
    cines = sorted(raw.rglob("*_4d.nii.gz"))
    for path in cines[1:]:
        path.unlink()
    for path in sorted(raw.rglob("patient003_frame*.gz")):
        nib.save(nib.load(path), path.with_suffix(""))
        path.unlink()
    for path in sorted(raw.rglob("patient101_frame*_gt.nii.gz")):
        (home := path.with_suffix("")).mkdir()
        nib.save(nib.load(path), home / home.name)
        path.unlink()
    assert command("acdc", raw, out) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "note: 2 of 3 patients have no cine: their studies hold two frames, ED and ES"
    assert json.loads((out / "prepared.json").read_text(encoding="utf-8"))["notes"][0] in said[0]
    for pid in facts["ids"]:
        held, full = (load_study(folder / f"{pid}.h5") for folder in (out, whole))
        assert (held.ed_frame, held.es_frame) == ((full.ed_frame, full.es_frame) if pid == "patient101" else (0, 1))
        assert held.attributes.keys() == full.attributes.keys()
        assert held.attributes["lv_ef_percent"] == full.attributes["lv_ef_percent"]
        for one, other in ((held.ed_frame, full.ed_frame), (held.es_frame, full.es_frame)):
            np.testing.assert_array_equal(held.views["sax"].label_at(one), full.views["sax"].label_at(other))
    assert len(StudyFrames(study_paths(out), ("sax",), frames="ed_es")) == 3
    assert len(StudyFrames(study_paths(out), ("sax",), frames="labelled")) == 6
    copies = on_grid(study_table(out), {"sax": ((24, 24, 4), (6.0, 6.0, 20.0))}, tmp_path / "copies")
    assert [load_study(path).views["sax"].n_frames for path in copies.path] == [2, 2, builder.FRAMES]


def test_validation_of_the_usual_order_is_the_published_ten_also_when_a_patient_is_damaged(tmp_path):
    """100 patients of empty files in the usual order, 20 of each class."""
    for number in range(1, 101):
        home = tmp_path / f"database/training/patient{number:03d}"
        home.mkdir(parents=True)
        group = ("DCM", "HCM", "MINF", "NOR", "RV")[(number - 1) // 20]
        text = f"ED: 1\nES: 12\nGroup: {group}\nHeight: 170\nNbFrame: 30\nWeight: 70\n"
        (home / "Info.cfg").write_text(text, encoding="utf-8")
        for name in ("4d", "frame01", "frame01_gt", "frame12", "frame12_gt"):
            (home / f"{home.name}_{name}.nii.gz").touch()
    ten = {f"patient{n}" for n in ("019", "002", "032", "022", "056", "054", "079", "061", "088", "082")}
    for damaged in ([], ["patient001"]):
        for name in damaged:
            (tmp_path / f"database/training/{name}/{name}_frame01.nii.gz").unlink()
        found, skipped = acdc.subjects(tmp_path)
        assert [one.id for one in skipped] == damaged and len(found) == 100 - len(damaged)
        assert {subject.id for subject in found if subject.split == "val"} == ten


def test_validation_is_drawn_as_pandas_draws_it():
    rng = np.random.default_rng(3)
    groups = {f"patient{n:03d}": str(rng.choice(["DCM", "HCM", "RV"])) for n in range(1, 40)}
    table = pd.DataFrame({"pid": groups.keys(), "pathology": groups.values()}).sort_values("pid")
    drawn = table.groupby("pathology").sample(n=2, random_state=0)["pid"].tolist()
    assert acdc.validation_members(groups) == drawn


def test_small_classes_keep_patients_for_training():
    assert acdc.validation_members({"a": "DCM"}) == []
    assert len(acdc.validation_members({"a": "DCM", "b": "DCM", "c": "DCM"})) == 1


@pytest.mark.skipif(not REAL.is_dir(), reason="the labelled real patient is not at hand (../shared/real)")
def test_a_real_patient(tmp_path):
    home = tmp_path / "database/testing/patient110"
    home.mkdir(parents=True)
    parts = {name: nib.load(REAL / f"{name}.nii.gz") for name in ("ed", "es", "ed_gt", "es_gt")}
    for name, file in {"ed": "frame01", "ed_gt": "frame01_gt", "es": "frame02", "es_gt": "frame02_gt"}.items():
        (home / f"patient110_{file}.nii.gz").write_bytes((REAL / f"{name}.nii.gz").read_bytes())
    header = parts["ed"].header.copy()
    cine = np.stack([np.asarray(parts[name].dataobj) for name in ("ed", "es")], axis=-1)
    header.set_data_shape(cine.shape)
    nib.save(nib.Nifti1Image(cine, parts["ed"].affine, header), home / "patient110_4d.nii.gz")
    (home / "Info.cfg").write_text("ED: 1\nES: 2\nGroup: NOR\nHeight: 170\nNbFrame: 2\nWeight: 70\n", encoding="utf-8")
    (subject,), skipped = acdc.subjects(tmp_path)
    assert not skipped and subject.split == "test"
    study = acdc.read(subject)
    assert study.views["sax"].spacing_mm == pytest.approx((1.5625, 1.5625, 10))  # its affine says 1, 1, 1
    count = (np.asarray(parts["ed_gt"].dataobj) == 3).sum()
    assert study.attributes["lv_edv_ml"] == pytest.approx(count * 1.5625**2 * 10 / 1000)
    assert 40 < study.attributes["lv_edv_ml"] < 400 and 5 < study.attributes["lv_ef_percent"] < 85
