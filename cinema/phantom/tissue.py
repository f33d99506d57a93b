"""Which tissue lies at a point: the heart of `shape` and its great vessels, inside the chest of `body`.

Everything is a function of position, so that any plane at any resolution sees the same anatomy. Heart coordinates in
mm: x toward the mid septum, y toward the anterior wall, z from the mitral plane (at ED) to the apex. Body coordinates
are RAS about the middle of the left ventricle.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from cinema.phantom.base import mitral_leaflets, paint_base
from cinema.phantom.body import CODE, body_at, noise
from cinema.phantom.shape import ANGLES_DEG, LEVELS, MIN_RIM, emptying, surfaces


@lru_cache(maxsize=256)
def pose(heart):
    """(3, 3) the heart's x, y, z axes in RAS, a row each: z to the left, forward and down, as in adults."""
    rng = np.random.default_rng([heart.detail_seed, 2])
    z = np.array([-0.58, 0.60, -0.55]) + rng.normal(0, 0.11, 3)
    z /= np.linalg.norm(z)
    x = np.array([0.66, 0.35, -0.32]) + rng.normal(0, 0.10, 3)
    x -= z * (x @ z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(x, z), z])  # anterior wall: left, forward and up


def to_body(heart, points_mm):
    """(3, n) heart coordinates -> (3, n) body coordinates, whose origin lies on the long axis."""
    return pose(heart).T @ (points_mm - np.array([[0], [0], [0.45 * heart.lv_length_mm]]))


class Filling(NamedTuple):
    """What fills the cavities, arrays (level, angle): radii in mm, and whether a band crosses the RV."""

    lv_blood: np.ndarray
    near: np.ndarray  # a papillary muscle lies from here
    far: np.ndarray  # to here
    rv_blood: np.ndarray
    septal: np.ndarray  # trabeculae on the RV's side of the septum
    band: np.ndarray


@lru_cache(maxsize=512)
def filling(heart, phase):
    """Blood edge, papillary muscles and trabeculae at a phase."""
    rng = np.random.default_rng([heart.detail_seed, 3])
    s = surfaces(heart, phase)
    rest = surfaces(heart, 0.0)
    level = LEVELS[:, None]
    spread = rng.standard_normal((4, 64, 90)).astype(np.float32)
    grain = (1.0, 1.0, 1.6, 1.0)
    fields, rows = [], np.linspace(0, 63, len(LEVELS)).astype(int)
    for white, width in zip(spread, grain):
        field = gaussian_filter(white, (2.0, width), mode=("nearest", "wrap"))
        fields.append(np.repeat((field / field.std())[rows], 2, axis=1))  # on the (level, angle) grid
    empty = float(emptying(heart, phase))
    # LV: fingers of muscle reach in from the wall; their volume is kept, so they fill the cavity as it empties.
    reach = heart.trabeculation * (0.12 + 0.42 * np.clip(level, 0, 1) ** 1.6) * rng.uniform(0.5, 1.4)
    lateral = 0.75 - 0.35 * np.cos(np.deg2rad(ANGLES_DEG - 10))[None]  # the septum is smooth
    fingers = reach * lateral * np.clip(fields[0] + 0.45, 0, 1.8)
    lv_blood = _lined(heart, s, rest, empty, fingers, lateral)
    rv_depth = heart.trabeculation * (3 + 9 * np.clip(level, 0, 1)) * np.clip(fields[1] + 0.2, 0, 1.5)
    rv_width = s.rv - s.rv_inner
    rv_depth = rv_depth * rng.uniform(0.7, 2.0)
    rv_blood = _rv_lined(heart, s, rest, empty, rv_depth)
    septal = s.rv_inner + np.minimum(np.clip(fields[2] - 0.5, 0, 1) * 4 * heart.trabeculation, 0.3 * rv_width)
    band = np.zeros_like(s.rv, bool)
    for _ in range(rng.integers(0, 4)):  # moderator band and its smaller kin
        twist = rng.uniform(-50, 50) + rng.uniform(-60, 60) * (level - 0.5)
        away = np.abs((ANGLES_DEG[None] - twist + 180) % 360 - 180)
        band |= (away < rng.uniform(1.5, 5)) & (np.abs(level - rng.uniform(0.3, 0.8)) < rng.uniform(0.03, 0.25))
    near = np.full_like(s.endo, np.inf)
    far = np.zeros_like(s.endo)
    for centre in (rng.uniform(120, 165), rng.uniform(205, 260)):  # each of one or two heads, never touching
        thick = heart.papillary_size * rng.uniform(0.12, 0.24) * rest.endo.max() * np.sqrt(1 + 0.3 * empty)
        from_level, to_level = rng.uniform(0.18, 0.35), rng.uniform(0.65, 0.85)
        taper = np.sqrt(np.clip((level - from_level) / 0.12, 0, 1) * np.clip((to_level - level) / 0.1, 0, 1))
        stand = rng.uniform(0.58, 0.88)
        rooted = np.clip((level - from_level) / (to_level - from_level), 0, 1)
        stand = stand + (1 - stand) * rooted**1.5  # tips stand free, roots grow out of the wall
        place = s.endo * stand
        centre = centre + 25 * rng.normal(0, 0.5) * (level - 0.5)
        low, high = _chord(place, centre, thick * taper * (1 + 0.25 * fields[3]))
        near, far = np.minimum(near, low), np.maximum(far, high)
    return Filling(lv_blood, near, far, rv_blood, septal, band)


