"""Ejection fraction of studies by masks and straight from images, held against a reference; what pairs of scans say.

A way of measuring gives rows: study, arm, seed and the ejection fractions LV and RV in percent. The reference is a
table LV, RV by study: what a data set says, an expert's masks or volumes, and of virtual hearts what a reader would
draw on endlessly thin slices (phantom.drawing).
"""

from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch

from cinema.analysis.features import features_of, ridge
from cinema.data.public import prepared
from cinema.data.study import load_study
from cinema.data.transforms import min_max
from cinema.inference import published, rules
from cinema.inference.reader import OwnReader
from cinema.models import finetuned
from cinema.models.published import PUBLISHED
from cinema.parallel import in_parallel
from cinema.stats import checks, classification, estimates
from cinema.stats.metrics import ef_band, published_ef_percent, volume_ml
from cinema.terms import LABELS, LAX_VIEWS, SMALL_GRID
from cinema.training import arms, evaluate, regression
from cinema.training.regression import EF_MEAN, EF_STD
from cinema.training.task import one_thread

SIDES = ("LV", "RV")
READER, DIRECT, GUESS = "own reader, masks", "frozen features, direct", "guess"
PART = 8  # studies a piece of work
SAX_GRID = {"sax": SMALL_GRID["sax"], **dict.fromkeys(LAX_VIEWS, ((8, 8), (20.0, 20.0)))}  # the rest is tiny


def from_masks(path, masks_of):
    """Row of one study: study, LV, RV, ejection fractions in percent of the masks `masks_of` draws.

    masks_of: (view, frames) -> (x, y, z, frames) labels. Where ED and ES are named only these two frames are drawn.
    Else every frame is, and the largest and the smallest volume of each ventricle count, as in the published tables.
    """
    study = load_study(path, ["sax"])
    view, ends = study.views["sax"], [study.ed_frame, study.es_frame]
    named, row = None not in ends, {"study": study.id}
    masks = masks_of(view, ends if named else list(range(view.n_frames)))
    for side in SIDES:
        volumes = [volume_ml(masks[..., t] == LABELS[side], view.spacing_mm) for t in range(masks.shape[3])]
        row[side] = published_ef_percent(*(volumes if named else (max(volumes), min(volumes))))
    return row


def study_masks():
    """masks_of that gives a study's own labels."""
    return lambda view, frames: np.stack([view.label_at(frame) for frame in frames], axis=-1)


def network_masks(run):
    """masks_of by the trained segmentation network of an arms.Run."""
    model = arms.model_of(run)

    @torch.inference_mode()
    def masks_of(view, frames):
        images = [min_max(np.asarray(view.image[..., frame], np.float32)) for frame in frames]
        logits = model({"sax": torch.from_numpy(np.stack(images))[:, None]})["sax"]
        return logits.argmax(1).movedim(0, -1).numpy().astype(np.uint8)

    return masks_of


def reader_masks(turns=1):
    """masks_of by reader.OwnReader in `turns` poses and the rules that follow it.
    Images must be cut around the heart: it is not searched for."""
    reader = OwnReader(turns=turns, search=False)
    return lambda view, frames: rules.tidy(reader.predict_sax(view.image[..., frames], view.spacing_mm))


def published_masks(name, source, seed, device):
    """masks_of by a published segmentation model ("acdc_sax")."""
    found = finetuned.load("segmentation", name, source, seed, device)
    ((view_name, (size, _)),) = found.grid.items()
    return lambda view, frames: evaluate.segment_volume(found.model, view.image[..., frames], view_name, size, device)


def read(ways, jobs=1):
    """Rows of several ways of drawing masks, `jobs` processes of one thread each.
    ways: (arm, seed) -> (function that makes a masks_of, paths of studies)."""
    parts = []
    for key, (make, paths) in ways.items():
        paths, size = list(paths), PART if jobs > 1 else max(1, len(paths))
        parts += [(key, make, paths[i : i + size]) for i in range(0, len(paths), size)]
    rows = [row for part in in_parallel(_read, parts, jobs, "masks") for row in part]
    return pd.DataFrame(rows, columns=["study", *SIDES, "arm", "seed"])


@one_thread()
def _read(part):
    (arm, seed), make, paths = part
    masks_of = make()
    return [from_masks(path, masks_of) | {"arm": arm, "seed": seed} for path in paths]


