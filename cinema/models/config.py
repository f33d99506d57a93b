"""From a description to a model: constructor arguments as JSON, and the release's config.yaml."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

import cinema.models
from cinema.models._timm import Mlp, SwiGLU
from cinema.models.vit import SIZES

LAYER_CLASSES = {c.__name__: c for c in (nn.LayerNorm, nn.GELU, nn.SiLU, nn.ReLU, nn.Linear, Mlp, SwiGLU)}
_LAYER_ARGUMENTS = ("norm_layer", "act_layer", "mlp_layer", "head_layer")


def build(name: str, arguments: dict) -> nn.Module:
    """The model `name` of MODELS; `arguments` as JSON holds them (lists for tuples, layer classes by name)."""
    if name not in cinema.models.MODELS:
        raise ValueError(f"unknown model {name!r}; choose one of {', '.join(cinema.models.MODELS)}")
    plain = {
        key: LAYER_CLASSES[value] if key in _LAYER_ARGUMENTS and value else _tuples(value)
        for key, value in arguments.items()
    }
    return getattr(cinema.models, name)(**plain)


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(v) for key, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value


def describe(config: dict, where: str | Path = "config.yaml") -> tuple[str, dict]:
    """Model name and constructor arguments of a release configuration (method, section 9).

    config: the parsed config.yaml; `where` names it in errors. Configurations without model.name are pretraining ones,
    or old fine-tuning ones, told by the section they have. Raises ValueError naming the missing or unknown field.
    """
    model = _field(config, "model", where)
    name = model.get("name") or next((n for n in ("convunetr", "convvit") if n in model), "cinema")
    if name == "cinema":
        return "CineMA", _encoder(config, "model", "", where)
    describers = {"convvit": _convvit, "convunetr": _convunetr, "unet": _unet, "resnet": _resnet}
    if name not in describers:
        raise ValueError(f"{where}: model.name is {name!r}; known are cinema, {', '.join(describers)}")
    return describers[name](config, where)


def _field(config: dict, path: str, where: str | Path) -> Any:
    value = config
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            raise ValueError(f"{where}: field {path} is missing; take the config.yaml that belongs to the weights")
        value = value[key]
    return value


def views_of(config: dict, where: str | Path = "config.yaml") -> list[str]:
    """The views a configuration's model reads, in token order; old files call them model.view."""
    model = _field(config, "model", where)
    views = model.get("views") or _field(config, "model.view", where)
    return [views] if isinstance(views, str) else list(views)


def n_outputs(config: dict, where: str | Path = "config.yaml") -> int | None:
    """Outputs of a fine-tuned model: its classes, one regressed value, or model.out_chans."""
    data = _field(config, "data", where)
    if data.get("class_column"):
        return len(_field(data, data["class_column"], where))
    return 1 if data.get("regression_column") else _field(config, "model.out_chans", where)


def per_view(views: Sequence[str], value: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """`value` for every view; long-axis views take the first two of three entries."""
    return {view: tuple(value if view == "sax" else value[:2]) for view in views}


def _encoder(config: dict, section: str, prefix: str, where: str | Path) -> dict:
    """The arguments that describe images and encoder; section: where model sizes are; prefix: of its patch fields."""

    def get(name: str) -> Any:
        return _field(config, f"{section}.{name}", where)

    if get("size") not in SIZES:
        raise ValueError(f"{where}: {section}.size is {get('size')!r}; choose one of {', '.join(SIZES)}")
    views = views_of(config, where)
    data = {view: _field(config, f"data.{view.split('_')[0]}", where) for view in views}
    return dict(
        image_size_dict={v: tuple(_field(data[v], "patch_size", where))[: 3 if v == "sax" else 2] for v in views},
        in_chans_dict={view: _field(data[view], "in_chans", where) for view in views},
        enc_patch_size_dict=per_view(views, get(f"{prefix}patch_size")),
        enc_scale_factor_dict=per_view(views, get(f"{prefix}scale_factor")),
        enc_conv_chans=tuple(get("enc_conv_chans")),
        enc_conv_n_blocks=get("enc_conv_n_blocks"),
        grad_ckpt=bool(config.get("grad_ckpt", False)),
        **SIZES[get("size")],
    )


def _without_decoder(arguments: dict) -> dict:
    return {key: value for key, value in arguments.items() if not key.startswith("dec_")}


def _convvit(config: dict, where: str | Path) -> tuple[str, dict]:
    return "ConvViT", dict(
        _without_decoder(_encoder(config, "model.convvit", "enc_", where)),
        n_frames=_field(config, "model.n_frames", where),
        out_chans=n_outputs(config, where),
        drop_path=_field(config, "model.convvit.drop_path", where),
    )


def _convunetr(config: dict, where: str | Path) -> tuple[str, dict]:
    def get(name: str) -> Any:
        return _field(config, f"model.convunetr.{name}", where)

    return "ConvUNetR", dict(
        _without_decoder(_encoder(config, "model.convunetr", "enc_", where)),
        out_chans=n_outputs(config, where),
        dec_chans=tuple(get("dec_chans")),
        dec_patch_size_dict=per_view(views_of(config, where), get("dec_patch_size")),
        dec_scale_factor_dict=per_view(views_of(config, where), get("dec_scale_factor")),
        dropout=get("dropout"),
        drop_path=get("drop_path"),
    )


def _single_view(config: dict, where: str | Path) -> tuple[int, int]:
    """The one view of a baseline: its dimensions and channels."""
    views = views_of(config, where)
    if len(views) != 1:
        raise ValueError(f"{where}: a baseline reads one view, model.views lists {len(views)}")
    return (3 if views[0] == "sax" else 2), _field(config, f"data.{views[0].split('_')[0]}.in_chans", where)


def _unet(config: dict, where: str | Path) -> tuple[str, dict]:
    n_dims, in_chans = _single_view(config, where)
    unet = _field(config, "model.unet", where)
    factors = {name: tuple(_field(unet, name, where))[:n_dims] for name in ("patch_size", "scale_factor")}
    chans, dropout = tuple(_field(unet, "chans", where)), _field(unet, "dropout", where)
    ends = dict(n_dims=n_dims, in_chans=in_chans, out_chans=n_outputs(config, where))
    return "UNet", dict(ends, chans=chans, dropout=dropout, **factors, grad_ckpt=bool(config.get("grad_ckpt", False)))


def _resnet(config: dict, where: str | Path) -> tuple[str, dict]:
    n_dims, in_chans = _single_view(config, where)
    return f"ResNet{n_dims}d", dict(
        depth=_field(config, "model.resnet.depth", where),
        in_chans=in_chans * _field(config, "model.n_frames", where),
        out_chans=n_outputs(config, where),
        layer_inplanes=tuple(_field(config, "model.resnet.layer_inplanes", where)),
    )
