"""One beating biventricular heart in closed form, with exact truth.

The left ventricle is described about its long axis: z runs from the mitral plane to the apex, an angle runs round it
(0 = mid septum, 90 = anterior, 180 = lateral, 270 = inferior degrees). A material level `zeta` is 0 at the mitral plane
and 1 at the endocardial apex. Every surface is a radius r(zeta, angle) on one grid, so that volumes can be solved for:

    V = L / 2 * integral of r(zeta, angle)^2 d angle d zeta          (disc summation, in polar form)

The endocardium is scaled to meet the volume curve, the epicardium follows from conserving the volume of every piece of
wall, the RV free wall from the RV volume. Nothing is fitted to pixels.

The base is no flat disc. Muscle ends at a level rim(angle): the lateral wall reaches further back than the crux of the
heart, and in front the cavity climbs into the outflow tract. Inside, the border of the cavity is the ruled surface from
the middle of the mitral plane to that rim, zeta = rim(angle) r / endo: the share of a disc that belongs to the cavity
is known exactly (`_share`).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cinema.terms import MYOCARDIUM_DENSITY_G_PER_ML

LEVELS = np.linspace(-0.5, 1.3, 181, dtype=np.float32)  # zeta
ANGLES_DEG = np.arange(180, dtype=np.float32) * 2.0
MIN_RIM = -0.2  # no rim lies beyond
MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class Surfaces:
    """The heart at one phase. Radii in mm about the long axis, arrays (level, angle)."""

    endo: np.ndarray
    epi: np.ndarray
    rv_inner: np.ndarray
    rv: np.ndarray  # outer radius of the RV cavity; equal to rv_inner where there is none
    vestibule: (
        np.ndarray
    )  # outer radius of the right atrium just behind the tricuspid plane; rv_inner where there is none
    rim: np.ndarray  # (angle,) level at which the muscle ends; its mean is 0
    base_mm: float  # z of the mitral plane, which at ED is 0
    apex_mm: float  # z of the endocardial apex

    @property
    def length_mm(self):
        return self.apex_mm - self.base_mm


def emptying(heart, phase):
    """How empty the ventricles are: 0 at ED, 1 at ES, then E wave, diastasis and A wave."""
    phase = np.asarray(phase, np.float64) % 1.0
    systole = np.clip(phase / heart.es_fraction, 0, 1)
    diastole = np.clip((phase - heart.es_fraction) / (1 - heart.es_fraction), 0, 1)
    early, atrial = _smooth(diastole / 0.45), _smooth((diastole - 0.72) / 0.28)
    return _smooth(systole**0.9) - 0.72 * early - 0.28 * atrial


def _smooth(u):
    u = np.clip(u, 0, 1)
    return u * u * (3 - 2 * u)


def _angular_bump(centre_deg, half_width_deg):
    away = (ANGLES_DEG - centre_deg + 180.0) % 360.0 - 180.0
    return np.exp(-0.5 * (away / half_width_deg) ** 2)


def _profile(level, shoulder, narrowing, power):
    """Radius of the cavity along its length, relative to its widest: narrower at the base, closed at 1."""
    below = np.clip((level - shoulder) / (1 - shoulder), 0, 1)
    above = np.clip((shoulder - level) / shoulder, 0, 1.6)
    return np.where(level > shoulder, (1 - below**power) ** (1 / 2.0), 1 - narrowing * above**2)


def outflow_angle_deg(heart):
    """Where the outflow tract leaves the LV: in front, toward the septum."""
    return float(np.random.default_rng([heart.detail_seed, 7]).uniform(32, 62))


@lru_cache(maxsize=256)
def _rim(heart):
    """(angle,) level at which the muscle ends: a tilt, and the outflow tract; mean 0."""
    rng = np.random.default_rng([heart.detail_seed, 8])
    tilt = rng.uniform(0.0, 0.055) * np.cos(np.deg2rad(ANGLES_DEG - rng.normal(150, 35)))
    outflow = rng.uniform(0.03, 0.11) * _angular_bump(outflow_angle_deg(heart), rng.uniform(22, 34))
    rim = -tilt - outflow
    return (rim - rim.mean()).astype(np.float32)


def _share(rim):
    """(level, angle) share of r^2 that belongs to the cavity, by the ruled surface at the base."""
    level = LEVELS[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        along = np.clip(np.where(rim == 0, 0.0, level / rim), 0, 1) ** 2
    above = np.where(level >= 0, 1.0, 1 - along)
    below = np.where(level < 0, 0.0, np.where(level < rim, along, 1.0))
    return np.where(rim < 0, above, below)


@lru_cache(maxsize=256)
def _at_rest(heart):
    """ED surfaces and the maps that drive the motion; solved once per heart."""
    rng = np.random.default_rng([heart.detail_seed, 1])
    rim = _rim(heart)
    share = _share(rim)
    level, angle = LEVELS[:, None], np.deg2rad(ANGLES_DEG)[None]
    shape = dict(shoulder=rng.uniform(0.22, 0.36), narrowing=rng.uniform(0.02, 0.14), power=rng.uniform(2.0, 2.8))
    oval = 1 + rng.uniform(0, 0.05) * np.cos(2 * (angle - rng.uniform(0, np.pi)))
    oval = oval + rng.uniform(0, 0.025) * np.cos(3 * (angle - rng.uniform(0, 2 * np.pi)))
    oval = oval + rng.uniform(0, 0.05) * np.cos(angle - rng.uniform(0, 2 * np.pi) - rng.uniform(-2, 2) * level)
    uneven = _unevenness(heart)
    oval = oval + 0.25 * uneven
    flat = 1 - 0.32 * heart.septal_flattening * _angular_bump(0, 38)[None] * (1 - 0.5 * np.clip(level, 0, 1))
    unit = _profile(level, **shape) * oval * flat
    cavity = ((level >= MIN_RIM) & (level <= 1)) * unit
    radius = np.sqrt(heart.lv_edv_ml * MM3_PER_ML / (heart.lv_length_mm / 2 * _integral(share * cavity**2)))
    endo = (radius * cavity).astype(np.float32)

    thickness = 1 + rng.uniform(-0.06, 0.1) * np.cos(angle - rng.uniform(0, 2 * np.pi)) - 0.22 * _smooth(level / 0.9)
    bulge = heart.septal_bulge * _angular_bump(heart.bulge_angle_deg, heart.bulge_half_width_deg)
    thickness = thickness + bulge * (1 - 0.6 * _smooth((level - 0.45) / 0.5))
    thickness = thickness + heart.apical_bulge * _smooth((level - 0.4) / 0.45)
    contraction = np.broadcast_to(0.92 + 0.3 * np.clip(level, 0, 1), endo.shape) * (1 + uneven)
    for infarct in heart.infarcts:
        along = np.exp(-0.5 * ((level - infarct.level) / infarct.half_width_level) ** 2)
        patch = _angular_bump(infarct.angle_deg, infarct.half_width_deg)[None] * along
        contraction *= 1 - infarct.akinesia * patch
        thickness = thickness * (1 - infarct.thinning * patch)

    def epicardium(wall_mm):
        stretched = level / (1 + 0.6 * wall_mm / heart.lv_length_mm)
        inside = (stretched <= 1) * _profile(stretched, **shape)
        return np.maximum((radius * oval * flat + wall_mm * thickness) * inside, endo)

    def mass(wall_mm):
        wall = (level >= rim) * (epicardium(wall_mm) ** 2 - endo**2)
        return heart.lv_length_mm / 2 * _integral(wall) / MM3_PER_ML * MYOCARDIUM_DENSITY_G_PER_ML

    low, high = 0.5, 60.0  # mm of wall
    if not mass(low) <= heart.lv_mass_g <= mass(high):
        raise ValueError(f"no wall of {low} to {high} mm weighs {heart.lv_mass_g} g; change LV mass or volume")
    for _ in range(40):  # bisection
        middle = (low + high) / 2
        low, high = (middle, high) if mass(middle) < heart.lv_mass_g else (low, middle)
    epi = epicardium((low + high) / 2).astype(np.float32)
    return endo, epi, contraction.astype(np.float32), _rv_shape(heart, rng), share


def _unevenness(heart):
    """(level, angle) smooth waves about 0: no cavity is a circle, none empties alike all round."""
    rng, waves = np.random.default_rng([heart.detail_seed, 9]), 0.0
    for order in (2, 3, 4, 5):
        turn = order * np.deg2rad(ANGLES_DEG)[None] + rng.uniform(-4, 4) * LEVELS[:, None] + rng.uniform(0, 2 * np.pi)
        waves = waves + rng.uniform(0, 0.3 / order) * np.cos(turn)
    return waves


def _rv_shape(heart, rng):
    """Where the RV cavity lies: (level, angle) height relative to its tallest; the share of the outflow tract, which
    in front of the tricuspid plane climbs past the mitral plane toward the pulmonary valve, and how far it climbs."""
    level, angle = LEVELS[:, None], ((ANGLES_DEG + 180) % 360 - 180)[None]
    basal = 1 - _smooth(level / rng.uniform(0.3, 0.5))
    wrap = 22 * np.clip(np.log(heart.rv_edv_ml / heart.lv_edv_ml), -0.3, 1.0)  # a large RV wraps further round
    front = rng.uniform(56, 70) + wrap + rng.uniform(25, 45) * basal
    back = -rng.uniform(58, 74) - wrap - rng.uniform(0, 8) * basal
    across = np.clip((angle - (front + back) / 2) / ((front - back) / 2), -1.5, 1.5)
    across = across + rng.uniform(-0.28, 0.28) * (1 - across**2)  # fuller in front or toward the diaphragm
    rounding = rng.uniform(0.5, 1.05)
    height = np.clip(1 - np.abs(across) ** rng.uniform(1.6, 3.2), 0, 1) ** rounding
    larger = min(max(np.log(heart.rv_edv_ml / heart.lv_edv_ml), 0.0), 1.0)
    tip = rng.uniform(0.86, 1.0) + 0.25 * larger  # a large RV forms the apex of the heart
    height = height * (1 - np.clip((level - 0.05) / (tip - 0.05), 0, 1) ** rng.uniform(1.3, 2.2)) ** 0.9
    outflow = _smooth((angle - rng.uniform(15, 30)) / 40)
    climb = rng.uniform(0.22, 0.38)
    for order in (1, 2, 3):  # no two free walls are alike
        turn = order * np.deg2rad(angle) * rng.uniform(1.2, 2.0)
        wave = turn + level * rng.uniform(-4, 4) + rng.uniform(0, 2 * np.pi)
        height = height * (1 + rng.uniform(0, 0.24 / order) * np.sin(wave))
    height = height * np.where(level < 0, 1 - 0.6 * _smooth(-level / climb), 1)
    return height, outflow, climb


def _integral(values):
    """Integral over level and angle; half weight on the boundary levels would be below 0.1 %."""
    return float(np.sum(values, dtype=np.float64)) * float(LEVELS[1] - LEVELS[0]) * float(np.deg2rad(2.0))


@lru_cache(maxsize=1024)
def surfaces(heart, phase):
    """All surfaces of `heart` at a phase (0 = ED, heart.es_fraction = ES, 1 = the next ED)."""
    endo0, epi0, contraction, (height, outflow, climb), cavity = _at_rest(heart)
    empty = float(emptying(heart, phase))
    length0 = heart.lv_length_mm
    base = heart.mapse_mm * empty
    apex = length0 - 0.12 * heart.mapse_mm * empty  # the apex rises by a few mm at most
    length = apex - base
    volume = heart.lv_edv_ml + (heart.lv_esv_ml - heart.lv_edv_ml) * empty
    share = _contract(endo0 * np.sqrt(cavity), contraction, 2 * volume * MM3_PER_ML / length)
    endo = endo0 * np.maximum(1 - share * contraction, 0.05)
    epi = np.sqrt(endo**2 + (epi0**2 - endo0**2) * (length0 / length))  # each piece of wall keeps its volume

    level = LEVELS[:, None]
    # The tricuspid plane moves further than the mitral plane, with what the RV ejects.
    ejected = 1 - heart.rv_esv_ml / heart.rv_edv_ml
    descent = ejected * np.random.default_rng([heart.detail_seed, 10]).uniform(0.08, 0.30)
    rv_base = 0.03 + descent * empty - (climb + 0.03) * outflow
    rim, plane = _rim(heart), int(np.searchsorted(LEVELS, 0.0))
    inner = np.where(level < np.minimum(rim, 0), epi[plane][None] * (1 + 0.25 * level), epi) + 0.4
    tall = height * ((level >= rv_base) & (level < 1.25))
    rv_volume = heart.rv_edv_ml + (heart.rv_esv_ml - heart.rv_edv_ml) * empty
    linear, square = 2 * _integral(inner * tall), _integral(tall**2)
    wanted = 2 * rv_volume * MM3_PER_ML / length
    height_mm = (-linear + np.sqrt(linear**2 + 4 * square * wanted)) / (2 * square)
    behind = height * ((level < rv_base) & (level > rv_base - 0.3) & (outflow < 0.5))
    outer = (inner + height_mm * part for part in (tall, 0.9 * behind))
    return Surfaces(*(radius.astype(np.float32) for radius in (endo, epi, inner, *outer)), rim, base, apex)


def _contract(endo, contraction, wanted):
    """The share of inward motion at which the cavity's integral of r^2 is `wanted` (Newton)."""
    share = 0.0
    for _ in range(30):
        left = np.maximum(1 - share * contraction, 0.05)
        moving = left > 0.05
        value = _integral((endo * left) ** 2) - wanted
        slope = -2 * _integral(endo**2 * left * contraction * moving)
        step = value / slope
        share -= step
        if abs(step) < 1e-7:
            break
    return share


