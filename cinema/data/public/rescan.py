"""Rescan: 2C, 4C and SAX cines of patients scanned twice, for repeatability; training scans beside them.

Source, tree, split and differences from the release: cinema/shipped/cards/rescan.yaml; what the release does: data.md section 6.
Its pickles are read by cinema.data.public.pickles, which runs nothing.
"""

import re
from collections import Counter
from pathlib import Path

import numpy as np

from cinema.data import labels as labels_module
from cinema.data.public import letter, pickles
from cinema.data.public.common import Release, Skipped, Subject
from cinema.data.study import Study, View
from cinema.stats.metrics import ejection_fraction_percent
from cinema.terms import LABELS

NAME = "rescan"
IMAGES = {"sax": "SAX.pickle", "lax_2c": "2C.pickle", "lax_4c": "4C.pickle"}
MASKS, RETEST, TABLE = "SAX_segs.pickle", "test_retest_100", "labels.csv"
SCANS = ("A", "B1", "B2")
TABLE_COLUMNS = [*SCANS, *(f"{volume}_{scan}" for volume in ("EDV", "ESV") for scan in SCANS)]


def subjects(raw):
    """The scans of RAW/pickle: train by group, test, and the retest set by its table; the others with the reason."""
    root = Path(raw) / "pickle"
    if not any((root / part).is_dir() for part in ("train", "test", RETEST)):
        raise FileNotFoundError(f"{root} holds none of train, test and {RETEST}; name the folder that holds pickle")
    found, skipped, seen = [], [], set()
    for make in (_train, _test, _retest):
        for identity, split, folder, names, attributes, details in make(root, skipped):
            reason = _absent(folder, names)
            if reason or identity in seen:
                skipped.append(Skipped(identity, reason or f"{folder} has the name of another scan; rename one"))
            else:
                seen.add(identity)
                paths = tuple(folder / name for name in names)
                found.append(Subject(identity, split, paths, attributes, details | {"folder": folder}))
    first = {}
    for subject in found:  # sorted within a group: the first one there is validates
        if subject.split == "train":
            first.setdefault(subject.attributes["group"], subject.id)
    return [
        Subject(s.id, "val", s.files, s.attributes, s.details) if s.split == "train" and s.id in first.values() else s
        for s in found
    ], skipped


def _name(text):
    """Of letters, digits, - and _ only: G/s_0053 becomes G_s_0053."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)


def _folders(path):
    return sorted(folder for folder in path.iterdir() if folder.is_dir()) if path.is_dir() else []


def _absent(folder, names):
    lacking = [name for name in names if not (folder / name).is_file()]
    empty = [name for name in names if not lacking and (folder / name).stat().st_size == 0]
    return f"{folder}: {(lacking + empty)[0]} is {'missing' if lacking else 'empty'}" if lacking or empty else None


def _train(root, skipped):
    for group in _folders(root / "train"):
        for folder in _folders(group):
            pid = f"{group.name}/{folder.name}"
            yield (
                _name(pid),
                "train",
                folder,
                [*IMAGES.values(), MASKS],
                {"group": group.name, "patient": _name(pid)},
                {"folder_of_release": f"train/{pid}", "pid": pid},
            )


def _test(root, skipped):
    for folder in _folders(root / "test"):
        match = re.fullmatch(r"(scan_\d+)_([AB])", folder.name)
        if match is None:
            skipped.append(Skipped(_name(folder.name), f"{folder} is not named like scan_07_A; rename or remove it"))
            continue
        yield (
            folder.name,
            "test",
            folder,
            [*IMAGES.values(), MASKS],
            {"patient": match[1], "rescan": match[2]},
            {"folder_of_release": f"test/{folder.name}", "pid": folder.name},
        )


def _retest(root, skipped):
    root = root / RETEST
    if not root.is_dir():
        return
    table = labels_module.table(root / TABLE, TABLE_COLUMNS)
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
        pid = f"scan_{row:02d}_{scan[0]}"
        attributes = {"patient": f"retest_{row:02d}", "rescan": scan[0], **_attributes(*volumes[scan])}
        same = [volumes[other] for other in SCANS if other[0] == scan[0] and np.isfinite(volumes[other]).all()]
        yield (
            identity,
            "test",
            root / number,
            list(IMAGES.values()),
            attributes,
            {
                "folder_of_release": f"{RETEST}/{pid}",
                "pid": pid,
                "volumes": tuple(np.mean(same, axis=0).tolist()) if same else (np.nan, np.nan),
            },
        )
    skipped += [
        Skipped(_name(folder.name), f"{root / TABLE} does not list the scan {folder.name}")
        for folder in _folders(root)
        if folder.name not in counts
    ]


def _number(cell):
    """The folder's name in a cell of labels.csv, which pandas may have made a float; None if it is empty."""
    text = str(cell).strip()
    return None if text in ("", "nan", "None") else text.removesuffix(".0")


