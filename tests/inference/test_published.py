"""Published weights by task and dataset name: every file at full size, and inference against the method's own rules."""

import os

import numpy as np
import pytest
import tiny
import torch
import yaml
from safetensors.torch import save_file
from tiny import small_config

from cinema.data.study import Study, View, load_study, save_study
from cinema.inference import segment
from cinema.inference.grid import readers_from_repository
from cinema.inference.published import predict
from cinema.models import finetuned, published, small
from cinema.models.config import build, describe
from cinema.models.weights import from_finetuned, from_pretrained, save
from cinema.phantom import cohort, image
from cinema.terms import PUBLISHED_GRID, VIEWS

RELEASED = {m["name"]: m for m in tiny.RELEASED.values()}
ALWAYS = "regression_ef_mnms2_lax_4c"  # full size takes 4 to 25 s each: the others only with --golden


# Full size -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hearts(tmp_path_factory):
    """A virtual study of all views at the published spacing, with masks, landmarks, a class and ED and ES."""
    person = cohort.person("training", 0)
    grid = {view: ((96, 96, 6), (1.0, 1.0, 10.0)) if view == "sax" else ((112, 112), (1.0, 1.0)) for view in VIEWS}
    views = image.acquire(person.heart, person.acquisition, np.array([0.0, person.heart.es_fraction]), grid)
    attributes = {"disease": "DCM", "sex": "F", "vendor": "SIEMENS"}
    study = Study("virtual", "test", views, attributes, ed_frame=0, es_frame=1)
    return save_study(study, tmp_path_factory.mktemp("hearts"))


