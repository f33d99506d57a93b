"""Kaggle Data Science Bowl 2 (2015): cine of 2C, 4C and SAX, with the volumes that readers measured, for evaluation.

Source, licence, tree and differences from the release: cinema/shipped/cards/kaggle.yaml.
"""

import re
from pathlib import Path

import pydicom

from cinema.data.frames import Frame, picture
from cinema.data.headers import attributes as known_of
from cinema.data.public.common import Cases, Skipped, Subject, cine_views, measured, read_table, sorted_out
from cinema.data.study import Study

SPLITS = {"train": "train", "validate": "val", "test": "test"}
VIEWS = {"2ch": "lax_2c", "4ch": "lax_4c", "sax": "sax"}
BLACK = 761  # all its images are empty
FOLDER = re.compile(r"(2ch|4ch|sax)_(\d+)")


@sorted_out
def subjects(raw: Path) -> Cases:
    """Of train, validate and test, each with its measured volumes."""
    root = raw / "second-annual-data-science-bowl"
    root = root if root.is_dir() else raw
    present = [name for name in SPLITS if (root / name).is_dir()]
    if not present:
        what = "name the folder that holds them, or second-annual-data-science-bowl/"
        raise ValueError(f"{raw} holds none of train/, validate/ and test/; {what}")
    seen: dict[int, Path] = {}
    for name in present:
        volumes = _volumes(root, name)
        folder = root / name / name if (root / name / name).is_dir() else root / name
        for home in sorted((path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name)):
            number, found = int(home.name), _folders(home)
            if number == BLACK:
                yield Skipped(home.name, "its images are all black; the release leaves it out as well")
            elif number in seen:
                here, there = home.relative_to(raw), seen[number].relative_to(raw)
                yield Skipped(home.name, f"{here} is there again; {there} is read")
            elif number not in volumes:
                yield Skipped(home.name, f"{name}'s table has no volumes for it")
            elif not (found["sax"] and (found["lax_2c"] or found["lax_4c"])):
                lacking = f"{home.relative_to(raw)}/study lacks sax_* or both 2ch_* and 4ch_*"
                yield Skipped(home.name, f"{lacking}; unpack it again")
            else:
                seen[number] = home
                paths = [file for folders in found.values() for part in folders for file in _files(part)]
                yield Subject(home.name, SPLITS[name], tuple(paths), volumes[number], {"folders": found})
        for number in sorted(set(volumes) - set(seen) - {BLACK}):
            if not (folder / str(number)).is_dir():
                yield Skipped(str(number), f"no folder below {name}/; unpack it again")


def _volumes(root: Path, name: str) -> dict[int, dict[str, float]]:
    """Subject number -> attributes of its volumes. Test has one line for each volume, some of them twice."""
    if name == "test":
        path = root / "solution.csv"
        table = read_table(path, ["Id", "Volume"])
        ids = table["Id"].astype(str).str.extract(r"^(\d+)_(Systole|Diastole)$")
        strange = table["Id"][ids.isna().any(axis=1)]
        if len(strange):
            raise ValueError(f"{path.name}: Id '{strange.iloc[0]}' is not like 701_Diastole; fetch the file again")
        table = table.assign(Id=ids[0], part=ids[1]).pivot_table("Volume", "Id", "part", aggfunc="mean")
        table = table.reindex(columns=["Systole", "Diastole"]).dropna().reset_index()
    else:
        table = read_table(root / f"{name}.csv", ["Id", "Systole", "Diastole"]).groupby("Id", as_index=False).mean()
    return {int(row.Id): measured(row.Diastole, row.Systole) for row in table.itertuples() if row.Diastole > 0}


def _folders(home: Path) -> dict[str, list[Path]]:
    """View -> its folders below HOME/study, sorted by number."""
    found: dict[str, list[tuple[int, Path]]] = {view: [] for view in VIEWS.values()}
    for path in (home / "study").glob("*_*"):
        match = FOLDER.fullmatch(path.name)
        if match and path.is_dir():
            found[VIEWS[match[1]]].append((int(match[2]), path))
    return {view: [path for _, path in sorted(paths)] for view, paths in found.items()}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == ".dcm")


def read(subject: Subject) -> Study:
    """The cine of a study: SAX and 2C or 4C or both, with what the first header says of person and scanner."""
    notes: list[str] = []
    folders = subject.details["folders"]
    series = {
        view: ((folder.name, _pictures(folder, notes)) for folder in folders[view])
        for view in ("sax", "lax_2c", "lax_4c")
    }
    views = cine_views(series, notes)
    if len(views) == 1:
        raise ValueError(f"{subject.id} has no usable long-axis view; unpack it again")
    about = {"notes": "; ".join(notes)} if notes else {}
    return Study(subject.id, "kaggle", views, _about(subject) | subject.attributes | about)


def _pictures(folder: Path, notes: list[str]) -> list[Frame]:
    """Pictures of a folder by file name; files without a usable header are left out, and named in notes."""
    found, damaged = [], 0
    for path in _files(folder):
        try:
            found.append(picture(path.name, path.read_bytes()))
        except ValueError:
            damaged += 1
    if damaged:
        notes.append(f"{damaged} files of {folder.name} are damaged")
    return found


def _about(subject: Subject) -> dict:
    for path in subject.files:
        try:
            return known_of(pydicom.dcmread(path, stop_before_pixels=True))
        except Exception:  # damaged: the next one says the same
            continue
    return {}
