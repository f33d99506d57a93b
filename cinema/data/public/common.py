"""What every adapter of a public dataset gives: which examinations a raw folder holds, and each of them as a Study.

An adapter is one file, cinema/data/public/NAME.py, with two functions:

    subjects(raw) -> (list of Subject, list of Skipped)   from file names and tables alone, no pixels
    read(subject) -> study.Study                          on the scanner's own grid, labels as terms has them

It yields either as it goes, and the decorator sorted_out makes the two lists. Where the published grid of the dataset
is not terms.PUBLISHED_GRID, it has GRID: view -> (size, spacing_mm), and where something is to be said once of all
subjects, notes(subjects) -> list of lines.

`read` raises ValueError or OSError, in one line, for what is wrong with a subject; prepare then skips it
and says why. Nothing is ever written into the raw folder. What is known of a dataset beside its files (source, licence,
label map, classes, counts ..) is its card: cinema/shipped/cards/NAME.yaml, read by cinema.data.public.cards.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cinema import results
from cinema.data import slices
from cinema.data.frames import Frame
from cinema.data.labels import label_map, read_labels, ventricle_volumes
from cinema.data.nifti import check_grid, volume
from cinema.data.planes import Plane
from cinema.data.public.cards import card
from cinema.data.study import Study, View
from cinema.stats.metrics import ejection_fraction_percent
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
    files: tuple[Path, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    """An examination that is left out, and why, in one line with the remedy where there is one."""

    id: str
    reason: str


Cases = Iterator[Subject | Skipped]


def read_table(path: str | Path, columns: Iterable[str], **settings: Any) -> pd.DataFrame:
    """DataFrame of a CSV file that has at least `columns`; further arguments go to pandas.read_csv.

    Raises FileNotFoundError, and ValueError for an unreadable file or missing columns.
    """
    return results.read_table(path, columns, "download it again", least=0, name=Path(path).name, **settings)


def nifti(folder: Path, stem: str) -> Path:
    """FOLDER/STEM.nii.gz, or what copies of a data set have in its place: STEM.nii, or a folder STEM.nii that holds it.

    Where there is none, the first.
    """
    names = (f"{stem}.nii.gz", f"{stem}.nii", f"{stem}.nii/{stem}.nii")
    return next((folder / name for name in names if (folder / name).is_file()), folder / names[0])


def there(folder: Path, stems: Iterable[str]) -> tuple[Path, ...]:
    """`nifti` of each name; FileNotFoundError in one line names the first that is no file."""
    paths = tuple(nifti(folder, stem) for stem in stems)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        where = missing[0].parent.name
        raise FileNotFoundError(f"{missing[0].name} is missing{more} in {where}; unpack the archive again")
    return paths


def sorted_out(cases: Callable[[Path], Cases]) -> Callable[[str | Path], tuple]:
    """Decorator of an adapter's `subjects`, which yields both: its (subjects, skipped), each in that order."""

    @wraps(cases)
    def subjects(raw: str | Path) -> tuple[list[Subject], list[Skipped]]:
        found = list(cases(Path(raw)))
        return [one for one in found if isinstance(one, Subject)], [one for one in found if isinstance(one, Skipped)]

    return subjects


def attempt(name: str, subject: Callable[..., Subject], *arguments: Any) -> Subject | Skipped:
    """What `subject` makes of the arguments, or Skipped with the reason for whatever it raises."""
    try:
        return subject(*arguments)
    except Exception as error:
        return Skipped(name, why(error))


