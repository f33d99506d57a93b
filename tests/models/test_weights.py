"""Weights in files: what is written can be read, what is damaged or foreign is refused in one line."""

import os
import pickle
from pathlib import Path

import huggingface_hub
import huggingface_hub.errors
import pytest
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import save_file
from tiny import RELEASED, small_config

from cinema.models import published, weights
from cinema.models.config import build, describe, n_outputs, views_of
from cinema.models.weights import transfer

UNET = dict(n_dims=2, in_chans=1, out_chans=2, chans=(2, 3), norm="layer")


def unet(path=None):
    model = build("UNet", UNET)
    if path:
        weights.save(model, path)
    return model


@pytest.mark.parametrize("name", RELEASED)
@pytest.mark.parametrize("half", [False, True])
def test_every_published_file_loads_from_a_folder_of_that_layout(name, half, tmp_path):
    config = small_config(RELEASED[name])
    model = build(*describe(config))
    file = tmp_path / name.replace("{0,1,2}", "1")
    file.parent.mkdir(parents=True)
    state = {key: value.half() if half else value for key, value in model.state_dict().items()}
    save_file(state, file)
    file.with_name("config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    if name == published.PRETRAINED:
        loaded = weights.from_pretrained(tmp_path)
    else:
        _, task, folder, _ = name.split("/")
        assert folder in published.PUBLISHED[task]
        loaded = weights.from_finetuned(tmp_path, task, folder, seed=1)
        assert torch.equal(next(weights.from_finetuned(file).parameters()), next(loaded.parameters()))
    assert type(loaded) is type(model) and not loaded.training and loaded.arguments == model.arguments
    assert all(torch.equal(value, state[key].float()) for key, value in loaded.state_dict().items())
    assert all(p.requires_grad == ("pos_embed" not in key) for key, p in loaded.named_parameters())
    frames = model.arguments.get("n_frames", 1)
    output = loaded(
        {view: torch.rand(1, frames, *(32, 32, 2)[: 3 if view == "sax" else 2]) for view in views_of(config)}
    )
    if name != published.PRETRAINED:
        logits = next(iter(output.values())) if isinstance(output, dict) else output
        assert logits.shape[1] == n_outputs(config) and logits.isfinite().all()


def test_all_published_names_have_a_manifest():
    names = {f"finetuned/{task}/{n}/{n}_{{0,1,2}}.safetensors" for task, ns in published.PUBLISHED.items() for n in ns}
    assert names | {published.PRETRAINED} == set(RELEASED)


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("UNet", UNET),
        ("ResNet3d", dict(depth=10, in_chans=1, out_chans=2, layer_inplanes=(2, 2, 2, 2))),
        describe(small_config(RELEASED[published.PRETRAINED])),
    ],
)
def test_a_saved_model_is_restored(name, arguments, tmp_path):
    model = build(name, arguments)
    path = weights.save(model, tmp_path / "new" / "model.safetensors", {"task": "segmentation", "views": ["sax"]})
    restored = weights.restore(path)
    assert type(restored) is type(model) and restored.arguments == model.arguments
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), restored.state_dict().values()))
    assert weights.metadata_of(path) == {"task": "segmentation", "views": ["sax"]}
    assert type(weights.from_pretrained(path)) is type(model)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_failed_save_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    model = unet(path)
    before = path.read_bytes()

    def full(state, file, header):
        Path(file).write_bytes(b"half")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(OSError, match="No space left.*make room"):
        weights.save(model, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


def saved(change):
    return lambda state, path: save_file(change(state), path)


STEM = "encoder.in_conv.conv.weight"
DAMAGED = {  # kind of a file that does not fit UNET -> what is said of it, what makes it from (state, path)
    "missing": ("1 missing", saved(lambda state: {key: value for key, value in state.items() if key != STEM})),
    "surplus": (r"1 surplus \(extra.weight\)", saved(lambda state: {**state, "extra.weight": torch.zeros(1)})),
    "shape": ("shape .*needs", saved(lambda state: {**state, STEM: state[STEM][:1]})),
    "nan": ("NaN", saved(lambda state: {**state, STEM: state[STEM] * float("nan")})),
    "truncated": ("not a whole", lambda state, path: path.write_bytes(unet(path) and path.read_bytes()[:-100])),
    "empty": ("not a whole", lambda state, path: path.write_bytes(b"")),
    "text": ("not a whole", lambda state, path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")),
    "pickle": ("is a pickle", lambda state, path: path.write_bytes(pickle.dumps({"model": state}))),
    "torch": ("is a pickle", lambda state, path: torch.save({"model": state}, path)),
}


@pytest.mark.parametrize("message, damage", DAMAGED.values(), ids=DAMAGED)
def test_files_that_do_not_fit_are_refused_and_change_nothing(message, damage, tmp_path):
    model, path = unet(), tmp_path / "model.safetensors"
    before = {key: value.clone() for key, value in model.state_dict().items()}
    damage(model.state_dict(), path)
    with pytest.raises(ValueError, match=message) as error:
        weights.load(model, path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


class Code:
    def __reduce__(self):
        return os.mkdir, (str(Path(os.environ["TRAP"]) / "ran"),)


def test_only_plain_weights_come_out_of_a_pickle(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAP", str(tmp_path))
    model, path = unet(), tmp_path / "model.pt"
    torch.save({"model": model.state_dict(), "epoch": 3}, path)
    assert torch.equal(weights.load(unet(), path).out_conv.weight, model.out_conv.weight)
    for content in ({"model": Code()}, {"epoch": 3}, {"model": {}}, [1], model.state_dict()):
        torch.save(content, path)
        with pytest.raises(ValueError, match="model.pt.*convert it to safetensors") as error:
            weights.load(model, path)
        assert "\n" not in str(error.value)
    path.write_bytes(pickle.dumps(Code(), protocol=2))
    with pytest.raises(ValueError, match="convert it"):
        weights.load(model, path)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ValueError, match="config.yaml beside it"):
        weights.from_file(path)


def test_offline_says_what_to_fetch_and_where_to_put_it(monkeypatch, tmp_path):
    def offline(*_):
        raise ConnectionError("no network")

    monkeypatch.setattr(published, "_download", offline)
    with pytest.raises(FileNotFoundError) as error:
        weights.from_finetuned(task="segmentation", name="acdc_sax", seed=2)
    for part in (
        "https://huggingface.co/mathpluscode/CineMA/resolve/main/finetuned/segmentation/acdc_sax/"
        "acdc_sax_2.safetensors",
        "acdc_sax/config.yaml",
        "FOLDER/finetuned/segmentation/acdc_sax/",
    ):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="pretrained/cinema.safetensors and pretrained/config.yaml"):
        weights.from_pretrained(tmp_path)


def test_files_come_from_the_cache_or_else_from_the_network(monkeypatch):
    calls = []

    def download(repository, file, local_files_only=False):
        calls.append((file, local_files_only))
        if local_files_only:
            raise huggingface_hub.errors.LocalEntryNotFoundError("not cached")
        return f"/cache/{repository}/{file}"

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(published, "getproxies", lambda: {"https": "proxy"})
    path = published.fetch("owner/name", published.PRETRAINED)
    assert path == Path("/cache/owner/name/pretrained/cinema.safetensors")
    assert calls == [("pretrained/config.yaml", True), ("pretrained/config.yaml", False), (published.PRETRAINED, False)]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda d: weights.from_pretrained(d / "none.safetensors"), "none.safetensors does not exist"),
        (lambda d: weights.from_pretrained("nowhere"), "nowhere does not exist.*CineMA"),
        (lambda d: weights.load(unet(), d / "none.safetensors"), "does not exist"),
        (lambda d: weights.from_finetuned(task="segmentation", name="acdc"), "acdc_sax, mnms_sax"),
        (lambda d: weights.from_finetuned(task="segment", name="acdc_sax"), "segmentation, classification_cvd"),
        (lambda d: weights.from_finetuned(task="segmentation", name="acdc_sax", seed=7), "0, 1 and 2"),
        (lambda d: weights.from_finetuned(d, task="segmentation"), "name is None"),
        (lambda d: describe({"model": {"views": "sax", "convvit": {}}}, "c.yaml"), "c.yaml: field model.convvit.size"),
        (lambda d: describe({"model": {"name": "vnet"}}, "c.yaml"), "c.yaml: model.name is 'vnet'"),
        (lambda d: describe({"model": {"name": "unet", "views": ["sax", "lax_4c"]}}, "c.yaml"), "one view"),
        (lambda d: transfer({}, unet()), "UNet has no CineMA encoder"),
    ],
)
def test_refusals_are_one_line(call, message, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        call(tmp_path)
    assert "\n" not in str(error.value)


def test_old_configurations_name_one_view():
    config = small_config(RELEASED["finetuned/segmentation/acdc_sax/acdc_sax_{0,1,2}.safetensors"])
    expected = describe(config)
    del config["model"]["name"]
    config["model"]["view"] = config["model"].pop("views")
    assert describe(config) == expected


def test_bad_yaml_is_named(tmp_path):
    for text, message in (("a: [1", "not readable YAML"), ("", "holds no fields")):
        (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=f"config.yaml .*{message}"):
            weights.read_config(tmp_path / "config.yaml")


def test_transfer_copies_all_or_nothing():
    source = build(*describe(small_config(RELEASED[published.PRETRAINED]))).state_dict()
    config = small_config(RELEASED["finetuned/classification_cvd/acdc_sax/acdc_sax_{0,1,2}.safetensors"])
    model = build(*describe(config))
    copied = transfer(source, model, freeze=True)
    assert "enc_fusion_dict.sax.norm.weight" in copied and "encoder.cls_token" in copied
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {*copied, "enc_down_dict.sax.pos_embed"}
    before = {key: value.clone() for key, value in model.state_dict().items()}
    broken = [
        {k: v for k, v in source.items() if k != "encoder.norm.bias"},
        {**source, "encoder.more": torch.zeros(1)},
        {**source, "encoder.norm.bias": torch.zeros(3)},
    ]
    for state, message in zip(broken, ("missing", "surplus", "shape")):
        with pytest.raises(ValueError, match=message):
            transfer({k: v + 1 for k, v in state.items()}, model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("first", [0x80, 0x50])
def test_a_header_length_that_looks_like_a_pickle_is_none(first, tmp_path):
    path = tmp_path / "model.safetensors"
    for n in range(0, 4096, 8):  # lengthen the header until its length starts with the byte; both are multiples of 8
        weights.save({"weight": torch.ones(1)}, path, {"note": "x" * n})
        if path.read_bytes()[0] == first:
            break
    assert path.read_bytes()[0] == first and torch.equal(weights.read(path)["weight"], torch.ones(1))
