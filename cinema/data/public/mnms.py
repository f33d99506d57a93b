"""M&Ms: short-axis cines from several vendors and hospitals, ED and ES labelled.

Source, licence, layout, split and differences from the release: cinema/shipped/cards/mnms.yaml.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from cinema.data.labels import label_map, read_labels, ventricle_volumes
from cinema.data.nifti import volume
from cinema.data.public.cards import card
from cinema.data.public.common import Skipped, Subject, absent, check_heart, known, read_table
from cinema.data.study import Study, View

NAME = "mnms"
TABLE = "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv"
FOLDERS = {"Training/Labeled": "train", "Validation": "val", "Testing": "test"}
UNLABELLED = "Training/Unlabeled"
COLUMNS = {
    "VendorName": "vendor",
    "Centre": "site",
    "Pathology": "disease",
    "Sex": "sex",
    "Age": "age_years",
    "Height": "height_cm",
    "Weight": "weight_kg",
}
NUMBERS = ("age_years", "height_cm", "weight_kg")


def subjects(raw):
    """Every code of the table with both files; the others, and folders without a row, with the reason."""
    root = Path(raw) / "OpenDataset"
    if not root.is_dir():
        raise FileNotFoundError(f"{root} does not exist; name the folder that holds OpenDataset")
    table = read_table(root / TABLE, ("External code", "ED", "ES", *COLUMNS), dtype=str, keep_default_na=False)
    table = table[table["External code"] != ""].sort_values("External code")
    homes = {}
    for place in FOLDERS:
        for folder in sorted((root / place).glob("*")):
            if folder.is_dir():
                homes.setdefault(folder.name, []).append(folder)
    found, skipped = [], []
    for code, rows in table.groupby("External code"):
        try:
            found.append(_subject(root, code, rows, homes.get(code, [])))
        except (ValueError, OSError) as error:
            skipped.append(Skipped(code, str(error)))
    skipped += [
        Skipped(code, f"no row in {TABLE}; ED, ES and vendor are unknown")
        for code in sorted(set(homes) - set(table["External code"]))
    ]
    return found, skipped


def _subject(root, code, rows, homes):
    if len(rows) > 1:
        raise ValueError(f"{code} has {len(rows)} rows in {TABLE}; keep the right one")
    if len(homes) > 1:
        places = " and ".join(str(home.parent.relative_to(root)) for home in homes)
        raise ValueError(f"{code} is in {places}; keep the one that belongs there")
    if not homes:
        raise FileNotFoundError(
            "among the unlabelled, which are not used"
            if (root / UNLABELLED / code).is_dir()
            else f"{code} is in none of {', '.join(FOLDERS)}"
        )
    row, home = rows.iloc[0], homes[0]
    paths = (home / f"{code}_sa.nii.gz", home / f"{code}_sa_gt.nii.gz")
    reason = absent(paths)
    if reason:
        raise FileNotFoundError(reason)
    details = {"ed": _frame(row, "ED"), "es": _frame(row, "ES")}
    if details["ed"] == details["es"]:
        raise ValueError(f"ED and ES are both frame {details['ed']} in {TABLE}; they must differ")
    attributes = {ours: row[theirs] for theirs, ours in COLUMNS.items()}
    attributes |= {name: float(pd.to_numeric(attributes[name], errors="coerce")) for name in NUMBERS}
    height_m = attributes["height_cm"] / 100
    attributes["bmi_kg_m2"] = attributes["weight_kg"] / height_m**2 if height_m > 0 else float("nan")
    return Subject(code, FOLDERS[home.parent.relative_to(root).as_posix()], paths, known(attributes), details)


def _frame(row, phase):
    value = float(pd.to_numeric(row[phase], errors="coerce"))
    if not (value >= 0 and value.is_integer()):
        raise ValueError(f"{phase} is {row[phase]!r} in {TABLE}; it must be a frame number, counted from 0")
    return int(value)


def _labels(subject, image, affine):
    """Labels (x, y, z, 2) at ED and ES; frames of a table that the cine lacks or that hold no LV are refused."""
    where, mask = (subject.details["ed"], subject.details["es"]), subject.files[1]
    if image.ndim != 4 or max(where) >= image.shape[3]:
        raise ValueError(
            f"{subject.files[0].name} has shape {image.shape}; it must be (x, y, z, t) with the frames "
            f"ED {where[0]} and ES {where[1]} of the table"
        )
    labels = read_labels(mask, label_map(card(NAME)), (image, affine))
    if labels.shape != image.shape:
        raise ValueError(f"{mask.name} has shape {labels.shape}; it must have that of its image, {image.shape}")
    for phase, frame in zip(("ED", "ES"), where, strict=True):
        check_heart(labels[..., frame], f"{mask.name}, {phase} = frame {frame},")
    return labels[..., list(where)]


def read(subject):
    """The cine with labels at ED and ES."""
    image, affine = volume(subject.files[0])
    labels, where = _labels(subject, image, affine), (subject.details["ed"], subject.details["es"])
    order = np.argsort(where)
    view = View(image, affine, labels[..., order], tuple(where[i] for i in order))
    volumes = ventricle_volumes(labels[..., 0], labels[..., 1], view.spacing_mm)
    return Study(subject.id, NAME, {"sax": view}, subject.attributes | volumes, ed_frame=where[0], es_frame=where[1])
