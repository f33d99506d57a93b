"""What the authors published on Hugging Face, and how a file of it is found: in a folder, the cache, or online.

Standard library only, but for the download itself.
"""

import errno
import hashlib
import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import getproxies

from cinema.terms import VIEWS, unknown

REPOSITORY = "mathpluscode/CineMA"  # on huggingface.co
PRETRAINED = "pretrained/cinema.safetensors"
PUBLISHED = {  # task -> names; three seeds each, method section 9
    "segmentation": ("acdc_sax", "mnms_sax", "mnms2_sax", "mnms2_lax_4c"),
    "classification_cvd": ("acdc_sax", "mnms_sax", "mnms2_sax", "mnms2_lax_4c"),
    "classification_sex": ("mnms_sax",),
    "classification_vendor": ("mnms2_sax", "mnms2_lax_4c"),
    "regression_ef": ("acdc_sax", "mnms_sax", "mnms2_sax", "mnms2_lax_4c"),
    "regression_bmi": ("acdc_sax",),
    "regression_age": ("mnms_sax",),
    "landmark_heatmap": ("lax_2c", "lax_4c"),
    "landmark_coordinate": ("lax_2c", "lax_4c"),
}
# Of every experiment, those whose weights were not published too: name -> (data set, views)
NAMES: dict[str, tuple[str, tuple[str, ...]]] = {
    f"{name}_sax": (name, ("sax",)) for name in ("acdc", "mnms", "mnms2", "rescan", "emidec", "kaggle")
}
NAMES |= {f"{name}_lax_4c": (name, ("lax_4c",)) for name in ("mnms2", "rescan")}
NAMES |= {view: ("landmark", (view,)) for view in ("lax_2c", "lax_4c")}
NAMES |= {"myops2020_sax": ("myops", ("sax",)), "ukb": ("ukb", VIEWS)}
_UNSHARED = ("rescan_sax", "rescan_lax_4c", "emidec_sax", "myops2020_sax", "kaggle_sax")  # trained, not published
# task -> names
TASKS = PUBLISHED | {"segmentation": (*PUBLISHED["segmentation"], *_UNSHARED), "pretraining": ("ukb",)}
SHORT = {"classification": "classification_cvd", "regression": "regression_ef", "landmark": "landmark_heatmap"}
DENSE = ("segmentation", "landmark_heatmap")  # tasks whose result is an image
MODELS = ("cinema", "scratch", "unet", "resnet")  # "unet" for DENSE, "resnet" for the others; pretraining: "cinema"
WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
REVISION = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w.-]+))?")  # OWNER/NAME, or OWNER/NAME@REVISION
ONE_MODEL = re.compile(r"(..+):([a-z_]+)/([\w.-]+)(?::(\d+))?")  # SOURCE:task/name or SOURCE:task/name:seed
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


def resolve(task: str, name: str, model: str = "cinema") -> tuple[str, str]:
    """Task and name of an experiment in full; both may be short, as in classification acdc or landmark lax_2c.

    ValueError naming the choices for anything unknown, and for one of MODELS that the task has not.
    """
    task = SHORT.get(task, task)
    if task not in TASKS:
        raise ValueError(f"task {unknown(task, TASKS)}")
    known = {one: one for one in TASKS[task]}
    known |= {NAMES[one][0]: one for one in reversed(TASKS[task]) if NAMES[one][0] not in known}  # the first counts
    if name not in known:
        raise ValueError(f"{task}: name {unknown(name, known)}")
    fitting = [one for one in MODELS if one != ("resnet" if task in DENSE else "unet")]
    fitting = fitting[:1] if task == "pretraining" else fitting
    if model not in fitting:
        raise ValueError(f"{task}: model {unknown(model, fitting)}")
    return task, known[name]


def finetuned_file(task: str | None, name: str | None, seed: int = 0, any_name: bool = False) -> str:
    """Path of a fine-tuned file within a repository; ValueError if it is not published (unless any_name)."""
    names = PUBLISHED.get(task or "")
    if names is None:
        raise ValueError(f"task is {task!r}; choose one of {', '.join(PUBLISHED)}")
    if name not in names and (name is None or not any_name):
        raise ValueError(f"name is {name!r}; published for {task} are {', '.join(names)}")
    if not any_name and seed not in (0, 1, 2):
        raise ValueError(f"seed is {seed}; published are 0, 1 and 2")
    return f"finetuned/{task}/{name}/{name}_{seed}.safetensors"


