"""Is the shipped encoder worth having? The same networks from its weights, from random ones, trained or frozen.

Two tasks on virtual patients of the acdc role, with 8, 32 and 128 labelled ones: masks of the short-axis stack
(small.small_convunetr) and the ejection fraction from end diastole and end systole (TwoFrames). Every arm gets the
learning rate that served it best on validation patients; tests are other patients of the same scanners (acdc) and of
other hospitals and vendors (mnms).
"""

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from cinema.data.study import study_paths
from cinema.files import WEIGHTS
from cinema.models import small
from cinema.models.two_frames import two_frames
from cinema.phantom import cohort
from cinema.terms import STRUCTURES
from cinema.training import arms
from cinema.training.regression import EF_TASK

ARMS = ("pretrained", "scratch", "frozen pretrained", "frozen random")
NO_IMAGE = "no image"  # the most frequent label of each voxel, and the mean EF, of all training patients


@dataclass(frozen=True)
class Recipe:
    """How large the experiment is. Steps are of 2 patients for masks, of 8 for EF; rates are tried with n_rate_labels
    patients; n_test patients of each cohort are tested.
    """

    labels: tuple = (8, 32, 128)
    seeds: int = 3
    rates: tuple = (1e-3, 3e-3, 1e-2)
    n_rate_labels: int = 32
    n_val: int = 16
    n_test: int = 40
    mask_steps: int = 110
    ef_steps: int = 50
    dec_chans: tuple = (8, 32, 64)


RECIPES = {"ci": Recipe((2, 4), 1, (3e-3,), 4, 2, 2, 3, 3, (2, 4, 8)), "laptop": Recipe()}


def run(profile, jobs, seed, work):
    """Tables by file name: fine_tuning, the rows of `per_patient`, whose people are those of `seed`, and
    fine_tuning_rates, rows task, arm, learning_rate, validation (mean Dice, or MAE in points).
    """
    recipe = RECIPES[profile]
    files, folder = shipped_encoder(work / "experiments", f"fine_tuning_seed{seed}")
    n_train = max(recipe.labels)
    sizes = {"acdc": n_train + recipe.n_val + recipe.n_test, "mnms": recipe.n_test}
    paths = {role: study_paths(cohort.write(role, n, seed, folder / role, jobs=jobs)) for role, n in sizes.items()}
    training, val = paths["acdc"][:n_train], tuple(paths["acdc"][n_train : n_train + recipe.n_val])
    tests = {"acdc": paths["acdc"][-recipe.n_test :], "mnms": paths["mnms"]}
    plan = partial(arms.Run, val=val, seed=seed)
    mask_run = partial(plan, steps=recipe.mask_steps, folder=str(folder / "masks"))
    ef_run = partial(plan, steps=recipe.ef_steps, folder=str(folder / "ef"), task=EF_TASK, data=arms.with_targets)
    masks = partial(small.small_convunetr, dec_chans=recipe.dec_chans)
    dice, mask_rates = arms.trained(contenders(masks, files, 2), mask_run, training, tests, recipe, seed, jobs)
    ef, ef_rates = arms.trained(contenders(two_frames, files, 8), ef_run, training, tests, recipe, seed, jobs)
    rows = per_patient(pd.concat([dice, guessed_masks(training, tests)]), pd.concat([ef, guessed_ef(training, tests)]))
    return {"fine_tuning": rows, "fine_tuning_rates": pd.concat([mask_rates, ef_rates], ignore_index=True)}


def shipped_encoder(work, name):
    """(files of the shipped encoder and its Standard, folder in `work` for what follows from them and the phantom).

    FileNotFoundError with the remedy where there is no such encoder.
    """
    small.shipped_cinema(WEIGHTS)
    files = [str(WEIGHTS / file) for file in (small.SHIPPED, small.SHIPPED_STANDARD)]
    content = b"".join(Path(file).read_bytes() for file in files) + cohort.source_hash().encode()
    return files, work / f"{name}_{hashlib.sha256(content).hexdigest()[:16]}"


def contenders(build, files, batch_size):
    """The contenders of one task, in the order of ARMS."""
    weights, standard = files
    new, warm = (replace(config, batch_size=batch_size) for config in (arms.FROM_SCRATCH, arms.FROM_PRETRAINING))
    starts = ((weights, warm, False), (None, new, False), (weights, new, True), (None, new, True))
    return tuple(arms.Arm(name, build, standard, *start) for name, start in zip(ARMS, starts, strict=True))


def guessed_masks(training, tests):
    """Scores of the atlas of all training patients."""
    scores = arms.score(arms.Atlas(arms.stacks(training)), tests)
    return scores.assign(arm=NO_IMAGE, n_train=len(training), seed=0)


def guessed_ef(training, tests):
    """The mean EF of all training patients, as a prediction for each test patient."""
    rows = []
    for name, paths in tests.items():
        rows += [(path.stem, name, ef) for path, ef in zip(paths, arms.with_targets(paths).targets, strict=True)]
    mean = np.mean(arms.with_targets(training).targets)
    table = pd.DataFrame(rows, columns=["study", "data", "true"])
    return table.assign(predicted=mean, arm=NO_IMAGE, n_train=len(training), seed=0)


def per_patient(dice, ef=None):
    """A row per arm, labels, seed, cohort and patient (index of phantom.cohort.person) from scores of masks and of EF.

    Columns dice_rv, dice_myo, dice_lv, means of ED and ES; with ef also ef_error in points, with its sign.
    """
    keys = ["arm", "n_train", "seed", "data", "study"]
    table = dice.pivot_table("dice", keys, "structure", sort=False)[list(STRUCTURES)].set_axis(arms.DICE, axis=1)
    if ef is not None:
        table = table.join(ef.assign(ef_error=ef["predicted"] - ef["true"]).set_index(keys)["ef_error"])
    table = table.reset_index().rename(columns={"n_train": "labels", "data": "cohort"})
    table["study"] = table["study"].str.split("_").str[-1].astype(int)
    return table.rename(columns={"study": "patient"})
