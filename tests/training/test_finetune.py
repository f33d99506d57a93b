"""The published experiments as a table, their subsets, and short runs of every task on small prepared data."""

import dataclasses
import json
import math
import shutil
from functools import partial

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from cinema.cli import main
from cinema.data.public import prepared
from cinema.data.public.cards import card
from cinema.data.study import Study, load_study, save_study
from cinema.models import small, weights
from cinema.models.config import build
from cinema.models.published import TASKS
from cinema.training import finetune, published

MANIFESTS = {name.removeprefix("manifest_"): manifest for name, manifest in tiny.MANIFESTS.items()}


def of_manifest(name):
    """Setting of a manifest's name, such as classification_cvd_acdc_sax_resnet."""
    if name == "pretrained_cinema":
        return published.setting("pretraining", "ukb")
    model = name.rsplit("_", 1)[1] if name.endswith(("_unet", "_resnet")) else "cinema"
    name = name.removesuffix(f"_{model}")
    task = next(task for task in TASKS if name.startswith(f"{task}_"))
    return published.setting(task, name.removeprefix(f"{task}_"), model=model)


@pytest.mark.parametrize("name", MANIFESTS)
def test_published_models_have_the_published_keys_shapes_and_parameters(name):
    setting, manifest = of_manifest(name), MANIFESTS[name]
    with torch.device("meta"):
        built = published.build(setting)
    assert {key: list(value.shape) for key, value in built.state_dict().items()} == manifest["keys"]
    assert sum(p.numel() for p in built.parameters()) == manifest["parameters_total"]
    data = manifest["data"]
    for view, (size, spacing) in setting.grid.items():
        said = data[view.split("_")[0]]
        assert list(size) == said["patch_size"][: len(size)] and list(spacing) == said["spacing"][: len(size)]
    if data.get("class_column"):
        assert list(setting.classes) == data[data["class_column"]]
    if data.get("regression_column"):
        assert setting.z_score == tuple(data[data["regression_column"]][key] for key in ("mean", "std"))


@pytest.mark.parametrize(
    "task, name, epochs, warmup, micro, every",
    [
        ("segmentation", "acdc", 4000, 50, 4, 100),
        ("segmentation", "rescan", 320, 50, 4, 8),
        ("segmentation", "myops", 4000, 50, 4, 100),
        ("classification_vendor", "mnms2_lax_4c", 800, 10, 4, 20),
        ("regression", "mnms", 800, 10, 4, 20),
        ("landmark_heatmap", "lax_2c", 400, 10, 32, 20),
        ("landmark_coordinate", "lax_4c", 400, 10, 32, 20),
        ("pretraining", "ukb", 800, 10, 16, 1),
    ],
)
def test_recipes_are_those_of_the_method(task, name, epochs, warmup, micro, every):
    config = published.config(published.setting(task, name, seed=2))
    rates = dict(learning_rate=1e-3, weight_decay=0.05, clip_norm=5.0, betas=(0.9, 0.95), batch_size=64, seed=2)
    rates |= dict(epochs=epochs, warmup_epochs=warmup, micro_batch_size=micro, evaluate_every=every)
    if task == "pretraining":
        rates |= dict(layer_decay=None, patience=None, min_learning_rate=1e-6)
    else:
        rates |= dict(layer_decay=0.75, patience=5, min_learning_rate=1e-5)
    assert {key: getattr(config, key) for key in rates} == rates


def test_to_the_letter_is_a_matter_of_values():
    def setting(name, like_release, model="unet"):
        return published.setting("segmentation", name, model=model, like_release=like_release)

    fixed, letter = (published.config(setting("acdc", like)) for like in (False, True))
    assert (fixed.weight_decay, fixed.decay_everything, fixed.drop_remainder) == (0.05, False, False)
    assert (letter.weight_decay, letter.decay_everything, letter.drop_remainder) == (0.01, True, True)
    assert fixed.layer_decay is letter.layer_decay is None
    assert published.config(setting("acdc", True, "cinema")).weight_decay == 0.05  # the letter's is of random weights
    ours, theirs = (published.augmentation(setting("acdc", like))["sax"] for like in (False, True))
    assert (ours.scale, ours.noise, ours.hole_mm, ours.translation_mm) == ((0.2, 0.2), 0.1, 40.0, 60.0)
    assert (theirs.scale, theirs.noise) == ((0.2, 0.0), 0.1 / 255)
    assert published.augmentation(setting("rescan", True))["sax"].noise == 0.1  # its inputs are 0..1 already
    assert math.isclose(published.augmentation(setting("emidec", True))["sax"].hole_mm, 40 * 1.458)  # 40 voxels
    assert not published.augmentation(published.setting("classification", "acdc"))["sax"].hole_mm


