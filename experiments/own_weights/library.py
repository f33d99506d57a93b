"""Tissue maps of many varied hearts, rendered once and stored, for training the project's own readers.

One HDF5 file per heart and dataset `<view>` (phases, slices, samples, x, y) of packed codes: the tissue, and the label
that a reader would draw there (`packed`). The hearts vary far beyond any clinic: what a network has seen in excess it
will not stumble over.
"""

from contextlib import suppress
from pathlib import Path

import numpy as np

from cinema.data import hdf5
from cinema.phantom.body import LABEL_OF
from cinema.phantom.drawing import drawn
from cinema.phantom.heart import Heart, Infarct
from cinema.phantom.image import SAMPLES, Acquisition, Plane, landmarks, place, sample_positions, scanner_axes, tilted
from cinema.phantom.shape import surfaces
from cinema.phantom.tissue import points, pose, tissue_at
from cinema.terms import VIEWS

SAX_SIZE, LAX_SIZE, PIXEL_MM, N_SLICES = 152, 176, 1.3, 20
LIBRARY_VERSION = 6
LABEL_SHIFT = 5  # bits of a packed code that hold the tissue
PACKED_LABELS = np.arange(4 << LABEL_SHIFT, dtype=np.uint8) >> LABEL_SHIFT  # label of each packed code
# Where the rest of a heart lies, evenly.
EVEN = {"trabeculation": (0.1, 1.6), "papillary_size": (0.5, 1.4), "torsion_deg": (0, 15)}
EVEN |= {"epicardial_fat_mm": (0.5, 14), "chest_fat_mm": (4, 40), "body_scale": (0.82, 1.2), "es_fraction": (0.3, 0.45)}


def varied_heart(rng):
    """A heart drawn for variety, not for plausibility of the whole: any size, function, wall and right side."""
    thick = rng.random() < 0.3  # walls of a hypertrophic heart, whose cavity all but vanishes
    edv = float(np.clip(rng.lognormal(np.log(125 if thick else 155), 0.3 if thick else 0.52), 45, 480))
    ef = rng.uniform(45, 88) if thick else rng.uniform(8, 80) if edv < 200 else rng.uniform(6, 62)
    length = float(np.clip(92 * (edv / 140) ** 0.32 * rng.lognormal(0, 0.08), 60, 126))
    overloaded = not thick and rng.random() < 0.28  # a right ventricle larger than the left
    rv_edv = edv * rng.uniform(1.3, 3.5) if overloaded else rng.lognormal(np.log(125 if thick else 155), 0.45)
    rv_edv = float(np.clip(rv_edv, 45, 450))
    rv_ef = np.clip(0.5 * ef + rng.uniform(0, 45), 8, 78)
    infarcts = tuple(
        Infarct(*(rng.uniform(*pair) for pair in ((0, 360), (0.1, 1), (20, 60), (0.12, 0.4), (0.4, 1.05), (0, 0.55))))
        for _ in range(rng.choice([0, 0, 0, 1, 2]))
    )
    mass = float(np.clip((210 if thick else 104) * (edv / 140) ** 0.5 * rng.lognormal(0, 0.35), 40, 460))
    # long-axis shortening by EF in a public table: 4, 7, 14 % at 25, 35, 65 %
    mapse = float(np.clip(length * rng.normal(-0.013 + 0.0023 * ef, 0.025), 0.5, 0.28 * length))
    volumes = edv, edv * (1 - ef / 100), rv_edv, rv_edv * (1 - rv_ef / 100)
    return Heart(
        *(*volumes, mass, length, mapse, rng.uniform(35, 170), rng.uniform(35, 190)),
        septal_bulge=rng.choice([0, 0, 0, 1]) * rng.uniform(0.3, 2.0),
        bulge_angle_deg=rng.uniform(-40, 80),
        bulge_half_width_deg=rng.uniform(25, 70),
        apical_bulge=rng.choice([0] * 8 + [1]) * rng.uniform(0.5, 1.5),
        infarcts=infarcts,
        septal_flattening=(overloaded or rng.choice([0, 0, 1])) * rng.uniform(0.1, 1.7 if overloaded else 1.0),
        **{name: rng.uniform(*pair) for name, pair in EVEN.items()},
        detail_seed=int(rng.integers(2**31)),
    )


