"""Landmark: split by patient, marks, orientation, and what is left out."""

import numpy as np
import pytest
from PIL import Image

from cinema.data.public import landmark
from cinema.data.public.published_grid import standardised
from cinema.data.study import Study, View


def test_split_is_by_patient_in_order_of_appearance():
    """Ten patients in an order of their own, two with several pictures: default_rng(0) shuffles first appearances."""
    uids = ["j_1", "a_1", "j_2", "c_1", "b_x_9", "d_1", "e_1", "b_x_8", "f_1", "g_1", "h_1", "i_1"]
    order = list("jacbdefghi")
    np.random.default_rng(0).shuffle(order)
    expected = dict(zip(order, ["train"] * 6 + ["val"] * 2 + ["test"] * 2, strict=True))
    assert landmark.splits(uids) == {uid: expected[uid[0]] for uid in uids}


@pytest.mark.parametrize(("n", "counts"), [(4, (4, 0, 0)), (9, (7, 1, 1)), (104, (64, 20, 20))])
def test_shares_are_rounded_down(n, counts):
    split = list(landmark.splits([f"p{k}_0" for k in range(n)]).values())
    assert tuple(split.count(name) for name in ("train", "val", "test")) == counts


def test_patients_may_differ_between_views_but_not_within(tree):
    splits = {}
    for subject in tree.found.values():
        splits.setdefault((subject.attributes["patient"], subject.details["view"]), set()).add(subject.split)
    assert all(len(one) == 1 for one in splits.values())
    patients = sorted({patient for patient, _ in splits})
    assert len(patients) == 6
    order = ["900", "901", "902", "903", "904", "905"]
    np.random.default_rng(0).shuffle(order)
    for view in ("lax_2c", "lax_4c"):  # both tables name the patients in one order here, so both draws agree
        assert [splits[patient, view] for patient in order] == [{"train"}] * 4 + [{"val"}, {"test"}]


def test_tables_of_other_order_split_patients_otherwise(tmp_path):
    """The leak that the card tells of: a patient in training for 2C and in test for 4C."""
    for view, order in (("lax_2c", "abcdefghij"), ("lax_4c", "efghijabcd")):
        (tmp_path / view / "images").mkdir(parents=True)
        (tmp_path / view / "masks").mkdir()
        for name in order:
            for kind in ("images", "masks"):
                (tmp_path / view / kind / f"{name}_0.png").touch()
        (tmp_path / f"{view}.csv").write_text("".join(f"c,{name}_0,{view},1,2,3\n" for name in order), encoding="utf-8")
    split = {subject.id: subject.split for subject in landmark.subjects(tmp_path)[0]}
    assert any((split[f"{p}_0_lax_2c"], split[f"{p}_0_lax_4c"]) == ("train", "test") for p in "abcdefghij")


@pytest.mark.parametrize(
    ("points", "expected"),
    [([(0, 0), (4, 0), (4, 3)], False), ([(0, 0), (4, 0), (4, -3)], True), ([(0, 0), (1, 1), (2, 2)], False)],
)
def test_orientation_sign(points, expected):
    """(y2 - y1)(x3 - x2) - (x2 - x1)(y3 - y2), worked by hand: -12, 12, 0."""
    assert landmark.clockwise(np.array(points)) is expected


def test_marks_are_means():
    mask = np.zeros((20, 30), np.uint8)
    mask[2:4, 5:9], mask[10, 11], mask[15:18, 20:22] = 85, 170, 255
    np.testing.assert_array_equal(landmark.landmarks(mask), [[2.5, 6.5], [10, 11], [16, 20.5]])


def test_study_is_turned_as_the_release_turns_it(tree):
    turned = set()
    for name, subject in tree.found.items():
        view, points = subject.details["view"], tree.facts["points"][name]
        held, picture = landmark.read(subject).views[view], np.asarray(Image.open(subject.files[0])).T
        assert held.image.shape == (768, 864, 1, 1) and held.spacing_mm == (0.25, 0.25, 1.0)
        assert landmark.clockwise(held.landmarks[0]) == (view == "lax_2c")
        if not np.allclose(held.landmarks[0], points):
            turned.add(name)
            picture, points = picture[:, ::-1], np.c_[points[:, 0], 863 - points[:, 1]]
        np.testing.assert_array_equal(held.image[:, :, 0, 0], picture)
        np.testing.assert_allclose(held.landmarks[0], points)
    # By the area of the triangle hinge, hinge, apex: seen on a screen, y down, 4C runs clockwise and 2C the other way.
    area = lambda p: (p[1, 0] - p[0, 0]) * (p[2, 1] - p[0, 1]) - (p[1, 1] - p[0, 1]) * (p[2, 0] - p[0, 0])
    assert turned == {name for name, p in tree.facts["points"].items() if (area(p) > 0) == name.endswith("lax_2c")}
    assert {name[-2:] for name in turned} == {"2c", "4c"} and turned != set(tree.found)


def test_default_moves_landmarks_with_the_pixels(tree):
    """Four pixels become one, edges aligned: v -> (v + 0.5) / 4 - 0.5; nothing is cut to whole pixels."""
    study = landmark.read(tree.found["901_a_lax_4c"])
    before, after = study.views["lax_4c"], standardised(study).views["lax_4c"]
    assert after.image.shape == (192, 216, 1, 1) and after.spacing_mm == (1, 1, 1)
    np.testing.assert_allclose(after.landmarks, (before.landmarks + 0.5) / 4 - 0.5, atol=1e-4)


def test_large_pictures_are_cut_around_their_landmarks():
    points = np.array([[[1300, 1400], [1500, 1200], [1350, 1500]]], np.float32)
    view = View(np.zeros((1600, 1800, 1, 1), np.uint8), np.diag([0.25, 0.25, 1, 1]), landmarks=points)
    after = standardised(Study("a", "test", {"lax_2c": view})).views["lax_2c"]
    assert after.image.shape == (256, 256, 1, 1)
    assert (after.landmarks > 60).all() and (after.landmarks < 250).all()
