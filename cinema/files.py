from pathlib import Path

WEIGHTS = Path(__file__).resolve().parent.parent / "data" / "weights"
