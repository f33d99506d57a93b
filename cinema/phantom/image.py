"""From a heart to MR images of it: planes, steady-state contrast, coils, motion, noise.

A voxel is sampled at a few points spread over its volume. Their tissues give the label (majority) and, with the signal
of each tissue, the partial volume. Fat counts negative: at TE = TR / 2 it is out of phase with water, which draws the
dark lines that real images have between them.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from cinema.data.study import View
from cinema.phantom.base import mitral_middle, mitral_ring, root
from cinema.phantom.body import CODE, LABEL_OF, RELAXATION, TISSUES, noise
from cinema.phantom.drawing import drawn
from cinema.phantom.shape import surfaces
from cinema.phantom.tissue import points, pose, tissue_at, to_body
from cinema.terms import LAX_VIEWS, SMALL_GRID, VIEWS, check_view

# Lung is no even black: vessels too small for the map and gravity, about as bright and as uneven as in real images.
LUNG_LEVEL, LUNG_SPREAD = 3.2, 0.7
# Receiver noise where there is no signal, relative to that in blood: parallel imaging, flow and filters add the rest.
QUIET_NOISE = 0.35
FAT = np.array([name in ("fat", "heart_fat") for name in TISSUES])
BLOOD = [CODE[name] for name in ("atrial_blood", "aorta", "pulmonary_blood", "vein", "rv_blood", "lv_blood")]
# Where in its volume a voxel is sampled, in voxel units: spread in plane and through the slice at once.
SAMPLES = np.array([(-0.25, -0.25, 0.375), (0.25, -0.125, -0.375), (-0.125, 0.25, -0.125), (0.125, 0.125, 0.125)])


@dataclass(frozen=True)
class Acquisition:
    """How a heart is scanned. Angles in degrees, lengths in mm, times in ms."""

    vendor: str = "Siemens"  # Siemens, Philips, GE, Canon
    field_t: float = 1.5
    flip_deg: float = 60.0
    tr_ms: float = 3.0
    te_ms: float = 1.5
    slice_thickness_mm: float = 8.0
    pixel_mm: float | None = None  # None: the grid's
    snr: float = 25.0  # blood signal over noise deviation
    plane_error_deg: float = 3.0  # operator's angular error of each plane, standard deviation
    breath_shift_mm: float = 1.5  # standard deviation of in-plane shift between slices
    coil_shading: float = 0.5  # 0 none .. 1 strong fall-off from the chest wall
    banding: float = 0.0  # 0 none .. 1
    misgating: float = 0.0  # share of neighbouring frames mixed in
    ghosting: float = 0.0
    blur_mm: float = 0.6
    seed: int = 0  # noise, plane errors, shifts: differs between scan and rescan


def steady_state_signal(proton_density, t1_ms, t2_ms, flip_deg, tr_ms, te_ms):
    """Balanced steady-state free precession signal, on resonance (relative units).

    Source: the closed form used by MRXCAT and fetal XCMR, rho sin(a)(1-E1)/(1-(E1-E2)cos(a)-E1E2) e^(-TE/T2).
    """
    e1, e2, flip = np.exp(-tr_ms / t1_ms), np.exp(-tr_ms / t2_ms), np.deg2rad(flip_deg)
    return proton_density * np.sin(flip) * (1 - e1) / (1 - (e1 - e2) * np.cos(flip) - e1 * e2) * np.exp(-te_ms / t2_ms)


def tissue_signals(acquisition, rng):
    """Signal per tissue code, LV blood = 1, fat negative; varies a little from person to person."""
    table = np.array(list(RELAXATION.values()))
    spread = rng.lognormal(0, (0.06, 0.05, 0.10), (len(TISSUES), 3))
    spread[BLOOD] = spread[CODE["lv_blood"]] * rng.lognormal(0, 0.03, (len(BLOOD), 3))  # one blood, many chambers
    columns = (0, 1, 2) if acquisition.field_t < 2.5 else (0, 3, 4)
    density, t1, t2 = (table[:, column] * spread[:, k] for k, column in enumerate(columns))
    signal = steady_state_signal(density, t1, t2, acquisition.flip_deg, acquisition.tr_ms, acquisition.te_ms)
    signal = np.where(FAT, -signal, signal) / signal[CODE["lv_blood"]]
    return signal.astype(np.float32)


@dataclass(frozen=True)
class Plane:
    """A stack of parallel slices: centre of slice 0, in-plane axes and slice step, in heart mm."""

    first_mm: np.ndarray
    columns: np.ndarray  # (3, 3): unit vectors of i, j and slice direction
    spacing_mm: tuple
    size: tuple

    def affine(self, heart):
        """Voxel index -> RAS body mm."""
        size = np.asarray(self.size[:2])
        corner = self.first_mm - self.columns[:, :2] @ (np.asarray(self.spacing_mm[:2]) * (size - 1) / 2)
        affine = np.eye(4)
        affine[:3, :3] = pose(heart).T @ self.columns * self.spacing_mm
        affine[:3, 3] = to_body(heart, corner[:, None])[:, 0]
        return affine


def tilted(normal, error_deg, rng):
    """Unit vector near `normal`, off by an angle of standard deviation error_deg in a random direction."""
    side = np.cross(normal, rng.standard_normal(3))
    return _unit(normal + np.tan(np.deg2rad(rng.normal(0, error_deg))) * _unit(side))


def _unit(vector):
    return vector / np.linalg.norm(vector)


def place(heart, acquisition, view, grid=SMALL_GRID):
    """The plane or stack an operator would prescribe for `view`, with angular error and random top slice."""
    rng = np.random.default_rng([acquisition.seed, 11, VIEWS.index(check_view(view))])
    size, spacing = grid[view]
    pixel = acquisition.pixel_mm or spacing[0]
    if view == "sax":
        n, step = size[2], spacing[2]
        normal = tilted(np.array([0, 0, 1.0]), acquisition.plane_error_deg, rng)
        slack = n * step - (heart.lv_length_mm + 8)
        top = -rng.uniform(*((0.15, 0.95) if slack > 0 else (0, 0.5))) * step
        top -= min(rng.integers(0, 3), max(int(slack / step) - 1, 0)) * step
        first = np.array([*rng.normal(0, 2.0, 2), top])
    else:
        n, step = 1, acquisition.slice_thickness_mm
        valve = mitral_middle(heart, surfaces(heart, 0.0))
        axis = _unit(np.array([0, 0, heart.lv_length_mm]) - valve)
        middle = valve + axis * (0.45 * heart.lv_length_mm)
        outflow = root(heart).angle_deg  # 3C runs along it, the others clear of it
        angle = {"lax_4c": min(-12.0, outflow - 56), "lax_3c": outflow, "lax_2c": max(104.0, outflow + 56)}[view]
        angle = np.deg2rad(angle + rng.normal(0, 4.0))
        across = np.array([np.cos(angle), np.sin(angle), 0])
        normal = tilted(np.cross(axis, across), acquisition.plane_error_deg, rng)
        first = middle + normal * rng.normal(0, 1.5)
    columns = scanner_axes(pose(heart), normal, np.deg2rad(rng.normal(0, 6.0)))
    if view == "sax" and columns[2, 2] < 0:
        columns[:, 2] *= -1  # slices run from base to apex
    return Plane(first, columns, (pixel, pixel, step), (*size[:2], n))


def scanner_axes(axes, normal, turn):
    """In-plane axes as scanners choose them: i toward the patient's left (or back), j toward the feet (or back)."""
    ras = axes.T @ normal
    left, back, feet = -np.eye(3)
    i, j = {0: (back, feet), 1: (left, feet), 2: (left, back)}[int(np.argmax(np.abs(ras)))]
    i = _unit(i - ras * (i @ ras))
    j = _unit(j - ras * (j @ ras) - i * (j @ i))
    i, j = np.cos(turn) * i + np.sin(turn) * j, np.cos(turn) * j - np.sin(turn) * i
    return np.stack([axes @ i, axes @ j, axes @ np.cross(i, j)], axis=1)


