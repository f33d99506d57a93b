"""Arms, runs and what is made of their scores."""

from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

from cinema import files
from cinema.data.study import study_paths
from cinema.models import UNet, small, weights
from cinema.models.standard import load_standard, save_standard, standard_of
from cinema.phantom import cohort
from cinema.stats import estimates
from cinema.terms import LABELS
from cinema.training import arms
from cinema.training.arms import Arm, Atlas, Run, model_of, slice_rows, stacks, train
from cinema.training.checkpoint import read_run

UNET = partial(UNet, 3, 1, 4, (2, 4), patch_size=(4, 4, 2), n_blocks=1)


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Three virtual patients, and the standard of their images."""
    folder = tmp_path_factory.mktemp("compare")
    cohort.write("acdc", 3, 0, folder / "acdc")
    paths = tuple(map(str, study_paths(folder / "acdc")))
    standard = str(save_standard(standard_of(stacks(paths)), folder / "standard.safetensors"))
    return paths, standard, folder


def run_of(studies, name="UNet", seed=0, **changes):
    paths, standard, folder = studies
    plan = dict(train=paths[:2], val=paths[2:], learning_rate=1e-2, steps=2, seed=seed, folder=str(folder))
    plan["tests"] = {"acdc": paths[2:]}
    return Run(Arm(name, UNET, standard), **plan | changes)


@pytest.mark.slow
def test_a_run_gives_the_same_numbers_on_any_number_of_threads_and_in_another_process(studies):
    threads = torch.get_num_threads()
    history, scores = arms.train_all([run_of(studies, name) for name in ("one", "two")], n_jobs=2)
    assert torch.get_num_threads() == threads
    columns = ["study", "phase", "structure", "dice", "hd95_mm", "volume_ml"]
    tables = [rows[columns].reset_index(drop=True) for _, rows in scores.groupby("arm")]
    pd.testing.assert_frame_equal(*tables)
    assert len(tables[0]) == 2 * 3 and set(scores["n_train"]) == {2} and set(scores["data"]) == {"acdc"}
    _, again = train(run_of(studies, "one"))  # finished: read, not repeated
    pd.testing.assert_frame_equal(again[columns], tables[0])


def test_a_kept_run_of_other_code_is_learnt_anew_and_one_of_this_code_is_read(studies, monkeypatch):
    run = run_of(studies, "kept")
    train(run)
    with monkeypatch.context() as patch:
        patch.setattr(files, "code", lambda: "another")
        train(run)
        assert read_run(run.out)["what"]["code"] == "another"
        written = (run.out / "best.safetensors").stat().st_mtime_ns
        train(run)
        assert (run.out / "best.safetensors").stat().st_mtime_ns == written
    train(run)
    assert read_run(run.out)["what"]["code"] == files.code()


def test_another_seed_starts_and_ends_elsewhere(studies):
    run = run_of(studies)
    train(run)
    models = (run.arm.start(0), run.arm.start(0), run.arm.start(1), model_of(run))
    start, *others = (model.state_dict()["out_conv.weight"] for model in models)
    assert [torch.equal(start, other) for other in others] == [True, False, False] and run.seconds >= 0


def test_an_arm_starts_from_pretraining_and_standardises(studies):
    _, standard, folder = studies
    torch.manual_seed(3)
    cinema = small.small_cinema()
    path = weights.save(cinema, folder / "cinema.safetensors")
    build = partial(small.small_convunetr, dec_chans=(2, 4, 8))
    model = Arm("CineMA", build, standard, str(path)).start(0)
    models, seen = (cinema, model, Arm("CineMA", build, standard).start(0)), []
    theirs, warm, new = (one.state_dict()["encoder.blocks.0.attn.q.weight"] for one in models)
    assert torch.equal(warm, theirs) and not torch.equal(new, theirs)
    model.enc_down_dict["sax"].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        model({"sax": load_standard(standard).mean["sax"][None]})
    assert seen[0].abs().max() < 1e-6  # the mean image is the zero of standardised images


def test_the_atlas_answers_with_the_most_frequent_structure(studies):
    paths, *_ = studies
    dataset = stacks(paths)
    masks = np.stack([dataset[i]["label"]["sax"].numpy() for i in range(len(dataset))])
    answer = Atlas(dataset)({"sax": torch.zeros(2, 1, 64, 64, 8)})["sax"].argmax(1).numpy()
    counts = np.stack([(masks == value).sum(0) for value in range(4)])
    clear = np.diff(np.sort(counts, 0)[-2:], axis=0)[0] > 0
    assert answer.shape == (2, 64, 64, 8)
    assert np.array_equal(answer[0][clear], counts.argmax(0)[clear])
    assert arms.score(Atlas(dataset), {"acdc": paths[:1]})["dice"].mean() > 0.3


def test_slices_count_from_the_first_with_left_ventricle():
    true = np.zeros((4, 4, 5), np.uint8)
    true[1:3, 1:3, 2:4] = LABELS["LV"]
    found = true.copy()
    found[1, 1, 3] = 0
    rows = slice_rows("p", found, true).set_index("slice")["dice"]
    assert rows.to_dict() == {0: 1.0, 1: pytest.approx(6 / 7)}


def test_costs_are_those_of_the_layers():
    model = torch.nn.Conv3d(1, 2, 3, padding=1)
    count = arms.multiply_accumulates(lambda images: model(images["sax"]), {"sax": torch.zeros(1, 1, 4, 4, 4)})
    assert count == pytest.approx(2 * 27 * 64 / 1e6)
    labels = torch.zeros(1, 16, 16, 4, dtype=torch.long)
    batch = {"image": {"sax": torch.rand(1, 1, 16, 16, 4)}, "label": {"sax": labels}}
    seconds = arms.step_seconds({"a": UNET(), "b": UNET()}, batch, repeats=2)
    assert set(seconds) == {"a", "b"} and min(seconds.values()) > 0


def scored(gains, n=30):
    """Scores of two frames a patient; `gains`: name -> how much better than the patient's own level."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(product(gains, range(n), range(2)), columns=["arm", "study", "frame"])
    level = rng.uniform(0.5, 0.9, n)[table["study"]] + rng.normal(0, 0.01, len(table))
    return table.assign(dice=level + table["arm"].map(gains))


