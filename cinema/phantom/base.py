"""What lies behind the ventricles: mitral valve, aortic root, atria, their wall and vessels.

The mitral ring follows the end of the muscle, and in front the back of the aortic root, from which the anterior leaflet
hangs (aorto-mitral curtain): seen from the atrium it is a D. Height is measured from the mitral plane away from the
apex. Leaflets are straight blades, hinged on the ring, that meet at one point behind its middle and swing about the
ring: closed they tent toward the apex, open they hang into the ventricle.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cinema.phantom.body import CODE
from cinema.phantom.heart import Heart
from cinema.phantom.shape import ANGLES_DEG, LEVELS, Surfaces, emptying, outflow_angle_deg, surfaces

TRIGONE_DEG = 70.0  # the curtain reaches this far to either side of the outflow tract, about the long axis
ROOT_WALL_MM = 1.6


@dataclass(frozen=True)
class Root:
    """The aortic root at ED: a tube that leaves the corner of the base at an angle."""

    angle_deg: float  # in which direction from the long axis it leaves
    out: np.ndarray  # the same as a unit vector (x, y)
    off_mm: float  # of its middle from the long axis, at the mitral plane
    radius_mm: float  # of its blood at the valve
    lean: np.ndarray  # (x, y) it moves per mm of height
    curtain_mm: float  # height at which the anterior leaflet hangs from it
    ring_mm: float  # radius of the muscle's end in its direction


def _ring(heart, s):
    """(angle, 3) where leaflets insert on the end of the muscle, about the mitral plane: x, y and height. Half way
    between where its inner edge is and was at ED: the muscle swells inward past the ring."""
    at = np.searchsorted(LEVELS, s.rim), np.arange(len(ANGLES_DEG))
    radius, turn = (s.endo[at] + surfaces(heart, 0.0).endo[at]) / 2, np.deg2rad(ANGLES_DEG)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), -s.rim * s.length_mm], axis=1)


@lru_cache(maxsize=256)
def root(heart: Heart) -> Root:
    """The aortic root of a heart."""
    rng = np.random.default_rng([heart.detail_seed, 12])
    corner = outflow_angle_deg(heart) + rng.normal(0, 6)
    ring_mm = _radius_at(_ring(heart, surfaces(heart, 0.0)), corner)
    radius_mm = min(rng.uniform(9.5, 13), 0.44 * ring_mm)
    off_mm = ring_mm - radius_mm * rng.uniform(0.6, 0.95)
    lean = rng.uniform(0.2, 0.5) * _direction(corner + rng.normal(15, 15))
    return Root(corner, _direction(corner), off_mm, radius_mm, lean, rng.uniform(0.5, 4.0), ring_mm)


def _direction(angle_deg):
    return np.array([np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))])


def _radius_at(ring, angle_deg):
    return float(np.hypot(*ring[round(angle_deg / 2) % len(ANGLES_DEG), :2]))


def root_middle(heart: Heart, s: Surfaces, height_mm: ArrayLike) -> NDArray:
    """(..., 2) x and y of the root's middle at a height; it moves with the ring."""
    about, height_mm = root(heart), np.asarray(height_mm)[..., None]
    narrowed = _radius_at(_ring(heart, s), about.angle_deg) / about.ring_mm
    return about.off_mm * narrowed * about.out + about.lean * height_mm


def mitral_ring(heart: Heart, s: Surfaces) -> NDArray:
    """(angle, 3) closed curve on which the mitral leaflets insert, in heart mm, for the surfaces `s` of a phase."""
    about, ring = root(heart), _ring(heart, s)
    share = ((ANGLES_DEG - about.angle_deg + 180) % 360 - 180) / TRIGONE_DEG
    front = np.abs(share) < 1
    height = np.where(front, about.curtain_mm + (ring[:, 2] - about.curtain_mm) * share**2, ring[:, 2])
    radius = about.radius_mm + ROOT_WALL_MM / 2
    across = 0.85 * radius * np.clip(share, -1, 1)
    aside = np.array([-about.out[1], about.out[0]])
    arc = across[:, None] * aside - np.sqrt(radius**2 - across**2)[:, None] * about.out
    flat = np.where(front[:, None], root_middle(heart, s, height) + arc, ring[:, :2])
    return np.concatenate([flat, s.base_mm - height[:, None]], axis=1)


