"""M&Ms-2: split by number, incomplete rows, two views, labels exchanged, damaged studies."""

import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from places import SHARED
from rawtrees import mnms2 as builder

from cinema.data.public import mnms2
from cinema.data.public.cards import card

REAL = SHARED / "real/nifti/mnms2"


def test_subjects_splits_and_attributes(tree):
    assert list(tree.found) == tree.facts["ids"] == ["001", "002", "017", "160", "161", "201"]
    assert [subject.split for subject in tree.found.values()] == ["train"] * 4 + ["val", "test"]
    for pid, subject in tree.found.items():
        who, known = tree.facts["studies"][pid].attributes, subject.attributes
        assert all(known[name] == who[name] for name in ("disease", "scanner", "field_t"))
        assert known["vendor"] in card("mnms2").classes["vendor"]


def test_a_table_of_360_rows_is_split_160_40_160_by_number(tmp_path):
    rows = [f"{number},NOR,SIEMENS,Avanto,1.5" for number in range(360, 0, -1)] + [",,,,", "12.5,NOR,,,"]
    (tmp_path / "MnM2").mkdir()
    (tmp_path / "MnM2" / mnms2.TABLE).write_text("\n".join([builder.HEAD, *rows]) + "\n", encoding="utf-8")
    for number in range(1, 361):
        home = tmp_path / f"MnM2/dataset/{number:03d}"
        home.mkdir(parents=True)
        for view in ("LA", "SA"):
            for role in ("ED", "ES", "ED_gt", "ES_gt"):
                (home / f"{number:03d}_{view}_{role}.nii.gz").touch()
    found, skipped = mnms2.subjects(tmp_path)
    splits = [subject.split for subject in found]
    assert splits == ["train"] * 160 + ["val"] * 40 + ["test"] * 160
    assert [subject.id for subject in found] == [f"{number:03d}" for number in range(1, 361)]
    assert [one.id for one in skipped] == ["12.5"]
    assert card("mnms2").counts == {"train": 160, "val": 40, "test": 160}


def test_a_field_strength_that_is_no_number_is_told(tree, tmp_path):
    shutil.copytree(tree.raw, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "MnM2" / mnms2.TABLE
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[0, "FIELD"] = "1.5T"
    table.to_csv(path, index=False)
    found, skipped = mnms2.subjects(tmp_path)
    assert len(found) == len(tree.found) - 1
    assert "field strength is '1.5T'" in {one.id: one.reason for one in skipped}[table.loc[0, "SUBJECT_CODE"].zfill(3)]


def test_views_and_labels(tree):
    for pid, subject in tree.found.items():
        study, virtual = mnms2.read(subject), tree.facts["studies"][pid]
        assert set(study.views) == {"sax", "lax_4c"} and (study.ed_frame, study.es_frame) == (0, 1)
        for name, view in study.views.items():
            source = virtual.views[name]
            np.testing.assert_array_equal(view.labels, source.labels)
            np.testing.assert_allclose(view.affine, source.affine, atol=1e-4)
            scale = np.polyfit(source.image.ravel(), view.image.ravel(), 1)
            assert scale[0] in (pytest.approx(3), pytest.approx(4), pytest.approx(5))  # the same pixels, scaled


@pytest.mark.skipif(not REAL.is_dir(), reason="the real images are not at hand (../shared/real)")
def test_real_oblique_planes_with_a_made_mask(tmp_path):
    home = tmp_path / "MnM2/dataset/300"
    home.mkdir(parents=True)
    for view, short in (("sax", "SA"), ("lax_4c", "LA")):
        for phase in ("ed", "es"):
            real = nib.load(REAL / f"{view}_{phase}.nii.gz")
            mask = np.zeros(real.shape, np.uint8)
            mask[100:130, 90:130] = 1
            image = nib.Nifti1Image(real.get_fdata(dtype=np.float32), real.affine)  # no truncation to whole numbers
            nib.save(image, home / f"300_{short}_{phase.upper()}.nii.gz")
            nib.save(nib.Nifti1Image(mask, real.affine), home / f"300_{short}_{phase.upper()}_gt.nii.gz")
    (tmp_path / "MnM2" / mnms2.TABLE).write_text(f"{builder.HEAD}\n300,TRI,SIEMENS,Avanto,1.5\n", encoding="utf-8")
    (subject,), skipped = mnms2.subjects(tmp_path)
    study = mnms2.read(subject)
    assert not skipped and subject.split == "test" and study.views["lax_4c"].spacing_mm == pytest.approx((1, 1, 1))
