"""Where things are, for tests in any folder."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"  # real studies and reference cases, where a workplace has them
KEPT = ROOT / "tests" / "golden"