def plan(arm, parts, tests, rate, steps, seed, folder):
    """arms.Run of an arm that is shown ED and ES and told the EF. parts: training and validation files."""
    return arms.Run(arm, *parts, rate, steps, seed, str(folder), tests, regression.EF_TASK, arms.with_targets)


def reference(table):
    """The reference of a table of study.study_table: DataFrame, index study, NaN where nothing is known."""
    names, unknown = {side: f"{side.lower()}_ef_percent" for side in SIDES}, pd.Series(np.nan, table.index)
    columns = {side: table.get(f"true_drawn_{name}", table.get(name, unknown)) for side, name in names.items()}
    return pd.DataFrame(columns).set_axis(table["id"], axis=0).rename_axis("study").astype(float)


def guess(known, learns, tested):
    """Rows that say the mean of the studies that learn to everyone. known: `reference`."""
    rows = pd.DataFrame({"study": list(tested), "arm": GUESS, "seed": 0})
    return rows.assign(**known.loc[list(learns)].mean())


def fitted(features, ef_percent):
    """Ridge regression from frozen features to the EF, scaled as regression.EF_TASK has it."""
    checks.numbers(features, "features")
    return ridge().fit(features.to_numpy(), (checks.numbers(ef_percent, "ejection fractions") - EF_MEAN) / EF_STD)


def answered(fit, features):
    """EF in percent that `fitted` says of studies."""
    checks.numbers(features, "features")
    return fit.predict(features.to_numpy()) * EF_STD + EF_MEAN


def direct(features, known, learns, tested):
    """Rows of tested studies by `fitted` of the studies that learn; NaN for a side that fewer than FEW of these have.
    features: DataFrame, index study."""
    found = pd.DataFrame({"study": list(tested), "arm": DIRECT, "seed": 0})
    for side in SIDES:
        fit = known.loc[list(learns), side].dropna()
        enough = len(fit) >= estimates.FEW and len(found)
        found[side] = answered(fitted(features.loc[fit.index], fit), features.loc[found["study"]]) if enough else np.nan
    return found


def direct_of_patients(patients, known, learns, tested, folder, jobs=1):
    """`direct` of prepared studies, copied to the small grid in `folder`; no rows unless all name their ED and ES."""
    if "ed_frame" not in patients or patients["ed_frame"].isna().any():
        return guess(known, learns, [])
    table = prepared.on_grid(patients, {"sax": SMALL_GRID["sax"]}, folder, jobs)
    return direct(features_of(table["path"], jobs), known, learns, tested)


def by_published(data, data_root, tested, everyone, seeds):
    """(rows, words) of the published networks, masks and regression; the words say which weights are missing. Those of
    the data set answer for its test studies (paths `tested`); in a set that none was trained on, all for `everyone`."""
    names, own = [name for name in PUBLISHED["segmentation"] if name.endswith("_sax")], f"{data}_sax"
    names, paths = ([own], list(tested)) if own in names else (names, list(everyone))
    source, device, ways = finetuned.source(data_root), "cuda" if torch.cuda.is_available() else "cpu", {}
    if source is None or not paths:
        return read({}), "\n\n".join(finetuned.missing("segmentation", name) for name in names if paths)
    for name, seed in product(names, seeds):
        ways[f"published {name}, masks", seed] = (partial(published_masks, name, source, seed, device), paths)
    rows = [read(ways)]
    if own in PUBLISHED["regression_ef"]:
        straight = published.predict("regression_ef", own, paths, source, seeds, device)
        rows.append(straight.rename(columns={"value": "LV"}).assign(arm=f"published {own}, direct", RV=np.nan))
    return pd.concat(rows, ignore_index=True), ""


def every_nth_patient(table, most):
    """At most about `most` studies, whole patients at equal steps of the sorted list; scan pairs stay together."""
    whose = table.get("patient", table["id"]).fillna(table["id"])
    names, share = np.unique(whose), min(1.0, most / max(len(table), 1))
    kept = names[np.unique(np.linspace(0, len(names) - 1, max(1, round(share * len(names)))).astype(int))[: len(names)]]
    return table[whose.isin(kept)].reset_index(drop=True)


def paired_with_reference(rows, known, side="LV"):
    """(reference, found): arrays of the studies of one arm that have both, sorted, seeds averaged."""
    found = rows.groupby("study")[side].mean().dropna()
    true = known[side].reindex(found.index).dropna()
    return true.to_numpy(), found.loc[true.index].to_numpy()


