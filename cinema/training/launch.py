"""Runs one of nnU-Net's commands: `python -m cinema.training.launch PARENT nnUNetv2_train 501 2d 0`.

nnU-Net imports timm, and with it torchvision, whose compiled operators are missing where it was built for another
torch. Python code that never touches them still fails to import, with `operator torchvision::nms does not exist`. In
exactly that case the two operators that torchvision looks for are declared (never implemented) and the import is tried
once more; here and in every process that nnU-Net spawns from this file. All end with PARENT.
"""

import importlib
import sys
from importlib import metadata
from typing import Any

import torch

from cinema.parallel import end_with


def import_timm() -> Any:
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


_kept = import_timm()


def main() -> int:
    """Exit code of the command that the second argument names, given the others. The first: number of our parent."""
    end_with(int(sys.argv.pop(1)))
    (command,) = metadata.entry_points(group="console_scripts", name=sys.argv[1])
    sys.argv = sys.argv[1:]
    return command.load()()


if __name__ == "__main__":
    sys.exit(main())
