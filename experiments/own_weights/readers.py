"""The project's own small weights, from nothing: render a library of varied hearts, train a reader on it.

`python3 -m cinema train reader_sax` does both, resumes where it was stopped, and ends with
cinema/shipped/weights/reader_sax.safetensors. No patient is involved at any point.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from cinema.files import WEIGHTS, data_folder
from cinema.inference import reader
from cinema.models import weights
from cinema.models.unet import Reader
from cinema.parallel import in_parallel
from cinema.terms import LAX_VIEWS, VIEWS
from cinema.training import checkpoint
from cinema.training.loop import TrainConfig, fit, in_steps
from cinema.training.task import has_bf16_units
from experiments.own_weights import encoder
from experiments.own_weights.library import LIBRARY_VERSION, library_path, write_entry
from experiments.own_weights.slices import GROUP, TASK, DressedSlices

LIBRARY_SEED = 1
N_HELD_OUT = 24  # the first hearts of the library are never trained on


@dataclass(frozen=True)
class Recipe:
    """How large a run is: hearts rendered, visits per heart and epoch, optimiser steps."""

    n_hearts: int
    visits: int
    steps: int


RECIPES = {"ci": Recipe(n_hearts=28, visits=4, steps=6), "laptop": Recipe(n_hearts=400, visits=4, steps=4800)}
# What a reader reads, its channels, items a batch (of 6 short-axis slices, of 1 plane), steps per step of the recipe.
KINDS = {
    "reader_sax": {"kind": "sax", "in_chans": 3, "out_chans": 4, "batch_size": 4, "steps": 1.0},
    "reader_lax": {"kind": "lax", "in_chans": 1, "out_chans": 6, "batch_size": 16, "steps": 0.5},
}
NAMES = (*KINDS, "cinema_small")


def train(name, profile="laptop", out=None, seed=0, jobs=1):
    """Train one of NAMES; writes <out>/<name>.safetensors and returns its path. ValueError for an unknown name.

    out: folder of the weights, by default the shipped ones' for the laptop profile with seed 0, else data/work/..
    """
    if name not in NAMES:
        raise ValueError(f"unknown weights {name!r}; choose one of {', '.join(NAMES)}")
    if profile not in RECIPES:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(RECIPES)}")
    work = data_folder() / "work" / profile
    out = Path(out or (WEIGHTS if (profile, seed) == ("laptop", 0) else work))
    if name not in KINDS:
        return encoder.train(encoder.RECIPES[profile], work, out, seed, jobs)
    recipe, (kind, in_chans, out_chans, batch_size, steps) = RECIPES[profile], KINDS[name].values()
    steps = round(recipe.steps * steps)
    library = make_library(work, recipe.n_hearts, jobs, LAX_VIEWS if kind == "lax" else VIEWS)
    train_set = DressedSlices(library, kind, recipe.n_hearts - N_HELD_OUT, N_HELD_OUT, recipe.visits, seed)
    val_set = DressedSlices(library, kind, N_HELD_OUT, 0, 4, seed + 1)
    config = in_steps(configuration(batch_size, seed), len(train_set), steps, min(200, steps // 2))
    config = replace(config, num_workers=1)  # dresses the next batch while this one is learnt from
    torch.manual_seed(seed)
    history = fit(Reader(out_chans, in_chans), TASK, train_set, val_set, config, work / name)
    model = weights.restore(work / name / "best.safetensors")
    description = {
        "data": "virtual hearts only",
        "hearts": recipe.n_hearts - N_HELD_OUT,
        "slices": steps * batch_size * (GROUP if kind == "sax" else 1),
        "seed": seed,
        "library_seed": LIBRARY_SEED,
        "library_version": LIBRARY_VERSION,
        "pixel_mm": reader.PIXEL_MM,
        "precision": "bfloat16" if has_bf16_units() else "float32",
        "held_out_dice": round(float(history["val_mean_dice"].max()), 4),
        "seconds": round(checkpoint.read_run(work / name)["seconds"]),
    }
    return weights.save(model.half(), out / f"{name}.safetensors", description)


def command(**options):
    """`train` for the command line: says what was written. Exit code 0."""
    path = train(**options)
    print(f"written: {path} ({path.stat().st_size / 1e6:.1f} MB; trained on virtual hearts, not for clinical use)")
    return 0


def configuration(batch_size, seed):
    """The training settings, before the length in steps is known."""
    rates = dict(learning_rate=2e-3, min_learning_rate=1e-5, weight_decay=0.01)
    return TrainConfig(**rates, batch_size=batch_size, drop_remainder=True, evaluate_every=4, seed=seed)


def make_library(work, n_hearts, jobs=1, views=VIEWS):
    """Render the hearts that are not there yet into <work>/library_<version>; returns that folder.

    views: where only the long axes are asked for and the whole is not there, they are rendered by themselves, in a
    tenth of the time, into <work>/library_<version>_lax. They are the same planes.
    """
    missing = lambda folder: [index for index in range(n_hearts) if not library_path(folder, index).exists()]
    folder = Path(work) / f"library_{LIBRARY_VERSION}"
    if "sax" not in views and missing(folder):
        folder = folder.with_name(f"{folder.name}_lax")
    folder.mkdir(parents=True, exist_ok=True)
    in_parallel(partial(write_entry, folder, seed=LIBRARY_SEED, views=views), missing(folder), jobs, "hearts")
    return folder