def finetuned_path(source: str | Path, task: str | None, name: str | None, seed: int = 0) -> Path:
    """Local path of a fine-tuned file: `source` itself, or that file of a folder or repository (`fetch`)."""
    path = Path(source)
    return path if path.is_file() else fetch(source, finetuned_file(task, name, seed, any_name=path.is_dir()))


def fetch(source: str | Path, file: str) -> Path:
    """Local path of `file` of a repository or folder, its config.yaml beside it.

    source: a folder laid out like the repository, or a Hugging Face repository, OWNER/NAME or OWNER/NAME@REVISION,
            whose files are cached once fetched: both of one revision, whose name for the weights, their sha256, is
            checked. Raises FileNotFoundError naming the files, their address and the place to put them, ValueError for
            a file that is not what its name says.
    """
    path, config = Path(source), Path(file).with_name("config.yaml").as_posix()
    if path.is_dir():
        lacking = [name for name in (file, config) if not (path / name).is_file()]
        if lacking:
            raise FileNotFoundError(
                f"{path} lacks {' and '.join(lacking)}; fetch {_address(REPOSITORY, lacking)} and put it there"
            )
        return path / file
    named = REVISION.fullmatch(str(source))
    if (doubt := doubt_of_source(source)) or not named:
        raise FileNotFoundError(doubt or f"{source} is no folder of weights")
    repository, revision = named.groups()
    try:
        path = _download(repository, revision, (config, file))
    except Exception as error:  # offline or blocked: the remedy is the same
        if getattr(error, "errno", None) in OF_THE_DISK:
            raise
        if getattr(error, "response", None) is not None:
            raise FileNotFoundError(
                f"huggingface.co has no {file} in {source} that it gives to anyone; check the name, or fetch "
                f"{REPOSITORY} instead"
            ) from None
        raise FileNotFoundError(
            f"huggingface.co gave nothing ({type(error).__name__}); fetch "
            f"{_address(repository, (file, config), revision)}, put both in FOLDER/{Path(file).parent.as_posix()}/ and "
            f"give FOLDER as source"
        ) from None
    _check_sum(path)
    return path


def doubt_of_source(source: str | Path) -> str | None:
    """What is wrong with a source that is neither on this disk nor a repository's name, :task/name behind it or not."""
    one = ONE_MODEL.fullmatch(str(source))
    for text in (str(source), one[1] if one else ""):
        if os.path.exists(text) or (REVISION.fullmatch(text) and Path(text).suffix not in WEIGHT_SUFFIXES):
            return None
    return (
        f"{source} does not exist; give a weights file, a folder laid out like https://huggingface.co/{REPOSITORY}, or "
        f"the name of such a repository"
    )


def _address(repository: str, files: Sequence[str], revision: str | None = None) -> str:
    return " and ".join(f"https://huggingface.co/{repository}/resolve/{revision or 'main'}/{file}" for file in files)


def _download(repository: str, revision: str | None, files: Sequence[str]) -> Path:
    """Local path of the last of `files`, all fetched or cached, and all of the revision of the first."""
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    for file in files:
        try:
            path = Path(hf_hub_download(repository, file, revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            if not getproxies():  # an unknown host is known at once; the client would retry for half a minute
                socket.getaddrinfo(urlparse(constants.ENDPOINT).hostname, 443)
            path = Path(hf_hub_download(repository, file, revision=revision))
        revision = path.parents[file.count("/")].name  # ../snapshots/REVISION/file
    return path


def _check_sum(path: Path) -> None:
    """ValueError unless a cached file is what it was named after: the sha256 that the repository keeps of it."""
    stored = path.resolve()
    if re.fullmatch("[0-9a-f]{64}", stored.name):  # small files are named otherwise, and on Windows some may be
        with open(stored, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != stored.name:
                raise ValueError(f"{path} is damaged: its sha256 is not the repository's; delete {stored}, fetch anew")
