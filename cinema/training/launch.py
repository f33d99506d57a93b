"""Runs one of nnU-Net's commands: `python -m cinema.training.launch PARENT nnUNetv2_train 501 2d 0`.

nnU-Net imports timm, and with it torchvision, which fails where it was built for another torch; models._timm knows the
remedy and is imported first, here and in every process that nnU-Net spawns from this file. All end with PARENT.
"""

import sys
from importlib import metadata

import cinema.models._timm  # noqa: F401, mends torchvision's operators before nnU-Net imports timm
from cinema.parallel import end_with


def main() -> int:
    """Exit code of the command that the second argument names, given the others. The first: number of our parent."""
    end_with(int(sys.argv.pop(1)))
    (command,) = metadata.entry_points(group="console_scripts", name=sys.argv[1])
    sys.argv = sys.argv[1:]
    return command.load()()


if __name__ == "__main__":
    sys.exit(main())
