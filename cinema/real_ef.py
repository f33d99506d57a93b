"""Ejection fraction of patients (notebook 04): masks and direct regression against what a data set gives; scan pairs.

Tables hold a row a study and arm: arm, seed, study, LV, RV (ejection fractions in percent, NaN where an arm or a data
set has none). Studies are prepared ones (cinema.datasets.prepared): published grid, cut around the heart.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from cinema import diagnosis, ejection, evaluate, few, probes, stats
from cinema.ejection import SIDES
from cinema.geometry import tidy_labels
from cinema.measure import closed_rings
from cinema.metrics import ef_band, published_ef_percent, volume_ml
from cinema.models.published import PUBLISHED
from cinema.plots import agreement as drawing
from cinema.reader import OwnReader
from cinema.study import load_study
from cinema.tasks import published
from cinema.tasks.task import one_thread
from cinema.terms import LABELS

READER, DIRECT, GUESS = "own reader, masks", "frozen features, direct", "guess"


def reference(table):
    """What the data set says: DataFrame, index study, columns LV and RV in percent, NaN where it says nothing."""
    columns = {side: table.get(f"{side.lower()}_ef_percent", pd.Series(np.nan, table.index)) for side in SIDES}
    return pd.DataFrame(columns).set_axis(table["id"], axis=0).rename_axis("study").astype(float)


def some(table, most):
    """At most about `most` studies, whole patients at equal steps of the sorted list; scan pairs stay together."""
    whose = table["patient"] if "patient" in table else table["id"]
    whose = whose.fillna(table["id"])
    names, share = np.unique(whose), min(1.0, most / max(len(table), 1))
    kept = names[np.unique(np.linspace(0, len(names) - 1, max(1, round(share * len(names)))).astype(int))]
    return table[whose.isin(kept)].reset_index(drop=True)


def from_cine(path, segment):
    """Row of one study from masks: study, LV, RV.

    segment: (image (x, y, z, t), spacing_mm) -> labels. Where ED and ES are known only these two frames are outlined.
    Else every frame is, and the largest and the smallest volume of each ventricle count, as in the published tables.
    """
    study = load_study(path, ["sax"])
    sax, ends = study.views["sax"], (study.ed_frame, study.es_frame)
    known = None not in ends
    labels = segment(sax.image[..., list(ends)] if known else sax.image, sax.spacing_mm)
    row = {"study": study.id}
    for side in SIDES:
        volumes = [volume_ml(labels[..., t] == LABELS[side], sax.spacing_mm) for t in range(labels.shape[3])]
        row[side] = published_ef_percent(*(volumes if known else (max(volumes), min(volumes))))
    return row


def reader_labels(image, spacing_mm, reader):
    """Labels of every frame by reader.OwnReader, tidied, slices that are no ventricle left out, as `segment` does."""
    found = reader.predict_sax(image, spacing_mm)
    return closed_rings(np.stack([tidy_labels(found[..., t]) for t in range(found.shape[3])], axis=-1))


def by_reader(paths, jobs=1, turns=1):
    """Rows by the project's own short-axis reader, which has seen no patient at all; turns: poses averaged."""
    rows = Parallel(jobs)(delayed(_read)(path, turns) for path in paths)
    return pd.DataFrame(rows).assign(arm=READER, seed=0)


def _read(path, turns):
    with one_thread():
        return from_cine(path, partial(reader_labels, reader=OwnReader(turns=turns, search=False)))


def by_published(paths, name, source, seeds, device="cpu"):
    """Rows by masks of a published segmentation model ("acdc_sax"), a row a study and seed."""
    rows = []
    for seed in seeds:
        found = published.load("segmentation", name, source, seed, device)
        (view, (size, _)), = found.grid.items()
        rows += [from_cine(path, lambda image, _, model=found.model, size=size, view=view: evaluate.segment_volume(
            model, image, view, size, device)) | {"seed": seed} for path in paths]
    return pd.DataFrame(rows).assign(arm=f"published {name}, masks")


def published_direct(paths, name, source, seeds, device="cpu"):
    """Rows of the left ventricle by a published regression model, a row a study and seed."""
    rows = published.predict("regression_ef", name, paths, source, seeds, device)
    return rows.rename(columns={"value": "LV"}).assign(arm=f"published {name}, direct", RV=np.nan)


def published_names(data):
    """Short-axis segmentation models for a data set: its own, or all where it has none and so is unseen by each."""
    names = [name for name in PUBLISHED["segmentation"] if name.endswith("_sax")]
    return [f"{data}_sax"] if f"{data}_sax" in names else names