@pytest.mark.parametrize(
    "asked, message",
    [
        (("segment", "acdc"), "task 'segment' is unknown; did you mean segmentation.*choose from segmentation, "),
        (("regression_bmi", "mnms"), "regression_bmi: name 'mnms' is unknown; choose from acdc_sax, acdc"),
        (("regression", "acdc", "paper", "unet"), "model 'unet' is unknown; .* cinema, scratch, resnet"),
        (("segmentation", "acdc", "laptop"), "unknown profile 'laptop'; choose one of ci, paper"),
    ],
)
def test_refusals_are_one_line(asked, message):
    with pytest.raises(ValueError, match=message) as error:
        published.setting(*asked)
    assert "\n" not in str(error.value)


def test_classes_are_those_of_the_cards():
    for (task, dataset), classes in published.CLASSES.items():
        said = card(dataset).classes[published.COLUMNS[task]]
        assert tuple(said) == classes, (task, dataset)


def test_subsets_choose_the_rows_of_the_release():
    table = pd.DataFrame({"id": [f"patient{k:03d}" for k in range(90)]})

    def drawn(n, seed):  # what pandas' sample is made of
        return [f"patient{k:03d}" for k in np.random.RandomState(seed).choice(90, n, replace=False)]

    assert prepared.share(table, 0.1, seed=2).id.tolist() == drawn(9, 2)
    assert prepared.share(table, 0.25, seed=1).id.tolist() == drawn(22, 1)  # int(22.5)
    assert prepared.for_evaluation(table, 7).id.tolist() == drawn(7, 0)
    assert prepared.for_training(table, 30).id.tolist() == drawn(30, 0)
    assert prepared.for_training(table, 90) is table and prepared.share(table, 1.0, 0) is table
    with pytest.raises(ValueError, match=r"proportion is 0.2 of 4 studies"):
        prepared.share(table[:4], 0.2, 0)


def test_checkpointed_models_keep_less_for_the_way_back():
    arguments, kept = small.small_convunetr(("lax_4c",)).arguments, {}
    for checkpointed in (False, True):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, sizes=sizes: sizes.append(x.nbytes) or x, lambda x: x):
            build("ConvUNetR", arguments | {"grad_ckpt": checkpointed})({"lax_4c": torch.rand(2, 1, 64, 64)})
        kept[checkpointed] = sum(sizes)
    assert kept[True] < 0.7 * kept[False]


SPLITS = ("train", "train", "train", "val", "test", "test")
SHAPES = dict.fromkeys(("acdc", "mnms", "kaggle", "emidec", "myops"), ("sax",))
SHAPES |= {"mnms2": ("sax", "lax_4c"), "rescan": ("sax", "lax_4c"), "landmark": ("lax_2c",), "ukb": tuple(tiny.GRID)}
FRAMES = {"emidec": 1, "myops": 3, "landmark": 1}
ILL = {"emidec": (0, 4, 5), "myops": (1, 4, 6)}  # what RV becomes; labels of ill muscle


def make(folder, dataset):
    """Six small prepared studies, labelled as that data set's are."""
    rng, n_frames = np.random.default_rng(1), FRAMES.get(dataset, 2)
    for k, split in enumerate(SPLITS):
        views = {view: tiny.view(rng, view, n_frames) for view in SHAPES[dataset]}
        for name, view in views.items():
            if dataset in ("kaggle", "ukb", "landmark"):
                views[name] = dataclasses.replace(view, labels=None, label_frames=())
            elif dataset in ILL:
                labels = view.labels[..., :1].copy()
                rv, scar, other = ILL[dataset]
                labels[labels == 1] = rv
                labels[6:8, 8] = scar
                labels[8, 8] = other
                views[name] = dataclasses.replace(view, labels=labels, label_frames=(0,))
        classes = published.CLASSES.get(("classification_cvd", dataset), ("NOR",))
        attributes = {"split": "" if dataset == "ukb" else split, "dataset": dataset, "sex": "MF"[k % 2]}
        attributes |= {"disease": classes[k % len(classes)], "vendor": ("SIEMENS", "GE MEDICAL SYSTEMS")[k % 2]}
        attributes |= {"lv_ef_percent": 40.0 + 3 * k, "bmi_kg_m2": 22.0 + k, "age_years": 50.0 + k}
        attributes |= {"lv_edv_ml": 150.0, "lv_esv_ml": 60.0 + k}
        ed, es = (0, n_frames - 1) if n_frames == 2 else (None, None)
        save_study(Study(f"p{k}", dataset, views, attributes, ed_frame=ed, es_frame=es), folder / dataset)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for dataset in SHAPES:
        make(folder, dataset)
    return folder


