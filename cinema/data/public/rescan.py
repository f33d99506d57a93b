"""Rescan: 2C, 4C and SAX cines of patients scanned twice, for repeatability; training scans beside them.

Source, tree, split and differences from the release: cinema/shipped/cards/rescan.yaml.
Its pickles are read by cinema.data.public.pickles, which runs nothing of them.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cinema.data.labels import ventricle_volumes
from cinema.data.public import pickles
from cinema.data.public.common import Skipped, Subject, read_table
from cinema.data.study import Study, View
from cinema.stats.metrics import ejection_fraction_percent
from cinema.terms import LABELS

NAME = "rescan"
IMAGES = {"sax": "SAX.pickle", "lax_2c": "2C.pickle", "lax_4c": "4C.pickle"}
MASKS, RETEST, TABLE = "SAX_segs.pickle", "test_retest_100", "labels.csv"
SCANS = ("A", "B1", "B2")
TABLE_COLUMNS = [*SCANS, *(f"{volume}_{scan}" for volume in ("EDV", "ESV") for scan in SCANS)]


def subjects(raw: str | Path) -> tuple[list[Subject], list[Skipped]]:
    """The scans of RAW/pickle: train by group, test, and the retest set by its table; the others with the reason."""
    root = Path(raw) / "pickle"
    if not any((root / part).is_dir() for part in ("train", "test", RETEST)):
        raise FileNotFoundError(f"{root} holds none of train, test and {RETEST}; name the folder that holds pickle")
    found, seen = [], set()
    skipped: list[Skipped] = []
    for make in (_train, _test, _retest):
        for identity, split, folder, names, attributes in make(root, skipped):
            reason = _absent(folder, names)
            if reason or identity in seen:
                skipped.append(Skipped(identity, reason or f"{folder} has the name of another scan; rename one"))
            else:
                seen.add(identity)
                paths = tuple(folder / name for name in names)
                found.append(Subject(identity, split, paths, attributes, {"folder": folder}))
    first: dict[str, str] = {}
    for subject in found:  # sorted within a group: the first one there is validates
        if subject.split == "train":
            first.setdefault(subject.attributes["group"], subject.id)
    return [
        Subject(s.id, "val", s.files, s.attributes, s.details) if s.split == "train" and s.id in first.values() else s
        for s in found
    ], skipped


def _name(text: str) -> str:
    """Of letters, digits, - and _ only: G/s_0053 becomes G_s_0053."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)


def _folders(path: Path) -> list[Path]:
    return sorted(folder for folder in path.iterdir() if folder.is_dir()) if path.is_dir() else []


def _absent(folder: Path, names: list[str]) -> str | None:
    lacking = [name for name in names if not (folder / name).is_file()]
    empty = [name for name in names if not lacking and (folder / name).stat().st_size == 0]
    return f"{folder}: {(lacking + empty)[0]} is {'missing' if lacking else 'empty'}" if lacking or empty else None


def _train(root: Path, skipped: list[Skipped]) -> Iterator[tuple]:
    for group in _folders(root / "train"):
        for folder in _folders(group):
            name = _name(f"{group.name}/{folder.name}")
            yield name, "train", folder, [*IMAGES.values(), MASKS], {"group": group.name, "patient": name}


def _test(root: Path, skipped: list[Skipped]) -> Iterator[tuple]:
    for folder in _folders(root / "test"):
        match = re.fullmatch(r"(scan_\d+)_([AB])", folder.name)
        if match is None:
            skipped.append(Skipped(_name(folder.name), f"{folder} is not named like scan_07_A; rename or remove it"))
            continue
        yield folder.name, "test", folder, [*IMAGES.values(), MASKS], {"patient": match[1], "rescan": match[2]}


def _retest(root: Path, skipped: list[Skipped]) -> Iterator[tuple]:
    root = root / RETEST
    if not root.is_dir():
        return
    table = read_table(root / TABLE, TABLE_COLUMNS)
    numbers = {
        (row, scan): number for row, record in table.iterrows() for scan in SCANS if (number := _number(record[scan]))
    }
    counts = Counter(numbers.values())
    for (row, scan), number in numbers.items():
        identity, volumes = f"retest_{row:02d}_{scan}", _readings(table.loc[row])
        if counts[number] > 1 or volumes is None:
            skipped.append(
                Skipped(
                    identity,
                    f"{root / TABLE} lists the scan {number} more than once; keep one"
                    if volumes
                    else f"{root / TABLE}, row {row}: a volume is no number; correct it",
                )
            )
            continue
        attributes = {"patient": f"retest_{row:02d}", "rescan": scan[0], **_attributes(*volumes[scan])}
        yield identity, "test", root / number, list(IMAGES.values()), attributes
    skipped += [
        Skipped(_name(folder.name), f"{root / TABLE} does not list the scan {folder.name}")
        for folder in _folders(root)
        if folder.name not in counts
    ]


def _number(cell: Any) -> str | None:
    """The folder's name in a cell of labels.csv, which pandas may have made a float; None if it is empty."""
    text = str(cell).strip()
    return None if text in ("", "nan", "None") else text.removesuffix(".0")


def _readings(record: Any) -> dict[str, tuple[float, float]] | None:
    """Scan -> (EDV, ESV) of a row, NaN where empty; None if a cell is no number."""
    try:
        return {scan: (float(record[f"EDV_{scan}"]), float(record[f"ESV_{scan}"])) for scan in SCANS}
    except (TypeError, ValueError):
        return None


def _attributes(edv: float, esv: float) -> dict[str, Any]:
    known = {name: value for name, value in (("lv_edv_ml", edv), ("lv_esv_ml", esv)) if np.isfinite(value)}
    return known | (
        {"lv_ef_percent": float(ejection_fraction_percent(edv, esv))} if len(known) == 2 and edv > 0 else {}
    )


def _loaded(subject: Subject) -> tuple[dict[str, tuple], np.ndarray | None]:
    """((pixels, geometry) of each view, labels of SAX or None), checked."""
    folder = subject.details["folder"]
    parts = {"sax": pickles.sax(folder / IMAGES["sax"])}
    parts |= {view: pickles.lax(folder / IMAGES[view], parts["sax"][1][4][2]) for view in ("lax_2c", "lax_4c")}
    if len(subject.files) == len(IMAGES):
        return parts, None
    labels = pickles.masks(folder / MASKS, parts["sax"][0].shape)
    if not (labels == LABELS["LV"]).any():
        raise ValueError(f"{folder / MASKS} has no LV in any frame; without it there is no ED and no ES")
    return parts, labels


def read(subject: Subject) -> Study:
    """All frames of SAX, 2C and 4C; SAX masks, ED, ES and volumes where the scan has masks.

    ED and ES are the frames with most and fewest LV voxels, of those with an LV.
    """
    parts, labels = _loaded(subject)
    views = {view: View(image, pickles.ras(geometry)) for view, (image, geometry) in parts.items()}
    if labels is None:
        return Study(subject.id, NAME, views, subject.attributes)
    voxels = np.count_nonzero(labels == LABELS["LV"], axis=(0, 1, 2))
    drawn = np.flatnonzero(voxels)
    ed, es = (int(drawn[choose(voxels[drawn])]) for choose in (np.argmax, np.argmin))
    sax = views["sax"]
    views["sax"] = View(sax.image, sax.affine, labels[..., drawn], tuple(drawn.tolist()))
    volumes = ventricle_volumes(labels[..., ed], labels[..., es], sax.spacing_mm)
    return Study(subject.id, NAME, views, subject.attributes | volumes, ed_frame=ed, es_frame=es)
