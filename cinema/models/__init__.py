"""The models. MODELS names them; each is imported when first asked for."""

from importlib import import_module
from typing import Any

# public name -> module of this package
MODELS = {
    "CineMA": "mae",
    "ConvViT": "convvit",
    "ConvUNetR": "convunetr",
    "UNet": "unet",
    "ResNet2d": "resnet",
    "ResNet3d": "resnet",
    "Reader": "unet",
}
FUNCTIONS = {"from_pretrained": "weights", "from_finetuned": "weights", "transfer": "weights", "random_mask": "patches"}

__all__ = ["MODELS", *MODELS, *FUNCTIONS]


def __getattr__(name: str) -> Any:
    module = {**MODELS, **FUNCTIONS}.get(name)
    if module is None:
        raise AttributeError(f"cinema.models has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"cinema.models.{module}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
