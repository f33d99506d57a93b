"""M&Ms: the table's 0-based frames, label values exchanged, the given split, damaged studies."""

import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from places import SHARED
from rawtrees import mnms as builder

from cinema.data.public import mnms
from cinema.data.public.cards import card

REAL = SHARED / "real/nifti/mnms"


def test_subjects_splits_and_attributes(tree):
    assert list(tree.found) == tree.facts["ids"]
    assert [subject.split for subject in tree.found.values()] == ["train"] * 4 + ["val", "test"]
    table = pd.read_csv(tree.raw / "OpenDataset" / mnms.TABLE).set_index("External code")
    for code, subject in tree.found.items():
        row, known = table.loc[code], subject.attributes
        assert (known["vendor"], known["sex"], known["disease"]) == (row.VendorName, row.Sex, row.Pathology)
        assert known["site"] == str(row.Centre) and known["age_years"] == row.Age
        assert known.get("height_cm", np.nan) == pytest.approx(row.Height, nan_ok=True)
        assert ("bmi_kg_m2" in known) == np.isfinite(row.Height)
    assert "height_cm" not in tree.found["A2C0I1"].attributes  # the table does not give it
    assert tree.found["B3D0N1"].attributes["disease"] == "LVNC"  # kept, though no class of the task
    assert "LVNC" not in card("mnms").classes["disease"]


def test_frames_are_counted_from_0_and_labels_exchanged(tree):
    frames = tree.facts["frames"]
    for code, subject in tree.found.items():
        study, virtual = mnms.read(subject), tree.facts["studies"][code]
        view, source = study.views["sax"], virtual.views["sax"]
        assert (study.ed_frame, study.es_frame) == frames[code]
        np.testing.assert_array_equal(view.label_at(study.ed_frame), source.label_at(virtual.ed_frame))
        np.testing.assert_array_equal(view.label_at(study.es_frame), source.label_at(virtual.es_frame))
        np.testing.assert_allclose(view.affine, source.affine, atol=1e-4)
        np.testing.assert_array_equal(view.image, nib.load(subject.files[0]).get_fdata())
    assert {frames[code][0] > frames[code][1] for code in tree.found} == {True, False}


def test_cells_that_are_no_numbers_are_told(tree, tmp_path):
    shutil.copytree(tree.raw, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "OpenDataset" / mnms.TABLE
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    first = table["External code"].eq("A2C0I1").idxmax()
    table.loc[first, ["Age", "Height", "Weight"]] = "5x", "", "NaN"
    table.to_csv(path, index=False)
    found, _ = mnms.subjects(tmp_path)
    assert "age_years" not in next(one for one in found if one.id == "A2C0I1").attributes
    assert mnms.notes(found) == [f"no numbers in {mnms.TABLE}, left out: A2C0I1 Age '5x'"]
    assert mnms.notes(list(tree.found.values())) == []


def test_a_table_that_is_not_there_or_lacks_columns_is_named(tmp_path):
    (tmp_path / "OpenDataset").mkdir()
    with pytest.raises(FileNotFoundError, match="opendataset.csv is missing"):
        mnms.subjects(tmp_path)
    (tmp_path / "OpenDataset" / mnms.TABLE).write_text(",External code,Vendor\n0,A,B\n", encoding="utf-8")
    with pytest.raises(ValueError, match="lacks the columns ED, ES, VendorName"):
        mnms.subjects(tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real images are not at hand (../shared/real)")
def test_real_oblique_planes_with_a_made_mask(tmp_path):
    ed, es = (nib.load(REAL / f"sax_{phase}.nii.gz") for phase in ("ed", "es"))
    home = tmp_path / "OpenDataset/Testing/R1"
    home.mkdir(parents=True)
    cine = np.stack([part.get_fdata(dtype=np.float32) for part in (es, ed)], axis=-1)  # no truncation to whole numbers
    masks = np.zeros(cine.shape, np.uint8)
    masks[60:100, 80:110, 3:9] = 1
    for name, array in (("R1_sa", cine), ("R1_sa_gt", masks)):
        nib.save(nib.Nifti1Image(array, ed.affine), home / f"{name}.nii.gz")
    table = tmp_path / "OpenDataset" / mnms.TABLE
    table.write_text(f"{builder.HEAD}\n0,R1,GE,C,3,1,0,50,NOR,F,170,70\n", encoding="utf-8")
    (subject,), skipped = mnms.subjects(tmp_path)
    study = mnms.read(subject)
    assert not skipped and study.attributes["lv_edv_ml"] == pytest.approx(40 * 30 * 6 * 10 / 1000, rel=1e-5)
    np.testing.assert_allclose(study.views["sax"].affine, ed.affine, atol=1e-4)
