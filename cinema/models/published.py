"""What the authors published on Hugging Face, and how a file of it is found: in a folder, the cache, or online."""

import re
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import getproxies

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
WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


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

    source: a folder laid out like the repository, or a Hugging Face repository, whose files are cached once fetched.
    Raises FileNotFoundError naming the files, their address and the place to put them.
    """
    path, config = Path(source), Path(file).with_name("config.yaml").as_posix()
    if path.is_dir():
        lacking = [name for name in (file, config) if not (path / name).is_file()]
        if lacking:
            raise FileNotFoundError(
                f"{path} lacks {' and '.join(lacking)}; fetch {_address(REPOSITORY, lacking)} and put it there"
            )
        return path / file
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)) or path.suffix in WEIGHT_SUFFIXES:
        raise FileNotFoundError(
            f"{source} does not exist; give a weights file, a folder laid out like "
            f"https://huggingface.co/{REPOSITORY}, or the name of such a repository"
        )
    try:
        return _download(str(source), (config, file))
    except Exception as error:  # offline, blocked, renamed: the remedy is the same
        raise FileNotFoundError(
            f"huggingface.co gave nothing ({type(error).__name__}); fetch {_address(str(source), (file, config))}, put "
            f"both in FOLDER/{Path(file).parent.as_posix()}/ and give FOLDER as source"
        ) from None


def _address(repository: str, files: Sequence[str]) -> str:
    return " and ".join(f"https://huggingface.co/{repository}/resolve/main/{file}" for file in files)


def _download(repository: str, files: Sequence[str]) -> Path:
    """Local path of the last of `files`, all fetched or cached."""
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path([hf_hub_download(repository, file, local_files_only=True) for file in files][-1])
    except LocalEntryNotFoundError:
        if not getproxies():  # an unknown host is known at once; the client would retry for half a minute
            socket.getaddrinfo(urlparse(constants.ENDPOINT).hostname, 443)
        return Path([hf_hub_download(repository, file) for file in files][-1])
