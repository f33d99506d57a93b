"""EMIDEC: late enhancement after infarction, 100 labelled cases. Source, licence, differences: its card.

RAW/emidec-dataset-1.0.1/ holds "Case XNNN.txt" and Case_XNNN/{Images,Contours}/Case_XNNN.nii.gz; X is N (normal) or P
(pathological). RAW may also be that folder itself.
"""

import re
import unicodedata
import warnings
from collections.abc import Iterable
from pathlib import Path

from cinema.data.public.common import Skipped, Subject, fifths, heart_of, nifti, still
from cinema.data.study import Study, View

NAME = "emidec"
FOLDER = "emidec-dataset-1.0.1"
GRID = {"sax": ((192, 192, 16), (1.458, 1.458, 10.0))}  # the published model's; others: terms.PUBLISHED_GRID
CASE = re.compile(r"Case[ _]([NP])(\d+)(.*)")
# What is read of a case's text -> how a key of the text files may begin, without accents, blanks and signs.
KEYS = {
    "sex": ("sex",),
    "age": ("age",),
    "tobacco": ("tobac", "tabac"),
    "overweight": ("overweight", "surpoids"),
    "arterial_hypertension": ("arterialhypertension", "hypertension", "hta"),
    "diabetes": ("diabet",),
    "killip_max": ("killip",),
    "ef": ("fevg", "lvef", "ejectionfraction"),
}
TOBACCO = {"1": "yes", "2": "no", "3": "former", "y": "yes", "n": "no", "f": "former"}
SEX = {"m": "M", "f": "F", "h": "M"}  # h: homme
YES_NO = {"y": True, "o": True, "n": False, "1": True, "0": False}


def subjects(raw: str | Path) -> tuple[list[Subject], list[Skipped]]:
    """Cases with image, contour and text; the published split over all cases that the folder names."""
    root = Path(raw) / FOLDER if (Path(raw) / FOLDER).is_dir() else Path(raw)
    names = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    cases: dict[tuple[str, int], set[str]] = {}
    skipped = []
    for name in names:
        match = CASE.fullmatch(name.removesuffix(".txt"))
        if match is None:
            continue
        case = f"Case_{match[1]}{match[2]}"
        if match[3] or name not in (case, case.replace("_", " ") + ".txt"):
            skipped.append(Skipped(name, f"looks like another copy of {case}; remove or rename one of them"))
        else:
            cases.setdefault((match[1], int(match[2])), set()).add(case)
    if not cases:
        raise FileNotFoundError(f"{raw} holds no {FOLDER}/Case_XNNN; name the folder that holds {FOLDER}")
    split, found = splits(sorted(cases)), []
    for key, spellings in sorted(cases.items(), key=lambda item: (item[0][1], item[0][0])):
        case = min(spellings)
        paths = (
            nifti(root / case / "Images", case),
            nifti(root / case / "Contours", case),
            root / f"{case.replace('_', ' ')}.txt",
        )
        lacking = [path.relative_to(root) for path in paths if not path.is_file()]
        if len(spellings) > 1:
            skipped.append(Skipped(case, f"numbered twice: {', '.join(sorted(spellings))}; remove one of them"))
        elif lacking:
            skipped.append(Skipped(case, f"{lacking[0]} is missing; unpack the archive again"))
        else:
            found.append(Subject(case, split[key], paths, _attributes(text(paths[2]), key[0])))
    return found, skipped


def splits(keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """{(letter, number): split}: per letter, sorted by number, in fifths."""
    return {key: split for letter in "NP" for key, split in fifths(sorted(k for k in keys if k[0] == letter)).items()}


def text(path: str | Path) -> dict[str, str]:
    """{column: value as written} of a case's "key : value" lines; unknown keys are left out."""
    raw = Path(path).read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a backslash before any other letter stays one
        try:
            content = raw.decode("unicode_escape")
        except UnicodeDecodeError:  # a lone backslash at the end, or a broken escape
            content = raw.decode("latin-1")
    said: dict[str, str] = {}
    for line in content.splitlines():
        key, _, value = line.partition(":")
        key = unicodedata.normalize("NFKD", key).lower()
        key = "".join(mark for mark in key if mark.isascii() and mark.isalnum())
        column = next((name for name, starts in KEYS.items() if key.startswith(starts)), None)
        if column and value.strip():
            said.setdefault(column, value.strip())
    return said


def _attributes(said: dict[str, str], kind: str) -> dict:
    """What the text says, by the names of the virtual cohort; what it does not say, or not clearly, is left out."""
    first = {column: value[0].lower() for column, value in said.items()}
    known = {
        "sex": SEX.get(first.get("sex", "")),
        "age_years": _number(said.get("age")),
        "tobacco": TOBACCO.get(first.get("tobacco", "")),
        "overweight": YES_NO.get(first.get("overweight", "")),
        "hypertension": YES_NO.get(first.get("arterial_hypertension", "")),
        "diabetes": YES_NO.get(first.get("diabetes", "")),
        "killip_max": _number(said.get("killip_max")),
        "lv_ef_percent": _number(said.get("ef")),
        "disease": kind,
    }
    return {name: value for name, value in known.items() if value is not None}


def _number(value: str | None) -> float | None:
    try:
        return float(str(value).replace(",", "."))
    except ValueError:
        return None


def read(subject: Subject) -> Study:
    """The Study of a case: one frame, its mask with scar and no-reflow."""
    image, mask, _ = subject.files
    pixels, affine = still(image)
    labels = heart_of(mask, (pixels, affine), NAME, f"Contours/{mask.name}")
    view = View(pixels[..., None], affine, labels[..., None], (0,))
    return Study(subject.id, NAME, {"sax": view}, subject.attributes)
