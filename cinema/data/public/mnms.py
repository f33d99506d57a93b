"""M&Ms: short-axis cines from several vendors and hospitals, ED and ES labelled.

Source, licence, layout, split and differences from the release: cinema/shipped/cards/mnms.yaml.
"""

import re
from pathlib import Path

import pandas as pd

from cinema.data.labels import label_map, read_labels
from cinema.data.nifti import volume
from cinema.data.public import common
from cinema.data.public.cards import card
from cinema.data.study import Study

NAME = "mnms"
TABLE = "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv"
FOLDERS = {"Training/Labeled": "train", "Validation": "val", "Testing": "test"}
UNLABELLED = "Training/Unlabeled"
COLUMNS = {"VendorName": "vendor", "Centre": "site", "Pathology": "disease", "Sex": "sex"}
NUMBERS = ("Age", "Height", "Weight")
EMPTY = ("", "nan", "NaN", "N/A", "NA")
SPLIT_COLUMNS = ("split", "set", "subset")  # of tables that copies of the data set bring


@common.sorted_out
def subjects(raw: Path) -> common.Cases:
    """Every code of the table with both files; the others, and folders without a row, with the reason.

    RAW/OpenDataset as delivered, or one flat folder of the table and CODE/ or the files themselves.
    """
    root = raw / "OpenDataset"
    root = root if root.is_dir() or not (raw / TABLE).is_file() else raw
    if not root.is_dir():
        raise FileNotFoundError(f"{root} does not exist; name the folder that holds OpenDataset")
    columns = ("External code", "ED", "ES", *COLUMNS, *NUMBERS)
    table = common.read_table(root / TABLE, columns, dtype=str, keep_default_na=False)
    rows = dict(iter(table[table["External code"] != ""].groupby("External code")))
    homes = _homes(root)
    for code in [*rows, *sorted(set(homes) - set(rows))]:
        yield common.attempt(code, _subject, root, code, rows.get(code), homes.get(code, []))


def notes(subjects: list[common.Subject]) -> list[str]:
    """What is to be said once of all subjects: how many have no split, and which cells of the table are no numbers."""
    without = sum(not subject.split for subject in subjects)
    text = f"{without} of {len(subjects)} studies have no split: neither their folder nor the table tells it"
    odd = [f"{subject.id} {cell}" for subject in subjects for cell in subject.details["no_numbers"]]
    more = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
    return [text] * (without > 0) + [f"no numbers in {TABLE}, left out: {', '.join(odd[:3])}{more}"] * bool(odd)


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


def _subject(root: Path, code: str, rows: pd.DataFrame | None, homes: list[tuple[Path, str]]) -> common.Subject:
    if rows is None:
        raise ValueError(f"no row in {TABLE}; ED, ES and vendor are unknown: fetch the table again")
    if len(rows) > 1:
        raise ValueError(f"{code} has {len(rows)} rows in {TABLE}; keep the right one")
    if len(homes) > 1:
        places = " and ".join(str(home.parent.relative_to(root)) for home, _ in homes)
        raise ValueError(f"{code} is in {places}; keep the one that belongs there")
    if not homes:
        unlabelled = (root / UNLABELLED / code).is_dir()
        nowhere = f"{code} is in none of {', '.join(FOLDERS)}; unpack the archive again"
        raise ValueError("among the unlabelled, which are not used" if unlabelled else nowhere)
    row, (home, split) = rows.iloc[0], homes[0]
    paths = common.there(home, (f"{code}_sa", f"{code}_sa_gt"))
    for column in row.index if not split else ():
        if column.strip().lower() in SPLIT_COLUMNS:
            split = next((each for each in FOLDERS.values() if row[column].strip().lower().startswith(each)), "")
    ed, es = (_frame(row, phase) for phase in ("ED", "ES"))
    if ed == es:
        raise ValueError(f"ED and ES are both frame {ed} in {TABLE}; they must differ")
    numbers = [float(pd.to_numeric(row[column], errors="coerce")) for column in NUMBERS]
    cells = zip(NUMBERS, row[list(NUMBERS)].str.strip(), numbers, strict=True)
    no_numbers = [f"{column} {cell!r}" for column, cell, number in cells if number != number and cell not in EMPTY]
    age, height, weight = numbers
    attributes = {ours: row[theirs] for theirs, ours in COLUMNS.items()}
    attributes |= {"age_years": age} | common.body(height, weight)
    return common.Subject(code, split, paths, common.known(attributes), {"ed": ed, "es": es, "no_numbers": no_numbers})


def _frame(row: pd.Series, phase: str) -> int:
    value = float(pd.to_numeric(row[phase], errors="coerce"))
    if not (value >= 0 and value.is_integer()):
        raise ValueError(f"{phase} is {row[phase]!r} in {TABLE}; it must be a frame number, counted from 0")
    return int(value)


def read(subject: common.Subject) -> Study:
    """The cine with labels at ED and ES; frames of a table that the cine lacks or that hold no LV are refused."""
    cine, mask = subject.files
    image, affine = volume(cine)
    where = subject.details["ed"], subject.details["es"]
    if image.ndim != 4 or max(where) >= image.shape[3]:
        wanted = f"(x, y, z, t) with the frames ED {where[0]} and ES {where[1]} of the table"
        raise ValueError(f"{cine.name} has shape {image.shape}; it must be {wanted}")
    labels = read_labels(mask, label_map(card(NAME)), (image, affine))
    if labels.shape != image.shape:
        raise ValueError(f"{mask.name} has shape {labels.shape}; it must have that of its image, {image.shape}")
    for phase, frame in zip(("ED", "ES"), where, strict=True):
        common.check_heart(labels[..., frame], f"{mask.name}, {phase} = frame {frame},")
    view = common.with_labels(image, affine, [labels[..., frame] for frame in where], where)
    return common.beating(subject, NAME, {"sax": view}, *where)
