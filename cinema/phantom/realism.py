"""How an image looks, in numbers: contrasts, edges, noise, spectrum and shape in the middle slice of a short axis.

Real and virtual images are measured alike: the slice is brought to PIXEL_MM around the heart and divided by the
median of its LV blood. What cannot be measured (no RV, an edge without contrast, a window beyond the image) is NaN.
"""

from functools import partial

import numpy as np
import pandas as pd
from scipy import ndimage

from cinema.data.geometry import to_grid
from cinema.terms import LABELS

PIXEL_MM, SIZE = 1.5, 112
LATERAL_MM, LATERAL_COSINE = (10.0, 25.0), 0.5  # within 60 degrees of the direction away from the RV
STEP_MM, N_RAYS, REACH_MM, EDGE_MM = 0.1, 72, 75.0, 4.0  # radial profiles; an edge is this close to the drawn border
BLOOD_MM, WALL_MM, LUNG_MM = (3.0, 8.0), (2.5, 5.0), (3.0, 10.0)  # how far from a border its two sides are read
WINDOW_MM, SLOPE_BAND, FINE = 110.0, (0.05, 0.25), 0.2  # of the spectrum; cycles/mm
MEDIAN_RESIDUE = 0.862  # robust deviation of white noise minus its 3 x 3 median, per unit deviation (simulated)


def middle_slice(labels):
    """Index of the middle one of the slices of an (x, y, z) label map that show cavity and wall of the LV."""
    shown = np.flatnonzero((labels == LABELS["LV"]).any((0, 1)) & (labels == LABELS["MYO"]).any((0, 1)))
    if not len(shown):
        raise ValueError("no slice with LV and MYO labels; there is nothing to measure by")
    return int(shown[len(shown) // 2])


def standard_slice(image, labels, spacing_mm):
    """(picture, labels), both (SIZE, SIZE), of the middle slice of an (x, y, z) frame; NaN beyond the image."""
    z = middle_slice(labels)
    middle = ndimage.center_of_mass(labels[..., z] > 0)
    resampled = partial(to_grid, spacing=spacing_mm, centre=middle, pixel_mm=PIXEL_MM, size=SIZE)
    label = np.argmax([resampled(labels[..., z] == value) for value in sorted(LABELS.values())], axis=0)
    picture = np.where(resampled(np.ones(image.shape[:2])) > 0.99, resampled(image[..., z]), np.nan)
    return picture / np.median(picture[_core(label == LABELS["LV"])]), label


def _core(mask):
    """A region without its rim, where voxels are mixed; the whole of a region too thin to lose it."""
    inner = ndimage.binary_erosion(mask)
    return inner if inner.sum() >= 10 else mask


def regions(picture, labels):
    """Name -> pixel values: LV, MYO and RV without their rims, and what lies LATERAL_MM beside the LV (mostly lung), on
    the side away from the RV; without an RV there is none."""
    masks = {name: _core(labels == LABELS[name]) for name in ("LV", "MYO", "RV")}
    left = np.isin(labels, (LABELS["LV"], LABELS["MYO"]))
    away = ndimage.distance_transform_edt(~left) * PIXEL_MM
    masks["lateral"] = (away >= LATERAL_MM[0]) & (away <= LATERAL_MM[1]) & (_cosine(labels) >= LATERAL_COSINE)
    found = {name: picture[mask & np.isfinite(picture)] for name, mask in masks.items()}
    return {name: values if len(values) else np.array([np.nan]) for name, values in found.items()}


def _cosine(labels):
    """Per pixel, the cosine between its direction from the LV centre and the direction from RV to LV; -1 without RV."""
    if not (labels == LABELS["RV"]).any():
        return np.full(labels.shape, -1.0)
    lv, rv = (np.array(ndimage.center_of_mass(labels == LABELS[name])) for name in ("LV", "RV"))
    (x, y), across = np.indices(labels.shape) - lv[:, None, None], lv - rv
    return (x * across[0] + y * across[1]) / np.maximum(np.hypot(x, y) * np.hypot(*across), 1e-6)


def contrasts(picture, labels):
    """Medians, percentiles, deviations; LV blood is 1. Some files have a grey floor, so one number calls the lung 0."""
    values = regions(picture, labels)
    ring, wall = np.percentile(values["lateral"], (10, 50, 90)), np.median(values["MYO"])
    return {
        "myocardium": wall,
        "myocardium, floor off": (wall - ring[0]) / (1 - ring[0]),
        "RV blood": np.median(values["RV"]),
        "lateral, 10th": ring[0],
        "lateral, median": ring[1],
        "lateral, 90th": ring[2],
        **{f"deviation in {name}": np.std(values[name]) for name in ("LV", "MYO", "RV")},
    }


def edges(picture, labels):
    """10-90 % distances in mm, median over rays: LV blood to wall, and wall to what lies lateral."""
    centre = np.array(ndimage.center_of_mass(labels == LABELS["LV"]))
    angle, radius = np.arange(N_RAYS) * 2 * np.pi / N_RAYS, np.arange(0, REACH_MM, STEP_MM)
    where = centre[:, None, None] + np.stack([np.cos(angle), np.sin(angle)])[..., None] * radius / PIXEL_MM
    read = partial(ndimage.map_coordinates, coordinates=where, mode="nearest")
    profiles, crossed, cosine = read(picture, order=1), read(labels, order=0), read(_cosine(labels), order=0)
    cavity, left = crossed == LABELS["LV"], np.isin(crossed, (LABELS["LV"], LABELS["MYO"]))
    rims = {
        "endocardial edge (mm)": (cavity, slice(None), BLOOD_MM, WALL_MM),
        "lateral edge (mm)": (left, cosine[:, -1] >= LATERAL_COSINE, WALL_MM, LUNG_MM),
    }
    found = {}
    for name, (inside, chosen, *sides) in rims.items():
        rays = zip(profiles[chosen], inside[chosen], strict=True)
        mm = [fall_mm(profile, np.flatnonzero(row)[-1], *sides) for profile, row in rays if row.any()]
        found[name] = np.nanmedian(mm) if np.isfinite(mm).sum() >= 3 else np.nan
    return found


def fall_mm(profile, border, before_mm, after_mm):
    """Distance in mm over which a profile falls from 90 % to 10 %, near index `border`; NaN without a clear fall.
    before_mm, after_mm: (nearest, farthest) distance from the border; the median between them is a level."""
    (b0, b1), (a0, a1), near = (np.rint(np.divide(mm, STEP_MM)).astype(int) for mm in (before_mm, after_mm, EDGE_MM))
    first, start = max(border - b1, 0), max(border - near, 0)
    high, low = np.median(profile[first : max(border - b0, 1)]), np.median(profile[border + a0 : border + a1])
    if not high - low > 0.1:  # also refuses NaN
        return np.nan
    steepest = start + int(np.argmin(np.gradient(profile[start : border + near])))
    above = np.flatnonzero(profile[first : steepest + 1] >= low + 0.9 * (high - low))
    below = np.flatnonzero(profile[steepest : border + a1] <= low + 0.1 * (high - low))
    return (steepest + below[0] - first - above[-1]) * STEP_MM if len(above) and len(below) else np.nan


def noise(picture, labels):
    """Deviation of the noise in each region: robust, of what a 3 x 3 median takes away."""
    found = regions(picture - ndimage.median_filter(picture, 3), labels)
    return {f"noise in {name}": 1.4826 * np.median(np.abs(rest)) / MEDIAN_RESIDUE for name, rest in found.items()}


def spectrum(picture):
    """Slope of log power over log frequency in SLOPE_BAND, and the share of power above FINE, around the middle."""
    n = round(WINDOW_MM / PIXEL_MM)
    cut, taper = slice((len(picture) - n) // 2, (len(picture) + n) // 2), np.outer(np.hanning(n), np.hanning(n))
    window = picture[cut, cut]
    power = np.abs(np.fft.fft2((window - np.average(window, weights=taper)) * taper)) ** 2
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(n, PIXEL_MM)] * 2))
    ring = np.rint(frequency * n * PIXEL_MM).astype(int)
    radial = np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
    low, high = (round(edge * n * PIXEL_MM) for edge in SLOPE_BAND)
    logs = np.log(np.arange(low, high + 1)), np.log(radial[low : high + 1])
    slope = np.polyfit(*logs, 1)[0] if np.isfinite(power).all() else np.nan
    return {"spectral slope": slope, "share above 0.2/mm": power[frequency > FINE].sum() / power.sum()}


