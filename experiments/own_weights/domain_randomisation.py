"""Dress a tissue map anew: the same anatomy under another scanner, pose and body.

A tissue map is costly, its look is cheap. Training draws tissue intensities, pose, scale, elastic warp, blur, ringing,
shading, flow and noise independently on every visit, so that a network cannot lean on any of them. Images are only
relative: the reader normalises what it sees.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from cinema.phantom.body import CODE, LABEL_OF, TISSUES
from cinema.phantom.image import BLOOD, FAT, majority_label
from cinema.terms import LABELS

MUSCULAR = [CODE[name] for name in ("myocardium", "papillary", "rv_trabecula", "rv_wall", "chamber_wall", "valve")]
TISSUE = 31  # the bits of a code that name the tissue; those above may hold a label (library.packed)
# Surroundings and the range of their signal relative to LV blood.
SIGNAL_RANGE = {
    "air": (0, 0.02),
    "gas": (0, 0.1),
    "lung": (0.0, 0.22),
    "lung_vessel": (0.2, 1.0),
    "fat": (0.3, 1.9),
    "heart_fat": (0.2, 1.3),
    "muscle": (0.12, 0.8),
    "bone": (0.1, 0.9),
    "liver": (0.15, 0.95),
    "liver_vessel": (0.3, 1.1),
    "stomach": (0.1, 1.1),
    "spleen": (0.2, 1.0),
    "mediastinum": (0.1, 0.9),
    "pericardium": (0.0, 0.35),
}


def random_signals(rng):
    """(tissues,) signal relative to LV blood, drawn anew; fat negative (out of phase) in most draws."""
    signal = np.empty(len(TISSUES), np.float32)
    for name, (low, high) in SIGNAL_RANGE.items():
        signal[CODE[name]] = rng.uniform(low, high)
    muscle = rng.uniform(0.15, 0.72)
    signal[MUSCULAR] = muscle * rng.lognormal(0, 0.10, len(MUSCULAR))
    signal[CODE["myocardium"]] = muscle
    for sponge in ("papillary", "rv_trabecula"):  # fine trabeculae are half blood
        if rng.random() < 0.35:
            signal[CODE[sponge]] += rng.uniform(0, 0.6) * (1 - muscle)
    signal[BLOOD] = rng.lognormal(0, 0.09, len(BLOOD))
    signal[CODE["lv_blood"]] = 1.0
    if rng.random() < 0.75:
        signal[FAT] *= -1
    return signal


@dataclass(frozen=True)
class Look:
    """Ranges of what changes between visits. Lengths in mm, angles in degrees."""

    shift_mm: float = 14.0
    scale: tuple = (0.78, 1.28)
    elastic_mm: float = 4.0
    noise: tuple = (0.004, 0.07)
    blur_mm: tuple = (0.0, 1.4)
    shading: float = 1.1
    turned: bool = True  # rotated over the full circle and mirrored
    flow: float = 0.5  # shares of visits with uneven blood, with a grey cavity, with blobs, with ringing
    grey: float = 0.3
    blobs: float = 0.4
    ringing: float = 0.4


def warp(rng, map_pixel_mm, out_size, out_pixel_mm, look, around):
    """Map indices (2, out, out) read by each output pixel: turned, mirrored, shifted, scaled, bent about `around`."""
    pose = rng.uniform(0, 2 * np.pi), rng.choice([-1.0, 1.0])  # drawn in any case, so that the rest stays the same
    turn, flip = pose if look.turned else (0.0, 1.0)
    scale = np.exp(rng.uniform(*np.log(look.scale))) * out_pixel_mm / map_pixel_mm
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([flip, 1.0])
    offset = np.asarray(around) + rng.normal(0, look.shift_mm / 2, 2) / map_pixel_mm
    centred = np.arange(out_size) - (out_size - 1) / 2
    bend = rng.normal(0, rng.uniform(0, look.elastic_mm) / map_pixel_mm, (2, 6, 6))
    bend = np.stack([zoom(b, out_size / 6, order=3)[:out_size, :out_size] for b in bend])
    index = [matrix[a, 0] * centred[:, None] + matrix[a, 1] * centred[None] + offset[a] + bend[a] for a in range(2)]
    return np.stack(index)


def dress(tissues, index, signals, rng, pixel_mm, look=Look(), label_of=LABEL_OF):
    """One slice, dressed: image (out, out) float32, label (out, out) uint8. Outside the map lies air.

    tissues: (samples, x, y) codes; index: (2, out, out) from `warp`; signals, label_of: of each code.
    """
    size = tissues.shape[1:]
    i, j = (np.rint(axis).astype(np.int32) for axis in index)
    outside = (i < 0) | (j < 0) | (i >= size[0]) | (j >= size[1])
    cell = np.clip(i, 0, size[0] - 1) * size[1] + np.clip(j, 0, size[1] - 1)
    seen = tissues.reshape(len(tissues), -1)[:, cell]
    seen[:, outside] = CODE["air"]
    label = majority_label(seen[..., None], label_of)[..., 0]

    values = signals[seen]
    if rng.random() < look.flow:  # blood that moves is uneven
        flow = 1 + rng.uniform(0, 0.25) * _field(rng, label.shape, rng.integers(4, 12))
        values = np.where(np.isin(seen & TISSUE, BLOOD), values * np.clip(flow, 0.3, 1.3), values)
    image = values.mean(axis=0) * (1 + rng.uniform(0, 0.10) * _field(rng, label.shape, rng.integers(8, 40)))
    if rng.random() < look.grey:
        image = _grey(image, label == LABELS["LV"], signals[CODE["myocardium"]], rng, pixel_mm)
    if rng.random() < look.blobs:
        image = _blobs(image, label, rng)
    image = _point_spread(image, rng, pixel_mm, look)
    strength, turn = rng.uniform(0, look.shading), rng.uniform(0, 2 * np.pi)  # of the coils: a slope and a bowl
    x, y = np.linspace(-1, 1, label.shape[0])[:, None], np.linspace(-1, 1, label.shape[1])[None]
    ramp = np.cos(turn) * x + np.sin(turn) * y + rng.uniform(-0.6, 0.6) * (x**2 + y**2 - 0.7)  # about -1 to 1
    image = image * np.exp(strength * ramp)
    sigma = np.exp(rng.uniform(*np.log(look.noise)))
    noise = rng.normal(0, 1, (2, *label.shape))
    if rng.random() < 0.6:  # interpolated by the scanner: the noise has grain
        noise = gaussian_filter(noise, (0, *rng.uniform(0.3, 0.9, 2)))
        noise /= noise.std()
    image = np.hypot(image + sigma * noise[0], sigma * noise[1])
    return (image ** rng.uniform(0.75, 1.35)).astype(np.float32), label


def _field(rng, shape, cells):
    """Smooth random field of unit deviation with about `cells` grains along an axis."""
    small = rng.normal(0, 1, (cells, cells))
    return zoom(small, (shape[0] / cells, shape[1] / cells), order=1, grid_mode=True, mode="nearest")


def _grey(image, cavity, muscle, rng, pixel_mm):
    """Image whose strands in the `cavity` (a mask) have melted into grey; a small cavity is dimmed as well.

    In ACDC the cavity is half as bright as its blood 2.8 mm inside the contour (virtual 1.6), and at ES, where its
    radius is 5 to 11 mm, .2 to .3 as bright on average (virtual .54).
    """
    sigma = rng.uniform(1, 5) / pixel_mm
    blood = gaussian_filter(np.where(cavity, image, 0), sigma) / np.maximum(gaussian_filter(cavity * 1.0, sigma), 1e-6)
    small = np.interp(np.sqrt(np.count_nonzero(cavity) / np.pi) * pixel_mm, (5, 11), (1, 0))
    dimmed = muscle + rng.uniform(1 - 0.7 * small, 1) * (blood - muscle)
    return np.where(cavity, image + rng.uniform(0.3, 1) * (dimmed - image), image)


def _blobs(image, label, rng):
    """Bright or dark things next to the heart that no map foresaw."""
    x, y = np.arange(image.shape[0])[:, None], np.arange(image.shape[1])[None]
    for _ in range(rng.integers(1, 6)):
        cx, cy = (rng.uniform(0, n) for n in image.shape)
        a, b, turn = rng.uniform(2, 16), rng.uniform(2, 16), rng.uniform(0, np.pi)
        u, v = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn), (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        spot = ((u / a) ** 2 + (v / b) ** 2 < 1) & (label == 0)
        image[spot] = rng.uniform(0, 1.3)
    return image


def _point_spread(image, rng, pixel_mm, look):
    """Blur, or the truncated k-space of a coarser acquisition (with its ringing); signed, before the magnitude."""
    image = gaussian_filter(image, np.sqrt(0.4**2 + (rng.uniform(*look.blur_mm, 2) / pixel_mm) ** 2))
    if rng.random() < look.ringing:
        keep = rng.uniform(0.45, 0.95, 2)
        spectrum = np.fft.fft2(image)
        for axis in (0, 1):
            inside = np.abs(np.fft.fftfreq(image.shape[axis])) <= keep[axis] / 2
            spectrum = spectrum * np.expand_dims(inside, 1 - axis)
        image = np.fft.ifft2(spectrum).real
    return image
