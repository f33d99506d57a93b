"""The small CineMA's own data and the command that pretrains it, in miniature."""

import shutil
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from cinema import cli
from cinema.models import small, weights
from cinema.models.standard import Standardised, standard_of
from cinema.terms import SMALL_GRID, VIEWS
from cinema.training import pretraining
from cinema.training.task import has_bf16_units
from experiments.own_weights import dressed_studies, encoder, maps, readers
from experiments.own_weights.dressed_studies import DressedStudies, Visit, dressed, sampled, signals_of_visit
from experiments.own_weights.library import library_path

N_PEOPLE = 3
PLAIN = Visit(turn_deg=0, shift=0, scale=(1, 1), flow=0, texture=0, blur=(0.1, 0.1), shading=0)
PLAIN = replace(PLAIN, noise=(1e-9, 1e-9), gamma=(1, 1))


@pytest.fixture(scope="module", name="work")
def _work(tmp_path_factory):
    work = tmp_path_factory.mktemp("work") / "ci"
    maps.make(work / "people", N_PEOPLE, encoder.PEOPLE_SEED)
    return work


def test_items_are_a_function_of_seed_epoch_and_index(work):
    data, again = (DressedStudies(work / "people", N_PEOPLE) for _ in range(2))
    assert len(data) == 4 * N_PEOPLE and data.describe() == again.describe()
    data.set_epoch(2), data[0], again.set_epoch(2)
    first, second, other = data[5], again[5], DressedStudies(work / "people", N_PEOPLE, seed=1)[5]
    again.set_epoch(3)
    for view, (size, _) in SMALL_GRID.items():
        image = first["image"][view]
        assert image.shape == (1, *size) and image.dtype == torch.float32 and image.is_contiguous()
        assert image.min() == 0 and image.max() == 1 and image.std() > 0.05
        same = [torch.equal(image, item["image"][view]) for item in (second, other, again[5])]
        assert same == [True, False, False]
    assert (first["id"], first["frame"], first["phase"]) == ("000001", 1, "ES")


def test_a_voxel_is_the_mean_of_its_samples():
    rng = np.random.default_rng(0)
    signals, planes = rng.normal(size=26).astype(np.float32), rng.integers(0, 26, (2, 5, 6, 4), np.uint8)
    np.testing.assert_allclose(sampled(signals, planes), signals[planes].mean(axis=-1), atol=1e-6)


def test_all_views_share_the_signals_of_a_visit():
    """The same tissues in every plane: without pose, coils and noise every plane is the same image."""
    rng = np.random.default_rng(1)
    pattern = np.repeat(np.repeat(rng.integers(0, 26, (10, 10), np.uint8), 8, 0), 8, 1)
    planes = np.broadcast_to(pattern[None, :, :, None], (11, 80, 80, 4)).copy()
    signals = signals_of_visit(rng, 1.0)
    images = dressed(planes, signals, rng, PLAIN)
    middle = np.abs(signals[pattern[8:72, 8:72]])
    for view in VIEWS:
        image = images[view][0].reshape(64, 64, -1).numpy()
        kept = middle < np.sort(middle, axis=None)[-100]
        slope = np.polyfit(middle[kept], image[kept][:, 0], 1)
        expected = np.polyval(slope, middle[kept])[:, None].repeat(image.shape[2], 1)
        np.testing.assert_allclose(image[kept], expected, atol=2e-3)
        np.testing.assert_allclose(image[..., 0], images["lax_2c"][0].numpy(), atol=0.02)


def test_signals_are_random_or_those_of_a_scanner():
    draws = [np.stack([signals_of_visit(np.random.default_rng(i), share) for i in range(40)]) for share in (1.0, 0.0)]
    free, physical = (np.std(draw / draw[:, dressed_studies.BLOOD[-1:]], axis=0).mean() for draw in draws)
    assert physical < 0.6 * free and all(np.isfinite(draw).all() for draw in draws)


