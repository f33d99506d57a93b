"""Rescan: 2C, 4C and SAX cines of patients scanned twice, for repeatability; training scans beside them.

Source, tree, split and differences from the release: cinema/shipped/cards/rescan.yaml.
Its pickles are read by cinema.data.public.pickles, which runs nothing of them.
"""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cinema.data.labels import ventricle_volumes
from cinema.data.public import pickles
from cinema.data.public.common import Cases, Skipped, Subject, measured, read_table, sorted_out
from cinema.data.study import Study, View
from cinema.terms import LABELS

NAME = "rescan"
IMAGES = {"sax": "SAX.pickle", "lax_2c": "2C.pickle", "lax_4c": "4C.pickle"}
MASKS, RETEST, TABLE = "SAX_segs.pickle", "test_retest_100", "labels.csv"
SCANS = ("A", "B1", "B2")
TABLE_COLUMNS = [*SCANS, *(f"{volume}_{scan}" for volume in ("EDV", "ESV") for scan in SCANS)]


@sorted_out
def subjects(raw: Path) -> Cases:
    """The scans of RAW/pickle: train by group, test, and the retest set by its table; the others with the reason.

    The first of each group of train that is whole validates.
    """
    root = raw / "pickle"
    if not any((root / part).is_dir() for part in ("train", "test", RETEST)):
        raise FileNotFoundError(f"{root} holds none of train, test and {RETEST}; name the folder that holds pickle")
    seen: set[str] = set()
    groups: set[str | None] = set()
    for one in (*_train(root), *_test(root), *_retest(root)):
        if isinstance(one, Skipped):
            yield one
            continue
        folder = one.details["folder"]
        lacking = [path.name for path in one.files if not path.is_file()]
        empty = [path.name for path in one.files if not lacking and path.stat().st_size == 0]
        if lacking or empty:
            yield Skipped(
                one.id, f"{folder}: {(lacking + empty)[0]} is {'missing' if lacking else 'empty'}; unpack it again"
            )
        elif one.id in seen:
            yield Skipped(one.id, f"{folder} has the name of another scan; rename one")
        else:
            seen.add(one.id)
            first = one.split == "train" and one.attributes["group"] not in groups
            groups.add(one.attributes.get("group"))
            yield replace(one, split="val") if first else one


def _scan(identity: str, split: str, folder: Path, attributes: dict, masks: bool = True) -> Subject:
    names = [*IMAGES.values(), *[MASKS] * masks]
    return Subject(identity, split, tuple(folder / name for name in names), attributes, {"folder": folder})


def _name(text: str) -> str:
    """Of letters, digits, - and _ only: G/s_0053 becomes G_s_0053."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)


def _folders(path: Path) -> list[Path]:
    return sorted(folder for folder in path.glob("*") if folder.is_dir())


def _train(root: Path) -> Cases:
    for group in _folders(root / "train"):
        for folder in _folders(group):
            name = _name(f"{group.name}/{folder.name}")
            yield _scan(name, "train", folder, {"group": group.name, "patient": name})


def _test(root: Path) -> Cases:
    for folder in _folders(root / "test"):
        match = re.fullmatch(r"(scan_\d+)_([AB])", folder.name)
        if match is None:
            yield Skipped(_name(folder.name), f"{folder} is not named like scan_07_A; rename or remove it")
        else:
            yield _scan(folder.name, "test", folder, {"patient": match[1], "rescan": match[2]})


def _retest(root: Path) -> Cases:
    root = root / RETEST
    if not root.is_dir():
        return
    path = root / TABLE
    table = read_table(path, TABLE_COLUMNS)
    counts = Counter(_number(cell) for scan in SCANS for cell in table[scan])
    for row, record in table.iterrows():
        for scan in SCANS:
            number, identity = _number(record[scan]), f"retest_{row:02d}_{scan}"
            if not number:
                continue
            try:
                volumes = {column: float(record[column]) for column in TABLE_COLUMNS if column not in SCANS}
            except (TypeError, ValueError):
                volumes = {}
            if not volumes:
                yield Skipped(identity, f"{path}, row {row}: a volume is no number; correct it")
            elif counts[number] > 1:
                yield Skipped(identity, f"{path} lists the scan {number} more than once; keep one")
            else:
                known = measured(volumes[f"EDV_{scan}"], volumes[f"ESV_{scan}"])
                about = {"patient": f"retest_{row:02d}", "rescan": scan[0]} | known
                yield _scan(identity, "test", root / number, about, masks=False)
    for folder in _folders(root):
        if folder.name not in counts:
            yield Skipped(_name(folder.name), f"{path} does not list the scan {folder.name}")


def _number(cell: Any) -> str:
    """The folder's name in a cell of labels.csv, which pandas may have made a float; "" if it is empty."""
    text = str(cell).strip()
    return "" if text in ("nan", "None") else text.removesuffix(".0")


def read(subject: Subject) -> Study:
    """All frames of SAX, 2C and 4C; SAX masks, ED, ES and volumes where the scan has masks.

    ED and ES are the frames with most and fewest LV voxels, of those with an LV.
    """
    folder = subject.details["folder"]
    image, affine, between = pickles.sax(folder / IMAGES["sax"])
    views = {"sax": View(image, affine)}
    for view in ("lax_2c", "lax_4c"):
        views[view] = View(*pickles.lax(folder / IMAGES[view], between))
    if len(subject.files) == len(IMAGES):
        return Study(subject.id, NAME, views, subject.attributes)
    labels = pickles.masks(folder / MASKS, image.shape)
    voxels = np.count_nonzero(labels == LABELS["LV"], axis=(0, 1, 2))
    drawn = np.flatnonzero(voxels)
    if not len(drawn):
        raise ValueError(f"{folder / MASKS} has no LV in any frame; without it there is no ED and no ES")
    ed, es = (int(drawn[choose(voxels[drawn])]) for choose in (np.argmax, np.argmin))
    views["sax"] = View(image, affine, labels[..., drawn], tuple(drawn.tolist()))
    volumes = ventricle_volumes(labels[..., ed], labels[..., es], views["sax"].spacing_mm)
    return Study(subject.id, NAME, views, subject.attributes | volumes, ed_frame=ed, es_frame=es)
