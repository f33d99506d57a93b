"""What the arms of an experiment make of a real short axis, through `segment`: Dice per arm and seed.

    python3 tests/bench/arms_on_real.py ingredients|fine_tuning FOLDER [--labels 128]

FOLDER: NIfTI frames with their masks beside them (ed.nii.gz, ed_gt.nii.gz, es.nii.gz, es_gt.nii.gz). The networks are
those the experiment left in data/work/laptop; no real image was trained on. One folder is one patient: it proves
nothing about others. Nothing but Dice is printed.
"""

import argparse
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from cinema.files import data_folder
from cinema.inference import segment
from cinema.inference.grid import GridReader
from cinema.models import small, weights
from cinema.models.standard import standardising
from cinema.models.unet import Reader
from cinema.stats.metrics import dice
from cinema.terms import LABELS, SMALL_GRID, STRUCTURES
from cinema.training.checkpoint import BEST, LAST
from experiments import fine_tuning, ingredients

WORK = data_folder() / "work/laptop/experiments"


def overlap(folder, reader):
    """Dice of every structure at ED and ES of one patient, read by `reader` through `segment`."""
    with tempfile.TemporaryDirectory() as out:
        segment.segment(folder, out, readers={"sax": reader})
        found = np.asarray(nib.load(Path(out) / "sax.nii.gz").dataobj)
    scores = {}
    for t, phase in enumerate(("ed", "es")):
        true = np.asarray(nib.load(Path(folder) / f"{phase}_gt.nii.gz").dataobj)
        for structure in STRUCTURES:
            scores[f"{structure} {phase.upper()}"] = dice(found[..., t] == LABELS[structure], true == LABELS[structure])
    return scores


def fine_tuned(labels):
    """(arm, seed, reader) of every finished training with so many labels."""
    recipe, (_, standard) = fine_tuning.RECIPES["laptop"], small.shipped_cinema()
    for scores in sorted(WORK.glob("fine_tuning_*/masks/*/scores.csv")):
        row = pd.read_csv(scores).iloc[0]
        if row["n_train"] == labels:
            model = weights.load(small.small_convunetr(dec_chans=recipe.dec_chans), scores.with_name(BEST))
            model = standardising(model.eval(), standard)
            yield row["arm"], row["seed"], GridReader("sax", model, None, *SMALL_GRID["sax"])


def with_ingredients(_):
    """(arm, seed, reader) of every finished training."""
    for scores in sorted(WORK.glob("ingredients_*/*/scores.csv")):
        row = pd.read_csv(scores).iloc[0]
        model = Reader(in_chans=3, chans=ingredients.RECIPES["laptop"].chans)
        yield row["arm"], row["seed"], ingredients.one_pose(weights.load(model, scores.with_name(LAST)).eval())


EXPERIMENTS = {"fine_tuning": fine_tuned, "ingredients": with_ingredients}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("folder")
    parser.add_argument("--labels", type=int, default=max(fine_tuning.RECIPES["laptop"].labels))
    options = parser.parse_args()
    rows = [
        {"arm": arm, "seed": seed, **overlap(options.folder, reader)}
        for arm, seed, reader in EXPERIMENTS[options.experiment](options.labels)
    ]
    if not rows:
        parser.error("no finished training: run python3 -m cinema experiment first")
    table = pd.DataFrame(rows).set_index(["arm", "seed"])
    print(table.assign(mean=table.mean(axis=1)).round(3).to_string())


if __name__ == "__main__":
    main()
