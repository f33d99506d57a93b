"""What images say, one row a study: frozen features of the shipped encoder, measures of the readers, and the probes
that read a number or a class from features, cross-fitted.

For cohorts of thousands. A table is computed once and kept in the cohort's folder; when studies or weights change it is
made anew. Nothing but the probes has seen a label of the cohort.
"""

from contextlib import suppress
from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cinema.data.inputs import read_input
from cinema.data.loaders import StudyFrames
from cinema.data.public import prepared
from cinema.data.study import load_study, study_paths
from cinema.files import RECORDED, WEIGHTS, code, digest, whole_or_not
from cinema.inference.reader import OwnReader
from cinema.inference.segment import measured, read_views
from cinema.models import small
from cinema.models.standard import Standardised
from cinema.parallel import in_parallel
from cinema.results import read_json, read_table
from cinema.stats import checks
from cinema.stats.metrics import dice, lv_lengths_mm, mapse_mm, shortening_percent
from cinema.terms import LABELS, SMALL_GRID, STRUCTURES, VIEWS
from cinema.training.task import one_thread

CHUNK = 25  # studies a piece of work
RECORD = RECORDED / "measures.csv"  # of `python3 -m cinema experiment measures`
MEASURED_VIEWS = ("sax", "lax_2c", "lax_4c")  # as in the Landmark data set; two long axes tell where the valve lies
WINDOW = {"sax": 96, "lax": 112}  # 144 and 168 mm
COLUMNS = "lv_edv_ml lv_esv_ml lv_ef_percent lv_mass_g rv_edv_ml rv_esv_ml rv_ef_percent".split()
NAMES = dict(zip(COLUMNS, "LVEDV LVESV LVEF LVM RVEDV RVESV RVEF".split()))  # of inference.measures
PENALTIES = np.logspace(-1, 5, 13)
N_FOLDS = 5


def features(folder, jobs=1, views=VIEWS):
    """`study_features` of the shipped encoder for every study of a folder: DataFrame, index study id.
    folder: studies of two frames on SMALL_GRID. Views that a cohort lacks are left out."""
    paths = study_paths(folder)
    present = load_study(paths[0]).views
    views, weights = tuple(view for view in views if view in present), (small.SHIPPED, small.SHIPPED_STANDARD)
    return _kept(folder, f"features_{'_'.join(views)}", paths, weights, partial(_features, views=views), jobs)


def features_of(paths, jobs=1, views=("sax",)):
    """`features` of the studies at `paths`, wherever they lie; not kept."""
    return _computed([Path(path) for path in paths], partial(_features, views=views), jobs)


def short_axis(table, folder, jobs=1):
    """A table of prepared studies with `path` of their short-axis copies on SMALL_GRID, as the encoder takes them.
    Copies go to folder; `whole` is the path on the published grid."""
    table = prepared.on_grid(table.assign(whole=table["path"]), {"sax": SMALL_GRID["sax"]}, folder, jobs)
    return table.reset_index(drop=True)


def measures(folder, jobs=1):
    """What the project's own readers measure in every study of a folder: DataFrame, index study id.

    Columns: lv_edv_ml, lv_esv_ml, lv_ef_percent, lv_mass_g, rv_edv_ml, rv_esv_ml, rv_ef_percent; where 2C or 4C exist
    mapse_mm, shortening_percent and lv_length_mm (ED), means over these; where masks exist dice_rv, dice_myo, dice_lv,
    means over the labelled frames, of what was read before the LV is ended at the valve: masks know nothing of that.
    Not a number where the reader found no heart. Made for speed: images must be cut around the heart, as the cohorts'
    are, and are read in one pose, not eight.
    """
    weights = ("reader_sax.safetensors", "reader_lax.safetensors")
    return _kept(folder, "measures", study_paths(folder), weights, _measures, jobs)


