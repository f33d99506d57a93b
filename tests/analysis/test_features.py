"""Tables of features and measures: against the slow way, kept and made anew, close to the truth of virtual people.

Probes find what is in the features, and nothing where nothing is.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from cinema.analysis import features
from cinema.data.loaders import StudyFrames
from cinema.data.study import load_study, save_study, study_paths, study_table
from cinema.models import small
from cinema.models.standard import Standardised
from cinema.phantom import cohort
from cinema.terms import SMALL_GRID, VIEWS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return cohort.write("fairness", 6, 0, tmp_path_factory.mktemp("people") / "fairness")


def test_features_are_those_of_the_shipped_encoder(folder):
    table = features.features(folder)
    model, standard = small.shipped_cinema()
    data = Standardised(StudyFrames(study_paths(folder), VIEWS, "ed_es", SMALL_GRID), standard)
    torch.set_num_threads(1)
    assert list(table.index) == [path.stem for path in study_paths(folder)]
    np.testing.assert_allclose(table, features.study_features(model, data), atol=1e-5)


def test_views_that_are_missing_are_left_out(tmp_path):
    cohort.write("acdc", 2, 0, tmp_path)
    # class token, mean and deviation of one view, ED and ES
    assert features.features(tmp_path).shape == (2, 2 * 3 * 128)
    assert "mapse_mm" not in features.measures(tmp_path)


def test_measures_are_near_the_truth(folder):
    table, truth = features.measures(folder), study_table(folder).set_index("id")
    assert table.notna().all().all()
    assert (table[["dice_lv", "dice_rv"]].mean() > 0.75).all()
    assert (table["lv_edv_ml"] / truth["true_lv_edv_ml"]).between(0.75, 1.25).all()
    assert (table["lv_ef_percent"] - truth["true_lv_ef_percent"]).abs().median() < 6
    assert (table["mapse_mm"] - truth["true_mapse_mm"]).abs().median() < 4


@pytest.mark.slow
def test_the_same_whatever_the_number_of_jobs(folder, monkeypatch):
    monkeypatch.setattr(features, "CHUNK", 2)
    first = features.measures(folder)
    (folder / "measures.npz").unlink()
    pd.testing.assert_frame_equal(first, features.measures(folder, jobs=2))


def test_a_record_is_taken_where_it_is_right(folder, tmp_path, monkeypatch):
    table, record = features.measures(folder), tmp_path / "measures.csv"
    table.rename_axis("study").to_csv(record)
    with monkeypatch.context() as patch:
        patch.setattr(features, "measures", None)  # it would be called for people who are not on record
        found = features.measures_on_record(folder, 2, n_again=2, record=record)
    pd.testing.assert_frame_equal(found, table, check_names=False)
    table.iloc[:-1].rename_axis("study").to_csv(record)
    pd.testing.assert_frame_equal(features.measures_on_record(folder, record=record), table)
    (table * 1.03).rename_axis("study").to_csv(record)
    with pytest.raises(ValueError, match="experiment measures"):
        features.measures_on_record(folder, n_again=2, record=record)


def test_people_on_record_are_those_of_the_readers(folder):
    again = features.measures_on_record(folder, n_again=3)
    assert (again.index == features.measures(folder).index).all() and again["lv_edv_ml"].between(50, 500).all()


def test_a_kept_table_is_read_until_studies_change(folder, tmp_path, monkeypatch):
    cohort.write("acdc", 3, 0, tmp_path)
    calls = []

    def computed(paths, views):
        calls.append(len(paths))
        return pd.DataFrame({"0": 0.0}, index=[path.stem for path in paths])

    monkeypatch.setattr(features, "_features", computed)
    for n in (3, 3, 2, 2):
        cohort.write("acdc", n, 0, tmp_path)
        assert len(features.features(tmp_path)) == n
    assert calls == [3, 2]


def test_a_study_without_a_heart_has_no_numbers(folder, tmp_path):
    study = load_study(study_paths(folder)[0], ["sax"])
    dark = replace(study.views["sax"], image=np.zeros_like(study.views["sax"].image))
    save_study(replace(study, id="dark", views={"sax": dark}), tmp_path)
    row = features.measures(tmp_path).loc["dark"]
    assert np.isnan(row["lv_ef_percent"]) and row["dice_lv"] == 0


def test_a_linear_signal_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(120, 40)), rng.normal(size=(2, 120))
    off = lambda values: np.abs(features.predicted_number(x, values) - values).mean() / np.abs(values).mean()
    assert off(x[:, 0] + 0.1 * noise[0]) < 0.25 and off(noise[1]) > 0.9


def test_classes_are_found_and_shuffled_ones_are_not():
    rng = np.random.default_rng(1)
    classes = np.repeat(["NOR", "DCM", "HCM"], 30)
    x = rng.normal(size=(90, 20)) + 2 * (classes[:, None] == ["NOR"] * 10 + ["DCM"] * 10)
    assert np.mean(features.predicted_class(x, classes) == classes) > 0.9
    shuffled = rng.permutation(classes)
    assert np.mean(features.predicted_class(x, shuffled) == shuffled) < 0.55


def test_features_put_the_frames_side_by_side_and_leave_the_model_as_it_was():
    torch.manual_seed(0)
    model = small.small_cinema(("sax",)).train()
    pairs = [{"image": {"sax": torch.rand(2, *SMALL_GRID["sax"][0])}} for _ in range(2)]
    found = features.study_features(model, pairs)
    assert found.shape == (2, 2 * 3 * 128) and np.isfinite(found).all() and model.training
    swapped = [{"image": {"sax": pairs[0]["image"]["sax"].flip(0)}}]
    halves = np.split(features.study_features(model, swapped)[0], 2)
    assert np.allclose(np.concatenate(halves[::-1]), found[0], atol=1e-5)
