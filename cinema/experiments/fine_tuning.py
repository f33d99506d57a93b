"""Is the shipped encoder worth having? The same networks from its weights, from random ones, trained or frozen.

Two tasks on virtual patients of the acdc role, with 8, 32 and 128 labelled ones: masks of the short-axis stack
(presets.small_convunetr) and the ejection fraction from end diastole and end systole (TwoFrames). Every arm gets the
learning rate that served it best on validation patients; tests are other patients of the same scanners (acdc) and of
other hospitals and vendors (mnms).
"""

import hashlib
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from torch import nn
from tqdm import tqdm

from cinema import compare, contrast, presets
from cinema.loaders import StudyFrames
from cinema.models import ConvViT
from cinema.phantom import cohort
from cinema.reader import FOLDER
from cinema.study import load_study, study_paths
from cinema.tasks import regression
from cinema.terms import SMALL_GRID, STRUCTURES

EF = "lv_ef_percent"
EF_MEAN, EF_STD = 50.0, 15.0  # of a mixed clinic, whoever is trained on
EF_TASK = regression.task(mean=EF_MEAN, std=EF_STD)
DICE = [f"dice_{structure.lower()}" for structure in STRUCTURES]
ARMS = ("pretrained", "scratch", "frozen pretrained", "frozen random")
NO_IMAGE = "no image"  # the most frequent label of each voxel, and the mean EF, of all training patients