def measures_on_record(folder, jobs=1, n_again=20, record=RECORD):
    """`measures` of a cohort, read from `record` where that holds all of its people; otherwise measured.

    n_again people, spread evenly, are measured all the same: of their numbers nine in ten must be those of the record
    within 1 %. Otherwise ValueError with the remedy: people, scanners or readers are no longer those of the record.
    """
    paths = study_paths(folder)
    remedy = "run python3 -m cinema experiment measures --jobs 2"
    table = read_table(record, COLUMNS, remedy, COLUMNS, index_col="study")
    known = table.index.isin([path.stem for path in paths]).sum() == len(paths)
    if not known or read_json(Path(folder) / "manifest.json", {}).get("seed") != 0:
        return measures(folder, jobs)
    some = paths[:: max(1, len(paths) // n_again)][:n_again]
    again = _computed(some, _measures, jobs, max(1, len(some) // jobs))
    if set(again) - set(table) or not table.index.is_unique:
        raise ValueError(f"{record} lacks columns or holds a study twice; {remedy}")
    kept = table.loc[again.index, again.columns]
    near = np.isclose(again, kept, rtol=0.01, atol=0.01, equal_nan=True).mean()
    if near < 0.9:
        raise ValueError(
            f"{near:.0%} of the numbers measured again are those of {Path(record).name}: people, scanners "
            f"or readers have changed; {remedy}"
        )
    return table.loc[[path.stem for path in paths], again.columns]


def _kept(folder, name, paths, weights, compute, jobs):
    """The table `name` of a folder, computed in pieces by `compute` unless it is there and of the same origin."""
    target = Path(folder) / f"{name}.npz"
    origin = f"{code()} {digest([*paths, *(WEIGHTS / name for name in weights)])}"
    if target.exists():
        with suppress(OSError, ValueError, KeyError, BadZipFile), np.load(target) as kept:  # a damaged one is made anew
            if str(kept["origin"]) == origin:
                return pd.DataFrame(kept["values"], index=kept["study"], columns=kept["columns"])
    table = _computed(paths, compute, jobs, name=name)
    names = {"study": table.index.to_numpy(str), "columns": table.columns.to_numpy(str)}
    with whole_or_not(target) as temporary:
        np.savez(temporary, origin=origin, values=table.to_numpy(), **names)
    return table


def _computed(paths, compute, jobs, chunk=CHUNK, name="studies"):
    """The tables of pieces of `chunk` studies, one below the other."""
    pieces = [paths[i : i + chunk] for i in range(0, len(paths), chunk)]
    return pd.concat(in_parallel(compute, pieces, jobs, f"{name}, {chunk} at a time"))


@one_thread()
def _features(paths, views):
    model, standard = small.shipped_cinema(WEIGHTS)
    data = Standardised(StudyFrames(paths, views, "ed_es", SMALL_GRID), standard)
    rows = study_features(model, data)
    return pd.DataFrame(rows, index=[path.stem for path in paths], columns=[str(i) for i in range(rows.shape[1])])


@one_thread()
def _measures(paths):
    reader = OwnReader(WEIGHTS, turns=1, size=WINDOW, search=False)
    readers = dict.fromkeys(MEASURED_VIEWS, reader)
    return pd.DataFrame([_measured(read_input(path), readers) for path in paths], index=[path.stem for path in paths])


def _measured(reading, readers):
    """One row of `measures`."""
    study, sax = reading.study, reading.study.views["sax"]
    labels, landmarks, *_ = read_views(study, readers, reading.sax_positions_mm)
    row = dict.fromkeys(COLUMNS, np.nan)
    try:
        numbers, *_ = measured(reading, labels, landmarks)
    except ValueError:  # no left ventricle found
        numbers = {}
    row |= {column: float(numbers[name]) for column, name in NAMES.items() if numbers.get(name) is not None}
    seen = [view for view in MEASURED_VIEWS if view in landmarks]
    if seen:
        marks = [(landmarks[view], study.views[view].spacing_mm) for view in seen]
        moving = [numbers and np.ptp(lv_lengths_mm(*one)) > 0 for one in marks]
        motion = [(mapse_mm(*one), shortening_percent(lv_lengths_mm(*one))) for one in marks]
        means = np.mean([pair if moves else (np.nan, np.nan) for pair, moves in zip(motion, moving)], axis=0)
        length_mm = np.mean([lv_lengths_mm(one[study.ed_frame], spacing) for one, spacing in marks])
        row |= {"mapse_mm": means[0], "lv_length_mm": float(length_mm), "shortening_percent": means[1]}
    for structure in STRUCTURES if sax.labels is not None else ():
        value, drawn = LABELS[structure], labels["sax"]
        overlaps = [dice(drawn[..., frame] == value, sax.label_at(frame) == value) for frame in sax.label_frames]
        row[f"dice_{structure.lower()}"] = float(np.mean(overlaps))
    return row


def study_features(model, dataset):
    """What the encoder of a CineMA or ConvViT makes of each study: (studies, d) array.

    dataset: one item a study, image view -> (frames, x, y[, z]), as loaders.StudyFrames with frames="ed_es".
    Every frame goes through the encoder unmasked and by itself. Kept are the class token and, per view, mean and
    standard deviation over tokens; frames are put side by side.
    """
    was_training = model.training
    model.eval()
    rows = []
    with torch.inference_mode():
        for index in range(len(dataset)):
            frames = {view: image[:, None] for view, image in dataset[index]["image"].items()}
            cls, *views = model.feature_forward(frames).values()
            parts = [cls[:, 0]] + [pooled for x in views for pooled in (x.mean(dim=1), x.std(dim=1))]
            rows.append(torch.cat(parts, dim=1).flatten())
    model.train(was_training)
    return torch.stack(rows).numpy()


def ridge():
    """Ridge regression on standardised features, the penalty chosen from PENALTIES by leave-one-out error."""
    return make_pipeline(StandardScaler(), RidgeCV(PENALTIES))


def predicted_number(features, values, seed=0):
    """Each patient's number by ridge regression on the others: (n,) array.

    N_FOLDS folds of patients; the penalty is chosen within the other folds (`ridge`).
    Two values (a class as 0 and 1) are dealt to the folds in equal shares: patients of a fold with many cases would
    else be scored by a probe that saw few, which draws the AUC of pure noise below 0.5 (to 0.42 with 80 patients).
    """
    checks.numbers(features, "features")
    checks.numbers(values)
    folds = StratifiedKFold if len(np.unique(values)) == 2 else KFold
    return cross_val_predict(ridge(), features, values, cv=folds(N_FOLDS, shuffle=True, random_state=seed))


def predicted_class(features, classes, seed=0):
    """Each patient's class by multinomial logistic regression on the others: (n,) array.
    As `predicted_number`, with folds of equal class shares; the penalty is chosen by accuracy in inner folds."""
    checks.numbers(features, "features")
    checks.group_numbers(classes, "classes")
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    inner, outer = (StratifiedKFold(k, shuffle=True, random_state=seed) for k in (3, N_FOLDS))
    probe = GridSearchCV(logistic, {"logisticregression__C": 1 / PENALTIES[::2]}, cv=inner)
    return cross_val_predict(probe, features, classes, cv=outer)
