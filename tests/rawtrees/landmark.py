"""A raw folder as Landmark is read: tables without a header, grey pictures and marks of 85, 170 and 255."""

import numpy as np
from PIL import Image

from rawtrees.hearts import hearts

GRID = {view: ((64, 72), (3.0, 3.0)) for view in ("lax_2c", "lax_4c")}
ZOOM = 12  # picture pixels a side of a pixel above: 768 x 864, a quarter of which is 192 x 216
MARKS, REACH = (85, 170, 255), 5  # values of the marks; pixels that one reaches either way


def build(folder, n=6, seed=0, faults=(), views=("lax_2c", "lax_4c")):
    """n patients with one picture a view, every second mirrored, the first with a second visit; for each fault one more
    patient with a 2C picture.

    faults: "value", "unreadable", "no image", "no mask", "twice", "shape", "empty", "lacking", "colour", "extra".
    Returns {"ids", "bad": {id reported: fault}, "points": {id: (3, 2) true middles of the marks in the picture}}.
    """
    points, bad = {}, {}
    studies = hearts("landmark", n, seed, 1, GRID)
    lines = {view: [] for view in views}
    for view in views:
        for index, study in enumerate(studies):
            for uid in [f"{900 + index}_a", f"{900 + index}_b"][: 2 if index == 0 else 1]:
                points[f"{uid}_{view}"] = _picture(folder, uid, view, study.views[view], index % 2 == 1, lines[view])
    for number, fault in enumerate(faults, start=990):
        _picture(folder, f"{number}_a", "lax_2c", studies[0].views["lax_2c"], False, lines["lax_2c"], fault)
        bad[f"{number}_a_lax_2c"] = fault
    for view in views:
        (folder / "raw" / f"{view}.csv").write_text("".join(lines[view]), encoding="utf-8")
    return {"ids": sorted(points), "bad": bad, "points": points}


def _picture(folder, uid, view, held, mirrored, lines, fault=None):
    """Write a picture and its mask, add its rows to lines; returns the middles of the marks."""
    image = held.image[:, :, 0, 0].repeat(ZOOM, 0).repeat(ZOOM, 1)
    points = np.rint((held.landmarks[0] + 0.5) * ZOOM - 0.5).astype(int)
    if mirrored:
        image, points[:, 1] = image[:, ::-1], image.shape[1] - 1 - points[:, 1]
    mask = np.zeros(image.shape, np.uint8)
    for (x, y), value in zip(points, MARKS, strict=True):
        mask[x - REACH : x + REACH + 1, y - REACH : y + REACH] = value  # even in y: the middle is half a pixel off
    if fault != "extra":
        lines += [f"hospital,{uid},{view},{number},{x},{y}\n" for number, (x, y) in enumerate(points, start=1)]
    if fault == "twice":
        lines.append(f"another,{uid},{view},1,5,5\n")
    if fault == "value":
        mask[0, 0] = 86
    mask[np.isin(mask, {"empty": MARKS, "lacking": MARKS[1:2]}.get(fault, ()))] = 0
    paths = [folder / "raw" / view / kind / f"{uid}.png" for kind in ("images", "masks")]
    pictures = Image.fromarray(image.T), Image.fromarray((mask[:-1] if fault == "shape" else mask).T)
    for path, picture, missing in zip(paths, pictures, ("no image", "no mask"), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        if fault != missing:
            (picture.convert("RGB") if fault == "colour" else picture).save(path, compress_level=1)
    if fault == "unreadable":
        paths[0].write_bytes(paths[0].read_bytes()[:2000])
    return points - (0, 0.5)
