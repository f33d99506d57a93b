"""What every adapter of a public dataset gives: which examinations a raw folder holds, and each of them as a Study.

An adapter is one file, cinema/datasets/NAME.py, with three functions:

    subjects(raw) -> (list of Subject, list of Skipped)   from file names and tables alone, no pixels
    read(subject) -> study.Study                          on the scanner's own grid, labels as terms has them
    release(subject) -> Release                           the arrays and the table row that the authors' release writes

and, where the published grid of the dataset is not terms.PUBLISHED_GRID, GRID: view -> (size, spacing_mm).

`read` and `release` raise ValueError or OSError, in one line, for what is wrong with a subject; prepare then skips it
and says why. Nothing is ever written into the raw folder. What is known of a dataset beside its files (source, licence,
label map, classes, counts ..) is its card: data/cards/NAME.yaml, read by cinema.datasets.cards.
"""

from dataclasses import dataclass, field


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


@dataclass(frozen=True)
class Release:
    """What the authors' release writes for one subject (data.md).

    folder: below the output folder, such as "train/patient001".
    images: file name without ".nii.gz" -> SimpleITK image; a name ending in ".png" -> (rows, columns) uint8 array.
    row:    of the split's metadata table: column -> value.
    tables: table name without ".csv" -> row, where the release writes other tables than <split>_metadata; empty: `row`
            goes there.
    """

    folder: str
    images: dict
    row: dict
    tables: dict = field(default_factory=dict)