def test_stale_and_missing_people_are_noticed(work, tmp_path):
    shutil.copytree(work / "people", tmp_path / "people")
    first, path = (library_path(tmp_path / "people", index) for index in (0, 1))
    path.write_bytes(path.read_bytes()[:1000])
    kept = first.stat().st_mtime_ns
    maps.make(tmp_path / "people", N_PEOPLE, encoder.PEOPLE_SEED)
    assert np.array_equal(maps.read_maps(path, 2), maps.read_maps(library_path(work / "people", 1), 2))
    assert first.stat().st_mtime_ns == kept
    assert not maps.up_to_date(path, encoder.PEOPLE_SEED + 1)
    with pytest.raises(FileNotFoundError, match="render it first"):
        DressedStudies(tmp_path / "people", N_PEOPLE + 1)


def test_command_interrupted_and_resumed_gives_the_same_weights(work, tmp_path, monkeypatch, capsys):
    recipe = encoder.Recipe(n_people=N_PEOPLE, n_held_out=1, steps=3, n_standard=4)
    monkeypatch.setattr(encoder, "RECIPES", {"ci": recipe})
    monkeypatch.setattr(small, "small_cinema", two_layer_cinema)
    steps, task = [], pretraining.task(bf16=has_bf16_units())

    def loss(model, batch, **settings):
        steps.append(batch)
        if len(steps) == 2:
            signal.raise_signal(signal.SIGINT)
        return task.loss(model, batch, **settings)

    for name in ("whole", "halves"):
        shutil.copytree(work / "people", tmp_path / name / "work" / "ci" / "people")
        monkeypatch.setenv("CINEMA_DATA", str(tmp_path / name))
        monkeypatch.setattr(readers, "WEIGHTS", tmp_path / name / "weights")
        if name == "halves":
            with monkeypatch.context() as patch:
                patch.setattr(pretraining, "task", lambda bf16: replace(task, loss=partial(loss, **task.loss.keywords)))
                assert cli.main(["train", "cinema_small", "--profile", "ci"]) == 130
        assert cli.main(["train", "cinema_small", "--profile", "ci", "--out", str(tmp_path / name)]) == 0
    whole, halves = (weights.read(tmp_path / name / small.SHIPPED) for name in ("whole", "halves"))
    assert len(steps) == 2 and whole.keys() == halves.keys()
    assert all(torch.equal(whole[key], halves[key]) for key in whole)
    assert "not for clinical use" in capsys.readouterr().out
    facts = weights.metadata_of(tmp_path / "whole" / small.SHIPPED)
    assert (facts["samples"], facts["people"]) == (24, 2)
    assert set(facts["error_relative_to_mean_image"]) == {"all", *VIEWS}
    model, standard = small.shipped_cinema(tmp_path / "whole")
    assert not model.training and standard.mean["sax"].shape == (1, 64, 64, 8)
    with pytest.raises(FileNotFoundError, match="train cinema_small makes it"):
        small.shipped_cinema(tmp_path)


def two_layer_cinema():
    """Like small.small_cinema and quicker."""
    shape = small.small_encoder() | dict(enc_conv_chans=(8,), enc_embed_dim=32, enc_depth=1)
    return small.CineMA(**shape, dec_embed_dim=16, dec_depth=1, dec_n_heads=2)


def test_the_mean_image_has_relative_error_one(work):
    plain, model = DressedStudies(work / "people", N_PEOPLE), two_layer_cinema()
    for head in model.pred_head_dict.values():
        torch.nn.init.zeros_(head.weight), torch.nn.init.zeros_(head.bias)
    error = encoder.relative_error(model, Standardised(plain, standard_of(plain)))
    assert all(abs(value - 1) < 0.1 for value in error.values())


def test_mixed_precision_agrees_with_single(work):
    torch.manual_seed(0)
    model, gradients = two_layer_cinema(), []
    batch = torch.utils.data.default_collate([DressedStudies(work / "people", N_PEOPLE)[0]])
    for bf16 in (False, True):
        torch.manual_seed(1)
        model.zero_grad()
        pretraining.task(bf16=bf16).loss(model, batch)[0].backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.99 and not torch.equal(*gradients)


def test_unknown_names_give_one_line(capsys):
    for words in (["cinema_huge"], ["cinema_small", "--profile", "huge"]):
        with pytest.raises(SystemExit):
            cli.main(["train", *words])
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2 and "cinema_small" in lines[0] and "'huge' is unknown" in lines[1]
