"""ACDC: short-axis cines of 150 patients in five classes, ED and ES labelled (CC BY-NC-SA 4.0).

Source, layout, split and differences from the release: cinema/shipped/cards/acdc.yaml.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from cinema.data.nifti import volume
from cinema.data.public import common
from cinema.data.study import Study

NAME = "acdc"
PARTS = {"training": "train", "testing": "test"}
KEYS = ("ED", "ES", "Group", "Height", "NbFrame", "Weight")
VALIDATION_A_CLASS = 2


@common.sorted_out
def subjects(raw: Path) -> common.Cases:
    """Every patient of RAW/database with a sound Info.cfg, frames and masks; the others with the reason."""
    root = raw / "database"
    if not any((root / part).is_dir() for part in PARTS):
        raise FileNotFoundError(f"{root} holds no training and no testing folder; name the folder that holds database")
    folders = [folder for part in PARTS for folder in sorted((root / part).glob("patient*")) if folder.is_dir()]
    count = Counter(folder.name for folder in folders)
    infos = {folder: _info(folder / "Info.cfg") for folder in folders}
    training = {folder.name: info for folder, info in infos.items() if folder.parent.name == "training"}
    validation = validation_members({name: info["Group"] for name, info in training.items() if "Group" in info})
    for folder, info in infos.items():
        split = "val" if folder.name in validation else PARTS[folder.parent.name]
        if count[folder.name] > 1:
            reason = f"{folder.name} is in training and in testing; keep the one that belongs there"
            yield common.Skipped(folder.name, reason)
        else:
            yield common.attempt(folder.name, _subject, folder, info, split)


def validation_members(groups: dict[str, str]) -> list[str]:
    """The patients that validate: 2 of each class of training, drawn as pandas draws them.

    groups: patient -> class, of all training patients. Equals groupby("pathology").sample(n=2, random_state=0) of the
    table sorted by patient. Of classes with fewer than 4 patients half are drawn, so that training keeps the class.
    """
    rng, chosen = np.random.RandomState(0), []
    for group in sorted(set(groups.values())):
        members = sorted(patient for patient, one in groups.items() if one == group)
        count = min(VALIDATION_A_CLASS, len(members) // 2)
        chosen += [members[i] for i in rng.choice(len(members), count, replace=False)]
    return chosen


def _info(path: Path) -> dict[str, str]:
    """The "key: value" lines of Info.cfg; empty if there is none."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return {key.strip(): value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}


def _subject(folder: Path, info: dict[str, str], split: str) -> common.Subject:
    if not info:
        raise ValueError("Info.cfg is missing or empty; unpack the archive again")
    lacking = [key for key in KEYS if not info.get(key)]
    if lacking:
        raise ValueError(f"Info.cfg gives no {', '.join(lacking)}; it must have the lines {', '.join(KEYS)}")
    ed, es, count = (int(_positive(info, key)) for key in ("ED", "ES", "NbFrame"))
    size = common.body(*(_positive(info, key) for key in ("Height", "Weight")))
    if max(ed, es) > count or ed == es:
        raise ValueError(f"Info.cfg: ED {ed}, ES {es} of {count} frames; they must be two of 1 to NbFrame")
    stems = [f"{folder.name}_frame{number:02d}{kind}" for kind in ("", "_gt") for number in (ed, es)]
    paths = common.there(folder, stems)
    cine = common.nifti(folder, f"{folder.name}_4d")
    files = (*paths, cine) if cine.is_file() else paths
    return common.Subject(folder.name, split, files, {"disease": info["Group"]} | size, {"ed": ed, "es": es})


def _positive(info: dict[str, str], key: str) -> float:
    try:
        value = float(info[key])
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"Info.cfg: {key} is {info[key]!r}; it must be a positive number")
    return value


def notes(subjects: list[common.Subject]) -> list[str]:
    """What is to be said once of all subjects: how many have no cine."""
    without = sum(len(subject.files) == 4 for subject in subjects)
    text = f"{without} of {len(subjects)} patients have no cine: their studies hold two frames, ED and ES"
    return [text] if without else []


def read(subject: common.Subject) -> Study:
    """The cine with labels at ED and ES, or (without a cine) these two frames.

    The frame files, on which the labels were drawn, give these frames and the place in space.
    """
    image, affine, labels = common.labelled(NAME, subject.files[:2], subject.files[2:4])
    where = [0, 1]
    if len(subject.files) > 4:
        where = [subject.details[phase] - 1 for phase in ("ed", "es")]  # counted from 1 in file names and Info.cfg
        image = _with_stills(subject.files[4], image, where)
    return common.beating(subject, NAME, {"sax": common.with_labels(image, affine, labels, where)}, *where)


def _with_stills(path: Path, stills: np.ndarray, where: list[int]) -> np.ndarray:
    """The cine (x, y, z, t) with the two stills at the frames `where`."""
    image, _ = volume(path)
    if image.ndim != 4:
        raise ValueError(f"{path.name} has shape {image.shape}; it must be (x, y, z, t)")
    if max(where) >= image.shape[3]:
        raise ValueError(f"{path.name} has {image.shape[3]} frames; Info.cfg names frame {max(where) + 1}")
    if stills.shape[:3] != image.shape[:3]:
        raise ValueError(f"the frame files have shape {stills.shape[:3]}, {path.name} {image.shape}; they must agree")
    image = image.astype(np.result_type(image, stills))
    image[..., where] = stills
    return image
