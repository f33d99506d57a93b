"""Weights in files, as safetensors, which cannot run code: published, own and of others; and a pretrained encoder's
way into the model that is fine-tuned from it.
"""

import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cinema.files import whole_or_not
from cinema.models.config import build, describe
from cinema.models.published import PRETRAINED, REPOSITORY, fetch, finetuned_path

PICKLE_SUFFIXES = (".pt", ".pth", ".bin")
MOST_CONFIG = 100_000  # characters
NOT_WHOLE = "is not a whole safetensors file"
_META_KEY = "cinema"  # holds JSON in the safetensors header


def save(model_or_state: nn.Module | dict[str, Tensor], path: str | Path, metadata: dict | None = None) -> Path:
    """Write weights to a safetensors file; an earlier file stays whole until the new one is.

    metadata: what JSON can hold; read it back with `metadata_of`. A model's own name and constructor arguments are
    stored beside it, so that `restore` can rebuild it. Raises OSError if the disk does not take the file.
    """
    path, state = Path(path), model_or_state
    header: dict[str, Any] = {"metadata": metadata or {}}
    if isinstance(state, nn.Module):
        header.update(model=type(state).__name__, arguments=getattr(state, "arguments", None))
        state = state.state_dict()
    state = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    header["crc32"] = _sum(header, state)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with whole_or_not(path) as temporary:
            save_file(state, temporary, {"format": "pt", _META_KEY: json.dumps(header)})
    except SafetensorError as error:
        raise OSError(f"{path} could not be written ({error}); make room or choose another folder") from None
    return path


def read(path: str | Path) -> dict[str, Tensor]:
    """State dict of a weights file: safetensors, or a .pt/.pth/.bin holding nothing but tensors under `model`.

    Raises FileNotFoundError, or ValueError for a damaged file, and for pickles that hold anything else.
    """
    path = _existing(path)
    with open(path, "rb") as file:
        head = file.read(9)
    # torch's zip or a plain pickle; safetensors opens with eight bytes of length, which may look like anything, and {
    if head[8:] != b"{" and (head[:2] == b"PK" or head[:1] == b"\x80"):
        state = _read_pickle(path)
    else:
        with _door(path):
            state = load_file(path)
        header = _header(path)
        if header.get("crc32", True) not in (True, _sum(header, state)):
            raise ValueError(f"{path} is damaged (its checksum is another); fetch or save it again")
    for prefix in ("_orig_mod.", "module.", "_orig_mod."):  # by torch.compile and DistributedDataParallel, before all
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _sum(header: dict[str, Any], state: dict[str, Tensor]) -> int:
    """CRC-32 of all that `save` writes into a file: one flipped bit is another number."""
    named = {key: value for key, value in header.items() if key != "crc32"}
    found = zlib.crc32(json.dumps(named).encode())
    for key in sorted(state):
        found = zlib.crc32(key.encode(), found)
        found = zlib.crc32(state[key].reshape(-1).view(torch.uint8).numpy().data, found)
    return found


@contextmanager
def _door(path: Path, trouble: str = NOT_WHOLE, remedy: str = "fetch or save it again") -> Iterator[None]:
    """A context in which a library reads `path`: whatever it raises becomes one line with file, trouble and remedy."""
    try:
        yield
    except MemoryError:
        raise MemoryError(f"{path} does not fit into memory; close other programs, or take another machine") from None
    except Exception as error:
        raise ValueError(f"{path} {trouble} ({_why(error)}); {remedy}") from None


