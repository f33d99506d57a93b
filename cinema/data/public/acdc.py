"""ACDC: short-axis cines of 150 patients in five classes, ED and ES labelled (CC BY-NC-SA 4.0).

Source, layout, split and differences from the release: cinema/shipped/cards/acdc.yaml.
"""

from pathlib import Path

import numpy as np

from cinema.data.labels import label_map, read_labels, ventricle_volumes
from cinema.data.nifti import check_grid, volume
from cinema.data.public.cards import card
from cinema.data.public.common import Skipped, Subject, absent, check_heart
from cinema.data.study import Study, View

NAME = "acdc"
PARTS = {"training": "train", "testing": "test"}
KEYS = ("ED", "ES", "Group", "Height", "NbFrame", "Weight")
VALIDATION_A_CLASS = 2


def subjects(raw):
    """Every patient of RAW/database with a sound Info.cfg and all files; the others with the reason."""
    root = Path(raw) / "database"
    if not any((root / part).is_dir() for part in PARTS):
        raise FileNotFoundError(f"{root} holds no training and no testing folder; name the folder that holds database")
    folders = [folder for part in PARTS for folder in sorted((root / part).glob("patient*")) if folder.is_dir()]
    names = [folder.name for folder in folders]
    infos = {folder: _info(folder / "Info.cfg") for folder in folders}
    validation = validation_members(
        {
            folder.name: info["Group"]
            for folder, info in infos.items()
            if folder.parent.name == "training" and "Group" in info
        }
    )
    found, skipped = [], []
    for folder, info in infos.items():
        try:
            if names.count(folder.name) > 1:
                raise ValueError(f"{folder.name} is in training and in testing; keep the one that belongs there")
            split = PARTS[folder.parent.name]
            found.append(_subject(folder, info, "val" if folder.name in validation else split))
        except (ValueError, OSError) as error:
            skipped.append(Skipped(folder.name, str(error)))
    return found, skipped


def validation_members(groups):
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


def _info(path):
    """The "key: value" lines of Info.cfg; empty if there is none."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {key.strip(): value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}


def _subject(folder, info, split):
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
    frames = [folder / f"{folder.name}_frame{number:02d}.nii.gz" for number in (ed, es)]
    masks = [path.with_name(path.name.replace(".nii.gz", "_gt.nii.gz")) for path in frames]
    paths = (folder / f"{folder.name}_4d.nii.gz", *frames, *masks)
    reason = absent(paths)
    if reason:
        raise FileNotFoundError(reason)
    attributes = {
        "disease": info["Group"],
        "height_cm": height_cm,
        "weight_kg": weight_kg,
        "bmi_kg_m2": weight_kg / (height_cm / 100) ** 2,
    }
    return Subject(folder.name, split, paths, attributes, {"ed": ed, "es": es})


def _positive(path, info, key):
    try:
        value = float(info[key])
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"{path.name}: {key} is {info[key]!r}; it must be a positive number")
    return value


def read(subject):
    """The cine with labels at ED and ES. The frame files, on which the labels were drawn, give these frames and
    the place in space."""
    cine, *frames, ed_mask, es_mask = subject.files
    image, _ = volume(cine)
    if image.ndim != 4:
        raise ValueError(f"{cine.name} has shape {image.shape}; it must be (x, y, z, t)")
    where = [subject.details[phase] - 1 for phase in ("ed", "es")]  # counted from 1 in file names and Info.cfg
    if max(where) >= image.shape[3]:
        raise ValueError(f"{cine.name} has {image.shape[3]} frames; Info.cfg names frame {max(where) + 1}")
    mapping, stills, labels = label_map(card(NAME)), [], []
    for frame, mask in zip(frames, (ed_mask, es_mask), strict=True):
        stills.append(volume(frame))
        check_grid(*stills[-1], stills[0], frame.name)
        if stills[-1][0].shape != image.shape[:3]:
            raise ValueError(f"{frame.name} has shape {stills[-1][0].shape}, the cine {image.shape}; they must agree")
        labels.append(read_labels(mask, mapping, stills[-1]))
        check_heart(labels[-1], mask.name)
    image = np.array(image, np.result_type(image, *(still for still, _ in stills)))
    for index, (still, _) in zip(where, stills, strict=True):
        image[..., index] = still
    order = np.argsort(where)
    view = View(image, stills[0][1], np.stack([labels[i] for i in order], axis=-1), tuple(where[i] for i in order))
    volumes = ventricle_volumes(*labels, view.spacing_mm)
    return Study(subject.id, NAME, {"sax": view}, subject.attributes | volumes, ed_frame=where[0], es_frame=where[1])
