"""Tissues, how they relax, their codes and labels; and the chest around the heart: fat, ribs, lungs, liver, vessels.

Body coordinates are RAS in mm about the middle of the left ventricle.
"""

from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter

from cinema.terms import LABELS

# Relative proton density, T1 and T2 in ms at 1.5 T, and T1, T2 at 3 T, in the order of the tissue codes. Blood, muscle,
# liver, fat after Stanisz and the cine set of MRXCAT; the others are stand-ins of like tissue.
RELAXATION = {
    "air": (0, 1, 1, 1, 1),
    "lung": (0.10, 1000, 30, 1200, 20),
    "lung_vessel": (0.6, 1441, 200, 1932, 180),
    "fat": (0.85, 380, 90, 420, 80),
    "muscle": (0.85, 981, 36, 1412, 34),
    "bone": (0.55, 550, 50, 600, 45),
    "liver": (0.85, 576, 46, 812, 40),
    "liver_vessel": (0.8, 1441, 200, 1932, 180),
    "stomach": (0.85, 1100, 70, 1500, 60),
    "spleen": (0.9, 1057, 79, 1300, 60),
    "mediastinum": (0.6, 700, 55, 850, 48),
    "pericardium": (0.3, 900, 25, 1200, 22),
    "heart_fat": (0.8, 380, 80, 420, 70),
    "chamber_wall": (0.8, 1030, 40, 1471, 40),
    "atrial_blood": (0.95, 1441, 250, 1932, 230),
    "aorta": (0.95, 1441, 250, 1932, 230),
    "pulmonary_blood": (0.95, 1441, 220, 1932, 200),
    "vein": (0.95, 1500, 160, 1932, 140),
    "valve": (0.7, 1030, 40, 1471, 40),
    "rv_wall": (0.8, 1030, 42, 1471, 42),
    "rv_blood": (0.95, 1441, 220, 1932, 200),
    "rv_trabecula": (0.8, 1030, 44, 1471, 44),
    "myocardium": (0.8, 1030, 44, 1471, 44),
    "lv_blood": (0.95, 1441, 250, 1932, 230),
    "papillary": (0.8, 1030, 46, 1471, 46),
    "gas": (0.01, 800, 30, 900, 25),
}
TISSUES = tuple(RELAXATION)
CODE = {name: code for code, name in enumerate(TISSUES)}
# Trabeculae and papillary muscles belong to the cavity, as in ACDC and in the UK Biobank reference ranges.
_LABELLED = {"rv_blood": "RV", "rv_trabecula": "RV", "myocardium": "MYO", "lv_blood": "LV", "papillary": "LV"}
LABEL_OF = np.array([LABELS[_LABELLED.get(name, "background")] for name in TISSUES], np.uint8)


@lru_cache(maxsize=1)
def _noise_volumes():
    """Periodic smooth random volumes (64^3, unit deviation), looked up at scaled positions for texture."""
    rng = np.random.default_rng(20250531)
    white = rng.standard_normal((4, 64, 64, 64)).astype(np.float32)
    smooth = np.stack([gaussian_filter(volume, 2.0, mode="wrap") for volume in white])
    return smooth / smooth.std(axis=(1, 2, 3), keepdims=True)


def noise(points, period_mm, channel, rng):
    """Smooth random field of about `period_mm` grain at (3, n) points, from a place in it that is drawn."""
    scale = 8.0 / period_mm  # the field's own grain is about 8 voxels
    i, j, k = ((axis * scale + shift).astype(np.int32) & 63 for axis, shift in zip(points, rng.uniform(0, 64, 3)))
    return _noise_volumes()[channel].ravel()[(i * 64 + j) * 64 + k]


def body_at(heart, ras):
    """Tissue codes of the chest without the heart at (3, n) body coordinates (right, front, up)."""
    rng = np.random.default_rng([heart.detail_seed, 5])
    size = heart.body_scale
    x, y, z = ras[0] - np.float32(rng.uniform(38, 55) * size), ras[1] + np.float32(rng.uniform(15, 35)), ras[2]
    wide, deep = rng.uniform(150, 175) * size, rng.uniform(98, 118) * size
    fat, meat = heart.chest_fat_mm, rng.uniform(8, 18)
    rough = noise(ras, rng.uniform(20, 40), 1, rng)
    ring = (np.abs(x / wide) ** 2.4 + np.abs(y / deep) ** 2.4) ** (1 / 2.4)
    depth = (1 - ring) * deep + rough * 0.8  # mm inside the skin, roughly
    out = np.full(x.shape, CODE["lung"], np.uint8)
    speck = noise(ras, rng.uniform(7, 12), 2, rng)
    out[speck > rng.uniform(1.7, 2.3)] = CODE["lung_vessel"]
    out[(np.abs(x + rng.uniform(-10, 10)) < 28 + 6 * rough) & (y > -70)] = CODE["mediastinum"]

    # Below the diaphragm: liver on the right, stomach and spleen on the left, fat between.
    dome = -rng.uniform(34, 50) - 0.0022 * (x - 40) ** 2 * rng.uniform(0.3, 1.2) - 0.12 * np.abs(y) + 2 * rough
    below = z < dome
    out[below & (z > dome - 3)] = CODE["muscle"]
    below &= z <= dome - 3
    lobe = noise(ras, rng.uniform(35, 60), 3, rng)
    out[below] = CODE["fat"]
    edge = rng.uniform(-55, -15)
    out[below & (x > edge + 12 * lobe)] = CODE["liver"]
    out[below & (x > edge + 12 * lobe) & (speck > 1.5)] = CODE["liver_vessel"]
    gut = np.hypot((x + rng.uniform(65, 95)) / 1.3, (z - dome + rng.uniform(35, 55))) + 6 * lobe
    out[below & (gut < rng.uniform(26, 42))] = CODE["stomach"]
    if rng.random() < 0.4:
        out[below & (gut < rng.uniform(14, 24)) & (y > 0)] = CODE["gas"]
    out[below & (x < -100 + 10 * lobe) & (y < -10)] = CODE["spleen"]

    spine = np.hypot(x, (y + deep * 0.62))
    out[spine < 34] = CODE["muscle"]
    out[spine < rng.uniform(17, 22)] = CODE["bone"]
    aorta = np.hypot(x + rng.uniform(18, 30), y + deep * 0.62 - rng.uniform(14, 26))
    out[aorta < rng.uniform(11, 15)] = CODE["chamber_wall"]
    out[aorta < rng.uniform(9.5, 11)] = CODE["aorta"]
    cava = np.hypot(x - rng.uniform(18, 30), y + rng.uniform(0, 20))
    out[(cava < rng.uniform(8, 12))] = CODE["vein"]

    ribs = np.sin(2 * np.pi * (z + 0.35 * y) / rng.uniform(24, 32)) > 0.45
    out[depth < fat + meat] = CODE["muscle"]
    out[(depth < fat + meat - 2) & (depth > fat + 2) & ribs] = CODE["bone"]
    out[depth < fat + 0.6 * rough] = CODE["fat"]
    out[(depth < fat) & (np.abs(rough) < 0.05)] = CODE["muscle"]
    out[depth < 0] = CODE["air"]
    return out