@pytest.fixture
def tiny_models(monkeypatch):
    for module in (published, small):
        monkeypatch.setattr(module, "SMALL_GRID", tiny.GRID)
    monkeypatch.setattr(finetune, "CI_STEPS", 2)


def plan(task, name, data_root, **more):
    return finetune.plan(published.setting(task, name, "ci", **more), data_root)


def dry_run(task, name, data_root, profile="ci", **more):
    return "\n".join(finetune.estimate(published.setting(task, name, profile, **more), data_root))


def go(root, out, task, name, model="scratch", **more):
    options = dict(profile="ci", data_root=str(root), like_release=False, source=None, seed=0, device="cpu")
    options |= dict(dry_run=False, out=str(out), proportion=1.0, max_samples=0)
    assert finetune.command(task=task, name=name, model=model, **(options | more)) == 0
    return json.loads((out / "summary.json").read_bytes()), pd.read_csv(out / "scores.csv")


@pytest.mark.parametrize(
    "task, name, model, key",
    [
        ("segmentation", "acdc", "scratch", "lv_ef_mae"),
        ("segmentation", "mnms2_lax_4c", "unet", "mean_dice"),
        ("segmentation", "rescan", "scratch", "rv_edv_rmse_ml"),
        ("classification", "mnms2", "resnet", "mcc"),
        ("classification_sex", "mnms", "scratch", "roc_auc"),
        ("classification_vendor", "mnms2", "scratch", "mcc"),
        ("regression", "mnms", "scratch", "restored_mae"),
        ("regression_bmi", "acdc", "resnet", "restored_mae"),
        ("segmentation", "emidec", "unet", "dice_no-reflow"),
        ("segmentation", "myops", "scratch", "dice_scar"),
        ("landmark", "lax_2c", "scratch", "mean_distance_mm"),
        ("landmark_coordinate", "lax_2c", "scratch", "mean_distance_mm"),
        ("pretraining", "ukb", "cinema", "loss"),
    ],
)
def test_every_task_trains_is_scored_and_has_a_dry_run(root, tmp_path, tiny_models, capsys, task, name, model, key):
    summary, scores = go(root, tmp_path, task, name, model)
    assert np.isfinite(summary["numbers"][key]) and summary["notice"]
    assert set(scores.study) == ({"p4", "p5"} if task != "pretraining" else {f"p{k}" for k in range(6)})
    assert {path.name for path in tmp_path.iterdir()} >= {"last.safetensors", "metrics.csv", "run.json"}
    assert "written: " in capsys.readouterr().out
    assert "s a step" in dry_run(task, name, tmp_path)


def test_a_fine_tuned_model_is_evaluated_on_cines_without_masks(root, tmp_path, tiny_models):
    go(root, tmp_path / "acdc", "segmentation", "acdc")
    best = str(tmp_path / "acdc" / "best.safetensors")
    summary, scores = go(root, tmp_path / "kaggle", "segmentation", "kaggle", source=best)
    assert set(scores.study) == {"p4", "p5"} and len(scores) == 2 * 2
    assert scores.groupby("study").true_volume_ml.max().tolist() == [150.0, 150.0]
    assert scores.groupby("study").true_volume_ml.min().tolist() == [64.0, 65.0]
    predicted = scores.groupby("study").volume_ml
    error = predicted.max() - 150.0
    assert math.isclose(summary["numbers"]["lv_edv_rmse_ml"], float(np.sqrt((error**2).mean())), rel_tol=1e-6)
    with pytest.raises(FileNotFoundError, match="evaluation only; give --from"):
        go(root, tmp_path / "none", "segmentation", "kaggle")


