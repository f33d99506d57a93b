"""How much do fewer labels cost? The arms of notebook 03 with 4, 8, 16 and 32 labelled patients, three draws of each.

The recipe is that of fine_tuning, masks alone. Every arm first gets the learning rate that served it best on validation
patients, with 32 labels. All people are other ones than those of the notebooks: the next seed's.
"""

from functools import partial

import pandas as pd

from cinema.data.study import study_paths
from cinema.phantom import cohort
from cinema.training.arms import Run, contenders, trained
from experiments.fine_tuning import Recipe, guessed_masks, per_patient, shipped_encoder

ROLE = "acdc"
RECIPES = {"ci": Recipe((2, 4), 1, (3e-3,), 4, 2, 2, 3), "laptop": Recipe((4, 8, 16, 32), mask_steps=200)}


def run(profile, jobs, seed, work):
    """Tables by file name: labels, rows of `per_patient`, whose people are those of seed + 1; labels_rates, rows of
    arms.searched.
    """
    recipe = RECIPES[profile]
    files, folder = shipped_encoder(work / "experiments", f"labels_seed{seed}")
    n_train = recipe.seeds * max(recipe.labels)
    n = n_train + recipe.n_val + recipe.n_test
    paths = study_paths(cohort.write(ROLE, n, seed + 1, folder / ROLE, jobs=jobs))
    training, val, tests = paths[:n_train], tuple(paths[n_train : n_train + recipe.n_val]), paths[-recipe.n_test :]
    plan = partial(Run, val=val, seed=seed, steps=recipe.mask_steps, folder=str(folder / "masks"))
    arms = contenders(*files).values()
    dice, rates = trained(arms, plan, training, {ROLE: tests}, recipe, seed, jobs)
    return {"labels": per_patient(pd.concat([dice, guessed_masks(training, {ROLE: tests})])), "labels_rates": rates}