@dataclass(frozen=True)
class Recipe:
    """How large the experiment is. Steps: of 2 patients for masks, of 8 for EF.

    rates are tried with seed 0 and n_rate_labels patients; n_test patients of each cohort are tested.
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


class TwoFrames(ConvViT):
    """One number from two frames: each is encoded by itself, as in pretraining, and a linear head sees both.

    Stacking them as channels would repeat the first convolution's pretrained weights, which then see the sum of end
    diastole and end systole and not their difference. Features are those of probes.study_features, normalised over
    the batch.
    """

    def __init__(self, **encoder):
        super().__init__(**encoder, n_frames=1, out_chans=1, head_layer=None)
        width = 2 * encoder["enc_embed_dim"] * (1 + 2 * len(encoder["image_size_dict"]))
        self.pair_head = nn.Sequential(nn.BatchNorm1d(width, affine=False), nn.Linear(width, 1))

    def start_head(self, scale, weight, bias):
        """Let the head answer as a linear fit of probes.study_features: probed first, then fine-tuned.

        scale: the features' fitted StandardScaler. weight, bias: (outputs, d) and (outputs,), of scaled features.
        Source: Kumar 2022 (arXiv 2202.10054).
        """
        norm, head = self.pair_head
        with torch.no_grad():
            norm.running_mean.copy_(torch.from_numpy(scale.mean_))
            norm.running_var.copy_(torch.from_numpy(scale.var_))
            head.weight.copy_(torch.from_numpy(weight * np.sqrt(scale.var_ + norm.eps) / scale.scale_))  # eps is undone
            head.bias.copy_(torch.from_numpy(bias))

    def forward(self, image_dict):
        """view -> (b, 2, x, y[, z]); returns (b, 1)."""
        frames = {view: image.flatten(0, 1)[:, None] for view, image in image_dict.items()}
        cls, *views = self.feature_forward(frames).values()
        parts = [cls[:, 0]] + [pooled for x in views for pooled in (x.mean(dim=1), x.std(dim=1))]
        return self.pair_head(torch.cat(parts, dim=1).unflatten(0, (-1, 2)).flatten(1))


def two_frames():
    """TwoFrames of the short-axis stack."""
    return TwoFrames(**presets.small_encoder(("sax",)))


def probed(fit):
    """two_frames whose head starts as `fit`, a probes.ridge of the EF as EF_TASK scales it on study_features."""
    (_, scale), (_, ridge) = fit.steps
    model = two_frames()
    model.start_head(scale, ridge.coef_[None], np.array([ridge.intercept_]))
    return model


def pairs(paths, augment=None, seed=0):
    """ED and ES stacks of studies with their true ejection fraction."""
    targets = [float(load_study(path, ["sax"], [0]).truth[EF]) for path in paths]
    return StudyFrames(paths, ("sax",), "ed_es", SMALL_GRID, augment, targets, seed)


def run(profile, jobs, seed, work):
    """Tables by file name.

    fine_tuning: rows arm, labels, seed, cohort, patient; dice_rv, dice_myo, dice_lv, means of ED and ES; ef_error in
    points, with its sign. patient: index of phantom.cohort.person(cohort, index, seed).
    fine_tuning_rates: rows task, arm, learning_rate, validation (mean Dice, or MAE in points).
    """
    recipe = RECIPES[profile]
    presets.shipped_cinema(FOLDER)  # refused early, with the remedy, where it does not exist
    files = [FOLDER / name for name in (presets.SHIPPED, presets.SHIPPED_STANDARD)]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files) + cohort.source_hash().encode()).hexdigest()
    folder = work / "experiments" / f"fine_tuning_seed{seed}_{digest[:16]}"
    n_train = max(recipe.labels)
    sizes = {"acdc": n_train + recipe.n_val + recipe.n_test, "mnms": recipe.n_test}
    paths = {role: study_paths(cohort.write(role, n, seed, folder / role, jobs=jobs)) for role, n in sizes.items()}
    training, val = paths["acdc"][:n_train], tuple(paths["acdc"][n_train: n_train + recipe.n_val])
    tests = {"acdc": paths["acdc"][-recipe.n_test:], "mnms": paths["mnms"]}
    plan = partial(compare.Run, val=val, seed=seed)
    mask_run = partial(plan, steps=recipe.mask_steps, folder=str(folder / "masks"))
    ef_run = partial(plan, steps=recipe.ef_steps, folder=str(folder / "ef"), task=EF_TASK, data=pairs)
    masks = partial(presets.small_convunetr, dec_chans=recipe.dec_chans)
    dice, mask_rates = trained(arms(masks, files, 2), mask_run, training, tests, recipe, seed, jobs)
    ef, ef_rates = trained(arms(two_frames, files, 8), ef_run, training, tests, recipe, seed, jobs)
    rows = per_patient(pd.concat([dice, guessed_masks(training, tests)]),
                       pd.concat([ef, guessed_ef(training, tests)]))
    return {"fine_tuning": rows, "fine_tuning_rates": pd.concat([mask_rates, ef_rates], ignore_index=True)}


def arms(build, files, batch_size):
    """The contenders of one task, in the order of ARMS."""
    weights, standard = map(str, files)
    new, warm = (replace(config, batch_size=batch_size) for config in (compare.FROM_SCRATCH, compare.FROM_PRETRAINING))
    starts = ((weights, warm, False), (None, new, False), (weights, new, True), (None, new, True))
    return tuple(compare.Arm(name, build, standard, *start) for name, start in zip(ARMS, starts, strict=True))


def searched(contenders, plan, few, rates, jobs):
    """How each rate served each arm on validation patients: rows task, arm, learning_rate, validation."""
    trials = [plan(arm, few, learning_rate=rate) for arm in contenders for rate in rates]
    task = trials[0].task
    histories, _ = compare.train_all(trials, jobs)
    column = "val_mean_dice" if task.maximise else "val_restored_mae"
    scores = histories.groupby(["arm", "learning_rate"], sort=False)[column]
    best = scores.max() if task.maximise else scores.min()
    rows = best.rename("validation").reset_index().assign(task=task.name)
    return rows[["task", "arm", "learning_rate", "validation"]]


def trained(contenders, plan, training, tests, recipe, seed, jobs):
    """(scores, rates): rates are swept, then every arm is trained with every number of labels and every seed."""
    rates = searched(contenders, plan, labelled(training, recipe.n_rate_labels, 0), recipe.rates, jobs)
    chosen = contrast.best_rates(rates, maximise=rates["task"].iloc[0] != EF_TASK.name)
    wanted = [plan(arm, labelled(training, n, i), learning_rate=chosen[arm.name], seed=seed + i, tests=tests)
              for i in range(recipe.seeds) for n in recipe.labels for arm in contenders]
    done = Parallel(jobs, return_as="generator")(delayed(tested)(run) for run in wanted)
    bar = tqdm(done, total=len(wanted), desc=wanted[0].task.name, unit="run", disable=None)
    return pd.concat(bar, ignore_index=True), rates


def labelled(training, n, i):
    """The i-th n of the training patients, so that few labels are other patients for each seed; from the start again
    where they do not suffice."""
    i %= len(training) // n
    return tuple(training[i * n: (i + 1) * n])


def tested(run):
    """Scores of one run; what was finished is read."""
    path = run.out / "scores.csv"
    if not path.exists():
        compare.train(run)[1].to_csv(path, index=False)
    return pd.read_csv(path)


def guessed_masks(training, tests):
    """Scores of the atlas of all training patients."""
    scores = compare.test(compare.Atlas(compare.stacks(training)), tests)
    return scores.assign(arm=NO_IMAGE, n_train=len(training), seed=0)


def guessed_ef(training, tests):
    """The mean EF of all training patients, as a prediction for each test patient."""
    mean = np.mean(pairs(training).targets)
    rows = [{"study": study, "data": name, "true": true, "predicted": mean} for name, paths in tests.items()
            for study, true in zip((path.stem for path in paths), pairs(paths).targets)]
    return pd.DataFrame(rows).assign(arm=NO_IMAGE, n_train=len(training), seed=0)


def per_patient(dice, ef=None):
    """One row per arm, number of labels, seed and patient from the scores of masks and, where given, of EF."""
    keys = ["arm", "n_train", "seed", "data", "study"]
    table = dice.pivot_table("dice", keys, "structure", sort=False)[list(STRUCTURES)].set_axis(DICE, axis=1)
    if ef is not None:
        table = table.join(ef.assign(ef_error=ef["predicted"] - ef["true"]).set_index(keys)["ef_error"])
    table = table.reset_index().rename(columns={"n_train": "labels", "data": "cohort"})
    table["study"] = table["study"].str.split("_").str[-1].astype(int)
    return table.rename(columns={"study": "patient"})
