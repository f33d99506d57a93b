"""A raw folder as Landmark is read: tables without a header, grey pictures and marks of 85, 170 and 255."""

import numpy as np
from PIL import Image

from rawtrees.hearts import hearts

FLAWS = ("value", "unreadable", "no_image", "no_mask", "twice", "shape", "empty", "lacking", "colour", "extra")
GRID = {view: ((64, 72), (3.0, 3.0)) for view in ("lax_2c", "lax_4c")}
ZOOM = 12  # picture pixels a side of a pixel above: 768 x 864, a quarter of which is 192 x 216
MARK = 5  # pixels a mark reaches either way


def build(folder, n=6, seed=0, flaws=(), views=("lax_2c", "lax_4c")):
    """n patients with one picture a view, every second mirrored, the first with a second visit; for each of `flaws`
    one more patient with a 2C picture.

    Returns {"uids": {view: [..]}, "points": {(uid, view): (3, 2) true middles of the marks in the picture},
    "mirrored": {(uid, view)}, "flawed": {flaw: id reported}}.
    """
    facts = {"uids": {view: [] for view in views}, "points": {}, "mirrored": set(), "flawed": {}}
    studies = hearts("landmark", n, seed, 1, GRID)
    lines = {view: [] for view in views}
    for view in views:
        for index, study in enumerate(studies):
            for uid in [f"{900 + index}_a", f"{900 + index}_b"][: 2 if index == 0 else 1]:
                _picture(folder, uid, view, study.views[view], index % 2 == 1, lines[view], facts)
    for number, flaw in enumerate(flaws, start=990):
        uid = f"{number}_a"
        _picture(folder, uid, "lax_2c", studies[0].views["lax_2c"], False, lines["lax_2c"], None, flaw)
        facts["flawed"][flaw] = f"{uid}_lax_2c"
    for view in views:
        (folder / "raw" / f"{view}.csv").write_text("".join(lines[view]), encoding="utf-8")
    return facts


def _picture(folder, uid, view, held, mirrored, lines, facts, flaw=None):
    image = held.image[:, :, 0, 0].repeat(ZOOM, 0).repeat(ZOOM, 1)
    points = np.rint((held.landmarks[0] + 0.5) * ZOOM - 0.5).astype(int)
    if mirrored:
        image, points[:, 1] = image[:, ::-1], image.shape[1] - 1 - points[:, 1]
    mask = np.zeros(image.shape, np.uint8)
    for (x, y), value in zip(points, (85, 170, 255), strict=True):
        mask[x - MARK : x + MARK + 1, y - MARK : y + MARK] = value  # even in y: the middle is half a pixel off
    if flaw != "extra":
        for number, (x, y) in enumerate(points, start=1):
            lines.append(f"hospital,{uid},{view},{number},{x},{y}\n")
    if flaw == "twice":
        lines.append(f"another,{uid},{view},1,5,5\n")
    if facts is not None:
        facts["uids"][view].append(uid)
        facts["points"][uid, view] = points - (0, 0.5)
        facts["mirrored"] |= {(uid, view)} if mirrored else set()
    _flawed_mask(mask, points, flaw)
    paths = {kind: folder / "raw" / view / kind / f"{uid}.png" for kind in ("images", "masks")}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(image.T)
    if flaw != "no_image":
        (picture.convert("RGB") if flaw == "colour" else picture).save(paths["images"], compress_level=1)
    if flaw == "unreadable":
        paths["images"].write_bytes(paths["images"].read_bytes()[:2000])
    if flaw != "no_mask":
        Image.fromarray((mask[:-1] if flaw == "shape" else mask).T).save(paths["masks"], compress_level=1)


def _flawed_mask(mask, points, flaw):
    if flaw == "value":
        mask[0, 0] = 86
    if flaw == "empty":
        mask[:] = 0
    if flaw == "lacking":
        mask[mask == 170] = 0
