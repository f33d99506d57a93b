"""Every door of the package against thousands of spoilt inputs: `python -m tests.fuzz --n 10000 --seed 0`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the makers of small inputs lie beside this folder
