"""M&Ms: short-axis cines from several vendors and hospitals, ED and ES labelled.

Source, licence, layout, split and differences from the release: cinema/shipped/cards/mnms.yaml.
"""

import re
from pathlib import Path

import pandas as pd

from cinema.data.labels import label_map, read_labels
from cinema.data.nifti import volume
from cinema.data.public.cards import card
from cinema.data.public.common import (
    Skipped,
    Subject,
    beating,
    check_heart,
    known,
    nifti,
    read_table,
    sorted_out,
    there,
    with_labels,
)
from cinema.data.study import Study

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
SPLIT_COLUMNS = ("split", "set", "subset")  # of tables that copies of the data set bring
NUMBERS = ("age_years", "height_cm", "weight_kg")


def subjects(raw: str | Path) -> tuple[list[Subject], list[Skipped]]:
    """Every code of the table with both files; the others, and folders without a row, with the reason.

    RAW/OpenDataset as delivered, or one flat folder of the table and CODE/ or the files themselves.
    """
    root = Path(raw) / "OpenDataset"
    root = root if root.is_dir() or not (Path(raw) / TABLE).is_file() else Path(raw)
    if not root.is_dir():
        raise FileNotFoundError(f"{root} does not exist; name the folder that holds OpenDataset")
    table = read_table(root / TABLE, ("External code", "ED", "ES", *COLUMNS), dtype=str, keep_default_na=False)
    table = table[table["External code"] != ""].sort_values("External code")
    homes = _homes(root)
    rows = table.groupby("External code")
    found, skipped = sorted_out(((code, (root, code, part, homes.get(code, []))) for code, part in rows), _subject)
    return found, skipped + [
        Skipped(code, f"no row in {TABLE}; ED, ES and vendor are unknown")
        for code in sorted(set(homes) - set(table["External code"]))
    ]


def notes(subjects: list[Subject]) -> list[str]:
    """What is to be said once of all subjects: how many have no split."""
    without = sum(not subject.split for subject in subjects)
    text = f"{without} of {len(subjects)} studies have no split: neither their folder nor the table tells it"
    return [text] * (without > 0)


def _homes(root: Path) -> dict[str, list[tuple[Path, str]]]:
    """Code -> folders that hold its files, and the split that each stands for; "" in a flat folder."""
    places = [(root / place, split) for place, split in FOLDERS.items() if (root / place).is_dir()]
    homes: dict[str, list[tuple[Path, str]]] = {}
    for place, split in places or [(root, "")]:
        for path in sorted(place.glob("*")):
            file = re.fullmatch(r"(\w+)_sa\.nii(\.gz)?", path.name)
            code, home = (path.name, path) if path.is_dir() else (file[1], place) if file else (None, place)
            if code and (home, split) not in homes.setdefault(code, []):
                homes[code].append((home, split))
    return homes


def _subject(root: Path, code: str, rows: pd.DataFrame, homes: list[tuple[Path, str]]) -> Subject:
    if len(rows) > 1:
        raise ValueError(f"{code} has {len(rows)} rows in {TABLE}; keep the right one")
    if len(homes) > 1:
        places = " and ".join(str(home.parent.relative_to(root)) for home, _ in homes)
        raise ValueError(f"{code} is in {places}; keep the one that belongs there")
    if not homes:
        raise FileNotFoundError(
            "among the unlabelled, which are not used"
            if (root / UNLABELLED / code).is_dir()
            else f"{code} is in none of {', '.join(FOLDERS)}"
        )
    row, (home, split) = rows.iloc[0], homes[0]
    paths = there([nifti(home, f"{code}_sa"), nifti(home, f"{code}_sa_gt")])
    for column in row.index if not split else ():
        if column.strip().lower() in SPLIT_COLUMNS:
            split = next((each for each in FOLDERS.values() if row[column].strip().lower().startswith(each)), "")
    details = {"ed": _frame(row, "ED"), "es": _frame(row, "ES")}
    if details["ed"] == details["es"]:
        raise ValueError(f"ED and ES are both frame {details['ed']} in {TABLE}; they must differ")
    attributes = {ours: row[theirs] for theirs, ours in COLUMNS.items()}
    attributes |= {name: float(pd.to_numeric(attributes[name], errors="coerce")) for name in NUMBERS}
    height_m = attributes["height_cm"] / 100
    attributes["bmi_kg_m2"] = attributes["weight_kg"] / height_m**2 if height_m > 0 else float("nan")
    return Subject(code, split, paths, known(attributes), details)


def _frame(row: pd.Series, phase: str) -> int:
    value = float(pd.to_numeric(row[phase], errors="coerce"))
    if not (value >= 0 and value.is_integer()):
        raise ValueError(f"{phase} is {row[phase]!r} in {TABLE}; it must be a frame number, counted from 0")
    return int(value)


def read(subject: Subject) -> Study:
    """The cine with labels at ED and ES; frames of a table that the cine lacks or that hold no LV are refused."""
    cine, mask = subject.files
    image, affine = volume(cine)
    where = subject.details["ed"], subject.details["es"]
    if image.ndim != 4 or max(where) >= image.shape[3]:
        raise ValueError(
            f"{cine.name} has shape {image.shape}; it must be (x, y, z, t) with the frames "
            f"ED {where[0]} and ES {where[1]} of the table"
        )
    labels = read_labels(mask, label_map(card(NAME)), (image, affine))
    if labels.shape != image.shape:
        raise ValueError(f"{mask.name} has shape {labels.shape}; it must have that of its image, {image.shape}")
    for phase, frame in zip(("ED", "ES"), where, strict=True):
        check_heart(labels[..., frame], f"{mask.name}, {phase} = frame {frame},")
    view = with_labels(image, affine, [labels[..., frame] for frame in where], where)
    return beating(subject, NAME, {"sax": view}, *where)
