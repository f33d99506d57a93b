"""Weights in files: what is written can be read, what is damaged or foreign is refused in one line."""

import errno
import hashlib
import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import huggingface_hub.errors
import pytest
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import save_file
from tiny import RELEASED, small_config

from cinema.models import finetuned, published, weights
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


@pytest.mark.parametrize("place", ["header", 0.3, 0.9])
def test_one_flipped_bit_is_found_in_what_we_saved(place, tmp_path):
    path = tmp_path / "model.safetensors"
    weights.save(unet().half(), path, {"task": "a", "loss": float("inf"), "ids": (1, 2), "by": {3: "c", 10: None}})
    held = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(held[:8], "little")
    at = held.index(b"task") if place == "header" else start + int(place * (len(held) - start))
    weights.read(path)
    held[at] ^= 1
    path.write_bytes(held)
    with pytest.raises(ValueError, match="is damaged .its checksum is another") as error:
        weights.read(path)
    assert str(path) in str(error.value)


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
    "quantised": ("int8, the model needs", saved(lambda state: {**state, STEM: state[STEM].to(torch.int8)})),
    "complex": ("complex64, the model", saved(lambda state: {**state, STEM: state[STEM].to(torch.complex64)})),
    "too large": ("NaN or infinity", saved(lambda state: {**state, STEM: state[STEM].double() + 1e300})),
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


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_names_may_stand_behind_what_wrappers_put_before_all_of_them(prefix, tmp_path):
    model = unet()
    save_file({prefix + key: value for key, value in model.state_dict().items()}, tmp_path / "a.safetensors")
    torch.save({"model": {prefix + key: v for key, v in model.state_dict().items()}}, tmp_path / "a.pt")
    for name in ("a.safetensors", "a.pt"):
        assert torch.equal(weights.load(unet(), tmp_path / name).out_conv.weight, model.out_conv.weight)
    some = {(prefix if key == STEM else "") + key: value for key, value in model.state_dict().items()}
    save_file(some, tmp_path / "some.safetensors")
    with pytest.raises(ValueError, match="1 missing.*1 surplus"):
        weights.load(unet(), tmp_path / "some.safetensors")


SAX = "finetuned/segmentation/acdc_sax/acdc_sax_{0,1,2}.safetensors"
FIELDS = {  # what a configuration may say, by field, and what is then said of it
    "model": (3, "[mM]odel"),
    "model.name": ("vnet", "model.name is 'vnet'"),
    "model.views": (["lax_9c"], "unknown view 'lax_9c'"),
    "model.out_chans": ("four", "describes no model"),
    "model.convunetr.size": ([], "describes no model"),
    "model.convunetr.enc_conv_n_blocks": (10**9, "enc_conv_n_blocks is, or has, 1000000000"),
    "model.convunetr.dec_chans": ([4] * 1000, "dec_chans is, or has, 1000"),
    "model.convunetr.enc_patch_size": (4, "describes no model"),
    "model.convunetr.enc_scale_factor": ([0, 0, 0], "describes no model"),
    "data.sax.patch_size": ([48, 48, 2], "describes no model.*multiples of"),
    "data.sax.in_chans": (None, "describes no model"),
    "data.sax.spacing": ([1e-9, 1, 10], "no grid .sax has spacing"),
    "data.sax": ("small", "data.sax.patch_size is missing"),
}


def in_folder(tmp_path, text):
    """A published segmentation model's file, and the text of a configuration beside it."""
    config = small_config(RELEASED[SAX])
    save_file(build(*describe(config)).state_dict(), tmp_path / "a.safetensors")
    (tmp_path / "config.yaml").write_text(text(config), encoding="utf-8")
    return tmp_path / "a.safetensors"


@pytest.mark.parametrize("field", FIELDS)
def test_a_configuration_that_describes_no_model_is_one_line_with_its_file(field, tmp_path):
    value, message = FIELDS[field]

    def text(config):
        *way, last = field.split(".")
        at = config
        for word in way:
            at = at[word]
        at[last] = value
        return yaml.safe_dump(config)

    path = in_folder(tmp_path, text)
    with pytest.raises(ValueError, match=message) as error:
        finetuned.opened(path)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    "text", ["a: [1", "a: 2001-99-99", "[" * 5000, "a: b\n" * 30_000, "- 1", "a: \x00", "", "!!python/object:os.x {}"]
)
def test_text_that_is_no_configuration_is_one_line_with_its_file(text, tmp_path):
    path = in_folder(tmp_path, lambda config: text)
    with pytest.raises(ValueError, match="config.yaml") as error:
        weights.from_file(path)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    "header",
    [
        "[1]",
        "{",
        '{"metadata": 3}',
        '{"arguments": [1]}',
        '{"arguments": {"a": 1}}',
        '{"model": "UNet", "arguments": {"a": 1}}',
    ],
)
def test_a_header_of_another_kind_is_one_line_with_its_file(header, tmp_path):
    save_file(unet().state_dict(), tmp_path / "a.safetensors", {"cinema": header})
    with pytest.raises(ValueError, match="not a whole|describes no model") as error:
        weights.from_file(tmp_path / "a.safetensors")
    assert "\n" not in str(error.value) and "a.safetensors" in str(error.value)


