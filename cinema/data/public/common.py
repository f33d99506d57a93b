"""What every adapter of a public dataset gives: which examinations a raw folder holds, and each of them as a Study.

An adapter is one file, cinema/datasets/NAME.py, with two functions:

    subjects(raw) -> (list of Subject, list of Skipped)   from file names and tables alone, no pixels
    read(subject) -> study.Study                          on the scanner's own grid, labels as terms has them

and, where the published grid of the dataset is not terms.PUBLISHED_GRID, GRID: view -> (size, spacing_mm).

`read` raises ValueError or OSError, in one line, for what is wrong with a subject; prepare then skips it
and says why. Nothing is ever written into the raw folder. What is known of a dataset beside its files (source, licence,
label map, classes, counts ..) is its card: cinema/shipped/cards/NAME.yaml, read by cinema.data.public.cards.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from cinema.terms import LABELS


@dataclass(frozen=True)
class Subject:
    """One examination of a raw folder, before anything of it is read.

    id:         name of the study; unique in the dataset, letters, digits, - and _ only.
    split:      "train", "val" or "test" by the published rule; "" where the dataset has no split.
    files:      every raw file that `read` opens, the images first. Their names, sizes and times tell whether the
                subject has to be read again.
    attributes: what the dataset's tables say of person and scan, by the names of the virtual cohort (age_years, sex
                "F" or "M", height_cm, weight_kg, bmi_kg_m2, vendor, scanner, site, field_t, disease ..).
    details:    whatever else `read` needs (frame numbers, members of an archive ..).
    """

    id: str
    split: str
    files: tuple
    attributes: dict = field(default_factory=dict)
    details: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    """An examination that is left out, and why, in one line with the remedy where there is one."""

    id: str
    reason: str


def read_table(path: str | Path, columns, **settings) -> pd.DataFrame:
    """DataFrame of a CSV file that has at least `columns`; further arguments go to pandas.read_csv.

    Raises FileNotFoundError, and ValueError for an unreadable file or missing columns.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is missing in {path.parent.name or path.parent}; download it again")
    try:
        found = pd.read_csv(path, **settings)
    except (ValueError, OSError) as error:  # pandas' own errors and undecodable bytes are ValueErrors
        reason = " ".join(str(error).split())[:100]
        raise ValueError(f"{path.name} is no readable CSV table ({reason}); download it again") from None
    lacking = [column for column in columns if column not in found.columns]
    if lacking:
        raise ValueError(
            f"{path.name} lacks the columns {', '.join(map(str, lacking))}; it has {', '.join(map(str, found.columns))}"
        )
    return found


def absent(paths) -> str | None:
    """One line that names the first of `paths` that is no file; None if all are there."""
    missing = [path for path in paths if not path.is_file()]
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    if not missing:
        return None
    return f"{missing[0].name} is missing{more} in {missing[0].parent.name}; unpack the archive again"


def known(attributes: dict) -> dict:
    """Without what the tables leave open: NaN and empty text."""
    return {
        name: value
        for name, value in attributes.items()
        if value != "" and not (isinstance(value, float) and math.isnan(value))
    }


def check_heart(labels: np.ndarray, name: str) -> None:
    """ValueError unless the (x, y, z) label volume holds a left ventricle."""
    if not (labels == LABELS["LV"]).any():
        raise ValueError(f"{name} has no LV; without it there is no volume and no centre. Is it the right frame?")