def mitral_middle(heart: Heart, s: Surfaces) -> NDArray:
    """(3,) middle between the curtain and the ring opposite, in heart mm: where long-axis planes are laid."""
    ring, about = mitral_ring(heart, s), root(heart)
    along = ring[:, :2] @ np.array([about.out, [-about.out[1], about.out[0]]]).T
    front = along[:, 0] > along[:, 0].mean()
    ends = [np.argmin(np.where(side, np.abs(along[:, 1]), np.inf)) for side in (front, ~front)]
    return ring[ends].mean(axis=0)


def mitral_opening(heart: Heart, phase: float) -> float:
    """How far the mitral valve is open: 0 in systole, 1 in the E wave, half shut, 0.8 in the A wave, closing at ED."""
    at_ed = np.random.default_rng([heart.detail_seed, 13]).uniform(0, 0.6)
    es = heart.es_fraction
    times = 0, 0.04, es + 0.02, es + 0.08, es + 0.25 * (1 - es), es + 0.5 * (1 - es), es + 0.75 * (1 - es), 0.92, 1
    return float(np.interp(phase % 1.0, times, (at_ed, 0, 0, 1, 1, 0.4, 0.5, 0.8, at_ed)))


def _about_valve(heart, s, x, y):
    """(distance from where the leaflets meet, distance of the ring in that direction, the ring's height, cosine of the
    angle to the root's direction) of points."""
    ring, about = mitral_ring(heart, s), root(heart)
    middle = mitral_middle(heart, s)
    half_mm = np.hypot(*(middle - ring[np.argmin(ring[:, :2] @ about.out)])[:2])
    meet = middle[:2] - 0.2 * half_mm * about.out  # the anterior leaflet is the longer one
    around = np.arctan2(ring[:, 1] - meet[1], ring[:, 0] - meet[0])
    order = np.argsort(around)
    table = np.linspace(-np.pi, np.pi, 361)
    away = np.hypot(ring[:, 0] - meet[0], ring[:, 1] - meet[1])[order]
    reach, height = (
        np.interp(table, around[order], values, period=2 * np.pi).astype(np.float32)
        for values in (away, (s.base_mm - ring[:, 2])[order])
    )
    dx, dy = x - np.float32(meet[0]), y - np.float32(meet[1])
    index = np.rint((np.arctan2(dy, dx) + np.pi) * (180 / np.pi)).astype(np.int32)
    distance = np.hypot(dx, dy)
    cosine = (dx * about.out[0] + dy * about.out[1]) / np.maximum(distance, 1e-3)
    return distance, reach[index], height[index], cosine


def mitral_leaflets(heart: Heart, s: Surfaces, heart_mm: NDArray, phase: float) -> NDArray:
    """(n,) booleans: points (3, n) that lie in the leaflets."""
    rng = np.random.default_rng([heart.detail_seed, 14])
    half_mm, tent, wide = rng.uniform(0.7, 1.4), np.deg2rad(rng.uniform(4, 26)), np.deg2rad(rng.uniform(58, 82))
    belly, commissure = rng.uniform(-0.08, 0.08), rng.uniform(0.3, 0.55)
    found = np.zeros(heart_mm.shape[1], bool)
    near = np.flatnonzero((np.abs(heart_mm[2] - s.base_mm) < 40) & (np.hypot(*heart_mm[:2]) < 1.1 * s.endo.max() + 3))
    x, y, z = heart_mm[:, near]
    distance, reach, height, cosine = _about_valve(heart, s, x, y)
    opening = mitral_opening(heart, phase)
    swing = tent + (wide - tent) * opening
    inward, deep = reach - distance, z - s.base_mm + height
    along = inward * np.cos(swing) + deep * np.sin(swing)
    length = reach / np.cos(tent) * (1 - opening * (0.1 + commissure * (1 - cosine**2)))
    part = np.clip(along / length, 0, 1)
    across = deep * np.cos(swing) - inward * np.sin(swing) - 4 * belly * length * part * (1 - part)
    found[near] = (np.abs(across) < half_mm) & (along > -half_mm) & (along < length + 0.5)
    return found