def volumes_ml(heart, phase):
    """(LV cavity, LV wall, RV cavity) in ml at a phase, by integrating the surfaces."""
    s = surfaces(heart, phase)
    wall = LEVELS[:, None] >= s.rim
    parts = (_share(s.rim) * s.endo**2, wall * (s.epi**2 - s.endo**2), s.rv**2 - s.rv_inner**2)
    return tuple(s.length_mm / 2 * _integral(part) / MM3_PER_ML for part in parts)


def truth(heart, phases):
    """Exact numbers of one heart.

    Arrays over `phases`: lv_volume_ml, rv_volume_ml, lv_length_mm. Scalars: volumes, EF, mass, MAPSE, long-axis
    shortening, mean and largest ED wall between the levels 0.05 and 0.8, where radius and normal nearly agree.
    """
    curve = np.array([volumes_ml(heart, float(phase)) for phase in phases])
    lengths = np.array([surfaces(heart, float(phase)).length_mm for phase in phases])
    ed, es = surfaces(heart, 0.0), surfaces(heart, heart.es_fraction)
    wall = (ed.epi - ed.endo)[(LEVELS > 0.05) & (LEVELS < 0.8)]
    found = {"lv_volume_ml": curve[:, 0], "rv_volume_ml": curve[:, 2], "lv_length_mm": lengths}
    for side in ("lv", "rv"):
        edv, esv = getattr(heart, f"{side}_edv_ml"), getattr(heart, f"{side}_esv_ml")
        found |= {f"{side}_edv_ml": edv, f"{side}_esv_ml": esv, f"{side}_ef_percent": 100 * (1 - esv / edv)}
    return found | {
        "lv_mass_g": heart.lv_mass_g,
        "mean_wall_mm": float(wall.mean()),
        "max_wall_mm": float(wall.max()),
        "mapse_mm": float(es.base_mm - ed.base_mm),
        "shortening_percent": 100 * (ed.length_mm - es.length_mm) / ed.length_mm,
    }
