"""The project's own small weights, from nothing: render a library of varied hearts, train a reader on it.

`python3 -m cinema train reader_sax` does both, resumes where it was stopped, and ends with
data/weights/reader_sax.safetensors. No patient is involved at any point.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from joblib import Parallel, delayed
from tqdm import tqdm

from cinema import pretrain
from cinema.models import weights
from cinema.models.reader import Reader
from cinema.phantom.library import library_path, write_entry
from cinema.reader import FOLDER
from cinema.tasks import reading
from cinema.train import TrainConfig, fit, in_steps

LIBRARY_SEED = 1
N_HELD_OUT = 24  # the first hearts of the library are never trained on


@dataclass(frozen=True)
class Recipe:
    """How large a run is: hearts rendered, visits per heart and epoch, optimiser steps of `batch_size` slices."""

    n_hearts: int = 480
    visits: int = 8
    steps: int = 6500
    batch_size: int = 16


RECIPES = {"ci": Recipe(n_hearts=28, visits=4, steps=6), "laptop": Recipe()}
KINDS = {"reader_sax": ("sax", 4, 1.0), "reader_lax": ("lax", 6, 0.6)}  # what is read, output channels, share of steps
NAMES = (*KINDS, "cinema_small")


def train(name, profile="laptop", out=None, seed=0, jobs=1):
    """Train one of NAMES; writes <out>/<name>.safetensors and returns its path.

    out: folder of the weights; work in progress lies in data/work beside the package.
    Raises ValueError for an unknown name or profile.
    """
    if name not in NAMES:
        raise ValueError(f"unknown weights {name!r}; choose one of {', '.join(NAMES)}")
    if profile not in RECIPES:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(RECIPES)}")
    work = FOLDER.parent / "work" / profile
    if name not in KINDS:
        return pretrain.train(pretrain.RECIPES[profile], work, Path(out or FOLDER), seed, jobs)
    recipe, (kind, channels, share) = RECIPES[profile], KINDS[name]
    steps = round(recipe.steps * share)
    library = make_library(work / "library", recipe.n_hearts, jobs)
    train_set = reading.DressedSlices(library, kind, recipe.n_hearts - N_HELD_OUT, N_HELD_OUT, recipe.visits, seed)
    val_set = reading.DressedSlices(library, kind, N_HELD_OUT, 0, 4, seed + 1)
    config = in_steps(configuration(recipe, seed), len(train_set), steps, min(200, steps // 2))
    torch.manual_seed(seed)
    started = time.time()
    history = fit(Reader(channels), reading.TASK, train_set, val_set, config, work / name)
    model = weights.restore(work / name / "best.safetensors")
    description = {
        "data": "virtual hearts only", "hearts": recipe.n_hearts - N_HELD_OUT, "slices": steps * recipe.batch_size,
        "seed": seed, "library_seed": LIBRARY_SEED, "pixel_mm": reading.PIXEL_MM,
        "held_out_dice": round(float(history["val_mean_dice"].max()), 4), "session_seconds": round(time.time() - started),
    }
    return weights.save(model.half(), Path(out or FOLDER) / f"{name}.safetensors", description)


def command(**options):
    """`train` for the command line: says what was written. Exit code 0."""
    path = train(**options)
    print(f"written: {path} ({path.stat().st_size / 1e6:.1f} MB; trained on virtual hearts, not for clinical use)")
    return 0


def configuration(recipe, seed):
    """The training settings of a recipe, before its length in steps is known."""
    return replace(TrainConfig(), learning_rate=2e-3, min_learning_rate=1e-5, weight_decay=0.01,
                   batch_size=recipe.batch_size, drop_remainder=True, evaluate_every=4, seed=seed)


def make_library(folder, n_hearts, jobs=1):
    """Render the hearts that are not there yet; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    todo = [index for index in range(n_hearts) if not library_path(folder, index).exists()]
    work = (delayed(write_entry)(folder, index, LIBRARY_SEED) for index in todo)
    list(tqdm(Parallel(jobs, return_as="generator")(work), total=len(todo), desc="hearts", disable=None))
    return folder