def shape(labels, spacing_mm):
    """RV area over LV area, and the mean wall in mm: the ring between two circles of the same areas."""
    lv, myo, rv = (np.sum(labels == LABELS[name]) * spacing_mm[0] * spacing_mm[1] for name in ("LV", "MYO", "RV"))
    return {"RV area / LV area": rv / lv, "wall (mm)": (np.sqrt(lv + myo) - np.sqrt(lv)) / np.sqrt(np.pi)}


def table(views, phases=("ED", "ES")):
    """DataFrame of `measurements`, a row per subject and phase. views: subject -> View labelled at those frames."""
    rows = [
        {"subject": subject, "phase": phase, **measurements(view, frame)}
        for subject, view in views.items()
        for phase, frame in zip(phases, view.label_frames, strict=False)
    ]
    return pd.DataFrame(rows).set_index(["subject", "phase"])


def measurements(view, frame):
    """Every number of one labelled frame of a short-axis study.View: name -> value."""
    drawn = view.label_at(frame)
    picture, labels = standard_slice(view.image[..., frame], drawn, view.spacing_mm)
    values = contrasts(picture, labels) | edges(picture, labels) | noise(picture, labels) | spectrum(picture)
    return {name: float(v) for name, v in (values | shape(drawn[..., middle_slice(drawn)], view.spacing_mm)).items()}
