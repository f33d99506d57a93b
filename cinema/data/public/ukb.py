"""UK Biobank: cine of fields 20208 (long axis) and 20209 (short axis), read from the zip archives as delivered.

Source, fields to request and terms: its card. A participant's visit is one study, EID_INSTANCE; the eid is the number
that your application knows the participant by, nothing else of the person is kept.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from cinema.data import slices
from cinema.data.headers import Frame, picture
from cinema.data.planes import Plane
from cinema.data.public.archive import opened
from cinema.data.public.common import Skipped, Subject
from cinema.data.study import Study, View

NAME = re.compile(r"(\d+)_(20208|20209)_(\d+)_(\d+)(\.zip)?", re.IGNORECASE)
FIELDS = {"20208": "long axis", "20209": "short axis"}
LAX = re.compile(r"CINE_segmented_LAX_([234])Ch\w*")
SAX = re.compile(r"CINE_segmented_SAX_b(\d+)\w*")
RESULTS = re.compile(r"Inline_?VF", re.IGNORECASE)  # the scanner's own drawings, not images
DATE = re.compile(r"\b([A-Z][a-z]{2}) (\d{1,2}), (\d{4})\b")


def subjects(raw: str | Path) -> tuple[list[Subject], list[Skipped]]:
    """(subjects, skipped): one for each participant and visit of which both fields are there."""
    raw, skipped = Path(raw), []
    found: dict[tuple[int, int], dict[str, list[tuple[int, Path]]]] = {}
    for path in _deliveries(raw):
        eid, field, instance, array, _ = NAME.fullmatch(path.name).groups()  # type: ignore[union-attr]
        found.setdefault((int(eid), int(instance)), {}).setdefault(field, []).append((int(array), path))
    good = []
    for (eid, instance), fields in sorted(found.items()):
        name = f"{eid}_{instance}"
        lacking = [field for field in FIELDS if field not in fields]
        if lacking:
            skipped.append(Skipped(name, f"field {lacking[0]} ({FIELDS[lacking[0]]}) is missing; fetch it as well"))
            continue
        chosen = {}
        for field, copies in fields.items():
            last = max(array for array, _ in copies)
            same = [path for array, path in copies if array == last]  # an array is a repeat of the visit's scan
            chosen[field] = same[0]
            skipped += [
                Skipped(
                    name,
                    f"{path.relative_to(raw)} is there again; {same[0].relative_to(raw)} is read: remove one of them",
                )
                for path in same[1:]
            ]
        files = [file for path in chosen.values() for file in _files(path)]
        good.append(
            Subject(name, "", tuple(files), {"visit": instance}, {"lax": chosen["20208"], "sax": chosen["20209"]})
        )
    if not good and not skipped:
        raise ValueError(f"{raw} holds no archive named EID_20208_2_0.zip or EID_20209_2_0.zip, nor folders so named")
    return good, skipped


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
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def read(subject: Subject) -> Study:
    """The cine of a visit: SAX and as many of 2C, 3C and 4C as there are, at least one of them."""
    notes: list[str] = []
    views: dict[str, View] = {}
    lax = _by_view(_series(subject.details["lax"], notes), LAX)
    sax = _by_view(_series(subject.details["sax"], notes), SAX)
    stack, more = slices.short_axis(_planes([item for found in sax.values() for item in found], notes))
    notes += more
    for number in (2, 3, 4):
        found = _planes(lax.get(number, ()), notes)
        if found:
            views[f"lax_{number}c"], more = slices.long_axis(found)
            notes += more
        else:
            notes.append(f"no usable {number}C view")
    if not views:
        raise ValueError(f"{subject.details['lax'].name} has no usable CINE_segmented_LAX series; fetch it again")
    said = {"notes": "; ".join(notes)} if notes else {}
    return Study(subject.id, "ukb", {"sax": stack} | views, subject.attributes | said)


def _planes(series: Iterable[tuple[str, list[Frame]]], notes: list[str]) -> list[Plane]:
    """Planes of [(name, pictures)] in order; what is set aside is said in notes."""
    found: list[Plane] = []
    for rank, (name, pictures) in enumerate(series):
        more, why = slices.planes(pictures, name, rank)
        found += more
        notes += why
    return found


def _by_view(series: dict[str, list[Frame]], pattern: re.Pattern) -> dict[int, list[tuple[str, list[Frame]]]]:
    """Number in the series' name (chambers or slice) -> [(name, pictures)], names sorted."""
    views: dict[int, list[tuple[str, list[Frame]]]] = {}
    for name in sorted(series):
        match = pattern.fullmatch(name)
        if match:
            views.setdefault(int(match[1]), []).append((name, series[name]))
    return {number: views[number] for number in sorted(views)}


def _series(path: Path, notes: list[str]) -> dict[str, list[Frame]]:
    """Series description -> Pictures of one delivery, by file name; only cine of the two fields is read."""
    with opened(path) as (names, read_file):
        listed = manifest(path, names, read_file)
        wanted = {name: text for name, text in listed.items() if LAX.fullmatch(text) or SAX.fullmatch(text)}
        at = _places(path, names)
        absent = [name for name in wanted if name not in at]
        if absent:
            notes.append(f"{len(absent)} of the {len(wanted)} cine files of the manifest are not there")
        damaged = 0
        series: dict[str, list[Frame]] = {}
        for name in sorted(set(wanted) & set(at)):
            data = read_file(at[name])
            try:
                series.setdefault(wanted[name], []).append(picture(name, data))
            except ValueError:
                damaged += 1
    if damaged:
        notes.append(f"{damaged} cine files are damaged")
    return series


def _places(path: Path, names: list[str]) -> dict[str, str]:
    """Plain file name -> name in the archive; ValueError if two files share one."""
    plain = [PurePosixPath(name).name for name in names]
    twice = [name for name, count in Counter(plain).items() if count > 1]
    if twice:
        raise ValueError(f"{path.name} holds {twice[0]} in two folders; unpack or fetch it again")
    return dict(zip(plain, names, strict=True))


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
    try:
        file_at = head.index("filename")
        series_at = next(head.index(name) for name in ("series discription", "series description") if name in head)
    except (ValueError, StopIteration):
        raise ValueError(
            f"{path.name}: {here[0]} lacks the column 'filename' or 'series discription'; fetch it again"
        ) from None
    uneven = [number for number, row in enumerate(rows, start=1) if row and len(row) != len(head)]
    if uneven:
        raise ValueError(
            f"{path.name}: line {uneven[0]} of {here[0]} has another number of columns than its head; fetch it again"
        )
    pairs = {row[file_at].strip(): row[series_at].strip() for row in rows[1:] if row}
    return {name: text for name, text in pairs.items() if not RESULTS.search(text)}
