"""Real patients for a notebook: dealt by the published split, drawn and scored by what their dataset has."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cinema.analysis import patients
from cinema.data import late_enhancement
from cinema.data.public import prepared
from cinema.data.study import Study, View, load_study, save_study, study_table
from cinema.terms import LABELS, SMALL_GRID, TISSUE_LABELS, VIEWS
from cinema.training import arms

AFFINE = np.diag([*SMALL_GRID["sax"][1], 1.0])


def write(folder, splits, labelled=None, frames=2):
    """Studies of one bright cube; `labelled` says which have masks."""
    labels = np.zeros((64, 64, 8, frames), np.uint8)
    labels[24:40, 24:40, 1:7] = LABELS["LV"]
    for number, split in enumerate(splits):
        has = labelled is None or labelled[number]
        masks = (labels, tuple(range(frames))) if has else (None, ())
        view = View(labels * 50 + np.uint8(number), AFFINE, *masks)
        about = {"split": split, "dataset": "acdc", "disease": "NOR"}
        save_study(Study(f"p{number:02d}", "acdc", {"sax": view}, about, ed_frame=0, es_frame=1), folder / "acdc")


@pytest.fixture
def same_grid(monkeypatch):
    """prepared as a table of the folder, its copies on the grid being the studies themselves."""
    monkeypatch.setattr(prepared, "studies", lambda name, root: study_table(Path(root) / name))
    monkeypatch.setattr(prepared, "on_grid", lambda table, grid, folder, jobs: table.copy())


def test_the_published_split_is_kept_and_ci_takes_few(tmp_path, same_grid):
    write(tmp_path, ["train"] * 12 + ["val"] * 5 + ["test"] * 7)
    table = patients.split_studies("acdc", tmp_path, tmp_path / "work", "laptop")
    assert table["split"].value_counts().to_dict() == {"train": 12, "test": 7, "val": 5}
    assert set(table["role"]) == {"acdc"} and (table["whole"] == table["path"]).all()
    few = patients.split_studies("acdc", tmp_path, tmp_path / "work", "ci")
    assert few["split"].value_counts().to_dict() == patients.CI
    assert patients.describe_split(few) == "Patients with masks: 8 for training, 4 for validation, 6 for testing."


def test_studies_without_masks_are_left_out_and_an_empty_part_borrows(tmp_path, same_grid):
    write(tmp_path, ["train"] * 10 + ["val"] * 2 + ["test"] * 3, [True] * 12 + [False] * 3)
    table = patients.split_studies("acdc", tmp_path, tmp_path / "work", "laptop").set_index("id")
    assert list(table.index[table["split"] == "test"]) == ["p10", "p11"]  # whom validation had
    assert list(table.index[table["split"] == "val"]) == ["p04", "p09"]  # every fifth of training
    assert "2 of val serve as test; 2 of train serve as val" in patients.describe_split(table)


def test_four_patients_are_enough_and_three_are_refused(tmp_path, same_grid):
    write(tmp_path, ["train"] * 4)
    table = patients.split_studies("acdc", tmp_path, tmp_path / "work", "ci")
    assert sorted(table["split"]) == ["test", "train", "train", "val"]
    (tmp_path / "acdc" / "p02.h5").unlink()
    with pytest.raises(ValueError, match="3 studies of acdc in .* masks, 1 for training; prepare at least four"):
        patients.split_studies("acdc", tmp_path, tmp_path / "work", "ci")


def test_people_are_told_apart_by_what_is_known_of_all():
    columns = {"split": ["train", "test"], "scanner": ["A", None], "vendor": ["V", "V"], "disease": ["x", "y"]}
    table = pd.DataFrame(columns)
    assert patients.kinds(table) == "disease" and patients.kinds(table[["split"]]) == "split"


def test_pretraining_takes_studies_with_all_views(tmp_path, same_grid):
    write(tmp_path, [""] * 7)
    with pytest.raises(ValueError, match="0 studies of acdc .* have all four views; prepare at least four"):
        prepared.unlabelled("acdc", tmp_path, tmp_path / "work", 10, 5)
    for path in sorted((tmp_path / "acdc").glob("*.h5")):
        study = load_study(path)
        save_study(replace(study, views={view: study.views["sax"] for view in VIEWS}), tmp_path / "acdc")
    learn, held = prepared.unlabelled("acdc", tmp_path, tmp_path / "work", 4, 2)
    assert [Path(path).stem for path in (*learn, *held)] == ["p00", "p01", "p02", "p03", "p04", "p05"]
    assert len(held) == 2


def test_nobody_is_both_learnt_from_and_held_out(tmp_path, same_grid):
    view = View(np.zeros((4, 4, 1, 1), np.uint8), np.eye(4))
    for name in ("1_2", "2_2", "3_2", "4_2", "4_3"):
        about = {"split": "", "visit": int(name[-1])}
        save_study(Study(name, "ukb", dict.fromkeys(VIEWS, view), about), tmp_path / "ukb")
    learn, held = prepared.unlabelled("ukb", tmp_path, tmp_path / "work", 9, 1)
    assert [Path(path).stem for path in learn] == ["1_2", "2_2", "3_2"] and [Path(p).stem for p in held] == ["4_3"]


class Echo(torch.nn.Module):
    """Answers with the class number that stands in the first channel, times ten."""

    def __init__(self, classes, channels):
        super().__init__()
        self.classes, self.channels = classes, channels

    def forward(self, image_dict):
        image = image_dict["sax"]
        assert image.shape[1] == self.channels
        numbers = (image[:, 0] * (self.classes - 1)).round().long()
        return {"sax": torch.nn.functional.one_hot(numbers, self.classes).movedim(-1, 1).float()}


@pytest.mark.parametrize("data, channels", [("emidec", 1), ("myops", 3)])
def test_late_enhancement_is_drawn_in_the_store_s_labels_and_scored_by_merged_masks(tmp_path, data, channels):
    task = patients.drawing(data)
    order = late_enhancement.ORDER[data]
    numbers = np.zeros((64, 64, 8), np.uint8)
    for number in range(len(order)):
        numbers[8 * number : 8 * number + 8] = number
    image = np.stack([numbers * 10] * channels, axis=-1)
    labels = late_enhancement.to_labels(numbers, data)[..., None]
    path = save_study(Study("p00", data, {"sax": View(image, AFFINE, labels, (0,))}), tmp_path)
    view = task.read(path)
    assert view.image.shape[3] == task.channels == channels and task.classes == len(order)
    assert np.array_equal(task.draw(Echo(task.classes, channels), view), labels)
    rows = arms.score(Echo(task.classes, channels), {"test": [path]}, task.task, task.stacks)
    assert set(rows["structure"]) == set(task.regions) == set(late_enhancement.REGIONS[data])
    assert (rows["dice"] == 1).all() and len(rows) == len(task.regions)
    ill = {name for name in order if name in TISSUE_LABELS}
    assert set(task.regions["MYO"]) == {LABELS["MYO"], *(TISSUE_LABELS[name] for name in ill)}
    lost = np.where(labels == LABELS["MYO"], 0, labels)  # healthy muscle is missed, the rest is right
    sliced = arms.slice_rows("p00", lost[..., 0], labels[..., 0], task.regions).groupby("structure")["dice"].mean()
    healthy, muscle = 1, 1 + len(ill)
    assert sliced["MYO"] == pytest.approx(2 * (muscle - healthy) / (2 * muscle - healthy)) and sliced["LV"] == 1


def test_a_cine_is_read_at_its_masks_and_drawn_as_before(tmp_path):
    write(tmp_path, ["train"])
    task = patients.drawing("acdc")
    view = task.read(tmp_path / "acdc" / "p00.h5")
    assert view.image.shape[3] == 2 and task.shape == {"in_chans": 1, "out_chans": 4}
    assert np.array_equal(task.draw(Echo(4, 1), view), view.labels)


def test_the_slice_shown_is_the_third_with_ventricle_or_the_last():
    labels = np.zeros((4, 4, 6), np.uint8)
    labels[..., 1:] = LABELS["LV"]
    assert patients.shown_slice(labels) == 3
    labels[..., :5] = 0
    assert patients.shown_slice(labels) == 5


def test_without_weights_the_page_says_what_to_fetch(tmp_path, monkeypatch):
    monkeypatch.delenv("CINEMA_WEIGHTS", raising=False)
    for data, words in (("acdc", ("acdc_sax", "CINEMA_WEIGHTS")), ("emidec", ("publish no weights",))):
        rows, said = patients.drawing(data).published(pd.DataFrame({"whole": []}), tmp_path)
        assert rows.empty and all(word in said for word in words)


def test_virtual_people_are_dealt_in_the_order_they_are_drawn(tmp_path, monkeypatch):
    made = lambda role, n, seed, folder, jobs: write(folder.parent, ["none"] * n) or folder
    monkeypatch.setattr(patients.cohort, "write", made)
    people = patients.virtual_studies({"acdc": (2, 1, 1)}, 0, tmp_path)
    assert people["split"].tolist() == ["train", "train", "val", "test"] and set(people["role"]) == {"acdc"}
    assert people["id"].is_monotonic_increasing