def bands(true, found, rng):
    """(share of patients in the band of the reference, Matthews' correlation of the bands): stats.Estimates."""
    told, said = (ef_band(np.atleast_1d(values)) for values in (true, found))
    right = estimates.proportion(int((told == said).sum()), len(told))
    return right, estimates.or_without_interval(lambda: classification.mcc(told, said, rng), np.nan, len(told))


def agreement(rows, known, side, rng):
    """How one arm's rows agree with the reference: name -> stats.Estimate; empty without any patient.

    mae, bias, lower_limit and upper_limit (Bland-Altman, none for too few patients), band_accuracy, band_mcc. Studies
    that lack either number are left out.
    """
    true, found = paired_with_reference(rows, known, side)
    if not len(true):
        return {}
    told = {"mae": estimates.mean(np.abs(found - true), rng)}
    if len(true) >= estimates.FEW:
        told |= estimates.bland_altman(found, true)._asdict()
    else:
        told["bias"] = estimates.without_interval((found - true).mean(), len(true))
    return told | dict(zip(("band_accuracy", "band_mcc"), bands(true, found, rng)))


def claim_of(arm, side="LV", data="virtual"):
    """Id of the claim that an arm's error bears on."""
    return "C6" if data == "kaggle" else "C13" if "direct" in arm else "C5" if side == "RV" else "C4"


def scans(table):
    """Pairs of a rescan set: DataFrame, index patient, columns A and B, each a tuple of study ids (repeats included).
    table: with columns id, patient, rescan ("A" or "B"). Patients without one of the two are left out."""
    if not {"patient", "rescan"} <= set(table):
        return pd.DataFrame({"A": [], "B": []})
    wide = table.dropna(subset=["patient", "rescan"]).groupby(["patient", "rescan"])["id"].agg(tuple).unstack()
    return wide.reindex(columns=["A", "B"]).dropna()


def scan_means(pairs, values):
    """(first, second) of `scans`: means over repeats of `values` (Series by study); pairs that lack one are out."""
    found = pairs.map(lambda ids: values.reindex(list(ids)).mean()).astype(float).dropna()
    return found["A"].to_numpy(), found["B"].to_numpy()


def pair_terms(first, second):
    """(n,) squared within-patient coefficients of variation of two measurements: 2 ((x - y) / (x + y))^2. Their root
    mean is the published CV (metrics.coefficient_of_variation_percent). 0 where both measurements are 0."""
    x, y = np.asarray(first, float), np.asarray(second, float)
    total = x + y
    return 2 * np.where(total == 0, 0.0, (x - y) / np.where(total == 0, 1.0, total)) ** 2


def terms_of(rows, pairs):
    """`pair_terms` of the LVEF of one arm on the pairs of `scans`, averaged over seeds."""
    of_seeds = [pair_terms(*scan_means(pairs, part.set_index("study")["LV"])) for _, part in rows.groupby("seed")]
    return np.mean(of_seeds, axis=0) if of_seeds else np.zeros(0)


def variation(terms, rng, n_resamples=estimates.N_RESAMPLES):
    """Coefficient of variation in percent of `pair_terms`, patients resampled: stats.Estimate, NaN without any pair."""
    whole = partial(estimates.bca, terms, _root_mean, rng, n_resamples)
    return estimates.or_without_interval(whole, _root_mean(terms) if len(terms) else np.nan, len(terms))


def variation_difference(first, second, rng, level=estimates.LEVEL):
    """Coefficient of variation of one way minus that of another, from their `pair_terms` on the same patients."""
    gap = lambda a, b, axis=-1: _root_mean(a, axis) - _root_mean(b, axis)
    return estimates.bca((first, second), gap, rng, level=level)


def _root_mean(squares, axis=-1):
    return 100 * np.sqrt(np.mean(squares, axis=axis))


def components(steps, rng):
    """What each step adds to the mean squared difference between scan and rescan: name -> stats.Estimate, unit squared.

    steps: name -> ((n,), (n,)), what the step adds to the measured value in scan and rescan: first the true values,
    then errors. "together" is what the steps' products add, below zero where errors undo each other; "measured" is the
    sum of all, the mean squared difference of the measured values.
    """
    apart = {name: checks.numbers(first) - checks.numbers(second) for name, (first, second) in steps.items()}
    parts = {name: difference**2 for name, difference in apart.items()}
    measured = sum(apart.values()) ** 2
    parts |= {"together": measured - sum(parts.values()), "measured": measured}
    return {name: estimates.bca(part, np.mean, rng) for name, part in parts.items()}
