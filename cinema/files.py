"""Where things are, and the one way to write a file whole or not at all, and who may write where at a time."""

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent  # of a clone (see `is_clone`); site-packages for an installed package
SHIPPED = PACKAGE / "shipped"  # comes with the package, in a wheel too
WEIGHTS = SHIPPED / "weights"
CARDS = SHIPPED / "cards"
RECORDED = ROOT / "data" / "experiments"  # of `python3 -m cinema experiment NAME`; in a clone only
NO_NUMBERS = ("__main__.py", "cli.py", "doctor.py", "plots", "runner")  # parts of the package that no number comes from
PAPER_RESULTS = SHIPPED / "paper_results.csv"  # each published number: claim, value, interval, source, trust

SEAL, CONTENT_SIZE = b"cinema, content ", 32  # a study begins so, with the hash of its content in as many characters
FULL = (errno.ENOSPC, errno.EDQUOT)  # what a full disk says, or one of which someone has all that is allowed
SWEPT: set[Path] = set()  # folders in which this process has written


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


def digest(paths: Iterable[str | os.PathLike]) -> str:
    """Hash of the names and contents of files, in their order; one is read again when its size or time has changed.

    The content of a study is what its seal says (data.hdf5): equal data need not be packed into equal bytes.
    """
    files = [(Path(path), os.stat(path)) for path in paths]
    parts = [f"{path.name} {_digest(str(path), stat.st_size, stat.st_mtime_ns)}" for path, stat in files]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@cache
def _digest(path: str, *_: int) -> str:
    with open(path, "rb") as file:
        if file.read(len(SEAL)) == SEAL:
            return file.read(CONTENT_SIZE).decode("ascii", "replace")
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def code() -> str:
    """Hash of the package's sources, without those that only show, start and say: what a kept result depends on."""
    sources = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] not in NO_NUMBERS]
    return digest(sources)


@contextmanager
def whole_or_not(path: str | os.PathLike) -> Iterator[Path]:
    """A context that gives a temporary path to write to, which becomes `path` if the block ends well; otherwise it is
    removed and an earlier `path` stays. The temporary path has the same name, for writers that go by its end."""
    with beside(path) as temporary:
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
def beside(path: str | os.PathLike) -> Iterator[Path]:
    """A context that gives a path of the same name in a hidden folder of its own beside `path`; what is left there at
    the end is removed, and, at the first writing there, so is what killed processes left beside `path` (`sweep`).
    An OSError of a full disk names `path`: the system names nothing, or what will have gone."""
    path = Path(path)
    if path.parent not in SWEPT:  # once: a folder of thousands is not looked through at each writing
        SWEPT.add(path.parent)
        sweep(path)
    with ExitStack() as held:
        made = folder = None
        try:
            while not folder:
                made = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
                made.mkdir(parents=True)
                with suppress(BlockingIOError, FileNotFoundError):  # a sweeper was here before our lock: once more
                    held.enter_context(alone(made))
                    folder = made
            yield folder / path.name
        except OSError as error:
            if error.errno in FULL:
                error.filename = str(path)
            raise
        finally:
            held.close()
            if made:
                shutil.rmtree(made, ignore_errors=True)


def sweep(path: str | os.PathLike) -> None:
    """Remove what `beside` made next to `path`, for this name or another, where its process was killed."""
    for folder in Path(path).parent.glob(f".*.{'[0-9a-f]' * 8}.part"):
        with suppress(OSError), alone(folder):  # not to be had: its process lives, or another one sweeps
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def alone(folder: str | os.PathLike, wait_s: float = 0) -> Iterator[None]:
    """A context in which no other process is `alone` in `folder`: the operating system's lock of a file in it, which
    ends with its process, however that ends. BlockingIOError if it is not to be had within wait_s seconds."""
    from filelock import FileLock, Timeout

    lock = FileLock(Path(folder) / ".lock")
    try:
        lock.acquire(timeout=wait_s, poll_interval=0.01)
    except Timeout:
        raise BlockingIOError(f"another process is at work in {folder}; wait until it has ended") from None
    try:
        yield
    finally:
        with suppress(OSError):  # those who wait for a file that has gone look again; Windows removes it itself
            os.unlink(lock.lock_file)
        lock.release()
