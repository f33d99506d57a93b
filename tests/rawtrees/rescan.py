"""Rescan's folders of pickles and its labels.csv, with empty, missing, unlisted and damaged ones."""

import os
import pickle

import numpy as np

from rawtrees.hearts import hearts

IMAGES = {"sax": "SAX.pickle", "lax_2c": "2C.pickle", "lax_4c": "4C.pickle"}
RAW_LABEL = np.array([0, 3, 2, 1], np.uint8)  # of our background, RV, MYO, LV
GROUPS = "GH"
LPS = np.diag([-1.0, -1.0, 1.0])


def build(folder, n=6, seed=0, frames=6):
    """n training scans in two groups, n // 2 pairs in test, and as many in the retest set, the first with a B2.

    Returns {"ids", "studies": id -> the virtual study behind it, "splits": id -> split, "volumes": id -> (EDV, ESV) as
    in labels.csv, "bad": id -> what the reason says}.
    """
    root, known = folder / "pickle", {"studies": {}, "splits": {}, "volumes": {}, "bad": {}}
    found = hearts("rescan", n, seed, frames)

    def add(path, identity, split, study, masks=True):
        scan(root / path, study, masks)
        known["studies"][identity], known["splits"][identity] = study, split

    for k, study in enumerate(found):
        group, number = GROUPS[k % 2], f"s_{53 + k:04d}"
        add(f"train/{group}/{number}", f"{group}_{number}", "val" if k < 2 else "train", study)
    rows = []
    for pair in range(n // 2):
        for letter, study in zip("AB", found[2 * pair : 2 * pair + 2], strict=True):
            add(f"test/scan_{pair:02d}_{letter}", f"scan_{pair:02d}_{letter}", "test", study)
        order = (0, 1, 1) if pair == 0 else (0, 1)
        numbers, volumes = {}, {}
        for k, (which, second) in enumerate(zip(("A", "B1", "B2"), order, strict=False)):
            study, identity = found[2 * pair + second], f"retest_{pair:02d}_{which}"
            numbers[which] = 10 * pair + k + 1
            volumes[which] = tuple(round(study.truth[f"lv_{name}_ml"] + k, 1) for name in ("edv", "esv"))
            add(f"test_retest_100/{numbers[which]}", identity, "test", study, masks=False)
            known["volumes"][identity] = volumes[which]
        rows.append([numbers, volumes])
    rows.append([{"A": 90}, {"A": (100.0, 50.0)}])
    lost = {f"retest_{len(rows) - 1:02d}_A": "90: SAX.pickle is missing", "77": "does not list"}
    known["bad"] = spoil(root, found[0]) | lost
    table(root / "test_retest_100/labels.csv", rows)
    return known | {"ids": sorted(known["studies"])}


def scan(folder, study, masks=True, protocol=4):
    folder.mkdir(parents=True, exist_ok=True)
    for view, name in IMAGES.items():
        dump(folder / name, content(study.views[view], view), protocol)
    if masks:
        labels = RAW_LABEL[study.views["sax"].labels]
        dump(folder / "SAX_segs.pickle", {"image_segmentation": stacked(study.views["sax"], labels)}, protocol)


def dump(path, value, protocol=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol))


def axes(view):
    """Unit vectors of x, y and z, and the first voxel, in LPS; edges in mm."""
    edges = np.linalg.norm(view.affine[:3, :3], axis=0)
    return (LPS @ view.affine[:3, :3] / edges).T, LPS @ view.affine[:3, 3], edges


def upward(view):
    """Whether the study's own slices run along x cross y, as the release takes for granted of the reversed file."""
    (row, column, across), _, _ = axes(view)
    return np.cross(row, column) @ across > 0


def stacked(view, array):
    """(z, t, y, x) in the order of the file, which readers turn round."""
    slices = array[:, :, ::-1] if upward(view) else array
    return np.ascontiguousarray(slices.transpose(2, 3, 1, 0))


def content(view, name):
    """The dictionary of an image pickle."""
    (row, column, across), first, edges = axes(view)
    found = {
        "ImageOrientationPatient": [float(number) for number in (*row, *column)],
        "PixelSpacing": [float(edges[1]), float(edges[0])],
    }
    if name != "sax":
        pixels = np.ascontiguousarray(view.image[:, :, 0].transpose(2, 1, 0)).astype(np.int16)
        return found | {"image_voxels": pixels, "ImagePositionPatient": first.tolist()}
    positions = first + np.arange(view.image.shape[2])[:, None] * across * edges[2]
    return found | {
        "image_voxels": stacked(view, view.image.astype(np.int16)),
        "SliceSpacing": np.float64(edges[2]),
        "ImagePositionPatient": positions[::-1] if upward(view) else positions,
    }


class Calls:
    """Pickles as a call of `function`, which a plain reader makes, and its result is given `state`."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = function, arguments, state

    def __reduce__(self):
        return self.reduced


def spoil(root, study):
    """Write scans that must not get through; id -> the reason."""
    for path in ("train/G/s_9001", "train/G/s_9002", "test/patient_7", "test_retest_100/77"):
        scan(root / path, study, masks="77" not in path)
    (root / "train/G/s_9001/4C.pickle").unlink()
    (root / "train/G/s_9002/SAX.pickle").write_bytes(b"")
    bad = {
        "G_s_9001": "4C.pickle is missing",
        "G_s_9002": "SAX.pickle is empty",
        "patient_7": "not named like scan_07_A",
        "scan_99_B": "not a whole pickle",
    }
    sax = content(study.views["sax"], "sax")
    labels = stacked(study.views["sax"], RAW_LABEL[study.views["sax"].labels])
    moved = np.array(sax["ImagePositionPatient"])
    moved[0] += 4 * (moved[0] - moved[1]) / 10
    spoilt = (
        ("SAX.pickle", sax | {"note": Calls(os.mkdir, str(root / "ran"))}, "asks for posix.mkdir|asks for nt.mkdir"),
        ("SAX_segs.pickle", {"image_segmentation": labels + 2 * (labels == 3)}, "holds the label 5"),
        ("SAX.pickle", sax | {"ImagePositionPatient": moved}, "not evenly spaced"),
        ("SAX_segs.pickle", {"image_segmentation": labels[1:]}, "has shape"),
        ("SAX_segs.pickle", {"image_segmentation": 0 * labels}, "no LV in any frame"),
        ("SAX.pickle", [1, 2], "must be a dictionary"),
    )
    for number, (name, value, reason) in enumerate(spoilt, start=90):
        scan(root / f"test/scan_{number}_A", study)
        dump(root / f"test/scan_{number}_A" / name, value)
        bad[f"scan_{number}_A"] = reason
    scan(root / "test/scan_99_B", study)
    cut = root / "test/scan_99_B/2C.pickle"
    cut.write_bytes(cut.read_bytes()[:-100])
    return bad


def table(path, rows):
    """labels.csv; volumes as the readers gave them, empty where there is no scan."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = ["A", "B1", "B2"]
    lines = [",".join([*columns, *(f"EDV_{c}" for c in columns), *(f"ESV_{c}" for c in columns)])]
    for numbers, volumes in rows:
        cells = [numbers.get(c, "") for c in columns]
        cells += [volumes[c][k] if c in volumes else "" for k in (0, 1) for c in columns]
        lines.append(",".join(map(str, cells)))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
