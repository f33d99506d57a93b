"""Landmark (Xue 2021): long-axis pictures with valve hinges and apex. Source and differences: its card.

RAW/raw/ holds {lax_2c,lax_4c}.csv without a header (cohort, uid, view, landmark number, x, y) and
VIEW/{images,masks}/UID.png, grey; mask values 85, 170 and 255 are landmarks 1, 2 (hinges) and 3 (apex). RAW may also be
that folder itself. The tables' coordinates are not used: the masks say the same.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from cinema.data.public.common import Cases, Skipped, Subject, fifths, read_table, sorted_out
from cinema.data.study import Study, View

NAME = "landmark"
VIEWS = ("lax_2c", "lax_4c")
COLUMNS = ["cohort_name", "uid", "view", "landmark_number", "x", "y"]
MARKS = (85, 170, 255)
SCALE = 0.25
CLOCKWISE = {"lax_2c": True, "lax_4c": False}  # how hinge, hinge, apex turn; pictures that do not are mirrored


@sorted_out
def subjects(raw: Path) -> Cases:
    """One subject per picture that a table names; both tables are split by patient, each for itself."""
    root = raw / "raw" if (raw / "raw").is_dir() else raw
    views = [view for view in VIEWS if (root / f"{view}.csv").is_file()]
    if not views:
        raise FileNotFoundError(f"{raw} holds no raw/lax_2c.csv or raw/lax_4c.csv; name the folder that holds raw")
    for view in views:
        table = read_table(root / f"{view}.csv", COLUMNS, header=None, names=COLUMNS, dtype=str, keep_default_na=False)
        rows = table.loc[table.uid != "", ["cohort_name", "uid", "view"]].drop_duplicates()
        split = splits(rows.uid)
        for uid, of_uid in rows.groupby("uid", sort=False):
            name = f"{re.sub('[^A-Za-z0-9_-]', '-', uid)}_{view}"
            paths = tuple(root / view / kind / f"{uid}.png" for kind in ("images", "masks"))
            lacking = [path for path in paths if not path.is_file()]
            if len(of_uid) > 1:
                yield Skipped(name, f"{uid} is in {view}.csv for {len(of_uid)} cohorts or views; keep one")
            elif lacking:
                yield Skipped(name, f"{view}/{lacking[0].parent.name}/{uid}.png is missing; copy it again")
            else:
                about = {"patient": uid.split("_")[0], "site": str(of_uid.cohort_name.iloc[0])}
                yield Subject(name, split[uid], paths, about, {"view": view})
        extra = {path.stem for path in (root / view / "images").glob("*.png")} - set(rows.uid)
        for uid in sorted(extra):
            yield Skipped(f"{uid}_{view}", f"{view}.csv has no row for {uid}.png; it is left out")


def splits(uids: Iterable[str]) -> dict[str, str]:
    """{uid: split} by patient (uid up to the first "_"), in fifths of the patients in order of appearance."""
    of = fifths(dict.fromkeys(uid.split("_")[0] for uid in uids))
    return {uid: of[uid.split("_")[0]] for uid in uids}


def read(subject: Subject) -> Study:
    """The Study of a picture, mirrored where the release mirrors. Landmarks are the middles of their marks.

    Pixels count as SCALE mm, so that the published grid's are 1; their true size is not known.
    """
    image, mask, view = *_pictures(subject), subject.details["view"]
    points = landmarks(mask)
    if clockwise(points) != CLOCKWISE[view]:
        image, points[:, 1] = image[:, ::-1], image.shape[1] - 1 - points[:, 1]
    affine = np.diag([SCALE, SCALE, 1.0, 1.0])
    held = View(np.ascontiguousarray(image)[..., None, None], affine, landmarks=points[None].astype(np.float32))
    return Study(subject.id, NAME, {view: held}, subject.attributes)


def _pictures(subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask as (x, y) uint8 arrays; ValueError if one is unreadable or they do not fit each other."""
    image, mask = (_grey(path) for path in subject.files)
    name = subject.files[1].name
    if mask.shape != image.shape:
        raise ValueError(f"masks/{name} has {mask.shape} pixels, its image {image.shape}; they must be the same")
    strange = sorted(set(np.unique(mask).tolist()) - {0, *MARKS})
    if strange:
        raise ValueError(f"masks/{name} holds the value {strange[0]}; allowed are 0, 85, 170, 255")
    lacking = [str(number) for number, value in enumerate(MARKS, start=1) if not (mask == value).any()]
    if lacking:
        raise ValueError(f"masks/{name} has no landmark {', '.join(lacking)}; three must be marked")
    return image, mask


def _grey(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            picture.load()
            mode, array = picture.mode, np.asarray(picture)
    except (OSError, ValueError, SyntaxError) as error:
        reason = " ".join(str(error).replace(str(path.parent), "").split())[:100]
        raise ValueError(f"{path.parent.name}/{path.name} is no readable PNG ({reason}); copy it again") from None
    if mode != "L":
        raise ValueError(f"{path.parent.name}/{path.name} is a picture of mode {mode}; it must be 8-bit grey")
    return array.T


def landmarks(mask: np.ndarray) -> np.ndarray:
    """(3, 2) mean pixel position (x, y) of each mark of an (x, y) mask."""
    return np.array([np.argwhere(mask == value).mean(0) for value in MARKS])


def clockwise(points: np.ndarray) -> bool:
    """Whether three points turn clockwise by the sign the release computes (on a screen, where y points down, the other
    way round)."""
    (x1, y1), (x2, y2), (x3, y3) = points.tolist()
    return (y2 - y1) * (x3 - x2) - (x2 - x1) * (y3 - y2) > 0