def sample_positions(plane, acquisition, rng):
    """(3, n_samples * voxels) heart positions of the samples of every voxel; slices shift with the breath."""
    nx, ny, nz = plane.size
    dx, dy, dz = plane.spacing_mm
    thick = acquisition.slice_thickness_mm
    shift = rng.normal(0, acquisition.breath_shift_mm, (nz, 2)) if nz > 1 else np.zeros((1, 2))
    ox, oy, oz = SAMPLES.T[..., None, None, None]
    i = ((np.arange(nx) - (nx - 1) / 2)[None, :, None, None] + ox) * dx + shift[:, 0]
    j = ((np.arange(ny) - (ny - 1) / 2)[None, None, :, None] + oy) * dy + shift[:, 1]
    k = np.arange(nz)[None, None, None] * dz + oz * thick
    parts = [f + c[0] * i + c[1] * j + c[2] * k for f, c in zip(plane.first_mm, plane.columns)]
    return np.stack([np.asarray(part, np.float32).ravel() for part in parts])


def tissue_samples(heart, acquisition, view, phases, grid=SMALL_GRID):
    """The plane of `view` and, per phase, the tissues of each voxel's samples: (samples, x, y, z) uint8."""
    plane = place(heart, acquisition, view, grid)
    rng = np.random.default_rng([acquisition.seed, 12, VIEWS.index(view)])
    where = points(heart, sample_positions(plane, acquisition, rng))
    return plane, where, [tissue_at(heart, where, float(phase)).reshape(len(SAMPLES), *plane.size) for phase in phases]


def majority_label(tissues, label_of=LABEL_OF):
    """(x, y, z) label from (samples, x, y, z) tissues: the structure filling most of the voxel, if any does."""
    labels = label_of[tissues]
    counts = np.stack([(labels == value).sum(axis=0) for value in range(4)])
    counts[0] = counts[0] * 1.01  # a tie with the background goes to the structure
    counts = counts.astype(np.float32) + np.array([-0.01, 0, 0.005, 0.01], np.float32)[:, None, None, None]
    return counts.argmax(axis=0).astype(np.uint8)


