"""Contenders trained on the same patients and scored on the same patients: a process each, one thread each.

With one thread a run gives the same numbers whatever the number of cores and whatever runs beside it. `train_all` makes
a list of runs; `trained` sweeps learning rates first and then goes through numbers of labels and seeds.
"""

import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinema.data.loaders import StudyFrames
from cinema.data.study import load_study
from cinema.data.transforms import SEGMENTATION, varied
from cinema.files import WEIGHTS
from cinema.models import small, transfer, weights
from cinema.models.standard import load_standard, standardising
from cinema.parallel import in_parallel
from cinema.stats import estimates
from cinema.stats.metrics import dice
from cinema.terms import LABELS, SMALL_GRID, STRUCTURES
from cinema.training.checkpoint import BEST, AnotherRun, read_run
from cinema.training.classification import class_numbers
from cinema.training.loop import TrainConfig, fit, in_steps
from cinema.training.regression import EF, EF_TASK
from cinema.training.segmentation import TASK
from cinema.training.task import Task, evaluated, one_thread, private_seeds

# As the release: AdamW's own decay on everything from scratch; from pretraining, layers near the image move less.
FROM_SCRATCH = TrainConfig(weight_decay=0.01, decay_everything=True, batch_size=2, drop_remainder=True)
FROM_PRETRAINING = replace(FROM_SCRATCH, weight_decay=0.05, decay_everything=False, layer_decay=0.75)
# A few hundred steps do not suffice to learn the heart in every pose, as 4000 published epochs do.
MILD = varied(SEGMENTATION, rotation_deg=30.0, translation_mm=10.0, hole_mm=0.0)
EVALUATIONS = 3  # in the course of a run
ARMS = ("CineMA, pretrained", "CineMA, scratch", "UNet")  # of `contenders`
DICE = [f"dice_{structure.lower()}" for structure in STRUCTURES]  # columns of recorded tables
ENCODER = ("enc_", "encoder.")  # how the names of what pretraining gives begin
SHIPPED = tuple(str(WEIGHTS / name) for name in (small.SHIPPED, small.SHIPPED_STANDARD))  # encoder and its standard


@dataclass(frozen=True)
class Arm:
    """A contender.

    build:      function without arguments; gives the model with random weights.
    standard:   file of models.standard.Standard: how images are standardised. The same for all arms of a comparison.
    pretrained: CineMA's weights file to start the encoder from, or None.
    frozen:     the encoder stays as it starts, be it pretrained or random; only decoder or head are trained.
    config:     how it is trained, except length, learning rate and seed.
    """

    name: str
    build: Callable
    standard: str
    pretrained: str | None = None
    config: TrainConfig = FROM_SCRATCH
    frozen: bool = False

    def start(self, seed):
        """The model before training; the seed draws its random weights."""
        with private_seeds("cpu"):
            torch.manual_seed(seed)
            model = self.build()
        if self.pretrained is not None:
            transfer(weights.read(self.pretrained), model)
        for name, parameter in model.named_parameters():
            if self.frozen and name.startswith(ENCODER):
                parameter.requires_grad_(False)
        return standardising(model, load_standard(self.standard))


def stacks(paths: Sequence, augment: dict | None = None, seed: int = 0) -> StudyFrames:
    """ED and ES short-axis stacks of studies with their masks."""
    return StudyFrames(paths, ("sax",), "labelled", SMALL_GRID, augment, seed=seed)


def with_targets(
    paths: Sequence, augment: dict | None = None, seed: int = 0, attribute: str = EF, classes: Sequence = ()
) -> StudyFrames:
    """ED and ES stacks of studies with their ejection fraction as drawn, or another number of the person, as target.

    classes: values of an attribute such as "disease"; the target is then the class number.
    """
    studies = [load_study(path, ["sax"], [0]) for path in paths]
    values = [study.truth[f"drawn_{EF}"] if attribute == EF else study.attributes[attribute] for study in studies]
    targets = class_numbers(values, classes) if classes else list(map(float, values))
    return StudyFrames(paths, ("sax",), "ed_es", SMALL_GRID, augment, targets, seed)


