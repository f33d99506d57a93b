"""Where things are, and the one way to write a file whole or not at all. Standard library only."""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent  # of a clone; elsewhere see `checkout`
SHIPPED = PACKAGE / "shipped"  # comes with the package, in a wheel too
WEIGHTS = SHIPPED / "weights"
CARDS = SHIPPED / "cards"
RECORDED = ROOT / "data" / "experiments"  # of `python3 -m cinema experiment NAME`; in a clone only
PAPER_RESULTS = SHIPPED / "paper_results.csv"  # each published number: claim, value, interval, source, trust
HOW_TO_CLONE = "clone the repository that README names and run it there"


def checkout() -> Path | None:
    """The clone this package lies in, with notebooks, tests and experiments; None for an installed package."""
    return ROOT if (ROOT / "pyproject.toml").is_file() and (ROOT / "notebooks").is_dir() else None


def need_checkout(command: str) -> Path:
    """The clone; FileNotFoundError in one line where there is none, since `command` needs what only a clone has."""
    root = checkout()
    if root is None:
        raise FileNotFoundError(
            f"{command} needs a clone of the repository, and this cinema is installed in {PACKAGE}: {HOW_TO_CLONE}"
        )
    return root


def data_folder() -> Path:
    """Where prepared datasets and work lie: CINEMA_DATA, else the clone's data/, else data/ where one stands."""
    named, root = os.environ.get("CINEMA_DATA"), checkout()
    return Path(named) if named else (root or Path.cwd()) / "data"
