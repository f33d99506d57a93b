"""M&Ms-2: short axis and four-chamber view at ED and ES with labels, right-heart diseases, three vendors.

Source, licence, layout, split and differences from the release: cinema/shipped/cards/mnms2.yaml.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from cinema.data.labels import label_map, read_labels, ventricle_volumes
from cinema.data.nifti import check_grid, volume
from cinema.data.public.cards import card
from cinema.data.public.common import Skipped, Subject, absent, check_heart, known, read_table
from cinema.data.study import Study, View

NAME = "mnms2"
TABLE = "dataset_information.csv"
COLUMNS = {"DISEASE": "disease", "VENDOR": "vendor", "SCANNER": "scanner", "FIELD": "field_t"}
VIEWS = {"sax": "SA", "lax_4c": "LA"}
LAST = {"train": 160, "val": 200, "test": 360}  # last number of each split
ROLES = ("ED", "ES", "ED_gt", "ES_gt")


def subjects(raw):
    """Every complete row of the table whose eight files are there; the others, and folders without a row, with the
    reason. Rows without a number are no subject."""
    root = Path(raw) / "MnM2"
    if not root.is_dir():
        raise FileNotFoundError(f"{root} does not exist; name the folder that holds MnM2")
    table = read_table(root / TABLE, ("SUBJECT_CODE", *COLUMNS), dtype=str, keep_default_na=False)
    table = table[table["SUBJECT_CODE"].str.strip() != ""]
    table = table.assign(pid=table["SUBJECT_CODE"].str.strip().str.removesuffix(".0").str.zfill(3))
    found, skipped = [], []
    for pid, rows in table.groupby("pid"):
        try:
            found.append(_subject(root / "dataset" / pid, rows))
        except (ValueError, OSError) as error:
            skipped.append(Skipped(pid, str(error)))
    folders = {folder.name for folder in (root / "dataset").glob("*") if folder.is_dir()}
    skipped += [
        Skipped(pid, f"no row in {TABLE}; disease and vendor are unknown")
        for pid in sorted(folders - set(table["pid"]))
    ]
    return found, skipped


def split_of(pid):
    """train for 1 to 160, val to 200, test to 360; ValueError for anything else."""
    number = int(pid) if pid.isdecimal() else 0
    if not 1 <= number <= LAST["test"]:
        raise ValueError(f"SUBJECT_CODE is {pid!r}; the split knows the numbers 1 to {LAST['test']}")
    return next(split for split, last in LAST.items() if number <= last)


def _subject(home, rows):
    if len(rows) > 1:
        raise ValueError(f"{home.name} has {len(rows)} rows in {TABLE}; keep the right one")
    row = rows.iloc[0]
    lacking = [column for column in COLUMNS if not row[column].strip()]
    if lacking:
        raise ValueError(f"{TABLE} gives no {', '.join(lacking)} of it; incomplete rows are left out")
    paths = tuple(home / f"{home.name}_{short}_{role}.nii.gz" for short in VIEWS.values() for role in ROLES)
    split, reason = split_of(home.name), absent(paths)
    if reason:
        raise FileNotFoundError(reason)
    attributes = {ours: row[theirs].strip() for theirs, ours in COLUMNS.items()}
    attributes["field_t"] = float(pd.to_numeric(attributes["field_t"], errors="coerce"))
    return Subject(home.name, split, paths, known(attributes))


def _of_view(subject, view):
    """The four files of a view, in the order of ROLES."""
    start = list(VIEWS).index(view) * len(ROLES)
    return subject.files[start : start + len(ROLES)]


def _view(subject, name):
    ed, es, *masks = _of_view(subject, name)
    images = [volume(path) for path in (ed, es)]
    for path, (image, _) in zip((ed, es), images, strict=True):
        if image.ndim != 3:
            raise ValueError(f"{path.name} has shape {image.shape}; it must be one frame (x, y, z)")
    check_grid(*images[1], images[0], es.name)
    mapping = label_map(card(NAME))
    labels = [read_labels(mask, mapping, image) for mask, image in zip(masks, images, strict=True)]
    for mask, label in zip(masks, labels, strict=True):
        check_heart(label, mask.name)
    return View(np.stack([image for image, _ in images], axis=-1), images[0][1], np.stack(labels, axis=-1), (0, 1))


def read(subject):
    """SAX and 4C with labels, frame 0 = ED and frame 1 = ES."""
    views = {name: _view(subject, name) for name in VIEWS}
    volumes = ventricle_volumes(views["sax"].label_at(0), views["sax"].label_at(1), views["sax"].spacing_mm)
    return Study(subject.id, NAME, views, subject.attributes | volumes, ed_frame=0, es_frame=1)
