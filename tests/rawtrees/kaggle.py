"""The Data Science Bowl's folders of DICOM and tables of volumes, with repeats, odd slices and damage as they occur."""

from dataclasses import replace

import numpy as np

from rawtrees.hearts import hearts
from rawtrees.pictures import slice_bytes

PLACES = (("train", 1), ("train", 2), ("train", 3), ("train", 4), ("validate", 501), ("test", 701))
# A slice and a view taken twice; a slice of another size; one folder with all slices; damaged files.
REPEAT, ODD, SPLIT, CUT = 2, 3, 4, 501


def build(folder, n=6, seed=0, frames=10, grid=None):
    """Write n subjects, and beside them 761 (black), one without pictures and one without volumes.

    Returns {"ids", "bad", "studies", "volumes"}: as in ukb.build; volumes: id -> (EDV, ESV) of the tables.
    """
    root = folder / "second-annual-data-science-bowl"
    places = [*PLACES, *(("train", 5 + k) for k in range(n))][:n]
    studies, volumes = {}, {}
    for (split, number), study in zip(places, hearts("pretraining", n, seed, frames, grid), strict=True):
        home = root / split / split / str(number) / "study"
        studies[str(number)] = study
        volumes[number] = (split, round(study.truth["lv_edv_ml"], 1), round(study.truth["lv_esv_ml"], 1))
        subject(home, study, number)
    first = next(iter(studies.values()))
    series(root / "test/test/761/study/sax_3", first.views["sax"], 0, 3)
    series(root / "test/test/761/study/2ch_4", first.views["lax_2c"], 0, 4)
    for part in ("sax_1", "2ch_2"):
        (root / f"train/train/90/study/{part}").mkdir(parents=True)
        (root / f"train/train/90/study/{part}/IM-1.dcm").write_bytes(b"not a picture")
    series(root / "validate/validate/590/study/sax_1", first.views["sax"], 0, 1)
    volumes |= {761: ("test", 150.0, 70.0), 90: ("train", 120.0, 50.0), 91: ("train", 120.0, 50.0)}
    bad = {"761": "black", "90": "at least 3", "590": "no volumes", "91": "no folder"}
    tables(root, volumes)
    return {"ids": sorted(studies, key=int), "bad": bad, "studies": studies, "volumes": volumes}


def subject(home, study, number):
    sax = study.views["sax"]
    series(home / "2ch_21", study.views["lax_2c"], 0, 21)
    if number == REPEAT:
        series(home / "2ch_7", replace_image(study.views["lax_2c"], 7), 0, 7)
    series(home / "4ch_9", study.views["lax_4c"], 0, 9)
    for z in range(sax.image.shape[2]):
        part = 10 if number == SPLIT else 10 + z
        series(home / f"sax_{part}", sax, z, part)
    if number == REPEAT:  # spoiled first, then taken again: the later one counts
        series(home / "sax_3", replace_image(sax, 5), 2, 3)
    if number == ODD:
        series(home / "sax_55", replace(sax, image=sax.image[4:-4]), 4, 55)
    if number == CUT:
        (home / "sax_12/IM-0012-0004.dcm").unlink()
        (home / "sax_13/IM-0013-0002.dcm").write_bytes(b"")


def replace_image(view, value):
    return replace(view, image=np.full_like(view.image, value))


def series(folder, view, z, number):
    """Files of one slice, numbered by time; several slices of one folder go on counting."""
    folder.mkdir(parents=True, exist_ok=True)
    start = len(list(folder.iterdir()))
    for t, data in slice_bytes(view, z, number).items():
        (folder / f"IM-{number:04d}-{start + t + 1:04d}.dcm").write_bytes(data)


def tables(root, volumes):
    for split in ("train", "validate"):
        rows = [f"{number},{esv},{edv}" for number, (where, edv, esv) in sorted(volumes.items()) if where == split]
        (root / f"{split}.csv").write_text("\n".join(["Id,Systole,Diastole", *rows]) + "\n", encoding="utf-8")
    rows = ["Id,Volume"]
    for number, (where, edv, esv) in sorted(volumes.items()):
        if where == "test":
            rows += [f"{number}_Diastole,{edv}", f"{number}_Systole,{esv - 1}", f"{number}_Systole,{esv + 1}"]
    (root / "solution.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