@dataclass(frozen=True)
class Run:
    """One training of one arm.

    train, val: study files; val chooses among evaluations. tests: name -> study files, scored at the end.
    seed:       of random weights, order and augmentation.
    folder:     where runs are kept, one folder each; a finished one is read, not repeated.
    task, data: what is learnt, and the data set that shows it: (study files, augment, seed) -> loaders.StudyFrames.
    """

    arm: Arm
    train: tuple
    val: tuple
    learning_rate: float
    steps: int
    seed: int
    folder: str
    tests: dict = field(default_factory=dict)
    task: Task = TASK
    data: Callable = stacks

    @property
    def out(self):
        name = f"{self.arm.name}_{len(self.train)}_patients_rate_{self.learning_rate:g}_seed_{self.seed}"
        return Path(self.folder) / name.replace(", ", "_").replace(" ", "_")

    @property
    def seconds(self):
        """How long the training took, without the tests; it shared the machine with others."""
        return read_run(self.out)["seconds"]


def train(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and test one run on one thread: (history, scores), tables that say which run it was."""
    with one_thread():
        model, train_set = run.arm.start(run.seed), run.data(run.train, MILD, run.seed)
        config = replace(run.arm.config, learning_rate=run.learning_rate, seed=run.seed)
        config = in_steps(config, len(train_set), run.steps, run.steps // 10, max(1, run.steps // EVALUATIONS))
        once = partial(fit, model, run.task, train_set, run.data(run.val), config, run.out)
        try:
            history = once()
        except AnotherRun:  # of earlier code, data or weights, in a folder that is kept to save time: learnt anew
            shutil.rmtree(run.out)
            history = once()
        scores = score(model, run.tests, run.task, run.data)
    about = {"arm": run.arm.name, "n_train": len(run.train), "learning_rate": run.learning_rate, "seed": run.seed}
    return history.assign(**about), scores.assign(**about)


def score(model: nn.Module, tests: dict, task: Task = TASK, data: Callable = stacks) -> pd.DataFrame:
    """Scores of every study of every test set: columns of task.evaluated, and `data`."""
    tables = [evaluated(model, data(paths), task).assign(data=name) for name, paths in tests.items()]
    return pd.concat([pd.DataFrame(), *tables], ignore_index=True)


def train_all(runs: Sequence[Run], n_jobs: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`train` for every run, n_jobs processes at once; the two tables of all of them."""
    with warnings.catch_warnings():  # a worker that was idle too long is replaced, and joblib warns of it
        warnings.filterwarnings("ignore", "A worker stopped")
        rows = in_parallel(train, runs, n_jobs, "trainings")
    histories, scores = (pd.concat(tables, ignore_index=True) for tables in zip(*rows, strict=True))
    return histories, scores


def model_of(run: Run) -> nn.Module:
    """The trained model of a finished run, as it was at its best evaluation."""
    return weights.load(run.arm.start(run.seed), run.out / BEST).eval()


class Atlas(nn.Module):
    """Answers for every voxel with the class most often found there in the masks of `dataset`, whatever the image."""

    def __init__(self, dataset, n_classes=len(LABELS)):
        super().__init__()
        masks = torch.stack([dataset[i]["label"]["sax"] for i in range(len(dataset))])
        share = F.one_hot(masks, n_classes).float().mean(0).movedim(-1, 0)
        self.register_buffer("logits", share.clamp(min=1e-6).log())

    def forward(self, image_dict):
        return {view: self.logits.expand(len(image), *self.logits.shape) for view, image in image_dict.items()}


def slice_rows(study: str, found: np.ndarray, true: np.ndarray, regions: dict | None = None) -> pd.DataFrame:
    """A row per structure and slice that holds it: study, structure, slice, dice.

    found, true: (x, y, z) label maps, base first. Slices count from the first one with left ventricle.
    regions:     structure -> the label values it takes together; None: STRUCTURES, one value each.
    """
    regions = regions or {structure: (LABELS[structure],) for structure in STRUCTURES}
    first = int(np.flatnonzero((true == LABELS["LV"]).any(axis=(0, 1)))[0])
    rows = []
    for (name, values), z in product(regions.items(), range(first, true.shape[2])):
        score = dice(np.isin(found[..., z], values), np.isin(true[..., z], values))
        rows.append({"study": study, "structure": name, "slice": z - first, "dice": score})
    return pd.DataFrame(rows).dropna()


def multiply_accumulates(model: nn.Module, image_dict: dict[str, Tensor]) -> float:
    """Multiplications with additions of one forward pass, in millions (convolutions, matrix products, attention)."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image_dict)
    return counter.get_total_flops() / 2e6


def step_seconds(models: dict, batch: dict, repeats: int = 5) -> dict[str, float]:
    """name -> median seconds of forward and backward pass; models take turns, so that all meet the same neighbours."""
    taken: dict[str, list[float]] = {name: [] for name in models}
    for _, (name, model) in product(range(repeats + 1), models.items()):
        start = perf_counter()
        TASK.loss(model, batch)[0].backward()
        taken[name].append(perf_counter() - start)
    return {name: float(np.median(seconds[1:])) for name, seconds in taken.items()}  # the first one warms up


def contenders(pretrained: str | None, standard: str, **shape: Any) -> dict[str, Arm]:
    """name -> Arm: CineMA's ConvUNetR from a pretrained encoder and from random numbers, and a UNet.

    pretrained, standard: weights file of the encoder, file of models.standard.Standard. shape: of `small.small_unet`.
    """
    cinema = partial(small.small_convunetr, dec_chans=(8, 32, 64), **shape)
    unet = partial(small.small_unet, chans=(8, 16, 32, 64), **shape)
    starts = ((cinema, standard, pretrained, FROM_PRETRAINING), (cinema, standard), (unet, standard))
    return {name: Arm(name, *start) for name, start in zip(ARMS, starts, strict=True)}


def searched(contenders: Sequence, plan: Callable, few: Sequence, rates: Sequence[float], jobs: int) -> pd.DataFrame:
    """How each rate served each arm on validation patients: rows task, arm, learning_rate, validation (the best)."""
    trials = [plan(arm, few, learning_rate=rate) for arm in contenders for rate in rates]
    task = trials[0].task
    column, best = ("val_mean_dice", "max") if task.maximise else ("val_restored_mae", "min")
    scores = train_all(trials, jobs)[0].groupby(["arm", "learning_rate"], sort=False)[column].agg(best)
    rows = scores.rename("validation").reset_index()
    rows.insert(0, "task", task.name)
    return rows


def trained(
    contenders: Sequence, plan: Callable, training: Sequence, tests: dict, recipe: Any, seed: int, jobs: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(scores, rates): rates are swept, then every arm is trained with every number of labels and every seed."""
    rates = searched(contenders, plan, labelled(training, recipe.n_rate_labels, 0), recipe.rates, jobs)
    chosen = estimates.best_rates(rates, maximise=rates["task"].iloc[0] != EF_TASK.name)
    plan, wanted = partial(plan, tests=tests), []
    for i, n, arm in product(range(recipe.seeds), recipe.labels, contenders):
        wanted.append(plan(arm, labelled(training, n, i), learning_rate=chosen[arm.name], seed=seed + i))
    return pd.concat(in_parallel(tested, wanted, jobs, wanted[0].task.name), ignore_index=True), rates


def labelled(training: Sequence, n: int, i: int) -> tuple:
    """The i-th n of the training patients, so that few labels are other patients for each seed; from the start again
    where they do not suffice."""
    i %= len(training) // n
    return tuple(training[i * n : (i + 1) * n])


def tested(run: Run) -> pd.DataFrame:
    """Scores of one run; a finished training is not repeated."""
    path = run.out / "scores.csv"
    train(run)[1].to_csv(path, index=False)
    return pd.read_csv(path)