def test_paired_differences_find_what_was_planted_and_nothing_else():
    rng = np.random.default_rng(1)
    patients = estimates.per_patient(scored({"a": 0.02, "b": 0.0, "c": 0.0}), ["dice"])
    gain, loss, null = (estimates.difference(patients, *two, rng) for two in ("ab", "ba", "cb"))
    assert gain.lower < 0.02 < gain.upper and gain.n == 30
    assert [estimates.verdict(one) for one in (gain, loss, null)] == ["better", "worse", "not shown to differ"]
    assert estimates.difference(patients, "a", "b", rng, level=0.999).upper > gain.upper
    apart = estimates.means(patients, "dice", "arm", rng)
    assert apart["a"].upper > apart["b"].lower  # unpaired, the same data show nothing


def test_means_leave_out_what_has_no_interval():
    table = pd.DataFrame({"arm": ["a", "a", "a", "b"], "dice": [0.5, 0.7, np.nan, 0.9]})
    found = estimates.means(table, "dice", "arm", np.random.default_rng(0))
    assert list(found) == ["a"] and found["a"].value == pytest.approx(0.6) and found["a"].n == 2


def test_rates_are_chosen_by_their_validation_score():
    rates = pd.DataFrame({"arm": list("aabb"), "learning_rate": [1e-3, 1e-2] * 2, "validation": [0.5, 0.6, 0.4, 0.3]})
    assert estimates.best_rates(rates) == {"a": 1e-2, "b": 1e-3}
    assert estimates.best_rates(rates, maximise=False) == {"a": 1e-3, "b": 1e-2}
    history = pd.DataFrame({"arm": ["a"] * 4, "val_mean_dice": [0.2, np.nan, 0.4, 0.5]})
    assert estimates.late_gain(history) == {"a": pytest.approx(0.1)}
    assert estimates.record_key("CineMA, scratch") == "cinema_scratch"
