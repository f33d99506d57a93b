"""Companion to CineMA, a foundation model for cine cardiac MR (arXiv 2506.00679).

Names below load on first use, so `import cinema` takes neither torch nor matplotlib.
"""

from importlib import import_module

__version__ = "0.1.0"

_MODELS = ("CineMA", "ConvViT", "ConvUNetR", "UNet", "ResNet2d", "ResNet3d")
_HOMES = dict.fromkeys(_MODELS, "cinema.models")
_HOMES.update(dict.fromkeys(("from_pretrained", "from_finetuned"), "cinema.models.weights"))

__all__ = list(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'cinema' has no attribute {name!r}; public names are {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__():
    return sorted([*globals(), *__all__])
