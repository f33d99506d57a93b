"""The package's only importer of timm: Mlp, SwiGLU and DropPath.

timm imports torchvision, whose compiled operators are missing when it was built for another torch. Python code that
never touches those operators still fails to import, with `operator torchvision::nms does not exist`. In exactly that
case the two operators torchvision looks for are declared (never implemented) and the import is tried once more.
"""

import importlib
import sys
from typing import Any

import torch


def _import_layers() -> Any:
    """timm.layers, and the operator library that must stay alive with it (None where the builds match)."""
    try:
        return importlib.import_module("timm.layers"), None
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] in ("timm", "torchvision")]:
        del sys.modules[name]  # half-imported modules would hide the second attempt
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("timm.layers"), library


_layers, _library = _import_layers()
Mlp, SwiGLU, DropPath = _layers.Mlp, _layers.SwiGLU, _layers.DropPath
