"""Where things are, and the one way to write a file whole or not at all. Standard library only."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
        lacks = f"needs notebooks, tests and experiments, which the package installed in {PACKAGE} does not have"
        remedy = "git clone the repository this package was made from, and give the command in that folder"
        raise FileNotFoundError(f"{command} {lacks}; {remedy}")


def data_folder() -> Path:
    """Folder of prepared datasets and of work, which need not exist: CINEMA_DATA, else data/ of the clone, else
    ~/cinema_data. Not the working folder, so that every command finds what another one wrote."""
    if os.environ.get("CINEMA_DATA"):
        return Path(os.environ["CINEMA_DATA"]).expanduser().resolve()
    return ROOT / "data" if is_clone() else Path.home() / "cinema_data"


@contextmanager
def whole_or_not(path: str | os.PathLike, suffix: str = ".part") -> Iterator[Path]:
    """A context that gives a temporary path to write to, which becomes `path` if the block ends well; otherwise it is
    removed and an earlier `path` stays. suffix: of the temporary name, for writers that go by the name's end."""
    with beside(path, suffix) as temporary:
        yield temporary
        os.replace(temporary, path)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_or_not(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_between(path: Path, begin: str, end: str, block: str) -> None:
    """Put `block` between two markers of a text file. ValueError if they are absent."""
    text = path.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise ValueError(f"{path.name} has no lines {begin} and {end}; add them where the text between should stand")
    write_text(path, f"{text.split(begin, 1)[0]}{begin}\n{block}\n{end}{text.split(end, 1)[1]}")


@contextmanager
def beside(path: str | os.PathLike, suffix: str = ".part") -> Iterator[Path]:
    """A context that gives a hidden path beside `path`; a file or folder left there at the end is removed."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}{suffix}")
    try:
        yield temporary
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with suppress(OSError):  # none is there, or it cannot be removed: what went wrong before is what to say
                temporary.unlink()