def library_heart(index, seed):
    """The heart of a library entry and its generator: a function of (seed, index) alone."""
    rng = np.random.default_rng([seed, 77, index])
    while True:
        heart = varied_heart(rng)
        with suppress(ValueError):  # a wall that cannot be built: draw another heart
            surfaces(heart, 0.0), surfaces(heart, heart.es_fraction)
            return heart, rng


def sax_plane(heart, rng):
    """A stack from the great vessels to beyond the apex, tilted as by a careless operator."""
    behind = rng.uniform(22, 46)
    step = (heart.lv_length_mm + behind + 14) / N_SLICES
    columns = scanner_axes(pose(heart), tilted(np.array([0, 0, 1.0]), 6.0, rng), 0.0)
    columns[:, 2] *= np.sign(columns[2, 2])
    first = np.array([rng.uniform(0, 14), 0, -behind])  # leaves room for the right ventricle
    return Plane(first, columns, (PIXEL_MM, PIXEL_MM, step), (SAX_SIZE, SAX_SIZE, N_SLICES))


def render(heart, rng, views=VIEWS):
    """Dictionary of arrays: per view the tissue codes (phases, slices, samples, x, y), landmarks of long axes."""
    phases = [0.0, heart.es_fraction, *rng.uniform(0.05, 0.95, 2)]
    thickness = rng.uniform(5, 10)
    arrays = {}
    for view, own in zip(VIEWS, rng.spawn(len(VIEWS))):  # a view is the same with others or alone
        if view not in views:
            continue
        acquisition = Acquisition(slice_thickness_mm=thickness, plane_error_deg=5.0, seed=int(own.integers(2**31)))
        grid = {view: ((LAX_SIZE, LAX_SIZE), (PIXEL_MM, PIXEL_MM))}
        plane = sax_plane(heart, own) if view == "sax" else place(heart, acquisition, view, grid)
        where = points(heart, sample_positions(plane, acquisition, own))
        codes = [tissue_at(heart, where, phase).reshape(len(SAMPLES), *plane.size) for phase in phases]
        labels = [drawn(heart, where, *s) if view == "sax" else LABEL_OF[s[1]] for s in zip(phases, codes)]
        codes = [packed(*both) for both in zip(codes, labels)]
        arrays[view] = np.stack([code.transpose(3, 0, 1, 2) for code in codes])
        if view != "sax":
            arrays[f"{view}_landmarks"] = landmarks(heart, plane, phases)
    return arrays


def packed(tissues, labels):
    """One uint8 for both: the label in the bits above the tissue code."""
    return (tissues | (labels << LABEL_SHIFT)).astype(np.uint8)


def by_packed(values):
    """A table by tissue code -> the same by packed code, whatever the label."""
    values = np.asarray(values)
    return np.tile(np.pad(values, (0, (1 << LABEL_SHIFT) - len(values))), 4)


def library_path(folder, index):
    """Where heart or person `index` lies in a folder of tissue maps."""
    return Path(folder) / f"{index:06d}.h5"


def write_entry(folder, index, seed, views=VIEWS):
    """Render the `views` of entry `index` into folder/<index>.h5; returns the path."""
    path = library_path(folder, index)
    heart, rng = library_heart(index, seed)
    with hdf5.written(path) as file:
        file.attrs.update({"seed": seed, "version": LIBRARY_VERSION, "pixel_mm": PIXEL_MM})
        for name, array in render(heart, rng, views).items():
            chunks = (1, 1, *array.shape[2:]) if array.ndim == 5 else None
            file.create_dataset(name, data=array, chunks=chunks, compression="lzf" if chunks else None)
    return path
