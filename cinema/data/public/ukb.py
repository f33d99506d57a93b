"""UK Biobank: cine of fields 20208 (long axis) and 20209 (short axis), read from the zip archives as delivered.

Source, fields to request and terms: its card. A participant's visit is one study, EID_INSTANCE; the eid is the number
that your application knows the participant by, nothing else of the person is kept.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from cinema.data.frames import Frame, picture
from cinema.data.public.archive import opened
from cinema.data.public.common import Cases, Skipped, Subject, cine_views, sorted_out
from cinema.data.study import Study

NAME = re.compile(r"(\d+)_(20208|20209)_(\d+)_(\d+)(\.zip)?", re.IGNORECASE)
FIELDS = {"20208": "long axis", "20209": "short axis"}
LAX = re.compile(r"CINE_segmented_LAX_([234])Ch\w*")
SAX = re.compile(r"CINE_segmented_SAX_b(\d+)\w*")
RESULTS = re.compile(r"Inline_?VF", re.IGNORECASE)  # the scanner's own drawings, not images
DATE = re.compile(r"\b([A-Z][a-z]{2}) (\d{1,2}), (\d{4})\b")


@sorted_out
def subjects(raw: Path) -> Cases:
    """One for each participant and visit of which both fields are there."""
    found: dict[tuple[int, int], dict[str, list[tuple[int, Path]]]] = {}
    for path in _deliveries(raw):
        eid, field, instance, array, _ = NAME.fullmatch(path.name).groups()  # type: ignore[union-attr]
        found.setdefault((int(eid), int(instance)), {}).setdefault(field, []).append((int(array), path))
    if not found:
        raise ValueError(f"{raw} holds no archive named EID_20208_2_0.zip or EID_20209_2_0.zip, nor folders so named")
    for (eid, instance), fields in sorted(found.items()):
        name = f"{eid}_{instance}"
        lacking = [field for field in FIELDS if field not in fields]
        if lacking:
            yield Skipped(name, f"field {lacking[0]} ({FIELDS[lacking[0]]}) is missing; fetch it as well")
            continue
        chosen = {}
        for field, copies in fields.items():
            last = max(array for array, _ in copies)  # an array is a repeat of the visit's scan
            first, *others = [path for array, path in copies if array == last]
            chosen[field] = first
            for path in others:
                here, there = path.relative_to(raw), first.relative_to(raw)
                yield Skipped(name, f"{here} is there again; {there} is read: remove one of them")
        files = tuple(file for path in chosen.values() for file in _files(path))
        yield Subject(name, "", files, {"visit": instance}, {"lax": chosen["20208"], "sax": chosen["20209"]})


def _deliveries(folder: Path) -> list[Path]:
    """Archives and unpacked folders of the two fields below a folder, by name; archives before folders."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} does not exist; name the folder of the archives")
    archives, folders, deeper = [], [], []
    for path in sorted(folder.iterdir()):
        if not NAME.fullmatch(path.name):
            deeper += [path] if path.is_dir() and not path.name.startswith(".") else []
        elif path.is_dir():
            folders.append(path)
        elif path.suffix.lower() == ".zip":
            archives.append(path)
    return archives + folders + [found for path in deeper for found in _deliveries(path)]


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def read(subject: Subject) -> Study:
    """The cine of a visit: SAX and as many of 2C, 3C and 4C as there are, at least one of them."""
    notes: list[str] = []
    lax, sax = (_series(subject.details[part], notes) for part in ("lax", "sax"))
    series = {"sax": [part for _, part in _numbered(sax, SAX)]}
    for chambers in (2, 3, 4):
        series[f"lax_{chambers}c"] = [part for number, part in _numbered(lax, LAX) if number == chambers]
    views = cine_views(series, notes)
    if len(views) == 1:
        raise ValueError(f"{subject.details['lax'].name} has no usable CINE_segmented_LAX series; fetch it again")
    said = {"notes": "; ".join(notes)} if notes else {}
    return Study(subject.id, "ukb", views, subject.attributes | said)


def _numbered(series: dict[str, list[Frame]], pattern: re.Pattern) -> list[tuple[int, tuple[str, list[Frame]]]]:
    """[(number in the series' name: chambers or slice, (name, pictures))], sorted by number and name."""
    matches = [pattern.fullmatch(name) for name in sorted(series)]
    return sorted(((int(match[1]), (match[0], series[match[0]])) for match in matches if match), key=lambda one: one[0])


def _series(path: Path, notes: list[str]) -> dict[str, list[Frame]]:
    """Series description -> Pictures of one delivery, by file name; only cine of the two fields is read."""
    series: dict[str, list[Frame]] = {}
    damaged = 0
    with opened(path) as (names, read_file):
        listed = manifest(path, names, read_file)
        wanted = {name: text for name, text in listed.items() if LAX.fullmatch(text) or SAX.fullmatch(text)}
        plain = [PurePosixPath(name).name for name in names]
        twice = [name for name, count in Counter(plain).items() if count > 1]
        if twice:
            raise ValueError(f"{path.name} holds {twice[0]} in two folders; unpack or fetch it again")
        there = dict(zip(plain, names, strict=True))
        absent = len(set(wanted) - set(there))
        if absent:
            notes.append(f"{absent} of the {len(wanted)} cine files of the manifest are not there")
        for name in sorted(set(wanted) & set(there)):
            data = read_file(there[name])
            try:
                series.setdefault(wanted[name], []).append(picture(name, data))
            except ValueError:
                damaged += 1
    if damaged:
        notes.append(f"{damaged} cine files are damaged")
    return series


def manifest(path: Path, names: list[str], read_file: Callable[[str], bytes]) -> dict[str, str]:
    """File name -> series description, as the delivery's manifest.csv (at times manifest.cvs) has it.

    Its dates, such as Aug 30, 2015, hold a comma that no quotes protect. The scanner's own results (InlineVF) are left
    out.
    """
    here = [name for name in names if re.fullmatch(r"manifest\.(csv|cvs)", PurePosixPath(name).name, re.IGNORECASE)]
    if len(here) != 1:
        raise ValueError(f"{path.name} holds {len(here)} manifests (manifest.csv or .cvs), not one; fetch it again")
    text = DATE.sub(r"\2-\1-\3", read_file(here[0]).decode("utf-8", errors="replace"))
    rows = list(csv.reader(io.StringIO(text)))
    head = [name.strip().lower() for name in rows[0]] if rows else []
    series_at = [head.index(name) for name in ("series discription", "series description") if name in head]
    if "filename" not in head or not series_at:
        lacks = f"{here[0]} lacks the column 'filename' or 'series discription'"
        raise ValueError(f"{path.name}: {lacks}; fetch it again")
    uneven = [number for number, row in enumerate(rows, start=1) if row and len(row) != len(head)]
    if uneven:
        line = f"line {uneven[0]} of {here[0]} has another number of columns than its head"
        raise ValueError(f"{path.name}: {line}; fetch it again")
    pairs = {row[head.index("filename")].strip(): row[series_at[0]].strip() for row in rows[1:] if row}
    return {name: text for name, text in pairs.items() if not RESULTS.search(text)}