def why(error: Exception) -> str:
    """One line with a remedy: a ValueError's own words, ours for what else was raised."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, OSError) and error.errno:
        return f"{Path(error.filename or 'a file').name} cannot be read ({error.strerror}); copy it again"
    if text and isinstance(error, (ValueError, OSError)) and not isinstance(error, UnicodeError):
        return text
    return f"its files are damaged ({type(error).__name__} {text}); fetch them again"


def fifths(items: Iterable) -> dict:
    """{item: split}: shuffled by default_rng(0); a fifth each at the end for val and test."""
    ordered = list(items)
    np.random.default_rng(0).shuffle(ordered)
    part = int(0.2 * len(ordered))
    splits = ["train"] * (len(ordered) - 2 * part) + ["val"] * part + ["test"] * part
    return dict(zip(ordered, splits, strict=True))


def known(attributes: dict) -> dict:
    """Without what the tables leave open: NaN and empty text."""
    return {name: value for name, value in attributes.items() if value != "" and value == value}  # NaN differs from NaN


def body(height_cm: float, weight_kg: float) -> dict[str, float]:
    """Attributes height_cm, weight_kg, bmi_kg_m2; the last is NaN without a height."""
    bmi = weight_kg / (height_cm / 100) ** 2 if height_cm > 0 else math.nan
    return {"height_cm": height_cm, "weight_kg": weight_kg, "bmi_kg_m2": bmi}


def measured(edv_ml: float, esv_ml: float) -> dict[str, float]:
    """Attributes lv_edv_ml, lv_esv_ml, lv_ef_percent of volumes that readers measured, as far as they are numbers."""
    ef = float(ejection_fraction_percent(edv_ml, esv_ml)) if edv_ml > 0 else math.nan
    found = {"lv_edv_ml": float(edv_ml), "lv_esv_ml": float(esv_ml), "lv_ef_percent": ef}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def check_heart(labels: np.ndarray, name: str) -> None:
    """ValueError unless the (x, y, z) label volume holds a left ventricle."""
    if not (labels == LABELS["LV"]).any():
        raise ValueError(f"{name} has no LV; without it there is no volume and no centre. Is it the right frame?")


def still(path: Path, what: str = "one volume") -> tuple[np.ndarray, np.ndarray]:
    """(array (x, y, z), affine) of a NIfTI file of one frame; ValueError for one with frames in time."""
    image, affine = volume(path)
    if image.ndim != 3:
        raise ValueError(f"{path.name} has shape {image.shape}; it must be {what} (x, y, z)")
    return image, affine


def labelled(name: str, images: Sequence[Path], masks: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, list]:
    """((x, y, z, n) array, affine, label volumes) of stills of one grid and their masks, each of which holds an LV."""
    stills, labels, mapping = [still(path, "one frame") for path in images], [], label_map(card(name))
    for path, one in zip(images[1:], stills[1:], strict=True):
        check_grid(*one, stills[0], path.name)
    for mask, one in zip(masks, stills, strict=True):
        labels.append(read_labels(mask, mapping, one))
        check_heart(labels[-1], mask.name)
    return np.stack([image for image, _ in stills], axis=-1), stills[0][1], labels


def beating(subject: Subject, name: str, views: dict[str, View], ed: int, es: int) -> Study:
    """The Study with the ventricles' volumes at the frames ED and ES of the short axis."""
    sax = views["sax"]
    volumes = ventricle_volumes(sax.label_at(ed), sax.label_at(es), sax.spacing_mm)
    return Study(subject.id, name, views, subject.attributes | volumes, ed_frame=ed, es_frame=es)


def with_labels(image: np.ndarray, affine: np.ndarray, labels: Sequence[np.ndarray], frames: Sequence[int]) -> View:
    """The View of a cine whose label volumes are of these frames, sorted by frame."""
    order = np.argsort(frames)
    return View(image, affine, np.stack([labels[i] for i in order], axis=-1), tuple(int(frames[i]) for i in order))


def heart_of(mask: Path, like: tuple, name: str, said: str) -> np.ndarray:
    """The label volume of a late enhancement image; ValueError unless it outlines something on its grid."""
    labels = read_labels(mask, label_map(card(name)), like)
    if labels.shape != like[0].shape or not labels.any():
        raise ValueError(f"{said} of shape {labels.shape} holds no label; it must outline the heart")
    return labels


def cine_views(series: Mapping[str, Iterable[tuple[str, list[Frame]]]], notes: list[str]) -> dict[str, View]:
    """Views of DICOM pictures, view -> [(name of a folder or series, its pictures)] in order, "sax" among them.

    What is missing or set aside is added to notes. ValueError if there is no stack.
    """
    views: dict[str, View] = {}
    for view, parts in series.items():
        found: list[Plane] = []
        for rank, (name, pictures) in enumerate(parts):
            more, said = slices.planes(pictures, name, rank)
            found += more
            notes += said
        if found or view == "sax":
            views[view], said = slices.short_axis(found) if view == "sax" else slices.long_axis(found)
            notes += said
        else:
            notes.append(f"no usable {view[-2:].upper()} view")
    return views
