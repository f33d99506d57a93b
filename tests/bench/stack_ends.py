"""What the rules for the ends of the stack do to virtual hearts, whose truth is known.

    python3 tests/bench/stack_ends.py [--n 24]

Masks as drawn and exact landmarks, against the tissue's truth and against what is drawn on thin slices: error of EF,
EDV and mass when all slices are summed (what `segment` does without a long axis), when open rings do not count, and
when the LV ends at the valve (with one).
"""

import argparse

import numpy as np
import pandas as pd

from cinema.inference import measures
from cinema.phantom import cohort
from cinema.terms import LAX_VIEWS
from experiments.rules import without_open_slices

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
            ended, _, coverage = measures.lv_extent(sax.labels, sax.affine, positions, marks, planes)
            rules = {
                "summed": (sax.labels, 1.0),
                "half rings": (without_open_slices(sax.labels), 1.0),
                "valve": (ended, coverage),
            }
            for rule, (labels, share) in rules.items():
                found = measures.sax_metrics(labels, sax.spacing_mm, positions, 0, 1, share)
                for whose, prefix in (("tissue", ""), ("as drawn", "drawn_")):
                    off = {key: found[key] - study.truth[prefix + TRUTH[key]] for key in TRUTH}
                    errors = {key: abs(value) for key, value in off.items()} | {"LVEF bias": off["LVEF"]}
                    rows.append({"mm": step, "rule": rule, "truth": whose, **errors})
    return pd.DataFrame(rows).groupby(["mm", "rule", "truth"], sort=False).mean().round(2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=24, help="virtual people with exact masks")
    options = parser.parse_args()
    print(f"exact masks, n = {options.n}, mean absolute error (points, ml, g)", exact_errors(options.n), sep="\n")