def _readings(record):
    """Scan -> (EDV, ESV) of a row, NaN where empty; None if a cell is no number."""
    try:
        return {scan: (float(record[f"EDV_{scan}"]), float(record[f"ESV_{scan}"])) for scan in SCANS}
    except (TypeError, ValueError):
        return None


def _attributes(edv, esv):
    known = {name: value for name, value in (("lv_edv_ml", edv), ("lv_esv_ml", esv)) if np.isfinite(value)}
    return known | ({"lv_ef_percent": ejection_fraction_percent(edv, esv)} if len(known) == 2 and edv > 0 else {})


def _loaded(subject):
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


def read(subject):
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
    volumes = labels_module.volumes(labels[..., ed], labels[..., es], sax.spacing_mm)
    return Study(subject.id, NAME, views, subject.attributes | volumes, ed_frame=ed, es_frame=es)


def release(subject):
    """sax_t, lax_2c_t, lax_4c_t as floats from 0 to 1, sax_gt_t where there are masks, and the metadata row."""
    (parts, labels), details = _loaded(subject), subject.details
    raw = {view: _image(*part) for view, part in parts.items()}
    images = {
        view: letter.resampled(image, letter.SAX_SPACING if view == "sax" else letter.LAX_SPACING)
        for view, image in raw.items()
    }
    point = letter.centre(images["lax_2c"], images["lax_4c"], images["sax"])
    done = {
        f"{view}_t": letter.to_unit(letter.crop_at(image, point, letter.SAX_SIZE if view == "sax" else letter.LAX_SIZE))
        for view, image in images.items()
    }
    row = {"pid": details["pid"]}
    row |= {
        f"orig_{kind}_spacing_{axis}": raw[view].GetSpacing()[i]
        for kind, view, axes in (("sax", "sax", "xyz"), ("lax", "lax_2c", "xy"))
        for i, axis in enumerate(axes)
    }
    row |= dict(zip(("n_slices", "n_frames"), images["sax"].GetSize()[2:], strict=True))
    if labels is None:
        edv, esv = details["volumes"]
        row |= {"edv": edv, "esv": esv, "ef": ejection_fraction_percent(edv, esv)}
    else:
        masks = letter.resampled(_image(labels, parts["sax"][1]), letter.SAX_SPACING, label=True)
        done["sax_gt_t"] = letter.crop_at(masks, point, letter.SAX_SIZE)
        voxels = np.count_nonzero(letter.to_array(done["sax_gt_t"]) == LABELS["LV"], axis=(0, 1, 2))
        row |= {"ed_index": int(np.argmax(voxels)), "es_index": int(np.argmin(voxels))}
    folder = details["folder_of_release"]
    return Release(folder, done, row, {f"{folder.split('/')[0]}_metadata": row})  # validation stays in train's table


def _image(pixels, geometry):
    """SimpleITK image as the release builds it: third axis across the plane, PixelSpacing taken as (x, y)."""
    position, row, column, _, (x, y, z) = geometry
    across = np.cross(row, column) * z
    return letter.from_array(pixels, pickles.ras((position, row, column, across, (y, x, z))))