def test_a_file_larger_than_memory_is_named(tmp_path, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    unet(tmp_path / "a.safetensors")
    torch.save({"model": unet().state_dict()}, tmp_path / "a.pt")
    monkeypatch.setattr(weights, "load_file", full)
    monkeypatch.setattr(weights.torch, "load", full)
    for name in ("a.safetensors", "a.pt"):
        with pytest.raises(MemoryError, match=f"{name} does not fit into memory"):
            weights.read(tmp_path / name)


class Code:
    def __reduce__(self):
        return os.mkdir, (str(Path(os.environ["TRAP"]) / "ran"),)


def test_only_plain_weights_come_out_of_a_pickle(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAP", str(tmp_path))
    model, path = unet(), tmp_path / "model.pt"
    torch.save({"model": model.state_dict(), "epoch": 3}, path)
    assert torch.equal(weights.load(unet(), path).out_conv.weight, model.out_conv.weight)
    odd = [torch.zeros(2).to_sparse(), torch.empty(2, device="meta")]
    odd = [{"model": {"weight": tensor}} for tensor in odd] + [{"model": {1: torch.zeros(1)}}]
    for content in ({"model": Code()}, {"epoch": 3}, {"model": {}}, [1], model.state_dict(), *odd):
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


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub of one revision: `files` are what it has, `stored` what lies in the cache; `calls` are recorded."""
    one = SimpleNamespace(calls=[], stored=set(), folder=tmp_path / "models--owner--name")

    def download(repository, file, revision=None, local_files_only=False):
        one.calls.append((file, revision, "cache" if local_files_only else "network"))
        if local_files_only and file not in one.stored:
            raise huggingface_hub.errors.LocalEntryNotFoundError("not cached")
        path, content = one.folder / "snapshots" / "abc123" / file, b"content"
        blob = one.folder / "blobs" / hashlib.sha256(content).hexdigest()
        for place in (path, blob):
            place.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content[:-1] if getattr(one, "damaged", False) else content)
        path.unlink(missing_ok=True)
        path.symlink_to(blob)
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(published, "getproxies", lambda: {"https": "proxy"})
    return one


def test_files_come_from_the_cache_or_else_from_the_network_all_of_one_revision(hub):
    path = published.fetch("owner/name", published.PRETRAINED)
    assert path == hub.folder / "snapshots" / "abc123" / published.PRETRAINED
    config, weights_file = "pretrained/config.yaml", published.PRETRAINED
    assert hub.calls == [
        (config, None, "cache"),
        (config, None, "network"),
        (weights_file, "abc123", "cache"),
        (weights_file, "abc123", "network"),
    ]
    hub.calls.clear()
    hub.stored = {config, weights_file}
    published.fetch("owner/name@v1.0", published.PRETRAINED)
    assert hub.calls == [(config, "v1.0", "cache"), (weights_file, "abc123", "cache")]


def test_a_cached_file_that_is_not_what_it_was_is_refused(hub):
    hub.damaged = True
    with pytest.raises(ValueError, match="cinema.safetensors is damaged: its sha256.*delete .*blobs.*fetch anew"):
        published.fetch("owner/name", published.PRETRAINED)


@pytest.mark.parametrize(
    "error, kind, message",
    [
        (
            ConnectionError("no"),
            FileNotFoundError,
            r"gave nothing.*CineMA/resolve/v2/pretrained/cinema.safetensors and",
        ),
        (OSError(errno.ENOSPC, "No space left"), OSError, "No space left"),
        (
            huggingface_hub.errors.RepositoryNotFoundError("404", response=SimpleNamespace(headers={}, request=None)),
            FileNotFoundError,
            "has no pretrained/cinema.safetensors in mathpluscode/CineMA@v2 that it gives to anyone",
        ),
    ],
)
def test_why_nothing_came_decides_the_remedy(error, kind, message, monkeypatch):
    def failing(*_):
        raise error

    monkeypatch.setattr(published, "_download", failing)
    with pytest.raises(kind, match=message):
        published.fetch("mathpluscode/CineMA@v2", published.PRETRAINED)


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