def _lined(heart, s, rest, empty, fingers, lateral):
    """(level, angle) edge of the LV's blood: fingers of muscle on a lining of trabeculae, whose volume stays while the
    cavity shrinks about them; only blood between them leaves."""
    rng, level = np.random.default_rng([heart.detail_seed, 11]), np.clip(LEVELS, 0, 1)[:, None]
    lining_mm = heart.trabeculation * rng.uniform(0.2, 2.0) * (0.4 + 1.4 * level) * lateral
    depth = np.clip(0.7 * fingers + lining_mm / np.maximum(rest.endo, 1.0), 0, 0.7)
    squeezed = 1 - rng.uniform(0.0, 0.5) * empty
    area = rest.endo**2 * (1 - (1 - depth) ** 2) * squeezed * rest.length_mm / s.length_mm
    return np.sqrt(np.maximum(s.endo**2 - area, (0.05 * s.endo) ** 2))


def _rv_lined(heart, s, rest, empty, depth):
    """(level, angle) edge of the RV's blood: its trabeculae keep their volume, too, and come to line a contracted free
    wall as if they were part of it."""
    squeezed = 1 - np.random.default_rng([heart.detail_seed, 13]).uniform(0.0, 0.4) * empty
    depth = np.minimum(depth, 0.6 * (rest.rv - rest.rv_inner))
    area = (rest.rv**2 - (rest.rv - depth) ** 2) * squeezed * rest.length_mm / s.length_mm
    least = s.rv_inner + 0.25 * (s.rv - s.rv_inner)
    return np.maximum(np.sqrt(np.maximum(s.rv**2 - area, 0)), least)


def _chord(distance, centre_deg, radius):
    """Where rays from the axis enter and leave a rod of `radius` at (distance, centre angle)."""
    away = np.deg2rad((ANGLES_DEG[None] - centre_deg + 180) % 360 - 180)
    across = radius**2 - (distance * np.sin(away)) ** 2
    hit = (across > 0) & (np.cos(away) > 0)
    half = np.sqrt(np.clip(across, 0, None))
    return np.where(hit, distance * np.cos(away) - half, np.inf), np.where(hit, distance * np.cos(away) + half, 0)


@dataclass(frozen=True)
class Points:
    """Positions seen by a view, with what does not change over the cycle."""

    heart_mm: np.ndarray  # (3, n)
    radius_mm: np.ndarray
    angle_index: np.ndarray
    background: np.ndarray  # (n,) tissue codes of the body without the heart
    lump: np.ndarray  # (n,) unevenness of the fat around the heart
    sponge: np.ndarray  # (n,) fine grain of the trabeculated RV
    fat: np.ndarray  # (n,) its thickness away from groove and apex, relative


def points(heart, heart_mm):
    """Prepare (3, n) positions in heart coordinates for `tissue_at`."""
    heart_mm = np.asarray(heart_mm, np.float32)
    x, y, _ = heart_mm
    step = len(ANGLES_DEG) / (2 * np.pi)
    angle = np.rint(np.arctan2(y, x) * np.float32(step)).astype(np.int32) % len(ANGLES_DEG)
    rng = np.random.default_rng([heart.detail_seed, 4])
    lump = noise(heart_mm, rng.uniform(30, 70), 0, rng)
    lump = lump + 0.25 * noise(heart_mm, rng.uniform(9, 16), 1, rng)
    sponge = noise(heart_mm * np.array([[1], [1], [0.5]], np.float32), rng.uniform(5, 10), 2, rng)
    # Fat lies over the RV and in its corners; on the lateral wall of some.
    turn = np.deg2rad(ANGLES_DEG)
    corners = np.exp(-(((np.abs(np.sin(turn / 2)) - 0.55) / 0.12) ** 2))
    lateral = np.random.default_rng([heart.detail_seed, 15]).uniform(0, 0.7)
    fat = (0.55 + lateral + 0.5 * np.cos(turn - 0.1) + 0.5 * corners).astype(np.float32)[angle] * (0.5 + 0.9 * lump)
    body = body_at(heart, to_body(heart, heart_mm).astype(np.float32))
    return Points(heart_mm, np.hypot(x, y), angle, body, lump, sponge, fat)


