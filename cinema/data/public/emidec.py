"""EMIDEC: late enhancement after infarction, 100 labelled cases. Source, licence, differences: its card.

RAW/emidec-dataset-1.0.1/ holds "Case XNNN.txt" and Case_XNNN/{Images,Contours}/Case_XNNN.nii.gz; X is N (normal) or P
(pathological). RAW may also be that folder itself.
"""

import re
import unicodedata
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cinema.data.public.common import Cases, Skipped, Subject, fifths, heart_of, nifti, sorted_out, still
from cinema.data.study import Study, View

NAME = "emidec"
FOLDER = "emidec-dataset-1.0.1"
GRID = {"sax": ((192, 192, 16), (1.458, 1.458, 10.0))}  # the published model's; others: terms.PUBLISHED_GRID
CASE = re.compile(r"Case[ _]([NP])(\d+)(.*)")
TOBACCO = {"1": "yes", "2": "no", "3": "former", "y": "yes", "n": "no", "f": "former"}
SEX = {"m": "M", "f": "F", "h": "M"}  # h: homme
YES_NO = {"y": True, "o": True, "n": False, "1": True, "0": False}
# Attribute -> how its key in the text files may begin, without accents, blanks and signs, and what the first letter of
# a value means; None: the value is a number.
FIELDS: dict[str, tuple[str, dict | None]] = {
    "sex": ("sex", SEX),
    "age_years": ("age", None),
    "tobacco": ("tobac|tabac", TOBACCO),
    "overweight": ("overweight|surpoids", YES_NO),
    "hypertension": ("arterialhypertension|hypertension|hta", YES_NO),
    "diabetes": ("diabet", YES_NO),
    "killip_max": ("killip", None),
    "lv_ef_percent": ("fevg|lvef|ejectionfraction", None),
}


@sorted_out
def subjects(raw: Path) -> Cases:
    """Cases with image, contour and text; the published split over all cases that the folder names."""
    root = raw / FOLDER if (raw / FOLDER).is_dir() else raw
    cases: dict[tuple[str, int], set[str]] = {}
    for name in sorted(path.name for path in root.glob("*")):
        match = CASE.fullmatch(name.removesuffix(".txt"))
        if match is None:
            continue
        case = f"Case_{match[1]}{match[2]}"
        if match[3] or name not in (case, case.replace("_", " ") + ".txt"):
            yield Skipped(name, f"looks like another copy of {case}; remove or rename one of them")
        else:
            cases.setdefault((match[1], int(match[2])), set()).add(case)
    if not cases:
        raise FileNotFoundError(f"{raw} holds no {FOLDER}/Case_XNNN; name the folder that holds {FOLDER}")
    split = splits(sorted(cases))
    for key, spellings in sorted(cases.items(), key=lambda item: (item[0][1], item[0][0])):
        case = min(spellings)
        image, contour = (nifti(root / case / part, case) for part in ("Images", "Contours"))
        paths = (image, contour, root / f"{case.replace('_', ' ')}.txt")
        lacking = [path.relative_to(root) for path in paths if not path.is_file()]
        if len(spellings) > 1:
            yield Skipped(case, f"numbered twice: {', '.join(sorted(spellings))}; remove one of them")
        elif lacking:
            yield Skipped(case, f"{lacking[0]} is missing; unpack the archive again")
        else:
            yield Subject(case, split[key], paths, attributes(paths[2]) | {"disease": key[0]})


def splits(keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """{(letter, number): split}: per letter, sorted by number, in fifths."""
    return {key: split for letter in "NP" for key, split in fifths(sorted(k for k in keys if k[0] == letter)).items()}


def attributes(path: str | Path) -> dict[str, Any]:
    """What a case's "key : value" lines say; what they do not say, or not clearly, is left out."""
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
        key = re.sub("[^a-z0-9]", "", unicodedata.normalize("NFKD", key).lower())
        name = next((name for name, (start, _) in FIELDS.items() if re.match(start, key)), None)
        if name and value.strip():
            said.setdefault(name, value.strip())
    found = {}
    for name, (_, words) in FIELDS.items():
        value = said.get(name, "")
        found[name] = _number(value) if words is None else words.get(value[:1].lower())
    return {name: value for name, value in found.items() if value is not None}


def _number(value: str) -> float | None:
    try:
        return float(value.replace(",", "."))
    except ValueError:
        return None


def read(subject: Subject) -> Study:
    """The Study of a case: one frame, its mask with scar and no-reflow."""
    image, mask, _ = subject.files
    pixels, affine = still(image)
    labels = heart_of(mask, (pixels, affine), NAME, f"Contours/{mask.name}")
    view = View(pixels[..., None], affine, labels[..., None], (0,))
    return Study(subject.id, NAME, {"sax": view}, subject.attributes)
