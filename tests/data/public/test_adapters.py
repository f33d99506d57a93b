"""What every adapter of a public dataset owes, on a raw tree of each: subjects, studies, refusals, prepared files."""

import json
import re
from importlib import import_module
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from dicom_writer import ACCESSION, NAME, PATIENT_ID
from rawtrees.hearts import SMALL

from cinema.data.inputs import DATASETS
from cinema.data.labels import label_map
from cinema.data.public import prepare
from cinema.data.public.cards import SPLITS, card
from cinema.data.study import load_study, study_table

IMAGES = {  # faults of image and mask that five builders share -> words that the reason must hold
    "no image": "is missing",
    "no mask": "_gt.nii.gz is missing",
    "truncated": "no readable NIfTI",
    "truncated mask": "_gt.nii.gz is no readable NIfTI",
    "not an image": "no readable NIfTI",
    "label": "label 7",
    "spacing": "mixed spacing",
    "shape": "share no grid",
    "shifted": "share no grid",
    "no heart": "has no LV",
}
FAULTS = {
    "acdc": IMAGES
    | {
        "no key": "gives no ES",
        "no group": "gives no Group",
        "beyond": "of 2 frames",
        "no number": "Height is 'tall",
        "zero": "ED is '0'",
        "empty": "missing or empty",
        "height": "Height is '-1",
        "no config": "missing or empty",
        "twice": "in training and in testing",
        "no cine": "must be (x, y, z, t)",
        "short cine": "has 2 frames",
        "other cine": "they must agree",
        "same": "ED 2, ES 2 of 8 frames; they must be two",
        "infinite": "NbFrame is 'inf'",
    },
    "mnms": IMAGES
    | {
        "beyond": "ES 40 of the table",
        "no number": "ES is '?'",
        "infinite": "ES is 'inf'",
        "half": "ES is '2.5'",
        "same": "are both frame",
        "off by one": "has no LV",
        "twice": "is in Validation and",
        "two rows": "has 2 rows",
        "3D": "must be (x, y, z, t)",
        "no files": "is in none of Training/Labeled",
        "unlabelled": "unlabelled",
        "no row": "no row in",
    },
    "mnms2": IMAGES
    | {
        "4C label": "_LA_ES_gt.nii.gz holds the label 7",
        "two rows": "has 2 rows",
        "4D": "must be one frame",
        "other grid": "_SA_ES.nii.gz has shape",
        "incomplete": "gives no VENDOR",
        "beyond": "knows the numbers 1 to 360",
        "no row": "no row in",
        "no files": "(and 7 more)",
    },
    "emidec": IMAGES
    | {
        "no mask": "Contours/Case_P90..nii.gz is missing",
        "no text": "Case P91..txt is missing",
        "truncated mask": "no readable NIfTI",
        "label": "holds the label 7; allowed are 0, 1, 2, 3, 4",
        "no heart": "holds no label",
        "copy": "another copy of Case_P9..",
        "twice": "numbered twice: Case_P009.., Case_P9..",
    },
    "myops": IMAGES
    | {
        "no image": "C0 of 15. is missing in train",
        "no sequence": "DE of 1.. is missing in train",
        "no mask": "gd of 15. is missing in train",
        "truncated mask": "no readable NIfTI",
        "label": "holds the label 7; allowed are 0, 200, 500, 600, 1220, 2221",
        "no heart": "holds no label",
        "twice": "C0 of 21.. is there twice: myops_test",
        "both": "in training and test",
    },
    "landmark": {
        "value": "holds the value 86; allowed are 0, 85, 170, 255",
        "unreadable": "is no readable PNG",
        "no image": "images/99._a.png is missing",
        "no mask": "masks/99._a.png is missing",
        "twice": "for 2 cohorts or views",
        "shape": "must be the same",
        "empty": "no landmark 1, 2, 3;",
        "lacking": "no landmark 2;",
        "colour": "of mode RGB",
        "extra": "has no row for 99._a.png",
    },
}
ALWAYS = {"mnms": ("no files", "unlabelled", "no row"), "mnms2": ("incomplete", "beyond", "no row", "no files")}
OPTIONS = {  # of the builders
    **{name: {"n": 2, "faults": [one for one in FAULTS[name] if one not in ALWAYS.get(name, ())]} for name in FAULTS},
    "rescan": {"n": 2, "frames": 4},
    "kaggle": {"grid": SMALL},
    "ukb": {"n": 2, "grid": SMALL},
}
OPTIONS["landmark"] |= {"n": 1, "views": ("lax_2c",)}
WRONG = {
    "acdc": "name the folder that holds database",
    "mnms": "name the folder that holds OpenDataset",
    "mnms2": "name the folder that holds MnM2",
    "emidec": "holds no emidec-dataset",
    "myops": "holds no train25",
    "landmark": "holds no raw/lax_2c.csv",
    "rescan": "name the folder that holds pickle",
    "kaggle": "name the folder that holds them",
    "ukb": "holds no archive",
}