def acquire(heart, acquisition, phases, grid=SMALL_GRID, views=VIEWS):
    """Scan a heart: dictionary view -> study.View with image (float32, LV blood about 0.6), labels at every phase,
    landmarks (long axis) and the affine in RAS mm. Short-axis labels are as a reader draws (`drawing`), those of the
    long axes are of the tissue."""
    out = {}
    for view in views:
        plane, where, tissues = tissue_samples(heart, acquisition, view, phases, grid)
        rng = np.random.default_rng([acquisition.seed, 13, VIEWS.index(view)])
        signals = tissue_signals(acquisition, np.random.default_rng([heart.detail_seed, 14]))
        texture = 1 + 0.06 * noise(where.heart_mm, 6.0, 3, rng).reshape(tissues[0].shape).mean(0)
        lungs = LUNG_LEVEL * np.exp(LUNG_SPREAD * noise(where.heart_mm, 20.0, 0, rng)).reshape(tissues[0].shape)
        seen = (np.where(t == CODE["lung"], signals[t] * lungs, signals[t]) for t in tissues)
        clean = np.stack([samples.mean(axis=0) * texture for samples in seen], axis=-1)
        image = _scan(clean, plane, acquisition, heart, rng)
        if view == "sax":
            drawings = [drawn(heart, where, float(phase), t) for phase, t in zip(phases, tissues)]
            labels = np.stack([majority_label(each, np.arange(4)) for each in drawings], axis=-1)
        else:
            labels = np.stack([majority_label(t) for t in tissues], axis=-1)
        marks = landmarks(heart, plane, phases) if view in LAX_VIEWS else None
        times = np.asarray(phases, np.float32) * 60000.0 / heart.heart_rate_bpm
        out[view] = View(image, plane.affine(heart), labels, tuple(range(len(phases))), marks, times)
    return out


def _scan(clean, plane, acquisition, heart, rng):
    """Point spread, mis-gating, ghosts, shading, bands, receiver noise: (x, y, z, t) signal -> magnitude image."""
    width = acquisition.blur_mm / plane.spacing_mm[0] + 0.2
    image = gaussian_filter1d(gaussian_filter1d(clean, width, 0), width, 1)
    if acquisition.misgating and image.shape[-1] > 2:
        neighbours = (np.roll(image, 1, -1) + np.roll(image, -1, -1)) / 2
        image = (1 - acquisition.misgating) * image + acquisition.misgating * neighbours
    if acquisition.ghosting:
        image = image + acquisition.ghosting * np.roll(image, image.shape[1] // 2, axis=1)
    grid = np.meshgrid(*map(np.arange, plane.size), indexing="ij")
    x, y, z = (row[0] * grid[0] + row[1] * grid[1] + row[2] * grid[2] + row[3] for row in plane.affine(heart)[:3])
    # Receive sensitivity falls off from the chest wall.
    coil = np.exp(acquisition.coil_shading * (0.006 * y + rng.normal(0, 0.002) * x + rng.normal(0, 0.002) * z))
    if acquisition.banding:  # off resonance
        direction = rng.normal(0, 1, 3)
        angle = (direction[0] * x + direction[1] * y + direction[2] * z) / 35.0 + rng.uniform(0, 6.28)
        coil = coil * (1 - 0.8 * acquisition.banding * np.exp(-((np.cos(angle / 2) / 0.18) ** 2)))
    image = image * coil.astype(np.float32)[..., None]
    sigma = 0.6 / acquisition.snr * (QUIET_NOISE + (1 - QUIET_NOISE) * np.clip(np.abs(image), 0, 1))
    noisy = np.hypot(0.6 * image + sigma * rng.normal(0, 1, image.shape), sigma * rng.normal(0, 1, image.shape))
    return noisy.astype(np.float32)


def landmarks(heart, plane, phases):
    """(t, 3, 2) pixel positions in a long-axis plane: the two mitral hinges (septal or anterior side first), apex."""
    rows = []
    for s in (surfaces(heart, float(phase)) for phase in phases):
        ring = mitral_ring(heart, s)
        height = (ring - plane.first_mm) @ plane.columns[:, 2]
        middle, half = (height.max() + height.min()) / 2, 0.35 * np.ptp(height)
        height = height - np.clip(0, middle - half, middle + half)  # where a plane all but misses the ring: the nearest
        crossing = np.flatnonzero(height * np.roll(height, -1) < 0)
        share = height[crossing] / (height[crossing] - np.roll(height, -1)[crossing])
        hinges = ring[crossing] + share[:, None] * (np.roll(ring, -1, axis=0)[crossing] - ring[crossing])
        order = np.argsort(-(hinges @ [np.cos(np.deg2rad(40)), np.sin(np.deg2rad(40)), 0]))
        first, second = hinges[order][[0, -1]]
        rows.append(np.stack([first, second, np.array([0, 0, s.apex_mm])]) - plane.first_mm)
    pixels = np.asarray(rows) @ plane.columns[:, :2] / plane.spacing_mm[:2]
    return (pixels + (np.asarray(plane.size[:2]) - 1) / 2).astype(np.float32)
