"""MyoPS: the validation draw, both names of test files, studies, and what is left out."""

import numpy as np
import pytest
import SimpleITK as sitk

from cinema.data.public import myops
from cinema.data.public.published_grid import standardised

OPTIONS = {"n": 7}


def test_validation_of_25_patients_is_106_103_120_117_112():
    assert myops.drawn([str(number) for number in range(101, 126)]) == {"106", "103", "120", "117", "112"}


@pytest.mark.parametrize(("n", "n_val"), [(0, 0), (1, 0), (2, 1), (6, 1), (9, 1), (10, 5), (24, 5)])
def test_validation_of_fewer_patients(n, n_val):
    assert len(myops.drawn([str(number) for number in range(n)])) == n_val


@pytest.mark.parametrize("word", ["test", "training"])
def test_counts_and_both_names_of_test_files(tmp_path, word):
    """25 and 20 patients by names alone."""
    names = [f"train25/myops_training_{n}_{s}" for n in range(101, 126) for s in ("C0", "DE", "T2")]
    names += [f"train25_myops_gd/myops_training_{n}_gd" for n in range(101, 126)]
    names += [f"test20/myops_{word}_{n}_{s}" for n in range(201, 221) for s in ("C0", "DE", "T2")]
    for name in names:
        path = tmp_path / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found, skipped = myops.subjects(tmp_path)
    splits = [subject.split for subject in found]
    assert not skipped and [splits.count(name) for name in ("train", "val", "test")] == [20, 5, 20]
    assert [path.name for path in found[-1].files] == [f"myops_{word}_220_{s}.nii.gz" for s in ("C0", "DE", "T2")]


def test_study_has_sequences_and_labels_as_the_files(tree):
    assert sorted(tree.found) == tree.facts["ids"]
    study = myops.read(tree.found["102"])
    view = study.views["sax"]
    for k, name in enumerate(("C0", "DE", "T2")):
        raw = sitk.ReadImage(str(tree.raw / f"train25/myops_training_102_{name}.nii.gz"))
        np.testing.assert_array_equal(view.image[..., k], sitk.GetArrayFromImage(raw).T)
    raw = sitk.GetArrayFromImage(sitk.ReadImage(str(tree.raw / "train25_myops_gd/myops_training_102_gd.nii.gz"))).T
    assert set(np.unique(raw)) == {0, 200, 500, 600, 1220, 2221}
    expected = np.select([raw == k for k in (600, 500, 200, 1220, 2221)], [1, 3, 2, 6, 4])
    np.testing.assert_array_equal(view.labels[..., 0], expected)
    assert view.label_frames == (0,) and study.attributes["sequences"] == "C0,DE,T2" and study.ed_frame is None
    test = myops.read(tree.found["201"])
    assert test.views["sax"].labels is None and test.views["sax"].image.shape[3] == 3


def test_default_scales_each_sequence_for_itself_on_the_published_grid(tree):
    study = myops.read(tree.found["102"])
    view = standardised(study).views["sax"]
    assert view.image.shape == (192, 192, 6, 3) and np.allclose(view.spacing_mm, (1, 1, 10))
    tops = study.views["sax"].image.max((0, 1, 2))
    assert tops.max() > 1.3 * tops.min()  # on one scale the darkest sequence would end far below 255
    assert [int(view.image[..., k].max()) for k in range(3)] == [255, 255, 255]
    assert set(np.unique(view.labels)) == {0, 1, 2, 3, 4, 6}
