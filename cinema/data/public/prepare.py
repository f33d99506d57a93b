"""`python3 -m cinema prepare NAME RAW`: a raw folder -> studies on the published grid, resumable, never half written.

OUT/<id>.h5 and OUT/prepared.json. What cannot be used is skipped with its reason; the raw folder is only read.
`info NAME` prints a dataset's card.
"""

import hashlib
import json
import os
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from threadpoolctl import threadpool_limits

from cinema.data.inputs import DATASETS
from cinema.data.public.cards import SPLITS, Card, card
from cinema.data.public.common import Skipped, Subject, why
from cinema.data.public.published_grid import standardised
from cinema.data.study import SUFFIX, open_study, save_study
from cinema.files import FULL, data_folder, sweep, write_text
from cinema.parallel import in_parallel
from cinema.terms import PUBLISHED_GRID

VERSION = 1  # raised when studies have to be prepared anew; an adapter may have a VERSION of its own
MANIFEST = "prepared.json"


def command(
    name: str, raw: str | Path, out: str | Path | None = None, jobs: int = 1, like_release: bool = False
) -> int:
    """Exit code 0 if at least one subject is ready, else 2. ValueError, OSError for a wrong name or folder.

    like_release: of earlier versions; ValueError says what stands in its place.
    """
    if like_release:
        raise ValueError(
            "prepare --like-release has left: the arrays and tables of the authors' release are no longer made; "
            "published weights read what prepare writes without it, and finetune --like-release remains"
        )
    adapter = adapter_of(name)
    out = Path(out) if out else data_folder() / name
    raw = check_folders(Path(raw), out)
    expected = f"expected tree: python3 -m cinema info {name}"
    try:
        subjects, skipped = adapter.subjects(raw)
    except Exception as error:  # of tables and folders: of pandas, say
        kind = FileNotFoundError if isinstance(error, OSError) else ValueError
        raise kind(f"{why(error)}; {expected}") from None
    if not subjects and not skipped:
        raise FileNotFoundError(f"{raw} holds nothing of {card(name).name}; {expected}")
    subjects, twice = _unique(subjects)
    out.mkdir(parents=True, exist_ok=True)
    done, failed = _all(name, subjects, out, jobs)
    skipped = [replace(one, reason=one.reason.replace(f"{raw}{os.sep}", "")) for one in (*skipped, *twice, *failed)]
    notes = adapter.notes(subjects) if hasattr(adapter, "notes") else []
    there, published = len(subjects) + len(skipped), sum(card(name).counts.values())
    if there < published:
        notes.append(f"the raw folder names {there} of {published} published studies; results hold for these")
    _record(name, done, skipped, notes, out)
    for one in skipped:
        print(f"skipped {one.id}: {one.reason}")
    others = sorted({path.stem for path in out.glob(f"*{SUFFIX}")} - {one.id for one in done})
    if others:
        earlier = f"{len(others)} studies in {out} are of an earlier run ({others[0]} ..) and not in this one"
        print(f"{earlier}; they count as well, unless you delete them")
    for note in notes:
        print(f"note: {note}")
    print(_summary(name, done, skipped, out))
    return 0 if done else 2


def adapter_of(name: str) -> ModuleType:
    """The module of a dataset; ValueError naming the choices."""
    card(name)  # refuses an unknown name
    return import_module(DATASETS[name])


def check_folders(raw: Path, out: Path) -> Path:
    """The resolved raw folder; ValueError where output and raw folder are the same or lie in one another."""
    if not raw.is_dir():
        raise FileNotFoundError(f"{raw} is not a folder; name the raw folder of the dataset")
    raw, out = raw.resolve(), out.resolve()
    if raw == out or raw in out.parents or out in raw.parents:
        raise ValueError(f"{out} and the raw folder {raw} lie in one another; give --out another folder")
    return raw


def _unique(subjects: list[Subject]) -> tuple[list[Subject], list[Skipped]]:
    """(subjects whose id occurs once, Skipped for the others); ids that differ in case are one file on some disks."""
    count = Counter(subject.id.lower() for subject in subjects)
    twice = sorted({subject.id for subject in subjects if count[subject.id.lower()] > 1})
    kept = [subject for subject in subjects if count[subject.id.lower()] == 1]
    return kept, [Skipped(name, "found more than once; keep one copy in the raw folder") for name in twice]


def _all(name: str, subjects: list[Subject], out: Path, jobs: int) -> tuple[list[Subject], list[Skipped]]:
    """(those that are ready, Skipped of those that failed), in the order of `subjects`. OSError for a full disk."""
    try:
        reasons = in_parallel(lambda subject: _study(name, subject, out), subjects, jobs, name)
    finally:
        sweep(out / MANIFEST)  # of other processes, which are ended amid their writing when one meets a full disk
    done = [subject for subject, reason in zip(subjects, reasons, strict=True) if reason is None]
    return done, [Skipped(subject.id, reason) for subject, reason in zip(subjects, reasons, strict=True) if reason]


