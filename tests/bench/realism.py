"""How real virtual images look: real short axes beside a virtual cohort and beside what the readers train on.

    python3 tests/bench/realism.py REAL... [--n 24] [--library DIR] [--weights DIR] [--keep CSV]

REAL: anything that `segment` reads (DICOM folder, NIfTI folder or file). Masks lying beside NIfTI images (ed_gt.nii.gz)
are used; otherwise the project's own reader draws them: --keep holds its numbers fixed while the generator changes.
Measured is the middle slice (cinema.phantom.realism). Nothing of a real image is printed but these numbers, and
subjects are only counted.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from unittest import mock

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage

from cinema.data.inputs import read_input
from cinema.data.nifti import nifti_files
from cinema.data.study import View
from cinema.inference import measures, reader, segment
from cinema.phantom import cohort, realism
from cinema.terms import LABELS
from experiments.own_weights import slices
from experiments.own_weights.library import LIBRARY_VERSION

ROLES = ("acdc", "mnms", "mnms2")
GRID = {"sax": ((144, 144, 9), (1.5, 1.5, 10.0)), "lax_4c": ((16, 16), (10.0, 10.0))}
VISITS = 20  # looks at a training heart until one shows its middle
COLUMNS = ["phase", "measurement", "real: median (range), n", "cohort: median (5-95 %)", "training: median (5-95 %)"]
COLUMNS += ["cohort - real, SD", "real outside training"]
LEAST_MM2 = {"ED": 500, "ES": 250}  # LV area of a training slice that counts as middle


def real_view(path, readers):
    """The short axis of an examination, labelled at ED and ES."""
    exam, masks = read_input(path), given_masks(path)
    study, view, frames = exam.study, exam.study.views["sax"], (exam.study.ed_frame, exam.study.es_frame)
    if masks is None:
        found, *_ = segment.read_views(replace(study, views={"sax": view}), readers, exam.sax_positions_mm)
        volumes = measures.volumes_ml(found["sax"], view.spacing_mm, exam.sax_positions_mm, "LV")
        frames = measures.extreme_frames(volumes, *frames)
        masks = found["sax"][..., list(frames)]
    return replace(view, labels=masks, label_frames=frames)


def given_masks(path):
    """(x, y, z, 2) labels of ED and ES from files beside the images (ed_gt.nii.gz, es_gt.nii.gz); None without."""
    if not Path(path).is_dir():
        return None
    named = {file.name.lower().split(".nii")[0]: file for file in nifti_files(path)}
    files = [next((file for name, file in named.items() if name.endswith(end)), None) for end in ("ed_gt", "es_gt")]
    return None if None in files else np.stack([np.asarray(nib.load(f).dataobj).astype(np.uint8) for f in files], -1)


def cohort_views(n):
    """n people shared out over ROLES, scanned at ED and ES with 1.5 mm pixels."""
    people = [cohort.person(ROLES[k % len(ROLES)], k // len(ROLES), seed=1) for k in range(n)]
    return {person.id: cohort.study(person, grid=GRID).views["sax"] for person in people}


def training_views(folder, n):
    """Slices near the middle of n library hearts as the readers' training dresses them: one at ED, one at ES."""
    kept = {}
    with mock.patch.object(reader, "normalised", np.asarray):  # grey values keep their zero
        data = slices.DressedSlices(folder, "sax", n, visits=VISITS, seed=5)
        for index in range(len(data)):
            heart = index // VISITS
            if len(kept.get(heart, {})) == 2:
                continue
            item = data[index]
            phase = {0: "ED", 1: "ES"}.get(item["frame"])
            for image, label in zip(item["image"]["sax"].numpy(), item["label"]["sax"].numpy()):
                if phase and phase not in kept.setdefault(heart, {}) and is_middle(label, phase):
                    kept[heart][phase] = image, label
    both = {heart: [pair[phase] for phase in ("ED", "ES")] for heart, pair in kept.items() if len(pair) == 2}
    affine, views = np.diag([reader.PIXEL_MM, reader.PIXEL_MM, 10.0, 1.0]), {}
    for heart, pair in both.items():
        image, label = (np.stack(parts, axis=-1)[:, :, None] for parts in zip(*pair))
        views[heart] = View(image, affine, label.astype(np.uint8), (0, 1))
    return views


def is_middle(label, phase):
    """Whether a slice shows all structures, an LV of some size, and a wall that closes around it."""
    lv, myo, rv = (label == LABELS[name] for name in ("LV", "MYO", "RV"))
    lv_mm2, rv_mm2 = (mask.sum() * reader.PIXEL_MM**2 for mask in (lv, rv))
    rim = ndimage.binary_dilation(lv) & ~lv
    return lv_mm2 > LEAST_MM2[phase] and rv_mm2 > LEAST_MM2["ES"] and myo[rim].mean() > 0.97


def compare(real, people, training):
    """One row per phase and measurement: medians, ranges, and marks where the virtual images miss the real ones."""
    rows = []
    for phase in ("ED", "ES"):
        for name in real.columns:
            r, p, t = (part.xs(phase, level="phase")[name].dropna() for part in (real, people, training))
            low, high = np.percentile(t, (5, 95))
            off = (np.median(p) - np.median(r)) / max(np.std(p, ddof=1), 1e-9)
            outside = int(((r < low) | (r > high)).sum())
            middle = ["{1:.3g} ({0:.3g} to {2:.3g})".format(*np.percentile(part, (5, 50, 95))) for part in (p, t)]
            seen = f"{np.median(r):.3g} ({r.min():.3g} to {r.max():.3g}), {len(r)}"
            marked = f"{off:+.1f}{' <' if abs(off) > 1 else ''}", f"{outside} of {len(r)} <" if outside else ""
            rows.append((phase, name, seen, *middle, *marked))
    return pd.DataFrame(rows, columns=COLUMNS).set_index(["phase", "measurement"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("real", nargs="+")
    parser.add_argument("--n", type=int, default=24, help="virtual people of each kind")
    parser.add_argument("--library", default=f"data/work/laptop/library_{LIBRARY_VERSION}")
    parser.add_argument("--weights", help="folder of readers (default: the shipped ones)")
    parser.add_argument("--keep", type=Path, help="CSV of the real numbers: read if it is there, else written")
    options = parser.parse_args()
    if options.keep and options.keep.exists():
        real = pd.read_csv(options.keep, index_col=[0, 1])
    else:
        readers = segment.open_readers(options.weights)
        real = realism.table({number: real_view(path, readers) for number, path in enumerate(options.real, start=1)})
        if options.keep:
            real.to_csv(options.keep)
    virtual = cohort_views(options.n), training_views(options.library, options.n)
    tables = real, *map(realism.table, virtual)
    counts = [len(part.index.unique("subject")) for part in tables]
    print("subjects: real {}, cohort {}, training {}".format(*counts))
    print(compare(*tables).to_string())


if __name__ == "__main__":
    main()