def direct(features, known, learns, tested):
    """Rows of tested studies by ridge regression on frozen features, fitted to studies that learn.

    features: DataFrame, index study. known: `reference`. learns, tested: ids. A side that fewer than stats.FEW learning
    studies have is NaN.
    """
    found = pd.DataFrame({"study": list(tested), "arm": DIRECT, "seed": 0})
    for side in SIDES:
        fit = known.loc[list(learns), side].dropna()
        found[side] = np.nan
        if len(fit) >= stats.FEW and len(found):
            found[side] = probes.ridge().fit(features.loc[fit.index], fit).predict(features.loc[found["study"]])
    return found


def guess(known, learns, tested):
    """Rows that say the mean of the studies that learn to everyone."""
    rows = pd.DataFrame({"study": list(tested), "arm": GUESS, "seed": 0})
    return rows.assign(**known.loc[list(learns)].mean())


class Agreement(NamedTuple):
    """How one arm agrees with the reference; limits is stats.Agreement or None where there are too few patients."""

    mae: stats.Estimate
    bias: stats.Estimate
    limits: stats.Agreement | None
    band_accuracy: stats.Estimate
    band_mcc: stats.Estimate


def agreement(rows, known, side, rng):
    """Agreement of one arm's rows with the reference, seeds averaged per patient first; None without any patient.

    Studies that lack either number are left out.
    """
    true, found = beside(rows, known, side)
    if not len(true):
        return None
    error, bands = found - true, [ef_band(np.atleast_1d(values)) for values in (true, found)]
    limits = stats.bland_altman(found, true) if len(true) >= stats.FEW else None
    right = stats.proportion(int((bands[0] == bands[1]).sum()), len(true))
    return Agreement(few.mean(np.abs(error), rng), limits.bias if limits else few.bare(error.mean(), len(true)), limits,
                     right, few.attempt(lambda: diagnosis.mcc(*bands, rng), float("nan"), len(true)))


def claim_of(data, arm, side):
    """Id of the claim that an arm's error bears on."""
    return "C6" if data == "kaggle" else "C13" if "direct" in arm else "C5" if side == "RV" else "C4"


def beside(rows, known, side="LV"):
    """(reference, found): arrays of the studies of one arm that have both, seeds averaged."""
    found = rows.groupby("study")[side].mean().dropna()
    true = known[side].reindex(found.index).dropna()
    return true.to_numpy(), found.loc[true.index].to_numpy()


def in_words(fits):
    """DataFrame of words, a row an arm and side: errors with intervals, bands. fits: (arm, side) -> Agreement."""
    return pd.DataFrame({key: {
        "mean |error|": few.text(fit.mae, 1), "bias": few.text(fit.bias, 1),
        "limits of agreement": "n too small" if fit.limits is None else " and ".join(
            few.text(limit, 1) for limit in fit.limits[1:]),
        "same band": few.text(fit.band_accuracy), "MCC of bands": few.text(fit.band_mcc)}
        for key, fit in fits.items()}).T


def bland_altman(ax, true, found):
    """plots.agreement.bland_altman with the reference on the axis, or the reason why there is none."""
    if len(true) < stats.FEW:
        ax.text(0.5, 0.5, f"n = {len(true)},\ntoo small for limits", ha="center", va="center", transform=ax.transAxes)
        ax.set_axis_off()
        return
    drawing.bland_altman(ax, true, found)
    ax.set(xlabel="Reference LVEF (%)", ylabel="Measured − reference")
    ax.set_title("points; bias, 95 % limits, CI", fontsize=6, loc="left")


def scans(table):
    """Pairs of a rescan set: DataFrame, index patient, columns A and B, each a tuple of study ids (repeats included).

    Patients without one of the two are left out.
    """
    if not {"patient", "rescan"} <= set(table):
        return pd.DataFrame({"A": [], "B": []})
    wide = table.dropna(subset=["patient", "rescan"]).groupby(["patient", "rescan"])["id"].agg(tuple).unstack()
    return wide.reindex(columns=["A", "B"]).dropna()


def both(pairs, values):
    """(first, second) of `scans`: means over repeats of `values` (Series by study); pairs that lack one are out."""
    found = pairs.map(lambda ids: values.reindex(list(ids)).mean()).astype(float).dropna()
    return found["A"].to_numpy(), found["B"].to_numpy()


def repeatability(rows, pairs, rng):
    """Coefficient of variation of LVEF in percent, Bland's form, of one arm: stats.Estimate, without interval for few.

    Squared variations of a pair are averaged over seeds. n is 0 where no pair has both.
    """
    terms = [ejection.pair_terms(*both(pairs, part.set_index("study")["LV"])) for _, part in rows.groupby("seed")]
    terms = np.mean(terms, axis=0)
    if not len(terms):
        return few.bare(np.nan, 0)
    return few.attempt(lambda: ejection.variation(terms, rng), 100 * float(np.sqrt(np.mean(terms))), len(terms))
