"""ACDC: short-axis cines of 150 patients in five classes, ED and ES labelled (CC BY-NC-SA 4.0).

Source, layout, split and differences from the release: cinema/shipped/cards/acdc.yaml.
"""

from pathlib import Path

import numpy as np

from cinema.data.nifti import volume
from cinema.data.public.common import Skipped, Subject, beating, labelled, nifti, sorted_out, there, with_labels
from cinema.data.study import Study

NAME = "acdc"
PARTS = {"training": "train", "testing": "test"}
KEYS = ("ED", "ES", "Group", "Height", "NbFrame", "Weight")
PHASES = ("ed", "es")
VALIDATION_A_CLASS = 2


def subjects(raw: str | Path) -> tuple[list[Subject], list[Skipped]]:
    """Every patient of RAW/database with a sound Info.cfg, frames and masks; the others with the reason."""
    root = Path(raw) / "database"
    if not any((root / part).is_dir() for part in PARTS):
        raise FileNotFoundError(f"{root} holds no training and no testing folder; name the folder that holds database")
    folders = [folder for part in PARTS for folder in sorted((root / part).glob("patient*")) if folder.is_dir()]
    names = [folder.name for folder in folders]
    infos = {folder: _info(folder / "Info.cfg") for folder in folders}
    groups = {
        folder.name: info["Group"]
        for folder, info in infos.items()
        if folder.parent.name == "training" and "Group" in info
    }
    validation = validation_members(groups)

    def subject(folder: Path, info: dict[str, str]) -> Subject:
        if names.count(folder.name) > 1:
            raise ValueError(f"{folder.name} is in training and in testing; keep the one that belongs there")
        return _subject(folder, info, "val" if folder.name in validation else PARTS[folder.parent.name])

    return sorted_out(((folder.name, (folder, info)) for folder, info in infos.items()), subject)


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
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {key.strip(): value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}


def _subject(folder: Path, info: dict[str, str], split: str) -> Subject:
    path = folder / "Info.cfg"
    lacking = [key for key in KEYS if not info.get(key)]
    if lacking:
        raise ValueError(
            f"{path.name} gives no {', '.join(lacking)}; it must have the lines {', '.join(KEYS)}"
            if info
            else f"{path.name} is missing or empty; unpack the archive again"
        )
    ed, es, count = (int(_positive(path, info, key)) for key in ("ED", "ES", "NbFrame"))
    height_cm, weight_kg = (_positive(path, info, key) for key in ("Height", "Weight"))
    if max(ed, es) > count or ed == es:
        raise ValueError(f"{path.name}: ED {ed}, ES {es} of {count} frames; they must be two of 1 to NbFrame")
    stems = [f"{folder.name}_frame{number:02d}" for number in (ed, es)]
    paths = there([nifti(folder, f"{stem}{kind}") for kind in ("", "_gt") for stem in stems])
    cine = nifti(folder, f"{folder.name}_4d")
    attributes = {
        "disease": info["Group"],
        "height_cm": height_cm,
        "weight_kg": weight_kg,
        "bmi_kg_m2": weight_kg / (height_cm / 100) ** 2,
    }
    return Subject(folder.name, split, (*paths, *[cine] * cine.is_file()), attributes, {"ed": ed, "es": es})


def notes(subjects: list[Subject]) -> list[str]:
    """What is to be said once of all subjects: how many have no cine."""
    without = sum(len(subject.files) == len(PHASES) * 2 for subject in subjects)
    return [f"{without} of {len(subjects)} patients have no cine: their studies hold two frames, ED and ES"] * (
        without > 0
    )


def _positive(path: Path, info: dict[str, str], key: str) -> float:
    try:
        value = float(info[key])
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"{path.name}: {key} is {info[key]!r}; it must be a positive number")
    return value


def read(subject: Subject) -> Study:
    """The cine with labels at ED and ES, or (without a cine) these two frames.

    The frame files, on which the labels were drawn, give these frames and the place in space.
    """
    stills, labels = labelled(NAME, subject.files[:2], subject.files[2:4])
    where, image = [0, 1], np.stack([one for one, _ in stills], axis=-1)
    if len(subject.files) > 4:
        where = [subject.details[phase] - 1 for phase in PHASES]  # counted from 1 in file names and Info.cfg
        image = _with_stills(subject.files[4], stills, where)
    return beating(subject, NAME, {"sax": with_labels(image, stills[0][1], labels, where)}, *where)


def _with_stills(path: Path, stills: list, where: list[int]) -> np.ndarray:
    """The cine (x, y, z, t) with the two stills at the frames `where`."""
    image, _ = volume(path)
    if image.ndim != 4:
        raise ValueError(f"{path.name} has shape {image.shape}; it must be (x, y, z, t)")
    if max(where) >= image.shape[3]:
        raise ValueError(f"{path.name} has {image.shape[3]} frames; Info.cfg names frame {max(where) + 1}")
    if stills[0][0].shape != image.shape[:3]:
        raise ValueError(f"the frame files have shape {stills[0][0].shape}, {path.name} {image.shape}; they must agree")
    image = np.array(image, np.result_type(image, *(still for still, _ in stills)))
    for index, (still, _) in zip(where, stills, strict=True):
        image[..., index] = still
    return image
