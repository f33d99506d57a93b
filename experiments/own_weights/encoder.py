"""The project's small pretrained CineMA, from nothing: tissue maps of virtual people, dressed anew at every visit.

`python3 -m cinema train cinema_small` renders the people, trains, resumes where it was stopped, and ends with
cinema/shipped/weights/cinema_small.safetensors and the mean image and deviation it was trained with, which whoever uses
the weights needs (models.small.shipped_cinema gives both). No patient is involved at any point.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import Subset

from cinema.models import small, weights
from cinema.models.standard import Standardised, save_standard, standard_of
from cinema.training import checkpoint, pretraining
from cinema.training.loop import fit, in_steps
from cinema.training.task import evaluated, has_bf16_units
from experiments.own_weights import maps
from experiments.own_weights.dressed_studies import DressedStudies

PEOPLE_SEED = 1
HELD_OUT_SEED = 1_000_003  # their visits are never those of training


@dataclass(frozen=True)
class Recipe:
    """How large a run is."""

    n_people: int = 4000  # rendered
    n_held_out: int = 48  # of them the first, never trained on
    steps: int = 25_600  # of 8 (study, frame) samples
    n_standard: int = 1000  # items that give the mean image and the deviation


RECIPES = {"ci": Recipe(n_people=12, n_held_out=2, steps=12, n_standard=16), "laptop": Recipe()}


def train(recipe, work, out, seed=0, jobs=1):
    """Write <out>/cinema_small.safetensors and its Standard; returns the path of the former. What lies in `work`
    of the people and of the run is taken up where it was left."""
    people = maps.make(work / "people", recipe.n_people, PEOPLE_SEED, jobs)
    plain = DressedStudies(people, recipe.n_people - recipe.n_held_out, recipe.n_held_out, seed)
    chosen = np.linspace(0, len(plain) - 1, recipe.n_standard).round().astype(int)
    standard = standard_of(Subset(plain, chosen.tolist()))
    train_set = Standardised(plain, standard)
    held_out = Standardised(DressedStudies(people, recipe.n_held_out, 0, HELD_OUT_SEED), standard)
    # A rate that falls over the last quarter only.
    config = replace(pretraining.PRETRAINING, schedule="late_linear", drop_remainder=True, seed=seed)
    config = in_steps(config, len(train_set), recipe.steps, min(pretraining.WARMUP_STEPS, recipe.steps // 4))
    torch.manual_seed(seed)
    model, run = small.small_cinema(), work / f"cinema_small_seed{seed}"
    fit(model, pretraining.task(bf16=has_bf16_units()), train_set, held_out, config, run)
    model = model.half().float()  # what is reported is what the file holds
    description = {
        "data": "virtual hearts only",
        "people": recipe.n_people - recipe.n_held_out,
        "people_seed": PEOPLE_SEED,
        "maps": maps.MAPS_VERSION,
        "samples": recipe.steps * config.batch_size,
        "seed": seed,
        "precision": "bfloat16" if has_bf16_units() else "float32",
        "held_out_people": recipe.n_held_out,
        "error_relative_to_mean_image": relative_error(model, held_out, seed),
        "seconds": round(checkpoint.read_run(run)["seconds"]),
        "standard": small.SHIPPED_STANDARD,
    }
    save_standard(standard, out / small.SHIPPED_STANDARD)
    return weights.save(model.half(), out / small.SHIPPED, description)


def relative_error(model, dataset, seed=0):
    """Error of the hidden patches divided by that of the mean image, which is zero in `dataset` (a Standardised one):
    {view: number} and `all`, their means' ratio."""
    ours = evaluated(model, dataset, pretraining.TASK, seed=seed).groupby("view").mse.mean()
    images = [dataset[index]["image"] for index in range(len(dataset))]
    theirs = {view: float(np.mean([image[view].square().mean() for image in images])) for view in images[0]}
    by_view = {view: round(float(ours[view]) / theirs[view], 4) for view in theirs}
    return {"all": round(float(ours.mean()) / float(np.mean(list(theirs.values()))), 4), **by_view}
