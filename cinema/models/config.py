"""From a description to a model: constructor arguments as JSON, and the release's config.yaml."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

import cinema.models
from cinema.models._timm import Mlp, SwiGLU
from cinema.models.vit import SIZES
from cinema.terms import check_view

MOST, MOST_BLOCKS = 65536, 256  # of any number and of repeated blocks in a description: more only costs memory
LAYER_CLASSES = {c.__name__: c for c in (nn.LayerNorm, nn.GELU, nn.SiLU, nn.ReLU, nn.Linear, Mlp, SwiGLU)}


def build(name: str, arguments: dict) -> nn.Module:
    """The model `name` of MODELS; `arguments` as JSON holds them (lists for tuples, layer classes by name).

    ValueError for an unknown name and for numbers that no model has.
    """
    if name not in cinema.models.MODELS:
        raise ValueError(f"unknown model {name!r}; choose one of {', '.join(cinema.models.MODELS)}")
    plain = {
        key: LAYER_CLASSES[value] if key.endswith("_layer") and value else _tuples(value, key)
        for key, value in arguments.items()
    }
    return getattr(cinema.models, name)(**plain)


def _tuples(value: Any, name: str) -> Any:
    most = MOST_BLOCKS if name.endswith(("depth", "n_blocks")) else MOST
    size = value if isinstance(value, int) else len(value) if isinstance(value, (list, tuple, dict)) else 0
    if size > (most if isinstance(value, int) else MOST_BLOCKS):
        raise ValueError(f"{name} is, or has, {size}; no model has that many")
    if isinstance(value, dict):
        return {key: _tuples(v, name) for key, v in value.items()}
    return tuple(_tuples(v, name) for v in value) if isinstance(value, (list, tuple)) else value


def describe(config: dict, where: str | Path = "config.yaml") -> tuple[str, dict]:
    """Model name and constructor arguments of a release configuration (method, section 9).

    config: the parsed config.yaml; `where` names it in errors. Configurations without model.name are pretraining ones,
    or old fine-tuning ones, told by the section they have. Raises ValueError naming the missing or unknown field.
    """
    model = _field(config, where, "model")
    name = model.get("name") or next((n for n in ("convunetr", "convvit") if n in model), "cinema")
    if name == "cinema":
        return "CineMA", _encoder(config, where, "model", "")
    if name in ("convvit", "convunetr"):
        return _from_pretrained(name, config, where)
    if name in ("unet", "resnet"):
        return _baseline(name, config, where)
    raise ValueError(f"{where}: model.name is {name!r}; known are cinema, convvit, convunetr, unet, resnet")


def _field(config: dict, where: str | Path, path: str) -> Any:
    value = config
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            raise ValueError(f"{where}: field {path} is missing; take the config.yaml that belongs to the weights")
        value = value[key]
    return value


def views_of(config: dict, where: str | Path = "config.yaml") -> list[str]:
    """The views a configuration's model reads, in token order; old files call them model.view."""
    views = _field(config, where, "model").get("views") or _field(config, where, "model.view")
    return [check_view(view) for view in ([views] if isinstance(views, str) else views)]


def n_outputs(config: dict, where: str | Path = "config.yaml") -> int | None:
    """Outputs of a fine-tuned model: its classes, one regressed value, or model.out_chans."""
    data = _field(config, where, "data")
    if data.get("class_column"):
        return len(_field(data, where, data["class_column"]))
    return 1 if data.get("regression_column") else _field(config, where, "model.out_chans")


def per_view(views: Sequence[str], value: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """`value` for every view; long-axis views take the first two of three entries."""
    return {view: tuple(value if view == "sax" else value[:2]) for view in views}


def _encoder(config: dict, where: str | Path, section: str, prefix: str) -> dict:
    """The arguments that describe images and encoder; section: where model sizes are; prefix: of its patch fields."""
    get = partial(_field, config, where)
    size = get(f"{section}.size")
    if size not in SIZES:
        raise ValueError(f"{where}: {section}.size is {size!r}; choose one of {', '.join(SIZES)}")
    views = views_of(config, where)
    of = {view: f"data.{view.split('_')[0]}" for view in views}
    return dict(
        image_size_dict={view: tuple(get(f"{of[view]}.patch_size"))[: 3 if view == "sax" else 2] for view in views},
        in_chans_dict={view: get(f"{of[view]}.in_chans") for view in views},
        enc_patch_size_dict=per_view(views, get(f"{section}.{prefix}patch_size")),
        enc_scale_factor_dict=per_view(views, get(f"{section}.{prefix}scale_factor")),
        enc_conv_chans=tuple(get(f"{section}.enc_conv_chans")),
        enc_conv_n_blocks=get(f"{section}.enc_conv_n_blocks"),
        grad_ckpt=bool(config.get("grad_ckpt", False)),
        **SIZES[size],
    )


def _from_pretrained(name: str, config: dict, where: str | Path) -> tuple[str, dict]:
    get, section = partial(_field, config, where), f"model.{name}"
    encoder = _encoder(config, where, section, "enc_")
    arguments = {key: value for key, value in encoder.items() if not key.startswith("dec_")}
    arguments |= dict(out_chans=n_outputs(config, where), drop_path=get(f"{section}.drop_path"))
    if name == "convvit":
        return "ConvViT", dict(arguments, n_frames=get("model.n_frames"))
    for key in ("dec_patch_size", "dec_scale_factor"):
        arguments[f"{key}_dict"] = per_view(views_of(config, where), get(f"{section}.{key}"))
    return "ConvUNetR", dict(arguments, dec_chans=tuple(get(f"{section}.dec_chans")), dropout=get(f"{section}.dropout"))


def _baseline(name: str, config: dict, where: str | Path) -> tuple[str, dict]:
    get, views = partial(_field, config, where), views_of(config, where)
    if len(views) != 1:
        raise ValueError(f"{where}: a baseline reads one view, model.views lists {len(views)}")
    n_dims, in_chans = 3 if views[0] == "sax" else 2, get(f"data.{views[0].split('_')[0]}.in_chans")
    if name == "resnet":
        shape = dict(depth=get("model.resnet.depth"), layer_inplanes=tuple(get("model.resnet.layer_inplanes")))
        in_chans *= get("model.n_frames")
        return f"ResNet{n_dims}d", dict(shape, in_chans=in_chans, out_chans=n_outputs(config, where))
    factors = {key: tuple(get(f"model.unet.{key}"))[:n_dims] for key in ("patch_size", "scale_factor")}
    shape = dict(chans=tuple(get("model.unet.chans")), dropout=get("model.unet.dropout"), **factors)
    ends = dict(n_dims=n_dims, in_chans=in_chans, out_chans=n_outputs(config, where))
    return "UNet", dict(**shape, **ends, grad_ckpt=bool(config.get("grad_ckpt", False)))
