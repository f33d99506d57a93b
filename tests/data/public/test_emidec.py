"""EMIDEC: the split, text files, studies, and what is left out - on a folder of its layout."""

import numpy as np
import pytest
import SimpleITK as sitk

from cinema.data.public import emidec
from cinema.data.public.published_grid import standardised


def test_hundred_cases_are_62_19_19(tmp_path):
    """33 N and 67 P, numbered 1 to 100 through both, by names alone."""
    root = tmp_path / emidec.FOLDER
    for number in range(1, 101):
        case = f"Case_{'N' if number % 3 == 0 else 'P'}{number:03d}"
        for part in ("Images", "Contours"):
            (root / case / part).mkdir(parents=True)
            (root / case / part / f"{case}.nii.gz").touch()
        (root / f"{case.replace('_', ' ')}.txt").write_bytes(b"Sex : F\n")
    found, skipped = emidec.subjects(tmp_path)
    splits = [subject.split for subject in found]
    assert not skipped and [splits.count(name) for name in ("train", "val", "test")] == [62, 19, 19]
    normal = [subject.split for subject in found if subject.attributes["disease"] == "N"]
    assert [normal.count(name) for name in ("train", "val", "test")] == [21, 6, 6]
    assert [subject.id for subject in found[:4]] == ["Case_P001", "Case_P002", "Case_N003", "Case_P004"]


@pytest.mark.parametrize(("letter", "n", "start"), [("N", 33, [2, 10, 23, 26, 11]), ("P", 67, [19, 66, 23, 8, 46])])
def test_shuffled_positions_of_data_md(letter, n, start):
    """Positions of the shuffled list; the cases are numbered so that their names sort otherwise than their numbers."""
    order = list(range(n))
    np.random.default_rng(0).shuffle(order)
    assert order[:5] == start
    split = emidec.splits([(letter, 5 * position + 7) for position in reversed(range(n))])
    part = int(0.2 * n)
    expected = ["train"] * (n - 2 * part) + ["val"] * part + ["test"] * part
    assert [split[letter, 5 * position + 7] for position in order] == expected


def test_text_is_decoded_and_keys_are_found(tree, tmp_path):
    subject = tree.found["Case_P001"]
    assert tree.facts["texts"]["Case_P001"]["sex"] == "M" == subject.attributes["sex"]
    assert subject.attributes == {
        "sex": "M",
        "age_years": 51.0,
        "tobacco": "no",
        "overweight": True,
        "hypertension": False,
        "diabetes": True,
        "killip_max": 2.0,
        "lv_ef_percent": 31.5,
        "disease": "P",
    }
    path = tmp_path / "Case P001.txt"
    french = "Âge : 61,5\nSexe : H\nTabac : 3\\x21\nHTA : O\nantécédents familiaux : N\nBMI : 1\n"
    path.write_bytes(french.encode("latin-1"))
    assert emidec.attributes(path) == {"sex": "M", "age_years": 61.5, "tobacco": "former", "hypertension": True}
    path.write_bytes(b"Sex : ?\nAge : unknown\nTroponin\n: 4\n\\")  # a lone backslash cannot be decoded
    assert emidec.attributes(path) == {}


def test_study_has_image_and_labels_as_the_files(tree):
    subject = tree.found["Case_P003"]
    study = emidec.read(subject)
    image, mask = (sitk.ReadImage(str(path)) for path in subject.files[:2])
    view = study.views["sax"]
    np.testing.assert_array_equal(view.image[..., 0], sitk.GetArrayFromImage(image).T)
    raw = sitk.GetArrayFromImage(mask).T
    expected = np.select([raw == k for k in (1, 2, 3, 4)], [3, 2, 4, 5])  # LV, MYO, scar, no-reflow
    np.testing.assert_array_equal(view.labels[..., 0], expected)
    assert set(np.unique(raw)) == {0, 1, 2, 3, 4} and view.label_frames == (0,) and study.ed_frame is None
    at = np.array(image.TransformContinuousIndexToPhysicalPoint((3.0, 5.0, 2.0))) * (-1, -1, 1)
    np.testing.assert_allclose(view.affine @ (3, 5, 2, 1), [*at, 1], atol=1e-3)


def test_default_is_on_the_published_models_grid_and_keeps_tissue_in_place(tree):
    study = emidec.read(tree.found["Case_P003"])
    before, after = study.views["sax"], standardised(study, emidec.GRID).views["sax"]
    assert after.image.shape == (192, 192, 6, 1) and np.allclose(after.spacing_mm, (1.458, 1.458, 10))
    for value in (2, 3, 4):  # muscle, cavity, scar
        places = [view.affine @ np.r_[np.argwhere(view.labels[..., 0] == value).mean(0), 1] for view in (before, after)]
        np.testing.assert_allclose(places[1], places[0], atol=1.5)  # mm; slices are 8 and 10 mm apart
