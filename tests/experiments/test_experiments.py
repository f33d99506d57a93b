"""The experiments that notebooks read: in miniature, resumed, and arms that differ in what they say."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from places import ROOT

import experiments
from cinema.inference.reader import rotate
from cinema.models import small, two_frames, weights
from cinema.models.standard import Standard, save_standard
from cinema.phantom.body import CODE, TISSUES
from cinema.terms import LABELS
from cinema.training import arms, loop
from experiments import fine_tuning, ingredients, measures
from experiments import labels as labels_module
from experiments.labels import RECIPES
from experiments.own_weights import readers
from experiments.own_weights.library import LIBRARY_VERSION, write_entry

ARMS = {arm.name: arm for arm in ingredients.ARMS}


@pytest.fixture(scope="module", name="work")
def _work(tmp_path_factory):
    """A work folder whose library holds two hearts."""
    folder = tmp_path_factory.mktemp("experiments")
    library = folder / f"library_{LIBRARY_VERSION}"
    library.mkdir()
    for index in range(2):
        write_entry(library, index, 1)
    return folder


@pytest.mark.slow
def test_ingredients_in_miniature_and_again(work, monkeypatch):
    monkeypatch.setattr(readers, "RECIPES", {"ci": readers.Recipe(n_hearts=2, visits=2, steps=2)})
    monkeypatch.setattr(readers, "N_HELD_OUT", 1)
    tiny = replace(ingredients.RECIPES["ci"], steps=1, n_test=1, batch_size=2)
    monkeypatch.setattr(ingredients, "RECIPES", {"ci": tiny})
    table = pd.read_csv(experiments.run("ingredients", "ci", out=work / "out", work=work))
    assert list(table) == ["arm", "seed", "cohort", "patient", "stored", "structure", "dice_ed", "dice_es"]
    assert list(table["arm"].unique()) == list(ARMS) and table[["dice_ed", "dice_es"]].notna().all(axis=None)
    assert len(table) == len(ARMS) * len(ingredients.ROLES) * 2 * 3
    monkeypatch.setattr(loop, "_train", None)  # finished: not repeated
    again = pd.read_csv(experiments.run("ingredients", "ci", out=work / "again", work=work))
    pd.testing.assert_frame_equal(again, table)


def test_each_arm_leaves_out_what_it_says():
    left_out = {"no trabeculae": ("papillary", "rv_trabecula"), "no surroundings": ("liver", "fat", "bone")}
    for name, arm in ARMS.items():
        assert (arm.codes == tuple(range(len(TISSUES)))) == (name not in left_out)
        assert not {CODE[tissue] for tissue in left_out.get(name, ())} & set(arm.codes)
        # Whatever is left out, the truth of what is seen stays, but for one arm.
        assert (set(arm.labels) == {-1}) == (name != "trabeculae not in cavity")
    wall = ARMS["trabeculae not in cavity"].labels
    assert wall[CODE["papillary"]] == LABELS["MYO"] and wall[CODE["rv_trabecula"]] == 0
    assert len({arm.look for arm in ARMS.values()}) == 5


def test_one_scanner_varies_less_than_random_signals():
    draws = [[ARMS[name].signals(np.random.default_rng(i)) for i in range(30)] for name in ARMS]
    spread = dict(zip(ARMS, np.std(draws, axis=1)[:, CODE["liver"]]))
    assert spread["one scanner's signals"] < spread["all"] / 2


def test_turned_as_the_reader_turns():
    image = np.arange(5 * 5 * 2.0).reshape(5, 5, 2)
    for turn in range(8):
        expected = rotate(torch.from_numpy(image[..., 0]), turn).numpy()
        assert np.array_equal(ingredients.turned(image, turn)[..., 0], expected)


def test_unknown_names_are_refused():
    for names, message in ((("reagents",), "choose one of ingredients"), (("ingredients", "paper"), "unknown profile")):
        with pytest.raises(ValueError, match=message):
            experiments.run(*names)


@pytest.fixture(scope="module", name="shipped")
def _shipped(work):
    """A folder that stands in for cinema/shipped/weights: random weights, and the mean image of nobody."""
    torch.manual_seed(5)
    weights.save(small.small_cinema(), work / small.SHIPPED)
    size = small.small_encoder(("sax",))["image_size_dict"]["sax"]
    standard = Standard({"sax": torch.full((1, *size), 0.3)}, {"sax": torch.tensor(0.2)})
    save_standard(standard, work / small.SHIPPED_STANDARD)
    return work


@pytest.mark.slow
def test_fine_tuning_in_miniature_and_again(shipped, monkeypatch):
    monkeypatch.setattr(fine_tuning, "WEIGHTS", shipped)
    tiny = replace(fine_tuning.RECIPES["ci"], labels=(2,), n_rate_labels=2, n_val=1, n_test=1, mask_steps=1, ef_steps=1)
    monkeypatch.setattr(fine_tuning, "RECIPES", {"ci": tiny})
    table = pd.read_csv(experiments.run("fine_tuning", "ci", out=shipped / "out", work=shipped))
    assert list(table) == ["arm", "labels", "seed", "cohort", "patient", *arms.DICE, "ef_error"]
    assert list(table["arm"].unique()) == [*fine_tuning.ARMS, fine_tuning.NO_IMAGE]
    assert len(table) == 5 * 2 and table.notna().all(axis=None) and table["ef_error"].abs().max() < 200
    rates = pd.read_csv(shipped / "out" / "fine_tuning_rates.csv")
    assert len(rates) == 2 * len(fine_tuning.ARMS) and set(rates["task"]) == {"segmentation", "regression"}
    monkeypatch.setattr(loop, "_train", None)  # finished: read, not repeated
    again = pd.read_csv(experiments.run("fine_tuning", "ci", out=shipped / "again", work=shipped))
    pd.testing.assert_frame_equal(again, table)


@pytest.mark.slow
def test_labels_in_miniature(shipped, monkeypatch):
    monkeypatch.setattr(fine_tuning, "WEIGHTS", shipped)
    tiny = fine_tuning.Recipe((1, 2), seeds=2, rates=(3e-3,), n_rate_labels=2, n_val=1, n_test=2, mask_steps=1)
    monkeypatch.setattr(labels_module, "RECIPES", {"ci": tiny})
    table = pd.read_csv(experiments.run("labels", "ci", out=shipped / "out", work=shipped))
    assert list(table) == ["arm", "labels", "seed", "cohort", "patient", *arms.DICE]
    trained = table[table["arm"] != fine_tuning.NO_IMAGE]
    assert list(trained["arm"].unique()) == list(arms.ARMS) and len(trained) == 3 * 2 * 2 * 2
    assert set(table["patient"]) == {5, 6}  # two seeds of two, one for validation: nobody trained on is tested
    assert list(pd.read_csv(shipped / "out" / "labels_rates.csv")["arm"]) == list(arms.ARMS)


def test_labels_are_trained_as_long_as_the_arms_of_notebook_03():
    text = (ROOT / "notebooks" / "py" / "03_segmentation.py").read_text(encoding="utf-8")
    laptop = re.search(r"n_train, n_val, n_test, steps, seeds = .* else \((.+)\)", text)[1].split(", ")
    recipe = RECIPES["laptop"]
    assert (int(laptop[0]), int(laptop[3])) == (max(recipe.labels), recipe.mask_steps)
    assert f'labels_rates.csv"), {recipe.n_val}  # validation patients' in text


def test_measures_in_miniature(tmp_path, monkeypatch):
    monkeypatch.setattr(measures, "RECIPES", {"ci": {"population": 1, "fairness": 2}})
    table = pd.read_csv(experiments.run("measures", "ci", out=tmp_path / "out", work=tmp_path))
    assert list(table["study"]) == ["virtual_population_00000", "virtual_fairness_00000", "virtual_fairness_00001"]
    assert table["lv_ef_percent"].between(5, 90).all()


def test_frozen_arms_keep_their_encoder_and_others_do_not(shipped):
    files = [str(shipped / small.SHIPPED), str(shipped / small.SHIPPED_STANDARD)]
    pretrained = weights.read(files[0])
    for arm in fine_tuning.contenders(two_frames.two_frames, files, 2):
        model = arm.start(0)
        free = {name for name, p in model.named_parameters() if p.requires_grad}
        assert (free == {"pair_head.1.weight", "pair_head.1.bias"}) == arm.name.startswith("frozen")
        same = torch.equal(model.state_dict()["encoder.norm.weight"], pretrained["encoder.norm.weight"])
        key = "encoder.blocks.0.attn.q.weight"
        assert torch.equal(model.state_dict()[key], pretrained[key]) == arm.name.endswith("pretrained") and same


def test_two_frames_see_the_difference_of_their_frames(shipped):
    torch.manual_seed(0)
    model = two_frames.two_frames().eval()
    image = torch.rand(1, 2, 64, 64, 8)
    first, swapped = (model({"sax": x}) for x in (image, image.flip(1)))
    assert first.shape == (1, 1) and not torch.allclose(first, swapped)


def test_without_shipped_weights_the_command_that_makes_them_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(fine_tuning, "WEIGHTS", tmp_path)
    with pytest.raises(FileNotFoundError, match="train cinema_small"):
        experiments.run("fine_tuning", "ci", work=tmp_path)
