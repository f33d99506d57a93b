"""Where things are, and the one way to write a file whole or not at all. Standard library only."""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent  # of a clone (see `is_clone`); site-packages for an installed package
SHIPPED = PACKAGE / "shipped"  # comes with the package, in a wheel too
WEIGHTS = SHIPPED / "weights"
CARDS = SHIPPED / "cards"
RECORDED = ROOT / "data" / "experiments"  # of `python3 -m cinema experiment NAME`; in a clone only
PAPER_RESULTS = SHIPPED / "paper_results.csv"  # each published number: claim, value, interval, source, trust


def is_clone() -> bool:
    """True if this package lies in a clone of the repository, with notebooks, tests and experiments beside it."""
    return (ROOT / "pyproject.toml").is_file() and (ROOT / "notebooks").is_dir()


def need_clone(command: str) -> None:
    """FileNotFoundError in one line where `command` needs what only a clone has and this is an installed package."""
    if not is_clone():
        raise FileNotFoundError(
            f"{command} needs notebooks, tests and experiments, which the package installed in {PACKAGE} does not have; "
            "git clone the repository this package was made from, and give the command in that folder"
        )


def data_folder() -> Path:
    """Where prepared datasets and work lie: CINEMA_DATA, else the clone's data/, else data/ of the present folder."""
    return Path(os.environ.get("CINEMA_DATA") or (ROOT if is_clone() else Path.cwd()) / "data")
