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
  of muscle by a fifth of the way. Away from the RV it is drawn on the dark line, OUTER_MM inside the muscle: the bright
  layer of fat begins 2 mm outside it.
- The RV is drawn all but to its free wall: of the trabeculae that line it, what is beyond IN_RV of their depth is left
  out.

`experiment conventions` takes these measures, of patients and of virtual hearts drawn so.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cinema.phantom.body import CODE
from cinema.phantom.heart import Heart
from cinema.phantom.shape import ANGLES_DEG, LEVELS, MIN_RIM, MM3_PER_ML, surfaces
from cinema.phantom.tissue import Points, filling, on_grid
from cinema.stats.metrics import ejection_fraction_percent
from cinema.terms import LABELS, MYOCARDIUM_DENSITY_G_PER_ML

MIN_MUSCLE = 0.75, 0.12  # of a ring, for its slice to count: at ED, and where the base has moved TRAVEL_MM or more
TRAVEL_MM = 11.0
MIN_RV = 0.5  # of the right side's area in a slice, the rest being right atrium
GENEROUS_MM = 0.5  # by which the contour of the LV's cavity reaches into muscle
SEPTAL_MM = 0.2  # by which that of the wall reaches into the RV
OUTER_MM = 1.2  # by which the wall, away from the RV, ends inside the muscle
MAX_SHARE = 0.2  # of a thin wall that either contour may take
IN_RV = 0.9  # share of the RV's trabeculae at its free wall that is drawn as RV


class Contours(NamedTuple):
    """Where a reader's pen runs at a phase, radii in mm, arrays (level, angle)."""

    cavity: np.ndarray  # of the LV
    wall: np.ndarray  # outer border of the ring
    rv_inner: np.ndarray
    rv: np.ndarray  # through the trabeculae of the free wall; no RV where `beside` is False
    beside: np.ndarray


@lru_cache(maxsize=64)
def contours(heart: Heart, phase: float) -> Contours:
    """The contours of every level, whether its slice is drawn or not."""
    s, blood = surfaces(heart, phase), filling(heart, phase).rv_blood
    rv = s.rv - (1 - IN_RV) * gaussian_filter(s.rv - blood, (3, 5), mode=("nearest", "wrap"))
    beside = rv > s.rv_inner + 0.6
    most = MAX_SHARE * (s.epi - s.endo) * (LEVELS > MIN_RIM)[:, None]
    taken = np.minimum(GENEROUS_MM, most)
    wall = s.epi + np.where(beside, SEPTAL_MM, -np.minimum(OUTER_MM, most))
    return Contours(s.endo + taken * (s.endo > 0), wall, s.rv_inner - 0.4 + SEPTAL_MM, rv, beside)


def counts(base_mm: float, muscle: NDArray, wall: NDArray, cavity: NDArray, rv: NDArray, atrium: NDArray) -> tuple:
    """(LV, RV): booleans, which slices are drawn, from areas of each slice: `muscle` is what the ring `wall` truly has.

    base_mm: how far the base has moved since ED.
    """
    lv = (muscle > np.interp(base_mm, (0, TRAVEL_MM), MIN_MUSCLE) * wall) & (cavity > 0)
    return lv, lv & (rv >= MIN_RV * (rv + atrium))


def drawn(heart: Heart, where: Points, phase: float, tissues: NDArray) -> NDArray:
    """(samples, x, y, z) labels as drawn, of the tissues (samples, x, y, z) of short-axis slices.

    where: tissue.points of the samples, in the same order.
    """
    s, pen = surfaces(heart, phase), contours(heart, phase)
    zeta, cell = on_grid(s, where)
    shaped = lambda values: values.reshape(tissues.shape)
    area = lambda mask: np.count_nonzero(mask, axis=(0, 1, 2))
    edge, outer, rv_inner, rv, beside = (a.ravel()[cell] for a in pen)
    inner, vestibule = (a.ravel()[cell] for a in (s.rv_inner, s.vestibule))
    r, level = where.radius_mm, zeta > MIN_RIM
    left, cavity = (shaped(level & (r < reach)) for reach in (outer, edge))
    wall = left & ~cavity
    muscle = wall & shaped(zeta >= s.rim[where.angle_index])
    right = shaped(beside & (r < rv) & (r >= rv_inner))
    atrium = shaped((r > inner) & (r < vestibule)) & (tissues == CODE["atrial_blood"])
    has_lv, has_rv = counts(s.base_mm, *map(area, (muscle, wall, cavity, right, atrium)))
    labels = np.where(right & has_rv, LABELS["RV"], 0).astype(np.uint8)
    labels[wall & has_lv] = LABELS["MYO"]
    labels[cavity & has_lv] = LABELS["LV"]
    return labels


def volumes_ml(heart: Heart, phase: float) -> tuple[float, float, float]:
    """(LV cavity, LV wall, RV cavity) in ml as drawn on endlessly many thin upright slices: the contours, integrated.

    As shape.volumes_ml, which has the tissue's.
    """
    s, pen = surfaces(heart, phase), contours(heart, phase)
    fine = np.linspace(LEVELS[0], LEVELS[-1], 10 * len(LEVELS))  # a slice counts or not: between levels, too

    def area(outer, inner=0.0, where=True):  # 2 x area / angle step
        return np.interp(fine, LEVELS, np.sum((outer**2 - inner**2) * where, axis=1, dtype=np.float64))

    level = (LEVELS > MIN_RIM)[:, None]
    start = np.where(level, np.maximum(pen.rv_inner, pen.wall), pen.rv_inner)  # the ring lies over the RV
    cavity, ring = area(pen.cavity, where=level), area(pen.wall, pen.cavity, level)
    muscle = area(pen.wall, pen.cavity, level & (LEVELS[:, None] >= s.rim))
    rv = area(pen.rv, np.minimum(start, pen.rv), pen.beside)
    has_lv, has_rv = counts(s.base_mm, muscle, ring, cavity, rv, area(s.vestibule, s.rv_inner))
    step = s.length_mm * (fine[1] - fine[0]) * np.deg2rad(ANGLES_DEG[1]) / 2 / MM3_PER_ML
    return tuple(float(np.sum(part * there) * step) for part, there in ((cavity, has_lv), (ring, has_lv), (rv, has_rv)))


def truth(heart: Heart) -> dict[str, float]:
    """What a reader would measure in a heart, for `drawn_` numbers of a study: volumes (ml), EF (percent), mass (g)."""
    (lv_ed, wall, rv_ed), (lv_es, _, rv_es) = (volumes_ml(heart, phase) for phase in (0.0, heart.es_fraction))
    found = {"drawn_lv_mass_g": wall * MYOCARDIUM_DENSITY_G_PER_ML}
    for side, edv, esv in (("lv", lv_ed, lv_es), ("rv", rv_ed, rv_es)):
        ef = float(ejection_fraction_percent(edv, esv))
        found |= {f"drawn_{side}_edv_ml": edv, f"drawn_{side}_esv_ml": esv, f"drawn_{side}_ef_percent": ef}
    return found
