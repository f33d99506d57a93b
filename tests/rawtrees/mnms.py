"""M&Ms' folders from virtual hearts: cines with oblique planes, masks of all frames, a table counted from 0."""

import numpy as np

from cinema.data.public.mnms import TABLE
from rawtrees import pairs
from rawtrees.hearts import hearts

FRAMES = 6
CODES = ("A0S9V9", "A1D9Z7", "A2C0I1", "B3D0N1", "C6E0F9", "D1J5P6")
PLACES = ("Training/Labeled", "Training/Labeled", "Training/Labeled", "Training/Labeled", "Validation", "Testing")
LETTERS = {"Siemens": "A", "Philips": "B", "GE": "C", "Canon": "D"}
ES_FAULTS = {"beyond": 40, "no number": "?", "infinite": "inf", "half": 2.5, "same": None}
HEAD = ",External code,VendorName,Vendor,Centre,ED,ES,Age,Pathology,Sex,Height,Weight"


def build(folder, n=6, seed=0, faults=()):
    """Write n codes (4 labelled, 1 validation, 1 test, and so on) and a row without files, one of the unlabelled, a
    folder without a row; returns {"ids", "bad", "studies", "frames"}.

    faults: one more code of Testing for each: pairs.damage, ES_FAULTS and "off by one" (frames of the table),
            "twice" (two folders), "two rows", "3D". bad: code -> fault.
    frames: code -> (ED, ES), counted from 0.
    """
    root, rows, studies, frames, bad = folder / "OpenDataset", [], {}, {}, {}
    found = hearts("mnms", n, seed, FRAMES, pairs.GRID)
    for k, study in enumerate(found):
        code, place = CODES[k % 6] if k < 6 else f"E{k:05d}", PLACES[k % 6]
        studies[code] = study
        frames[code] = subject(root / place / code, study, k)
        rows.append(row(k, code, study, *frames[code]))
    for k, fault in enumerate(faults):
        code = f"X{k:02d}"
        bad[code], home = fault, root / "Testing" / code
        ed, es = subject(home, found[0], 0)
        if fault == "twice":
            subject(root / "Validation" / code, found[0], 0)
        elif fault == "two rows":
            rows.append(row(90 + k, code, found[0], ed, es))
        elif fault in ES_FAULTS:
            es = ES_FAULTS[fault] if fault != "same" else ed
        elif fault == "off by one":
            ed, es = ed + 1, es + 1
        elif fault == "3D":
            pairs.store(home / f"{code}_sa.nii.gz", found[0].views["sax"].image[..., 0], found[0].views["sax"].affine)
        else:
            pairs.damage(fault, home / f"{code}_sa.nii.gz", home / f"{code}_sa_gt.nii.gz")
        rows.append(row(90 + k, code, found[0], ed, es))
    rows += [row(200, "N0F1L3", found[0], 0, 2), row(201, "U0L1B2", found[0], 0, 2)]
    (root / "Training/Unlabeled/U0L1B2").mkdir(parents=True)
    (root / "Testing/N0R0W0").mkdir(parents=True, exist_ok=True)
    (root / "Testing/.DS_Store").write_bytes(b"\0")
    (root / TABLE).write_text("\n".join([HEAD, *rows]) + "\n", encoding="utf-8")
    bad |= {"N0F1L3": "no files", "U0L1B2": "unlabelled", "N0R0W0": "no row"}
    return {"ids": sorted(studies), "bad": bad, "studies": studies, "frames": frames}


def subject(home, study, k):
    """Write one folder; returns (ED, ES) counted from 0. Image types differ, masks are empty but at ED and ES."""
    view = study.views["sax"]
    order = np.roll(np.arange(FRAMES), 2 + k % 3)
    ed, es = (int(np.flatnonzero(order == frame)[0]) for frame in (study.ed_frame, study.es_frame))
    cine = pairs.scanner_grey(view.image, k)[..., order]
    masks = np.zeros_like(view.image)
    for frame, source in ((ed, study.ed_frame), (es, study.es_frame)):
        masks[..., frame] = pairs.SWAPPED[view.label_at(source)]
    pairs.store(home / f"{home.name}_sa.nii.gz", cine.astype((np.int16, np.float64, np.float32)[k % 3]), view.affine)
    pairs.store(home / f"{home.name}_sa_gt.nii.gz", masks, view.affine)
    return ed, es


def row(number, code, study, ed, es):
    """A line of the table. Subject 2's height is unknown, subject 3's class is none of the published five."""
    who = study.attributes
    disease = "LVNC" if number == 3 else who["disease"]
    height = "" if number == 2 else f"{who['height_cm']:.0f}"
    return (
        f"{number},{code},{who['vendor']},{LETTERS[who['vendor']]},{1 + number % 5},{ed},{es},"
        f"{who['age_years']:.0f},{disease},{who['sex']},{height},{who['weight_kg']:.0f}"
    )
