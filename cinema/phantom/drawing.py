"""Which labels a human reader draws on short-axis slices of a virtual heart: not where the tissue is, but by convention.

What readers of ACDC do, measured on the labels of its 100 training patients (Bernard et al. 2018): the LV is a closed
ring in every slice in which it is drawn at all, over the mitral and outflow opening, too; its first slice shows muscle
all round at ED (bright for 5 % of the angle on average), but at ES the slice is kept though a third of the ring may be
open (20 %; above 34 % in a quarter of patients); the RV is drawn from the tricuspid plane on, never in a slice without
LV, and not as an outflow tract alone (at ES 72 % of patients have their first slices without RV).
"""

import numpy as np

from cinema.phantom.body import CODE, LABEL_OF
from cinema.phantom.shape import MIN_RIM, surfaces
from cinema.phantom.tissue import on_grid
from cinema.terms import LABELS

MIN_MUSCLE = 0.75, 0.12  # of a ring, for its slice to count: at ED, and where the base has moved TRAVEL_MM or more
TRAVEL_MM = 11.0
MIN_RV = 0.5  # of the right side's area in a slice, the rest being right atrium


def drawn(heart, where, phase, tissues):
    """(samples, x, y, z) labels as drawn, of the tissues (samples, x, y, z) of short-axis slices at positions `where`."""
    s = surfaces(heart, phase)
    zeta, cell = on_grid(s, where)
    shaped = lambda values: values.reshape(tissues.shape)
    endo, epi = s.endo.ravel()[cell], s.epi.ravel()[cell]
    r, level = where.radius_mm, zeta > MIN_RIM
    cavity, wall = shaped(level & (r < endo)), shaped(level & (r >= endo) & (r < epi))
    per_slice = lambda mask: np.count_nonzero(mask, axis=(0, 1, 2))
    muscle = wall & shaped(zeta >= s.rim[where.angle_index])
    kept = per_slice(muscle) > np.interp(s.base_mm, (0, TRAVEL_MM), MIN_MUSCLE) * per_slice(wall)

    right = LABEL_OF[tissues] == LABELS["RV"]
    inner, vestibule = s.rv_inner.ravel()[cell], s.vestibule.ravel()[cell]
    atrium = shaped((r > inner) & (r < vestibule)) & (tissues == CODE["atrial_blood"])
    has_rv = per_slice(right) >= MIN_RV * (per_slice(right) + per_slice(atrium))
    labels = np.where(right & (kept & has_rv), LABELS["RV"], 0).astype(np.uint8)
    labels[wall & kept] = LABELS["MYO"]
    labels[cavity & kept] = LABELS["LV"]
    return labels