def checkpoint(manifest, folder):
    """The published file of a manifest with random values, and its config.yaml, in `folder`; returns the path."""
    path = folder / manifest["published"].replace("{0,1,2}", "0")
    path.parent.mkdir(parents=True)
    noise = 0.02 * torch.randn(2**20, generator=torch.Generator().manual_seed(0))
    sizes = {key: int(np.prod(shape)) for key, shape in manifest["keys"].items()}
    values = {key: noise.repeat(n // len(noise) + 1)[:n] for key, n in sizes.items()}
    save_file({key: values[key].reshape(shape).clone() for key, shape in manifest["keys"].items()}, path)
    config = yaml.safe_dump({key: manifest[key] for key in ("model", "data")})
    path.with_name("config.yaml").write_text(config, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", RELEASED)
def test_every_published_file_at_full_size_loads_by_name_and_runs(name, hearts, tmp_path, request):
    if name != ALWAYS and not request.config.getoption("--golden"):
        pytest.skip("half a gigabyte and up to 25 s each; pytest --golden DIR runs all of them, 200 s on one core")
    manifest = RELEASED[name]
    path = checkpoint(manifest, tmp_path)
    try:
        if name == "pretrained_cinema":
            model, views = from_pretrained(tmp_path), load_study(hearts, frames=[0]).views
            assert small.n_parameters(model) == manifest["parameters_trainable"]
            frames = {view: views[view].image[..., :1].astype(np.float32) for view in VIEWS}
            with torch.inference_mode():
                assert model({v: scaled(frames[v], PUBLISHED_GRID[v][0]) for v in VIEWS}, 0.75)[0].isfinite()
            return
        task, dataset = manifest["published"].split("/")[1:3]
        kind = task.split("_")[0]
        for seed in (0, 1, 2):
            if seed:
                os.link(path, path.with_name(f"{dataset}_{seed}.safetensors"))
            assert small.n_parameters(from_finetuned(tmp_path, task, dataset, seed)) == manifest["parameters_trainable"]
        table = predict(task, dataset, [hearts], tmp_path, seeds=(2,))
        assert set(table.study) == {"virtual"} and set(table.seed) == {2}
        assert len(table) == {"segmentation": 6, "landmark": 6}.get(kind, 1)
        kept = {"segmentation": ["volume_ml"], "landmark": ["x", "y"], "regression": ["value"]}
        wanted = kept.get(kind) or [f"p_{k}" for k in range(len(table.attrs["classes"]))]
        assert np.isfinite(table[wanted].to_numpy(float)).all()
    finally:
        for file in path.parent.glob("*.safetensors"):
            file.unlink()


# Inference, with small models -----------------------------------------------------------------------------------------


def own(tmp_path, name, seeds=(0,), change=lambda config: None):
    """Small models of a manifest's layout in tmp_path/source; returns (config, {seed: model})."""
    manifest = RELEASED[name]
    config = small_config(manifest)
    change(config)
    models = {}
    for seed in seeds:
        torch.manual_seed(seed)
        models[seed] = build(*describe(config)).eval()
        for p in models[seed].parameters():  # far from the nearly constant outputs of an untrained model
            p.data += 0.3 * torch.randn_like(p)
        path = tmp_path / "source" / manifest["published"].replace("{0,1,2}", str(seed))
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(models[seed].state_dict(), path)
        path.with_name("config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return config, models


def patient(tmp_path, view="sax", size=(24, 28, 2), name="one", **attributes):
    """A study whose ES is half as bright as its ED, with masks and landmarks; returns (path, image)."""
    rng = np.random.default_rng(len(name))
    size = size if view == "sax" else (*size[:2], 1)
    pixels = np.stack([rng.uniform(20, 200, size), rng.uniform(10, 100, size)], -1).astype(np.float32)
    labels = rng.integers(0, 4, (*size, 2)).astype(np.uint8)
    marks = None if view == "sax" else rng.uniform(2, 20, (2, 3, 2)).astype(np.float32)
    stored = View(pixels, np.diag([1.0, 1.0, 10.0, 1.0]), labels, (0, 1), marks)
    study = Study(name, "test", {view: stored}, attributes, ed_frame=0, es_frame=1)
    return save_study(study, tmp_path / "studies"), pixels


def scaled(pixels, size):
    """(1, c, *size) as the method has it: one range over all channels, zeros at the end."""
    channels = np.moveaxis(pixels if len(size) == 3 else pixels[:, :, 0], -1, 0)
    padded = np.zeros((len(channels), *(max(n, m) for n, m in zip(size, channels.shape[1:]))), np.float32)
    inside = (slice(None), *(slice(n) for n in channels.shape[1:]))
    padded[inside] = (channels - channels.min()) / (channels.max() - channels.min())
    return torch.from_numpy(padded)[None]


@pytest.mark.parametrize(
    "task, name, mean, std, said",
    [  # what the configuration says, else the table of method section 9
        ("regression_ef", "acdc_sax", 50.0, 7.0, {"mean": 50.0, "std": 7.0}),
        ("regression_ef", "acdc_sax", 27.698811590282546, 10.848138374627386, None),
        ("regression_bmi", "acdc_sax", 25.561040294207242, 4.732639548868183, None),
        ("regression_ef", "mnms_sax", 39.75061820807878, 9.459011847661206, None),
        ("regression_age", "mnms_sax", 52.026666666666664, 18.760570771166726, None),
        ("regression_ef", "mnms2_lax_4c", 37.97920801605608, 10.328604573626588, None),
    ],
)
def test_regression_is_in_its_own_unit_for_every_seed(task, name, mean, std, said, tmp_path):
    seeds = (0, 1, 2) if said else (0,)

    def change(config):
        del config["data"][config["data"]["regression_column"]]
        config["data"] |= {config["data"]["regression_column"]: said} if said else {}

    _, models = own(tmp_path, f"{task}_{name}", seeds, change)
    view, size = ("sax", (32, 32, 2)) if name.endswith("sax") else ("lax_4c", (32, 32))
    paths, pixels = zip(*(patient(tmp_path, view, name=study) for study in ("one", "second")))
    table = predict(task, name, paths, tmp_path / "source", seeds)
    with torch.inference_mode():
        inputs = [{view: scaled(p, size)} for p in pixels]
        expected = [float(models[seed](given)[0, 0]) * std + mean for seed in seeds for given in inputs]
    assert table.columns.tolist() == ["seed", "study", "value"]
    assert table.seed.tolist() == [seed for seed in seeds for _ in paths]
    assert table.study.tolist() == ["one", "second"] * len(seeds)
    np.testing.assert_allclose(table.value, expected, rtol=1e-5)
    assert not said or np.ptp(table.value) > 0.5  # seeds and studies differ


def test_classes_come_from_the_configuration_first(tmp_path):
    def shuffled(config):
        config["data"]["pathology"] = ["RV", "NOR", "MINF", "HCM", "DCM"]

    _, models = own(tmp_path, "classification_cvd_acdc_sax", change=shuffled)
    known, pixels = patient(tmp_path, disease="NOR")
    table = predict("classification_cvd", "acdc_sax", [known], tmp_path / "source", seeds=(0,))
    with torch.inference_mode():
        logits = models[0]({"sax": scaled(pixels, (32, 32, 2))})[0].double().numpy()
    softmax = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(table.filter(regex="^p_").to_numpy()[0], softmax, rtol=1e-4)
    assert table.attrs["classes"] == ("RV", "NOR", "MINF", "HCM", "DCM")
    assert table.true.tolist() == [1] and table.predicted.tolist() == [int(logits.argmax())]
    other, _ = patient(tmp_path, name="other", disease="LVNC")
    table = predict("classification_cvd", "acdc_sax", [known, other], tmp_path / "source", seeds=(0,))
    assert table.true.isna().tolist() == [False, True] and table.true[0] == 1


@pytest.mark.parametrize(
    "task, name, classes",
    [
        ("classification_cvd", "mnms_sax", ("DCM", "HCM", "NOR", "ARV", "HHD")),
        ("classification_sex", "mnms_sax", "MF"),
        ("classification_cvd", "mnms2_lax_4c", ("ARR", "CIA", "FALL", "HCM", "LV", "NOR")),
        ("classification_vendor", "mnms2_sax", ("GE MEDICAL SYSTEMS", "Philips Medical Systems", "SIEMENS")),
    ],
)
def test_a_model_without_configuration_has_the_published_classes(task, name, classes, tmp_path):
    model = build(*describe(small_config(RELEASED[f"{task}_{name}"])))
    loaded = finetuned.load(task, name, save(model, tmp_path / "own.safetensors"))
    view = "sax" if name.endswith("sax") else "lax_4c"
    assert loaded.classes == tuple(classes)
    assert loaded.grid == {view: ((32, 32, 2), (1.0, 1.0, 10.0)) if view == "sax" else ((32, 32), (1.0, 1.0))}


@pytest.mark.parametrize("length", [28, 40])
def test_segmentation_with_padding_and_windows(length, tmp_path):
    _, models = own(tmp_path, "segmentation_acdc_sax")
    path, pixels = patient(tmp_path, size=(length, 32, 2))
    table = predict("segmentation", "acdc_sax", [path], tmp_path / "source", seeds=(0,))
    labels = load_study(path).views["sax"].labels
    assert len(table) == 6 and set(table.phase) == {"ED", "ES"}
    for frame in (0, 1):
        given, total, count = scaled(pixels[..., [frame]], (32, 32, 2)), 0.0, 0.0
        for first in (0, 8) if length == 40 else (0,):  # windows of 32 over 40 voxels: at 0, and flush with the end
            with torch.inference_mode():
                logits = models[0]({"sax": given[:, :, first : first + 32]})["sax"][0].double().numpy()
            share, here = np.exp(logits) / np.exp(logits).sum(0), np.zeros(given.shape[2:])
            here[first : first + 32] = 1
            total = total + np.pad(share, ((0, 0), (first, len(here) - 32 - first), (0, 0), (0, 0)))
            count = count + here
        found = (total / count).argmax(0)[:length]
        assert len(np.unique(found)) > 1
        for value, structure in ((1, "RV"), (2, "MYO"), (3, "LV")):
            a, b = found == value, labels[..., frame] == value
            row = table[(table.frame == frame) & (table.structure == structure)].iloc[0]
            assert row.dice == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()), abs=2e-3)
            assert row.true_volume_ml == pytest.approx(b.sum() * 10 / 1000)


@pytest.mark.parametrize("task", ["landmark_heatmap", "landmark_coordinate"])
def test_landmarks_by_soft_argmax_and_by_fractions(task, tmp_path):
    _, models = own(tmp_path, f"{task}_lax_2c")
    path, pixels = patient(tmp_path, "lax_2c")
    table = predict(task, "lax_2c", [path], tmp_path / "source", seeds=(0,))
    truth = load_study(path).views["lax_2c"].landmarks
    assert table.landmark.tolist() == ["hinge_1", "hinge_2", "apex"] * 2
    for frame in (0, 1):
        with torch.inference_mode():
            output = models[0]({"lax_2c": scaled(pixels[..., [frame]], (32, 32))})
        if task == "landmark_coordinate":
            expected = output[0].double().numpy().reshape(3, 2) * 32
        else:
            heat = 1000 / (1 + np.exp(-output["lax_2c"][0].double().numpy()))
            weight = np.exp(heat - heat.max((1, 2), keepdims=True))
            weight /= weight.sum((1, 2), keepdims=True)
            expected = np.stack([np.einsum(f"nij,{axis}->n", weight, np.arange(32)) for axis in "ij"], 1)
            expected = np.trunc(expected + 1e-4)
        rows = table[table.frame == frame]
        np.testing.assert_allclose(rows[["x", "y"]], expected, atol=1e-3)
        np.testing.assert_allclose(rows.distance_mm, np.hypot(*(expected - truth[frame]).T), atol=1e-2)


# Names, folders, refusals ---------------------------------------------------------------------------------------------


def test_where_weights_come_from(tmp_path, monkeypatch):
    monkeypatch.delenv("CINEMA_WEIGHTS", raising=False)
    assert finetuned.source(tmp_path) is None
    (tmp_path / "CineMA").mkdir()
    assert finetuned.source(tmp_path) == str(tmp_path / "CineMA")
    monkeypatch.setenv("CINEMA_WEIGHTS", "mathpluscode/CineMA")
    assert finetuned.source(tmp_path) == "mathpluscode/CineMA"
    line, folder = finetuned.missing("segmentation", "acdc_sax"), "finetuned/segmentation/acdc_sax"
    assert ", ".join(["config.yaml", *(f"acdc_sax_{seed}.safetensors" for seed in (0, 1, 2))]) in line
    for part in ("CINEMA_WEIGHTS", f"huggingface.co/mathpluscode/CineMA/tree/main/{folder}", f"data/CineMA/{folder}/"):
        assert part in line
    assert "\n" not in line


def test_segment_takes_one_model_of_a_source_by_name(tmp_path, monkeypatch):
    _, models = own(tmp_path, "segmentation_acdc_sax", (0, 1))
    own(tmp_path, "landmark_heatmap_lax_2c")
    for text, seed in (("segmentation/acdc_sax", 0), ("segmentation/acdc_sax:1", 1)):
        readers = segment.open_readers(f"{tmp_path / 'source'}:{text}")
        assert list(readers) == ["sax"] and readers["sax"].size == (32, 32, 2)
        first = next(iter(models[seed].state_dict().items()))
        assert torch.equal(readers["sax"].segmenter.state_dict()[first[0]], first[1])
    assert list(segment.open_readers(f"{tmp_path / 'source'}:landmark_heatmap/lax_2c")) == ["lax_2c"]
    monkeypatch.setattr(published, "_download", lambda *_: 1 / 0)
    with pytest.raises(FileNotFoundError) as error:
        segment.open_readers("mathpluscode/CineMA:segmentation/mnms2_lax_4c:2")
    folder = "finetuned/segmentation/mnms2_lax_4c/"
    for part in (f"resolve/main/{folder}mnms2_lax_4c_2.safetensors", "mnms2_lax_4c/config.yaml", f"FOLDER/{folder}"):
        assert part in str(error.value)
    with pytest.raises(FileNotFoundError, match="acdc_sax_2.safetensors"):
        readers_from_repository(f"{tmp_path / 'source'}:segmentation/acdc_sax:2")


def loading(task, name, file="own"):
    return lambda folder: finetuned.load(task, name, folder / f"{file}.safetensors")


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda d: segment.open_readers(f"{d}/source:regression_ef/acdc_sax"), "needs segmentation/NAME"),
        (lambda d: segment.open_readers("mathpluscode/CineMA:segmentation/acdc"), "published for segmentation are"),
        (lambda d: segment.open_readers("mathpluscode/CineMA:segmentation/acdc_sax:3"), "published are 0, 1 and 2"),
        (loading("regression", "acdc_sax"), "task is 'regression'"),
        (loading("segmentation", "acdc_sax"), "outputs; segmentation needs 4"),
        (loading("regression_ef", "own_sax"), "no mean and std for regression_ef"),
        (loading("classification_sex", "own"), "no class names for"),
        (lambda d: predict("regression_ef", "acdc_sax", [], d / "own.safetensors"), "a single file exactly one"),
        (lambda d: predict("regression_ef", "acdc_sax", [], d), "lacks finetuned.*acdc_sax_0.safetensors and"),
        (lambda d: finetuned.missing("segmentation", "rescan_sax"), "published for segmentation are"),
        (loading("landmark_heatmap", "lax_2c", "unet"), "config.yaml beside it"),
    ],
)
def test_refusals_are_one_line(call, message, tmp_path):
    save(build(*describe(small_config(RELEASED["regression_ef_acdc_sax"]))), tmp_path / "own.safetensors")
    save(build("UNet", dict(n_dims=2, in_chans=1, out_chans=3, chans=(2, 3))), tmp_path / "unet.safetensors")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        call(tmp_path)
    assert "\n" not in str(error.value)