def _why(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; name a weights file (.safetensors)")
    return path


def _read_pickle(path: Path) -> dict[str, Tensor]:
    if path.suffix not in PICKLE_SUFFIXES:
        raise ValueError(f"{path} is a pickle, which could run code; give a safetensors file")
    with _door(path, "is no plain weights file", "convert it to safetensors where you trust it"):
        content = torch.load(path, map_location="cpu", weights_only=True)
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state or not all(map(_is_plain, state, state.values())):
        raise ValueError(f"{path} holds no tensors under `model`; convert it to safetensors where you trust it")
    return state


def _is_plain(key: Any, value: Any) -> bool:
    if not isinstance(key, str) or not isinstance(value, torch.Tensor):
        return False
    return value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized


def load(model: nn.Module, path: str | Path) -> nn.Module:
    """Load a file into a model and return it; every key and shape must match. Half precision becomes the model's.

    Raises FileNotFoundError, or ValueError (keys, shapes, NaN, damaged or foreign file); the model is then unchanged.
    """
    state, target = read(path), model.state_dict()
    check(state, target, where=path)
    on_meta = any(value.is_meta for value in target.values())
    model.load_state_dict({key: value.to(target[key].dtype) for key, value in state.items()}, assign=on_meta)
    return model


def _header(path: str | Path) -> dict:
    path = _existing(path)
    with _door(path), safe_open(path, "pt") as file:
        header = json.loads((file.metadata() or {}).get(_META_KEY, "{}"))
        if not all(isinstance(header.get(part, {}) or {}, dict) for part in ("metadata", "arguments")):
            raise TypeError("its header is of another kind")
    return header


def metadata_of(path: str | Path) -> dict:
    """What `save` was given as metadata; empty for files of others."""
    return _header(path).get("metadata", {})


def restore(path: str | Path) -> nn.Module:
    """The model that `save` wrote, in evaluation mode."""
    header = _header(path)
    if not header.get("arguments"):
        raise ValueError(f"{path} was not saved from a model of this package; use from_file with its config.yaml")
    return _filled(lambda: (header["model"], header["arguments"]), path, path)


def _filled(described: Callable[[], tuple[str, dict]], where: str | Path, path: str | Path) -> nn.Module:
    """The model that `where` describes, with the weights of `path`. ValueError if no model can be so."""
    try:
        with torch.device("meta"):  # no time spent on initial values that the file replaces
            model = build(*described())
    except Exception as error:  # fields of any kind reach every layer's constructor
        if str(where) in str(error):  # in words already
            raise
        raise ValueError(
            f"{where} describes no model of this package ({_why(error)}); take weights and description from one place"
        ) from None
    return load(model, path).eval()


def check_device(device: torch.device | str | None) -> None:
    """ValueError unless torch can compute on `device`; None is the one in use."""
    try:
        one = torch.zeros(1, device=device)
        device is None or one.cpu()  # "meta" has no numbers
    except Exception as error:  # an assertion, a RuntimeError, of any text
        raise ValueError(f"device {device} cannot be used here ({_why(error)}); give --device cpu") from None


def read_config(path: str | Path) -> dict:
    """A release config.yaml as a dict; ValueError if it is none."""
    path = Path(path)
    remedy = "take the config.yaml that belongs to the weights"
    with _door(path, "is not readable YAML", remedy), open(path, encoding="utf-8") as file:
        text = file.read(MOST_CONFIG + 1)
        if len(text) > MOST_CONFIG:
            raise ValueError("too long for a configuration")
        config = yaml.safe_load(text)
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds no fields; {remedy}")
    return config


def from_pretrained(source: str | Path = REPOSITORY) -> nn.Module:
    """The pretrained CineMA, in evaluation mode.

    source: a Hugging Face repository, a folder laid out like it (pretrained/cinema.safetensors and config.yaml), or a
            weights file: written by `save`, or with its config.yaml beside it.
    Raises FileNotFoundError naming the files to fetch and where to put them; ValueError as `load`.
    """
    return from_file(source if Path(source).is_file() else fetch(source, PRETRAINED))


def from_finetuned(
    source: str | Path = REPOSITORY, task: str | None = None, name: str | None = None, seed: int = 0
) -> nn.Module:
    """A fine-tuned model, in evaluation mode: finetuned/<task>/<name>/<name>_<seed>.safetensors of a `source`.

    task, name: see PUBLISHED; not needed if source is a file. The rest is as in from_pretrained.
    """
    return from_file(finetuned_path(source, task, name, seed))


def from_file(path: str | Path) -> nn.Module:
    """The model of a weights file: as `save` noted in it, else by the config.yaml beside it."""
    path = _existing(path)
    config = path.with_name("config.yaml")
    if path.suffix not in PICKLE_SUFFIXES and _header(path).get("arguments"):
        return restore(path)
    if not config.is_file():
        raise ValueError(f"{path} does not say which model it holds; put its config.yaml beside it")
    return _filled(lambda: describe(read_config(config), config), config, path)


# what pretraining needs and no other model has; position tables stay as the target initialised them
_DROPPED = ("mask", "decoder", "_head", "dec_linear", "pos_embed")
_OWN = re.compile(r"enc_down_dict\.\w+\.pos_embed|.*_head.*|dec_.*|decoder.*")
_FIRST_CONV = re.compile(r"enc_down_dict\.\w+\.conv_blocks\.0\.patch_embed\.conv\.weight")


def transfer(source_state: dict[str, Tensor], target_model: nn.Module, freeze: bool = False) -> list[str]:
    """Copy CineMA's encoder into a ConvViT or ConvUNetR.

    source_state: CineMA's state dict (weights.read of a file, or model.state_dict()).
    target_model: changed in place. Views it lacks are left out; its heads, decoder and position tables stay.
    freeze:       stop the gradients of exactly the copied parameters.
    Returns the names of the copied parameters, in the target's order. Raises ValueError, before anything is copied, if
    the target is no such model, or if a key or shape does not fit.
    A first convolution with more channels than the source repeats the source's weights, not rescaled, as published.
    Source: method, section 9.
    """
    target = target_model.state_dict()
    views = {key.split(".")[1] for key in target if key.startswith("enc_down_dict.")}
    if not views:
        raise ValueError(f"{type(target_model).__name__} has no CineMA encoder; transfer needs a ConvViT or ConvUNetR")
    dropped = _DROPPED if any("fusion" in key for key in target) else (*_DROPPED, "fusion")
    unused = {key.split(".")[1] for key in source_state if key.startswith("enc_down_dict.")} - views
    state = {
        key: _tiled(key, value, target.get(key))
        for key, value in source_state.items()
        if not any(word in key for word in (*dropped, *unused))
    }
    check(state, target, _OWN.fullmatch)
    target_model.load_state_dict(state, strict=False)
    parameters = [(name, p) for name, p in target_model.named_parameters() if name in state]
    if freeze:
        for _, parameter in parameters:
            parameter.requires_grad_(False)
    return [name for name, _ in parameters]


def _tiled(key: str, value: Tensor, like: Tensor | None) -> Tensor:
    if like is None or not _FIRST_CONV.fullmatch(key) or value.shape[:2] == like.shape[:2] or value.ndim != like.ndim:
        return value
    return value.repeat(1, like.shape[1], *[1] * (value.ndim - 2))


def check(
    state: dict[str, Tensor],
    target: dict[str, Tensor],
    may_lack: Callable[[str], object] = lambda key: False,
    where: str | Path = "source",
) -> None:
    """Raise a one-line ValueError unless `state` fits the state dict `target`: names, shapes, finite values.

    may_lack: tells of a target key whether the state may do without it; where: names the state in the error.
    """
    missing = [key for key in target if key not in state and not may_lack(key)]
    surplus = [key for key in state if key not in target]
    if missing or surplus:
        kinds = {"missing": missing, "surplus": surplus}
        found = " and ".join(f"{len(keys)} {kind} ({keys[0]})" for kind, keys in kinds.items() if keys)
        raise ValueError(f"{where} does not fit the model: keys {found}; build the model it was saved from")
    for key, value in state.items():
        if value.shape != target[key].shape:
            raise ValueError(
                f"{where}: {key} has shape {tuple(value.shape)}, the model needs "
                f"{tuple(target[key].shape)}; build the model it was saved from"
            )
        if value.is_floating_point() != target[key].is_floating_point() or value.is_complex():
            raise ValueError(
                f"{where}: {key} holds {value.dtype}, the model needs {target[key].dtype}; use them before quantising"
            )
        if value.is_floating_point() and not value.to(target[key].dtype).isfinite().all():
            raise ValueError(f"{where}: {key} holds NaN or infinity; use an earlier or an undamaged file")
