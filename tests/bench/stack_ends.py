"""What the rules for the ends of the stack do to virtual hearts, whose truth is known.

    python3 tests/bench/stack_ends.py [--n 24] [--n-read 30]

First, exact masks and exact landmarks: error of EF, EDV and mass when all slices are summed, when open rings do not
count (what `segment` does without a long axis), when the LV ends at the valve, and with both (with one). Then the
shipped short-axis reader on cohorts it was not made with: Dice and volume of the RV with and without the rule
that it tapers.
"""

import argparse
from unittest import mock

import numpy as np
import pandas as pd

from cinema.inference import measures, reader
from cinema.phantom import cohort
from cinema.stats.metrics import dice
from cinema.terms import LABELS, LAX_VIEWS, SMALL_GRID

ROLES = ("mnms", "mnms2", "fairness")
STACKS = ((10.0, 11), (17.7, 7))  # mm between slices, slices
TRUTH = {"LVEF": "lv_ef_percent", "LVEDV": "lv_edv_ml", "LVM": "lv_mass_g"}


def exact_errors(n):
    """Mean absolute error per distance of slices and rule."""
    rows = []
    for step, depth in STACKS:
        grid = {"sax": ((128, 128, depth), (2.0, 2.0, step)), **dict.fromkeys(LAX_VIEWS, ((128, 128), (2.0, 2.0)))}
        positions = np.arange(depth) * step
        for index in range(n):
            study = cohort.study(cohort.person("fairness", 300 + index), grid=grid)
            sax, lax = study.views["sax"], {name: study.views[name] for name in LAX_VIEWS}
            marks, planes = ({name: getattr(view, of) for name, view in lax.items()} for of in ("landmarks", "affine"))
            distance = measures.valve_distance_mm(sax.labels, sax.affine, marks, planes)
            both, _, coverage = measures.lv_extent(sax.labels, sax.affine, positions, marks, planes)
            rules = {
                "summed": (sax.labels, 1.0),
                "half rings": (measures.without_open_slices(sax.labels), 1.0),
                "valve": (sax.labels, measures.valve_coverage(distance, positions)),
                "both": (both, coverage),
            }
            for rule, (labels, share) in rules.items():
                found = measures.sax_metrics(labels, sax.spacing_mm, positions, 0, 1, share)
                errors = {key: abs(found[key] - study.truth[TRUTH[key]]) for key in TRUTH}
                rows.append({"mm": step, "rule": rule, **errors})
    return pd.DataFrame(rows).groupby(["mm", "rule"], sort=False).mean().round(2)


def tapering(n):
    """RV Dice at ED and ES, and RV volume over the exact masks', with and without the rule."""
    grid, own, rows = {**SMALL_GRID, "sax": ((128, 128, 12), (1.6, 1.6, 9.0))}, reader.OwnReader(), []
    for index in range(n):
        view = cohort.study(cohort.person(ROLES[index % 3], 700 + index // 3), grid=grid).views["sax"]
        with mock.patch.object(reader, "tapered", np.asarray):
            raw = own.predict_sax(view.image, view.spacing_mm)
        for rule, labels in (("without", raw), ("with", reader.tapered(raw))):
            row = {"rule": rule}
            for t, phase in enumerate(("ED", "ES")):
                found, true = (masks[..., t] == LABELS["RV"] for masks in (labels, view.labels))
                row |= {f"Dice {phase}": dice(found, true), f"volume {phase}": found.sum() / true.sum()}
            rows.append(row)
    return pd.DataFrame(rows).groupby("rule", sort=False).mean().round(3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=24, help="virtual people with exact masks")
    parser.add_argument("--n-read", type=int, default=30, help="virtual people read by the network")
    options = parser.parse_args()
    print(f"exact masks, n = {options.n}, mean absolute error (points, ml, g)", exact_errors(options.n), sep="\n")
    print(f"right ventricle read, n = {options.n_read}", tapering(options.n_read), sep="\n")
