"""The experiments that notebooks read: in miniature, resumed, and arms that differ in what they say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from cinema import experiments, shipping
from cinema.experiments import ingredients
from cinema.phantom.body import CODE, LABEL_OF, TISSUES
from cinema.phantom.library import write_entry
from cinema.reader import pose
from cinema.terms import LABELS

ARMS = {arm.name: arm for arm in ingredients.ARMS}


@pytest.fixture(scope="module", name="work")
def _work(tmp_path_factory):
    """A work folder whose library holds two hearts."""
    folder = tmp_path_factory.mktemp("experiments")
    (folder / "library").mkdir()
    for index in range(2):
        write_entry(folder / "library", index, 1)
    return folder


def test_ingredients_in_miniature_and_again(work, monkeypatch):
    monkeypatch.setattr(shipping, "RECIPES", {"ci": shipping.Recipe(n_hearts=2)})
    monkeypatch.setattr(shipping, "N_HELD_OUT", 1)
    tiny = replace(ingredients.RECIPES["ci"], steps=1, n_test=1, batch_size=2)
    monkeypatch.setattr(ingredients, "RECIPES", {"ci": tiny})
    path = experiments.run("ingredients", "ci", out=work / "out", work=work)
    table = pd.read_csv(path)
    assert list(table) == ["arm", "seed", "cohort", "patient", "stored", "structure", "dice_ed", "dice_es"]
    assert list(table["arm"].unique()) == list(ARMS) and table[["dice_ed", "dice_es"]].notna().all(axis=None)
    assert len(table) == len(ARMS) * len(ingredients.ROLES) * 2 * 3
    monkeypatch.setattr(ingredients, "fit", None)  # finished: read, not repeated
    again = pd.read_csv(experiments.run("ingredients", "ci", out=work / "again", work=work))
    pd.testing.assert_frame_equal(again, table)


def test_each_arm_leaves_out_what_it_says():
    codes = np.arange(len(TISSUES), dtype=np.uint8)[:, None].repeat(4, 1).T[:, None]  # (samples, 1, tissues)
    looks = {name: (np.array(arm.codes)[codes], np.array(arm.label_of)) for name, arm in ARMS.items()}
    for name in set(ARMS) - {"no trabeculae", "no surroundings"}:
        assert np.array_equal(looks[name][0], codes)
    assert not np.isin(looks["no trabeculae"][0], [CODE["papillary"], CODE["rv_trabecula"]]).any()
    assert not np.isin(looks["no surroundings"][0], [CODE["liver"], CODE["fat"], CODE["bone"]]).any()
    for name, arm in ARMS.items():  # whatever is left out, the truth of what is seen stays, but for one arm
        labels = LABEL_OF if name != "trabeculae not in cavity" else looks[name][1]
        assert np.array_equal(looks[name][1], labels)
    wall = looks["trabeculae not in cavity"][1]
    assert wall[CODE["papillary"]] == LABELS["MYO"] and wall[CODE["rv_trabecula"]] == 0
    assert len({arm.look for arm in ARMS.values()}) == 5


def test_one_scanner_varies_less_than_random_signals():
    spread = {name: np.std([ARMS[name].signals(np.random.default_rng(i)) for i in range(30)], axis=0)[CODE["liver"]]
              for name in ("all", "one scanner's signals")}
    assert spread["one scanner's signals"] < spread["all"] / 2


def test_turned_as_the_reader_turns():
    image = np.arange(5 * 5 * 2.0).reshape(5, 5, 2)
    for turn in range(8):
        expected = pose(torch.from_numpy(image[..., 0]), turn).numpy()
        assert np.array_equal(ingredients.turned(image, turn)[..., 0], expected)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="choose one of ingredients"):
        experiments.run("reagents")
    with pytest.raises(ValueError, match="unknown profile 'paper'"):
        experiments.run("ingredients", "paper")