def on_grid(s, where):
    """(level zeta, index into the flattened (level, angle) grid) of every point, for the surfaces `s` of a phase."""
    zeta = (where.heart_mm[2] - np.float32(s.base_mm)) / np.float32(s.length_mm)
    row = np.clip((zeta - LEVELS[0]) / (LEVELS[1] - LEVELS[0]) + 0.5, 0, len(LEVELS) - 1).astype(np.int32)
    return zeta, row * len(ANGLES_DEG) + where.angle_index


def tissue_at(heart, where, phase):
    """Tissue codes (uint8, one per point) at a phase of the cycle."""
    s, n_angles = surfaces(heart, phase), len(ANGLES_DEG)
    zeta, cell = on_grid(s, where)
    lv_blood, near, far, rv_blood, septal, band = (a.ravel() for a in filling(heart, phase))
    r = where.radius_mm
    out = where.background.copy()
    epi, rv, inner = s.epi.ravel()[cell], s.rv.ravel()[cell], s.rv_inner.ravel()[cell]
    rng = np.random.default_rng([heart.detail_seed, 6])
    fat_gap, wall = rng.uniform(3.0, 5.5), rng.uniform(1.5, 4.5)
    has_rv = rv > inner + np.float32(0.6)
    outer = np.where(zeta >= np.minimum(s.rim[where.angle_index], 0), epi, 0)
    outer = np.maximum(outer, np.where(has_rv, rv + np.float32(fat_gap), 0))
    near_heart = (zeta > -0.9) & (zeta < 1.35) & (r < 140)
    groove = 1.1 * np.exp(-((zeta / np.float32(0.10)) ** 2))
    apex = np.clip((zeta - np.float32(0.6)) / np.float32(0.4), 0, 1) * (np.float32(0.4) + where.lump)
    pad = np.float32(heart.epicardial_fat_mm) * np.clip(where.fat + groove + apex, 0, 3)
    rim = int(round(-LEVELS[0] / (LEVELS[1] - LEVELS[0]))) * n_angles
    closing = np.clip(1 + zeta / 1.1, 0, 1)  # behind the base the sac narrows toward the great vessels
    sac = np.maximum(outer, np.where(zeta < 0, s.epi.ravel()[rim + where.angle_index] * closing, 0))
    cover = near_heart & (sac > 0)
    out[cover & (r < sac + pad + 1.4)] = CODE["pericardium"]
    out[cover & (r < sac + pad)] = CODE["heart_fat"]
    out[cover & (r < sac + pad - 2) & (zeta < -0.03) & (where.lump > -0.3)] = CODE["mediastinum"]
    paint_base(heart, s, where.heart_mm, zeta, phase, ~has_rv | (r < inner - 2), out)
    vestibule = s.vestibule.ravel()[cell]
    atrium = (vestibule > inner + 2) & (r > inner)
    bare = out != CODE["atrial_blood"]  # no wall inside the atrium
    out[atrium & (r < vestibule + np.float32(1.5)) & bare] = CODE["chamber_wall"]
    out[atrium & (r < vestibule) & (r > inner + np.float32(1.2))] = CODE["atrial_blood"]
    rest, load = surfaces(heart, 0.0), np.clip(np.log(heart.rv_edv_ml / heart.lv_edv_ml), 0, 1)
    width, full = np.maximum(rv - inner, 1), np.maximum(rest.rv - rest.rv_inner, 1).ravel()[cell]
    wall *= 1 + load * np.random.default_rng([heart.detail_seed, 12]).uniform(0, 1.5)
    wall = wall * np.sqrt(np.clip(full / width, 1, 4))  # the free wall thickens as it shortens
    out[has_rv & (r < rv + wall) & (r > inner)] = CODE["rv_wall"]
    cavity = has_rv & (r < rv) & (r >= inner)
    out[cavity] = CODE["rv_trabecula"]
    # Toward the apex the RV is a sponge: muscle strands all through it.
    holds = np.float32(2.6 - 1.2 * min(heart.trabeculation, 1.3)) - np.float32(1.6) * np.clip(zeta, 0, 1)
    open_blood = (where.sponge < holds) & ~band[cell]
    out[cavity & (r < rv_blood[cell]) & (r > septal[cell]) & open_blood] = CODE["rv_blood"]

    rim, endo = s.rim[where.angle_index], s.endo.ravel()[cell]
    ventricle = (zeta > MIN_RIM) & (zeta < LEVELS[-1])
    out[ventricle & (r < epi) & (r >= endo) & (zeta >= rim)] = CODE["myocardium"]
    inside = ventricle & (r < endo) & (zeta * endo >= rim * r)
    out[inside] = CODE["papillary"]
    out[inside & (r < lv_blood[cell]) & ~((r > near[cell]) & (r < far[cell]))] = CODE["lv_blood"]
    leaflets = mitral_leaflets(heart, s, where.heart_mm, phase)
    out[leaflets & inside] = CODE["papillary"]  # part of the cavity
    out[leaflets & (out == CODE["atrial_blood"])] = CODE["valve"]
    return out