def contents(folder):
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module", params=sorted(DATASETS))
def tree(request, tmp_path_factory):
    """A raw tree, what `subjects` says of it, and what `prepare` made of it."""
    name, home = request.param, tmp_path_factory.mktemp(request.param)
    facts = import_module(f"rawtrees.{name}").build(home / "raw", **OPTIONS[name])
    before = contents(home / "raw")
    adapter = import_module(DATASETS[name])
    found, skipped = adapter.subjects(home / "raw")
    code = prepare.command(name, home / "raw", home / "out")
    record = json.loads((home / "out/prepared.json").read_text(encoding="utf-8"))
    bad = {one: FAULTS.get(name, {}).get(fault, fault) for one, fault in facts["bad"].items()}
    return SimpleNamespace(**locals(), good=set(facts["ids"]))


def test_subjects_have_names_splits_and_files(tree):
    ids = {one.id for one in tree.found}
    assert tree.good and len(ids) == len(tree.found) and tree.good <= ids <= tree.good | set(tree.bad)
    for one in tree.found:
        assert re.fullmatch(r"[A-Za-z0-9_-]+", one.id) and one.split in (*SPLITS, "")
        assert one.files and all(path.is_file() for path in one.files)
        assert not any(value is None or value == "" or value != value for value in one.attributes.values())


def test_studies_are_on_the_scanners_grid_with_our_labels(tree):
    for one in tree.found:
        if one.id not in tree.good:
            continue
        study = tree.adapter.read(one)
        assert study.id == one.id and study.cohort == tree.name and set(study.views) <= set(card(tree.name).views)
        assert one.attributes.items() <= study.attributes.items()
        allowed = {0, *label_map(card(tree.name)).values()}
        for view in study.views.values():
            assert view.image.dtype.kind in "iuf" and np.all(np.isfinite(view.image)) and np.ptp(view.image) > 0
            assert abs(np.linalg.det(view.affine[:3, :3])) == pytest.approx(np.prod(view.spacing_mm), rel=1e-3)
            if view.labels is not None:
                assert set(np.unique(view.labels)) <= allowed and list(view.label_frames) == sorted(view.label_frames)
        if study.ed_frame is None:
            assert study.es_frame is None
            continue
        sax, known = study.views["sax"], study.attributes
        assert study.ed_frame != study.es_frame and {study.ed_frame, study.es_frame} <= set(sax.label_frames)
        edv, esv = (
            (sax.label_at(t) == 3).sum() * np.prod(sax.spacing_mm) / 1000 for t in (study.ed_frame, study.es_frame)
        )
        volumes = [known[f"lv_{part}"] for part in ("edv_ml", "esv_ml", "ef_percent")]
        assert volumes == pytest.approx([edv, esv, 100 * (edv - esv) / edv], rel=1e-5)


def test_what_is_wrong_is_left_out_with_its_reason_in_one_line(tree):
    reasons = tree.record["skipped"]
    twins = {one.replace("-train", "-test") for one in tree.bad}
    assert set(tree.bad) <= set(reasons) <= set(tree.bad) | twins
    for one, words in tree.bad.items():
        assert words in reasons[one] or re.search(words, reasons[one]), (one, words, reasons[one])
        assert "\n" not in reasons[one] and not (tree.home / f"out/{one}.h5").exists()


def test_prepared_are_the_others_and_nothing_else(tree):
    table = study_table(tree.home / "out").set_index("id")
    splits = {one.id: one.split for one in tree.found if one.id in tree.good}
    assert tree.code == 0 and table["split"].to_dict() == splits
    assert tree.record["dataset"] == tree.name and sum(tree.record["counts"].values()) == len(splits)
    for path in table["path"]:
        study = load_study(path)
        assert study.attributes["dataset"] == tree.name and all(v.image.dtype == np.uint8 for v in study.views.values())


def test_nothing_that_identifies_is_written_and_the_raw_folder_is_only_read(tree):
    assert contents(tree.home / "raw") == tree.before
    for path in (tree.home / "out").iterdir():
        data = path.read_bytes()
        secrets = [NAME, PATIENT_ID, ACCESSION, "19600101", "20240229", *[str(tree.home)] * (path.suffix == ".h5")]
        assert not [secret for secret in secrets if secret.encode() in data], path.name


def test_a_second_run_reads_nothing_anew(tree):
    before = contents(tree.home / "out")
    assert prepare.command(tree.name, tree.home / "raw", tree.home / "out") == 0
    made = contents(tree.home / "out")
    assert all(made[path] == known for path, known in before.items() if path.suffix == ".h5")
    with h5py.File(next(iter(sorted(path for path in made if path.suffix == ".h5")))) as file:
        assert file["attributes"].attrs["prepared_from"]


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_another_folder_is_refused_in_one_line(name, tmp_path):
    with pytest.raises((ValueError, OSError), match=WRONG[name]) as error:
        import_module(DATASETS[name]).subjects(tmp_path)
    assert "\n" not in str(error.value)