def _study(name: str, subject: Subject, out: Path) -> str | None:
    """None or the reason why not: write OUT/<id>.h5 unless it is there from the same raw files."""
    path = out / f"{subject.id}{SUFFIX}"
    try:
        mark = _mark(name, subject)
        if _marked(path) == mark:
            return None
        adapter = adapter_of(name)
        with threadpool_limits(1):  # the matrices are small: threads of one product wait for each other
            study = standardised(adapter.read(subject), getattr(adapter, "GRID", PUBLISHED_GRID))
        attributes = {**study.attributes, "split": subject.split, "dataset": name, "prepared_from": mark}
        save_study(replace(study, attributes=attributes), out)
    except Exception as error:  # nothing that is wrong with one subject may stop the others
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        return why(error)
    return None


def _mark(name: str, subject: Subject) -> str:
    """Hash of names, sizes and times of a subject's raw files, what tables and file names say of it, and versions."""
    for path in subject.files:
        if not Path(path).is_file():  # a pipe would be waited for without end
            raise FileNotFoundError(f"{Path(path).name} is no file that can be read; copy it again")
    files = [(Path(path).name, (stat := os.stat(path)).st_size, stat.st_mtime_ns) for path in subject.files]
    adapter = adapter_of(name)
    versions = [VERSION, getattr(adapter, "VERSION", 0), getattr(adapter, "GRID", None)]
    details = [(key, _named(value)) for key, value in sorted(subject.details.items())]
    what = [*versions, subject.split, files, sorted(subject.attributes.items()), details]
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def _named(value: Any) -> Any:
    """A detail of a subject with paths by their last part: the same wherever the raw folder lies."""
    if isinstance(value, Path):
        return value.name
    if isinstance(value, dict):
        return [(_named(key), _named(entry)) for key, entry in value.items()]
    return [_named(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _marked(path: Path) -> str | None:
    """The mark of a prepared study, None if there is none or it cannot be read."""
    try:
        with open_study(path) as file:
            return file["attributes"].attrs.get("prepared_from")
    except (OSError, ValueError):
        return None


def _record(name: str, done: list[Subject], skipped: list[Skipped], notes: list[str], out: Path) -> None:
    content = {
        "dataset": name,
        "version": VERSION,
        "licence": card(name).licence,
        "counts": dict(Counter(subject.split for subject in done)),
        "skipped": {one.id: one.reason for one in skipped},
        **({"notes": notes} if notes else {}),
    }
    write_text(out / MANIFEST, json.dumps(content, indent=1) + "\n")


def _summary(name: str, done: list[Subject], skipped: list[Skipped], out: Path) -> str:
    """One line: ready and skipped, and per split the number beside the published one."""
    counts, published = Counter(subject.split for subject in done), card(name).counts
    parts = []
    for split in (*SPLITS, ""):
        if split in counts or split in published:
            beside = f" of {published[split]} published" if split in published else ""
            parts.append(f"{split or 'no split'} {counts[split]}{beside}")
    return f"{card(name).name}: {len(done)} ready, {len(skipped)} skipped ({', '.join(parts)}) in {out}"


def info(name: str | None = None) -> None:
    """Print a dataset's card; without a name the nine datasets."""
    if name is not None:
        print(_text(card(name)))
        return
    for key in DATASETS:
        print(f"{key:9} {card(key).name}: {card(key).role}")


def _text(found: Card) -> str:
    """A card as text for the terminal."""
    lines = [
        f"{found.name}: {found.role}",
        f"source   {found.source}",
        f"licence  {found.licence}",
        f"access   {found.access}",
        f"views    {', '.join(found.views)}",
        f"holds    {', '.join(found.has)}",
        f"notebook {', '.join(found.notebooks)}",
    ]
    lines += ["raw folder:", *(f"  {line}" for line in found.tree.splitlines()), f"split    {found.split.strip()}"]
    for word, entries in (("counts", found.counts), ("labels", found.labels)):
        lines += [f"{word}   " + ", ".join(f"{key} {value}" for key, value in entries.items())] * bool(entries)
    lines += [f"classes  {key}: {', '.join(map(str, names))}" for key, names in found.classes.items()]
    lines += [f"fields   {purpose}: {text}" for purpose, text in found.fields.items()]
    for difference in found.differences:
        lines += [f"release: {difference['release'].strip()}", f"   here: {difference['here'].strip()}"]
    return "\n".join([*lines, *(f"note: {note.strip()}" for note in found.notes)])