def test_another_start_or_data_prepared_again_is_another_run(root, tmp_path, tiny_models):
    """Into the folder of an earlier run neither gives that one's numbers, nor touches a file of it."""
    shutil.copytree(root / "acdc", tmp_path / "acdc")
    for seed in (1, 2):
        torch.manual_seed(seed)
        weights.save(small.small_cinema(), tmp_path / f"{seed}.safetensors")
    once = partial(go, tmp_path, tmp_path / "run", "segmentation", "acdc", "cinema")
    first, scores = once(source=str(tmp_path / "1.safetensors"))
    again, same = once(source=str(tmp_path / "1.safetensors"))
    assert again["numbers"] == first["numbers"] and same.equals(scores)
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(ValueError, match="holds a run with initial_weights"):
        once(source=str(tmp_path / "2.safetensors"))
    for name in ("train", "val"):
        study = load_study(next(path for path in (tmp_path / "acdc").iterdir() if split_of(path) == name))
        save_study(dataclasses.replace(study, truth={"made": "again"}), tmp_path / "acdc")
        with pytest.raises(ValueError, match="holds a run with .*_data"):
            once(source=str(tmp_path / "1.safetensors"))
        save_study(study, tmp_path / "acdc")
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}


def split_of(path):
    return load_study(path).attributes["split"]


def test_targets_are_scored_in_their_own_unit_and_z_scored_by_the_training_set(root, tiny_models):
    ours, letter = (plan("regression", "acdc", root, model="resnet", like_release=like) for like in (False, True))
    assert np.allclose(ours.z_score, (43.0, 3.0))  # of 40, 43, 46
    assert letter.z_score == (27.698811590282546, 10.848138374627386)


def test_studies_without_view_mask_or_class_are_left_out(root, tmp_path, tiny_models):
    rng, about = np.random.default_rng(2), {"split": "train", "dataset": "mnms2"}
    whole, flat = tiny.view(rng, "sax", 2), tiny.view(rng, "lax_4c", 2)
    no_mask = dataclasses.replace(whole, labels=None, label_frames=())
    vendors = dict(zip("abcd", ("SIEMENS", "SIEMENS", "SIEMENS", "Canon"), strict=True))
    views = {"a": {"sax": whole}, "b": {"lax_4c": flat}, "c": {"sax": no_mask}, "d": {"sax": whole}}
    for name, vendor in vendors.items():
        study = Study(name, "mnms2", views[name], about | {"vendor": vendor}, ed_frame=0, es_frame=1)
        save_study(study, tmp_path / "mnms2")
    for asked, kept in (
        ("classification_vendor mnms2_sax", "ac"),
        ("segmentation mnms2_sax", "ad"),
        ("segmentation mnms2_lax_4c", "b"),
    ):
        planned = plan(*asked.split(), tmp_path)
        assert planned.tables["train"].id.tolist() == list(kept) and planned.left_out == 4 - len(kept)
    with pytest.raises(ValueError, match="no study has the attribute disease"):
        plan("classification", "mnms2", tmp_path)


def test_fewer_studies_where_asked_for(root, tiny_models):
    few = finetune.plan(published.setting("segmentation", "acdc", "ci"), root, proportion=0.7, max_samples=1)
    assert {split: len(rows) for split, rows in few.tables.items()} == {"train": 1, "val": 1, "test": 1}


def test_pretrained_small_weights_start_a_run_with_their_standard(root):
    model, scratch = (finetune.start(plan("regression", "acdc", root, model=name)) for name in ("cinema", "scratch"))
    theirs, ours, others = (one.encoder.blocks[0].attn.q.weight for one in (small.shipped_cinema()[0], model, scratch))
    assert torch.equal(ours, theirs) and not torch.equal(others, theirs) and model._forward_pre_hooks


def test_a_dry_run_needs_no_data_and_trains_nothing(tmp_path, root, tiny_models, capsys):
    for folder, said in ((tmp_path, "samples: 180 an epoch (by its card"), (root, "samples: 6 an epoch (of the prep")):
        asked = "finetune segmentation acdc --profile ci --dry-run --model scratch --device cpu --data-root"
        assert main([*asked.split(), str(folder)]) == 0
        text = capsys.readouterr().out
        for part in (said, "million to be trained", "= 2 steps of 2 samples", "s a step (measured on 1 of", "0:00:0"):
            assert part in text, text
    assert not list(tmp_path.iterdir())
    assert "assumed, their number is unknown" in dry_run("pretraining", "ukb", tmp_path)
    assert "\nevaluation only" in dry_run("segmentation", "kaggle", root)


def test_a_dry_run_of_the_paper_profile_is_of_the_published_model(tmp_path, monkeypatch):
    monkeypatch.setattr(finetune, "step_seconds", lambda model, plan, n, device: 0.5)
    text = dry_run("segmentation", "acdc", tmp_path, "paper", like_release=True)
    assert "125.6 million" in text and "time on cpu: 32 s a step" in text  # 64 samples, one at a time
    assert "4000 epochs = 8000 steps of 64 samples" in text  # 180 frames, 52 of them left out
    assert "2 days, 23:06:40 in all" in text