def paint_base(
    heart: Heart, s: Surfaces, heart_mm: NDArray, zeta: NDArray, phase: float, free: NDArray, out: NDArray
) -> None:
    """Atria, great vessels and aortic valve into the tissue codes `out` of points (3, n) at levels `zeta`.

    free: (n,) points that are not in or next to the RV.
    """
    behind = np.flatnonzero((zeta < 0.12) & (zeta > -1.3))
    (x, y, z), level, codes, free = heart_mm[:, behind], zeta[behind], out[behind], free[behind]
    height = s.base_mm - z
    rng, about, empty = np.random.default_rng([heart.detail_seed, 15]), root(heart), float(emptying(heart, phase))
    epi_mm = float(s.epi[int(np.searchsorted(LEVELS, 0.0))].mean())
    back = level < 0

    left, right, neck = _atria(heart, s, (x, y, height), empty, epi_mm, rng)
    wall = rng.uniform(1.2, 2.4)
    codes[back & (np.minimum(left, right) < wall)] = CODE["chamber_wall"]
    septum = (np.abs(left - right) < wall) & (np.maximum(left, right) < wall)
    codes[back & (np.minimum(left, right) < 0) & ~septum] = CODE["atrial_blood"]
    codes[(neck < 0) & ~septum] = CODE["atrial_blood"]  # as far as the cavity, which may begin below the mitral plane

    # Pulmonary trunk: continues the RV's outflow tract upward, in front of the aorta and then to its left.
    wide = rng.uniform(10, 14)
    front = rng.uniform(70, 105)
    start = max(rng.uniform(1.0, 1.25) * epi_mm, about.off_mm + about.radius_mm * 1.3 + wide + 3)
    lean = about.lean * rng.uniform(0.4, 1.0) - np.array([rng.uniform(0.1, 0.5), 0])
    start = start * _direction(front)
    trunk = np.hypot(x - start[0] - lean[0] * height, y - start[1] - lean[1] * height)
    up = (level < -0.12) & (height < 75)
    codes[(trunk < wide + ROOT_WALL_MM) & up] = CODE["chamber_wall"]
    codes[(trunk < wide) & up] = CODE["pulmonary_blood"]

    # Aortic root: three sinuses above the valve, narrower at their end, then the ascending aorta.
    middle = root_middle(heart, s, height)
    dx, dy = x - middle[..., 0], y - middle[..., 1]
    distance = np.hypot(dx, dy)
    valve_mm = about.curtain_mm + rng.uniform(1.5, 6.0)
    above = height - valve_mm + dx * about.lean[0] + dy * about.lean[1]  # across the leaning tube
    bulge, ascending = rng.uniform(0.12, 0.4), rng.uniform(0.05, 0.3)
    lobes = 1 + 0.12 * np.cos(3 * np.arctan2(dy, dx) + rng.uniform(0, 2 * np.pi))
    bulge = bulge * lobes * np.exp(-(((above - 10) / 6.5) ** 2))
    wide = about.radius_mm * (1 + bulge + ascending * np.clip((above - 16) / 14, 0, 1))
    septal = dx * about.out[0] + dy * about.out[1] > 0
    tube = back & ((height > about.curtain_mm) | septal)
    codes[tube & (distance < wide + ROOT_WALL_MM)] = CODE["chamber_wall"]
    blood = back & (distance < wide) & free
    codes[blood] = CODE["aorta"]
    leaf, rise = rng.uniform(0.5, 1.1), rng.uniform(2, 8)
    if not 0.05 < phase < heart.es_fraction:  # aortic valve shut: leaflets rise from the wall to where they meet
        dome = rise * (1 - (distance / wide) ** 2)
        codes[blood & (np.abs(above - dome) < leaf)] = CODE["valve"]

    groove = _direction(rng.uniform(190, 260)) * 1.05 * epi_mm  # coronary sinus and vein in the groove behind
    vein = np.hypot(x - groove[0], y - groove[1])
    codes[(vein < rng.uniform(2, 5)) & (np.abs(level + 0.05) < 0.12)] = CODE["vein"]
    out[behind] = codes


