"""What each ingredient of the virtual training images adds, read on scanners never trained on.

The same library of hearts is dressed with everything, and with one thing left out at a time. A small reader is
trained on each for the same number of steps and reads patients of other virtual cohorts: other hearts, made by other
rules, imaged by a model of the scanner (phantom.image) that training (own_weights.domain_randomisation) does not use.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch

from cinema.data.study import load_study, study_paths
from cinema.inference import reader
from cinema.inference.reader import OwnReader
from cinema.models.unet import Reader
from cinema.parallel import in_parallel
from cinema.phantom import cohort
from cinema.phantom.body import CODE, TISSUES
from cinema.phantom.image import Acquisition, tissue_signals
from cinema.stats.metrics import dice
from cinema.terms import LABELS, SMALL_GRID, STRUCTURES
from cinema.training.loop import fit, in_steps
from experiments.own_weights import readers, slices
from experiments.own_weights.domain_randomisation import Look, dress, random_signals
from experiments.own_weights.library import PACKED_LABELS, by_packed, packed

# All that lies around the heart; tissue codes begin there, and end with the gas of the bowel.
SURROUNDINGS = (*TISSUES[: CODE["chamber_wall"]], "vein", "gas")
ROLES = ("mnms", "mnms2")
GRID = SMALL_GRID | {"sax": ((reader.SIZE["sax"],) * 2 + (8,), (reader.PIXEL_MM,) * 2 + (12.0,))}
STORED = ("as scanned", "turned")  # archives keep slices turned and mirrored in every way


def recoded(changes):
    """Lookup table from tissue code to tissue code; changes: name -> name it becomes."""
    return tuple(CODE[changes.get(name, name)] for name in TISSUES)


def relabelled(changes):
    """Per tissue code the label value that it is given, -1 to leave it as drawn; changes: tissue name -> structure."""
    return tuple(LABELS[changes[name]] if name in changes else -1 for name in TISSUES)


@dataclass(frozen=True)
class Dressing:
    """How the hearts of one arm are dressed for training. codes, labels: tables of `recoded` and `relabelled`."""

    name: str
    look: Look = Look()
    signals: Callable = random_signals
    codes: tuple = recoded({})
    labels: tuple = relabelled({})


ARMS = (
    Dressing("all"),
    # As the walls they spring from: that of the left ventricle is labelled, that of the right is not.
    Dressing("trabeculae not in cavity", labels=relabelled({"papillary": "MYO", "rv_trabecula": "background"})),
    Dressing("no trabeculae", codes=recoded({"papillary": "lv_blood", "rv_trabecula": "rv_blood"})),
    Dressing("no surroundings", Look(blobs=0), codes=recoded(dict.fromkeys(SURROUNDINGS, "lung"))),
    # With the small differences between people.
    Dressing("one scanner's signals", signals=partial(tissue_signals, Acquisition())),
    Dressing("not turned", Look(turned=False)),
    Dressing("no warp, one scale", Look(scale=(1.0, 1.0), elastic_mm=0)),
    Dressing("plain look", Look(blobs=0, flow=0, shading=0, ringing=0)),
)


@dataclass(frozen=True)
class Recipe:
    """How large the experiment is: seeds per arm, optimiser steps, UNet channels, test patients per cohort."""

    seeds: int = 2
    steps: int = 400
    chans: tuple = (16, 32, 64, 80)
    n_test: int = 12
    visits: int = 8
    batch_size: int = 4  # groups of neighbouring slices


RECIPES = {"ci": Recipe(seeds=1, steps=3, chans=(4, 8), n_test=2, visits=2, batch_size=2), "laptop": Recipe()}


class ArmSlices(slices.DressedSlices):
    """Short-axis slices of a library, dressed as an arm says."""

    def __init__(self, arm, folder, n_entries, first, visits, seed):
        super().__init__(folder, "sax", n_entries, first, visits, seed, arm.look)
        self.arm = arm

    def describe(self):
        return super().describe() | {"arm": self.arm.name}

    def signals(self, rng):
        return self.arm.signals(rng)

    def dressed(self, tissues, where, signals, rng):
        given = by_packed(self.arm.labels)
        label_of = np.where(given < 0, PACKED_LABELS, given).astype(np.uint8)
        codes = packed(by_packed(self.arm.codes)[tissues].astype(np.uint8), label_of[tissues])
        return dress(codes, where, by_packed(signals), rng, reader.PIXEL_MM, self.look, PACKED_LABELS)


def one_pose(model):
    """OwnReader that reads with a given short-axis network, each slice once instead of in eight poses."""
    own = OwnReader(turns=1)
    own.models["sax"] = model
    return own


def run(profile, jobs, seed, work):
    """Tables by file name: ingredients, the rows of `scores` with arm and seed, whose people are those of `seed`."""
    recipe, n_hearts = RECIPES[profile], readers.RECIPES[profile].n_hearts
    library = readers.make_library(work, n_hearts, jobs)
    folder = work / "experiments" / f"ingredients_seed{seed}_{cohort.source_hash()}"
    write = partial(cohort.write, n=recipe.n_test, seed=seed, grid=GRID, jobs=jobs)
    patients = {role: study_paths(write(role, folder=folder / role)) for role in ROLES}
    one = partial(train_and_test, recipe=recipe, library=library, n_hearts=n_hearts, patients=patients, folder=folder)
    todo = [(arm, seed + i) for i in range(recipe.seeds) for arm in ARMS]
    return {"ingredients": pd.concat(in_parallel(lambda run: one(*run), todo, jobs, "trainings"), ignore_index=True)}


def train_and_test(arm, seed, recipe, library, n_hearts, patients, folder):
    """One arm, one seed, on one thread; a finished training is not repeated."""
    torch.set_num_threads(1)
    out = folder / f"{arm.name.replace(' ', '_')}_seed_{seed}"
    held_out, config = readers.N_HELD_OUT, readers.configuration(recipe.batch_size, seed)
    train_set = ArmSlices(arm, library, n_hearts - held_out, held_out, recipe.visits, seed)
    config = in_steps(config, len(train_set), recipe.steps, recipe.steps // 10)
    torch.manual_seed(seed)
    model = Reader(in_chans=3, chans=recipe.chans)
    fit(model, slices.TASK, train_set, None, config, out)
    rows = [{"arm": arm.name, "seed": seed, **row} for row in scores(model.eval(), patients)]
    pd.DataFrame(rows).to_csv(out / "scores.csv", index=False)
    return pd.read_csv(out / "scores.csv")


def scores(model, patients):
    """Rows cohort, patient (index of phantom.cohort.person), stored (one of STORED), structure, dice_ed, dice_es.

    patients: role -> study files by index. In the truth as in the reading, only slices whose cavity is bordered by
    muscle count as ventricle.
    """
    own, rows = one_pose(model), []
    for role, paths in patients.items():
        for index, path in enumerate(paths):
            view = load_study(path, ["sax"]).views["sax"]
            for stored in STORED:
                turn = 0 if stored == STORED[0] else 1 + index % 7
                true, image = turned(view.labels, turn), turned(view.image, turn)
                found = own.predict_sax(image, view.spacing_mm)
                about = {"cohort": role, "patient": index, "stored": stored}
                for name in STRUCTURES:
                    ed, es = (dice(found[..., t] == LABELS[name], true[..., t] == LABELS[name]) for t in (0, 1))
                    rows.append(about | {"structure": name, "dice_ed": ed, "dice_es": es})
    return rows


def turned(array, turn):
    """(x, y, ...) array in one of the eight poses of a square; 0 leaves it as it is."""
    array = np.rot90(array, turn % 4)
    return np.ascontiguousarray(array[:, ::-1] if turn >= 4 else array)
