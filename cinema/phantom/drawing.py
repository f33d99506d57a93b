"""Which labels a human reader draws on short-axis slices of a virtual heart: by convention, not where the tissue is.

What readers of ACDC do, measured on the labels of its 100 training patients (Bernard et al. 2018):

- The LV is a closed ring in every slice in which it is drawn at all, over the mitral and outflow opening, too. Its
  first slice shows muscle all round at ED (bright for 7 % of the angle on average), but at ES a slice is kept though
  a good part of the ring is open (30 %).
- The RV is drawn from the tricuspid plane on, never in a slice without LV, and not as an outflow tract alone (at ES the
  first LV slice of 69 % of patients has none).
- No slice beyond the end of the cavity is drawn at ED.
- The LV is drawn up to where blood has gone, not to where it is half: at the septum the grey value is midway between
  muscle and blood 1 mm inside its contour. Half of that is blur and trabeculae, which the virtual heart has, too;
  GENEROUS_MM is the rest. The wall, in turn, reaches SEPTAL_MM into the RV: the grey value at its contour has left that
  of muscle by a fifth of the way.
- The RV is drawn through its trabeculae: those that line the contracted free wall are left out with it (IN_RV).

`experiment conventions` takes these measures, of patients and of virtual hearts drawn so.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

from cinema.phantom.body import CODE
from cinema.phantom.shape import MIN_RIM, surfaces
from cinema.phantom.tissue import filling, on_grid
from cinema.terms import LABELS

MIN_MUSCLE = 0.75, 0.12  # of a ring, for its slice to count: at ED, and where the base has moved TRAVEL_MM or more
TRAVEL_MM = 11.0
MIN_RV = 0.5  # of the right side's area in a slice, the rest being right atrium
GENEROUS_MM = 0.5  # by which the contour of the LV's cavity reaches into muscle
SEPTAL_MM = 0.2  # by which that of the wall reaches into the RV
MAX_SHARE = 0.2  # of a thin wall that the cavity may take
IN_RV = 0.9  # share of the RV's trabeculae at its free wall that is drawn as RV


def drawn(heart, where, phase, tissues):
    """(samples, x, y, z) labels as drawn, of the tissues (samples, x, y, z) of short-axis slices.

    where: tissue.points of the samples, in the same order.
    """
    s = surfaces(heart, phase)
    zeta, cell = on_grid(s, where)
    shaped = lambda values: values.reshape(tissues.shape)
    per_slice = lambda mask: np.count_nonzero(mask, axis=(0, 1, 2))
    edge = rv_edge(heart, phase)
    endo, epi, inner, vestibule, rv = (a.ravel()[cell] for a in (s.endo, s.epi, s.rv_inner, s.vestibule, edge))
    r, level, beside = where.radius_mm, zeta > MIN_RIM, rv > inner + 0.6
    taken = np.minimum(GENEROUS_MM, MAX_SHARE * (epi - endo))
    outer = epi + np.where(beside, SEPTAL_MM, -taken)
    left, cavity = (shaped(level & (r < edge)) for edge in (outer, endo + taken * (endo > 0)))
    wall = left & ~cavity
    muscle = wall & shaped(zeta >= s.rim[where.angle_index])
    least = np.interp(s.base_mm, (0, TRAVEL_MM), MIN_MUSCLE) * per_slice(wall)
    kept = (per_slice(muscle) > least) & (per_slice(cavity) > 0)

    right = shaped(beside & (r < rv) & (r >= inner - 0.4 + SEPTAL_MM))
    atrium = shaped((r > inner) & (r < vestibule)) & (tissues == CODE["atrial_blood"])
    has_rv = per_slice(right) >= MIN_RV * (per_slice(right) + per_slice(atrium))
    labels = np.where(right & (kept & has_rv), LABELS["RV"], 0).astype(np.uint8)
    labels[wall & kept] = LABELS["MYO"]
    labels[cavity & kept] = LABELS["LV"]
    return labels


def rv_edge(heart, phase):
    """(level, angle) radius at which the RV's contour runs along its free wall: through the trabeculae, smoothly."""
    s, blood = surfaces(heart, phase), filling(heart, phase).rv_blood
    return s.rv - (1 - IN_RV) * gaussian_filter(s.rv - blood, (3, 5), mode=("nearest", "wrap"))