def _atria(heart, s, at, empty, epi_mm, rng):
    """(left, right, neck) roughly the distance in mm of points `at` (x, y, height) from the blood of either atrium, and
    from the opening of the left one onto the whole mitral ring."""
    x, y, height = at
    about, middle = root(heart), mitral_middle(heart, s)[:2]
    filling = 0.6 + 0.4 * empty

    def box(volume_ml, stretch, place, power):
        size = (0.75 * volume_ml * 1000 * filling / np.pi / np.prod(stretch)) ** (1 / 3)
        middle = place(size)
        parts = (np.abs((axis - c) / (size * f)) ** power for axis, c, f in zip(at, middle, stretch))
        return (sum(parts) ** (1 / power) - 1) * size * min(stretch), middle, size

    def tube(start, end, radius_mm):
        way = np.subtract(end, start)
        share = sum((axis - c) * w for axis, c, w in zip(at, start, way)) / float(way @ way)
        share = np.clip(share, 0, 1)
        return np.sqrt(sum((axis - c - w * share) ** 2 for axis, c, w in zip(at, start, way))) - radius_mm

    stretch = rng.uniform(0.95, 1.2), rng.uniform(0.85, 1.1), rng.uniform(0.9, 1.3)
    behind = middle + rng.normal(0, 2.5, 2) - 4 * about.out
    place = lambda size: np.array([*(behind + about.lean * 0.5 * size), 0.8 * size * stretch[2]])
    left, left_middle, size = box(heart.la_volume_ml, stretch, place, rng.uniform(2.1, 3.0))
    for angle in (rng.uniform(170, 250), rng.uniform(285, 335)):  # pulmonary veins
        end = left_middle + size * 2.2 * np.array([*_direction(angle), rng.uniform(0.2, 0.9)])
        start = left_middle + np.array([0, 0, size * rng.uniform(0.1, 0.5)])
        left = np.minimum(left, tube(start, end, rng.uniform(4, 7.5)))
    radius = rng.uniform(5, 9)  # appendage
    end = np.array([*_direction(rng.uniform(100, 150)) * epi_mm * rng.uniform(0.9, 1.15), radius + rng.uniform(3, 9)])
    left = np.minimum(left, tube(np.array([*middle, 16.0]), end, radius))
    distance, reach, ring_height, _ = _about_valve(heart, s, x, y)
    neck = np.maximum(distance - reach - 0.12 * np.clip(height, 0, None), height - 0.22 * s.length_mm)
    neck = np.maximum(neck, ring_height - height - 3)
    left = np.minimum(left, neck)

    turn, gap = rng.uniform(-45, -10), rng.uniform(0.35, 0.6)
    stretch = rng.uniform(0.9, 1.1), rng.uniform(1.0, 1.3), rng.uniform(0.95, 1.25)
    place = lambda size: np.array([*(0.85 * epi_mm + gap * size) * _direction(turn), 0.6 * size])
    right, _, _ = box(heart.ra_volume_ml, stretch, place, rng.uniform(2.1, 2.8))
    return left, right, neck
