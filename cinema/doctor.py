"""`python3 -m cinema doctor`: what this machine has and lacks, and what to do about it.

Standard library alone, and nothing is set up for it: it must run where nothing else does.
"""

import hashlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path

from cinema import __main__ as environment
from cinema import __version__
from cinema.files import CARDS, ROOT, WEIGHTS, data_folder, is_clone

SUMS = "SHA256SUMS"  # of the shipped weights, as sha256sum writes and checks it
FREE_GB, ROOM_GB = 4, {True: 1, False: 4}  # of memory; of the disk, by whether the packages are there
SIGNS = {True: "ok     ", False: "PROBLEM", None: "note   "}


def command() -> int:
    """Prints a line for each thing looked at; exit code 1 if any is a problem."""
    found = [line for check in CHECKS for line in check()]
    for well, text in found:
        print(f"{SIGNS[well]}  {text}")
    problems = sum(well is False for well, _ in found)
    print(f"cinema {__version__}: {f'{problems} to mend' if problems else 'nothing stands in the way'}")
    return int(problems > 0)


Lines = Iterator[tuple[bool | None, str]]  # well (None: neither), what was found and, of a problem, the remedy


def python() -> Lines:
    yield True, f"Python {platform.python_version()} in {sys.prefix}, {platform.system()} {platform.machine()}"
    if not os.access(ROOT, os.W_OK) and is_clone():
        yield False, f"{ROOT} cannot be written to; work in a clone of your own"


def packages() -> Lines:
    """Those of requirements.txt in the versions of constraints.txt."""
    if not is_clone():
        yield None, f"installed in {ROOT}: without notebooks, tests and experiments"
        return
    missing = environment.missing_packages(metadata.version)
    if not missing:
        yield True, "packages: all that requirements.txt names, as constraints.txt pins them"
    elif os.environ.get("CINEMA_NO_VENV") != "1" and not environment.is_inside():
        yield None, f"no environment yet for {ROOT}: the next command makes .venv (minutes, about 2 GB)"
    else:
        there = [f"{name} ({_version(name)})" for name in missing]
        remedy = "unset CINEMA_NO_VENV, and the next command sets them up; or pip install -r requirements.txt -c"
        yield False, f"packages missing or of another version: {', '.join(there)}; {remedy} constraints.txt"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not there"


def device() -> Lines:
    """torch, what it computes on, and cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        torch = import_module("torch")
    except Exception as error:
        if not isinstance(error, ModuleNotFoundError):  # there, and broken
            yield False, f"torch does not load ({' '.join(str(error).split())[:120]}); install it again"
        return
    cuda = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no CUDA: models run on the processor"
    yield True, f"torch {torch.__version__}, {torch.get_num_threads()} threads on {cores} cores, {cuda}"


def room() -> Lines:
    """Memory and disk."""
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        free = _available_bytes() / 1e9
        remedy = "" if free >= FREE_GB else f"; a run needs {FREE_GB}: close other programs"
        yield free >= FREE_GB, f"memory: {free:.1f} GB free{remedy}"
    free, needed = shutil.disk_usage(ROOT).free / 1e9, ROOM_GB[environment.VENV.exists()]
    remedy = "" if free >= needed else f"; {needed} are needed: free some, or clone onto another disk"
    yield free >= needed, f"disk: {free:.1f} GB free at {ROOT}{remedy}"


def _available_bytes() -> int:
    """Free memory and what the system would give back."""
    known = Path("/proc/meminfo")
    text = known.read_text(encoding="utf-8") if known.exists() else ""
    found = re.search(r"MemAvailable: *(\d+) kB", text)
    return int(found[1]) * 1024 if found else os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def weights() -> Lines:
    """The project's own, by checksum, and the published ones in the cache of huggingface_hub."""
    sums = dict(line.split()[::-1] for line in (WEIGHTS / SUMS).read_text(encoding="utf-8").splitlines())
    bad = [name for name, known in sums.items() if not (WEIGHTS / name).is_file() or _sha256(WEIGHTS / name) != known]
    for name in bad:
        yield False, f"weights {name} are missing or damaged; git checkout {(WEIGHTS / name).relative_to(ROOT)}"
    if not bad:
        yield True, f"weights: {len(sums)} files of the project, each as it was shipped"
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub")) / "models--mathpluscode--CineMA"
    cached = sorted(cache.glob("snapshots/*/*/**/*.safetensors"))
    for path in cached:
        stored = path.resolve()
        if len(stored.name) == 64 and _sha256(stored) != stored.name:
            yield False, f"published weights {path.name} are damaged; delete {stored} and fetch them again"
    yield None, f"published weights: {len(cached)} files in the cache"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def data_sets() -> Lines:
    """Prepared ones."""
    folder = data_folder()
    found = {card.stem: len(list((folder / card.stem).glob("*.h5"))) for card in sorted(CARDS.glob("*.yaml"))}
    told = ", ".join(f"{name} ({count} studies)" for name, count in found.items() if count)
    for name in found:
        if found[name] and not (folder / name / "prepared.json").is_file():
            yield False, f"{folder / name} was never finished; python3 -m cinema prepare {name} RAW"
    yield None, f"data sets in {folder}: {told or 'none prepared; the virtual cohort needs none'}"


def kernel() -> Lines:
    """What runs the notebooks."""
    lacking = [name for name in ("ipykernel", "papermill", "jupyterlab") if _version(name) == "not there"]
    if not lacking:
        yield True, f"notebooks: kernel of {sys.executable}; python3 -m cinema lab opens them"


CHECKS = (python, packages, device, room, weights, data_sets, kernel)
