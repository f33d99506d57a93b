"""Tissue maps of many virtual people in all four views, rendered once and stored, to be dressed anew ever after.

One HDF5 file per person of the role "training" with `planes` (phases, planes, x, y, samples) of tissue codes: the
slices of the short-axis stack from base to apex, then one plane per long-axis view, on the spacing of
terms.SMALL_GRID and somewhat wider, so that a visit may turn and shift them. Phases: ED, ES and two more.
"""

from contextlib import suppress
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from cinema.data import hdf5
from cinema.parallel import in_parallel
from cinema.phantom import cohort, image
from cinema.terms import SMALL_GRID, VIEWS
from experiments.own_weights.library import library_path

ROLE, N_PHASES = "training", 4
SIZE = 80  # pixels in plane
MAPS_VERSION = 2  # raise when the phantom changes: older files are rendered again
GRID = {view: ((SIZE, SIZE, *size[2:]), spacing) for view, (size, spacing) in SMALL_GRID.items()}
DEPTH = {view: size[2] if len(size) == 3 else 1 for view, (size, _) in SMALL_GRID.items()}


def write_maps(folder, index, seed):
    """Render person `index` into its file, which is complete or not there; returns its path."""
    person = cohort.person(ROLE, index, seed)
    rng = np.random.default_rng([seed, 78, index])
    phases = [0.0, person.heart.es_fraction, *rng.uniform(0.05, 0.95, N_PHASES - 2)]
    samples = (image.tissue_samples(person.heart, person.acquisition, view, phases, GRID)[2] for view in VIEWS)
    planes = np.concatenate([np.stack(codes).transpose(0, 4, 2, 3, 1) for codes in samples], axis=1)
    path = library_path(folder, index)
    with hdf5.written(path) as file:
        file.attrs.update({"seed": seed, "version": MAPS_VERSION, "id": person.id, "phases": phases})
        file.create_dataset("planes", data=planes, chunks=(1, *planes.shape[1:]), compression="lzf")
    return path


def read_maps(path, phase):
    """(planes, x, y, samples) tissue codes of one of the stored phases."""
    with h5py.File(path, "r") as file:
        return file["planes"][phase]


def up_to_date(path, seed):
    """Whether a file is there, whole, of this seed and of this version of the phantom."""
    with suppress(OSError, KeyError), h5py.File(path, "r") as file:
        return file.attrs["seed"] == seed and file.attrs["version"] == MAPS_VERSION
    return False


def make(folder, n_people, seed, jobs=1):
    """Render the people 0 .. n_people - 1 that are not there yet; returns the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    todo = [index for index in range(n_people) if not up_to_date(library_path(folder, index), seed)]
    in_parallel(partial(write_maps, folder, seed=seed), todo, jobs, "people")
    return folder
