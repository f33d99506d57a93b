"""Ejection fraction of many studies from masks, and what two scans of one heart say about a way of measuring it."""

from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from cinema.analysis.features import ridge
from cinema.data.geometry import tidy_labels
from cinema.data.study import load_study
from cinema.data.transforms import min_max
from cinema.inference import published
from cinema.inference.measures import without_open_slices
from cinema.inference.reader import OwnReader
from cinema.models import finetuned
from cinema.models.published import PUBLISHED
from cinema.parallel import in_parallel
from cinema.stats import classification, estimates
from cinema.stats.metrics import ef_band, published_ef_percent, volume_ml
from cinema.terms import LABELS
from cinema.training import arms, evaluate
from cinema.training.task import one_thread

SIDES = ("LV", "RV")


def from_masks(paths, masks_of):
    """A row per study of two frames: study, LV, RV, ejection fractions in percent of the masks `masks_of` gives.

    masks_of: study -> (x, y, z, 2) labels at ED and ES. Volumes are summed slices; an EF without any ED volume counts
    as 0, as in the published tables.
    """
    rows = []
    for path in paths:
        study = load_study(path, ["sax"])
        masks, spacing = masks_of(study), study.views["sax"].spacing_mm
        volumes = {side: [volume_ml(masks[..., t] == LABELS[side], spacing) for t in (0, 1)] for side in SIDES}
        rows.append({"study": study.id} | {side: published_ef_percent(*volumes[side]) for side in SIDES})
    return pd.DataFrame(rows)


def exact_masks(study):
    """The study's own labels at ED and ES."""
    return np.stack([study.views["sax"].label_at(frame) for frame in (study.ed_frame, study.es_frame)], axis=-1)


@torch.inference_mode()
def network_masks(study, model):
    """Labels at ED and ES by a segmentation network made for the study's grid."""
    image = study.views["sax"].image
    frames = [min_max(np.asarray(image[..., frame], np.float32)) for frame in (study.ed_frame, study.es_frame)]
    logits = model({"sax": torch.from_numpy(np.stack(frames))[:, None]})["sax"]
    return logits.argmax(1).movedim(0, -1).numpy().astype(np.uint8)


def reader_masks(study, reader):
    """Labels at ED and ES by reader.OwnReader, tidied, slices that are no ventricle left out, as `segment` does."""
    view = study.views["sax"]
    found = reader.predict_sax(view.image[..., [study.ed_frame, study.es_frame]], view.spacing_mm)
    return without_open_slices(np.stack([tidy_labels(found[..., t]) for t in (0, 1)], axis=-1))


def by_network(run, paths):
    """`from_masks` by the trained network of a compare.Run, on one thread."""
    with one_thread():
        return from_masks(paths, partial(network_masks, model=arms.model_of(run)))


def by_reader(paths, turns=1):
    """`from_masks` by the project's own short-axis reader, on one thread; turns: poses averaged. Images must be cut
    around the heart: it is not searched for."""
    with one_thread():
        return from_masks(paths, partial(reader_masks, reader=OwnReader(turns=turns, search=False)))


def pair_terms(first, second):
    """(n,) squared within-patient coefficients of variation of two measurements: 2 ((x - y) / (x + y))^2.

    Their root mean is the published CV (metrics.coefficient_of_variation_percent). 0 where both measurements are 0.
    """
    x, y = np.asarray(first, float), np.asarray(second, float)
    total = x + y
    return 2 * np.where(total == 0, 0.0, (x - y) / np.where(total == 0, 1.0, total)) ** 2


def variation(terms, rng, n_resamples=estimates.N_RESAMPLES):
    """Coefficient of variation in percent of `pair_terms`, patients resampled: stats.Estimate."""
    return estimates.bca(terms, _root_mean, rng, n_resamples)


def variation_difference(first, second, rng, level=estimates.LEVEL):
    """Coefficient of variation of one way minus that of another, from their `pair_terms` on the same patients."""
    return estimates.bca(
        (first, second), lambda a, b, axis=-1: _root_mean(a, axis) - _root_mean(b, axis), rng, level=level
    )


def _root_mean(squares, axis=-1):
    return 100 * np.sqrt(np.mean(squares, axis=axis))


def components(steps, rng):
    """What each step adds to the mean squared difference between scan and rescan: name -> stats.Estimate, unit squared.

    steps: name -> ((n,), (n,)), what the step adds to the measured value in scan and rescan: first the true values,
    then errors. "together" is what the steps' products add, below zero where errors undo each other; "measured" is the
    sum of all, the mean squared difference of the measured values.
    """
    apart = {name: np.subtract(first, second) for name, (first, second) in steps.items()}
    parts = {name: difference**2 for name, difference in apart.items()}
    measured = sum(apart.values()) ** 2
    parts |= {"together": measured - sum(parts.values()), "measured": measured}
    return {name: estimates.bca(part, np.mean, rng) for name, part in parts.items()}


def shrunk(values, share, middle):
    """Values drawn toward `middle`: share 1 leaves them alone, share 0 predicts the same for everybody."""
    return middle + share * (np.asarray(values, float) - middle)


READER, DIRECT, GUESS = "own reader, masks", "frozen features, direct", "guess"


def reference(table):
    """What the data set says: DataFrame, index study, columns LV and RV in percent, NaN where it says nothing."""
    columns = {side: table.get(f"{side.lower()}_ef_percent", pd.Series(np.nan, table.index)) for side in SIDES}
    return pd.DataFrame(columns).set_axis(table["id"], axis=0).rename_axis("study").astype(float)


def every_nth_patient(table, most):
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
    return without_open_slices(np.stack([tidy_labels(found[..., t]) for t in range(found.shape[3])], axis=-1))


def by_own_reader(paths, jobs=1, turns=1):
    """Rows by the project's own short-axis reader, which has seen no patient at all; turns: poses averaged."""
    rows = in_parallel(partial(_read, turns=turns), paths, jobs, "studies")
    return pd.DataFrame(rows).assign(arm=READER, seed=0)


def _read(path, turns):
    with one_thread():
        return from_cine(path, partial(reader_labels, reader=OwnReader(turns=turns, search=False)))


def by_published(paths, name, source, seeds, device="cpu"):
    """Rows by masks of a published segmentation model ("acdc_sax"), a row a study and seed."""
    rows = []
    for seed in seeds:
        found = finetuned.load("segmentation", name, source, seed, device)
        ((view, (size, _)),) = found.grid.items()
        rows += [
            from_cine(
                path,
                lambda image, _, model=found.model, size=size, view=view: evaluate.segment_volume(
                    model, image, view, size, device
                ),
            )
            | {"seed": seed}
            for path in paths
        ]
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
        if len(fit) >= estimates.FEW and len(found):
            found[side] = ridge().fit(features.loc[fit.index], fit).predict(features.loc[found["study"]])
    return found


def guess(known, learns, tested):
    """Rows that say the mean of the studies that learn to everyone."""
    rows = pd.DataFrame({"study": list(tested), "arm": GUESS, "seed": 0})
    return rows.assign(**known.loc[list(learns)].mean())


class Agreement(NamedTuple):
    """How one arm agrees with the reference; limits is stats.Agreement or None where there are too few patients."""

    mae: estimates.Estimate
    bias: estimates.Estimate
    limits: estimates.Agreement | None
    band_accuracy: estimates.Estimate
    band_mcc: estimates.Estimate


def agreement(rows, known, side, rng):
    """Agreement of one arm's rows with the reference, seeds averaged per patient first; None without any patient.

    Studies that lack either number are left out.
    """
    true, found = paired_with_reference(rows, known, side)
    if not len(true):
        return None
    error, bands = found - true, [ef_band(np.atleast_1d(values)) for values in (true, found)]
    limits = estimates.bland_altman(found, true) if len(true) >= estimates.FEW else None
    right = estimates.proportion(int((bands[0] == bands[1]).sum()), len(true))
    return Agreement(
        estimates.mean(np.abs(error), rng),
        limits.bias if limits else estimates.without_interval(error.mean(), len(true)),
        limits,
        right,
        estimates.or_without_interval(lambda: classification.mcc(*bands, rng), float("nan"), len(true)),
    )


def claim_of(data, arm, side):
    """Id of the claim that an arm's error bears on."""
    return "C6" if data == "kaggle" else "C13" if "direct" in arm else "C5" if side == "RV" else "C4"


def paired_with_reference(rows, known, side="LV"):
    """(reference, found): arrays of the studies of one arm that have both, seeds averaged."""
    found = rows.groupby("study")[side].mean().dropna()
    true = known[side].reindex(found.index).dropna()
    return true.to_numpy(), found.loc[true.index].to_numpy()


def in_words(fits):
    """DataFrame of words, a row an arm and side: errors with intervals, bands. fits: (arm, side) -> Agreement."""
    return pd.DataFrame(
        {
            key: {
                "mean |error|": estimates.text(fit.mae, 1),
                "bias": estimates.text(fit.bias, 1),
                "limits of agreement": "n too small"
                if fit.limits is None
                else " and ".join(estimates.text(limit, 1) for limit in fit.limits[1:]),
                "same band": estimates.text(fit.band_accuracy),
                "MCC of bands": estimates.text(fit.band_mcc),
            }
            for key, fit in fits.items()
        }
    ).T


def scans(table):
    """Pairs of a rescan set: DataFrame, index patient, columns A and B, each a tuple of study ids (repeats included).

    Patients without one of the two are left out.
    """
    if not {"patient", "rescan"} <= set(table):
        return pd.DataFrame({"A": [], "B": []})
    wide = table.dropna(subset=["patient", "rescan"]).groupby(["patient", "rescan"])["id"].agg(tuple).unstack()
    return wide.reindex(columns=["A", "B"]).dropna()


def scan_means(pairs, values):
    """(first, second) of `scans`: means over repeats of `values` (Series by study); pairs that lack one are out."""
    found = pairs.map(lambda ids: values.reindex(list(ids)).mean()).astype(float).dropna()
    return found["A"].to_numpy(), found["B"].to_numpy()


def repeatability(rows, pairs, rng):
    """Coefficient of variation of LVEF in percent, Bland's form, of one arm: stats.Estimate, without interval for few.

    Squared variations of a pair are averaged over seeds. n is 0 where no pair has both.
    """
    terms = [pair_terms(*scan_means(pairs, part.set_index("study")["LV"])) for _, part in rows.groupby("seed")]
    terms = np.mean(terms, axis=0)
    if not len(terms):
        return estimates.without_interval(np.nan, 0)
    return estimates.or_without_interval(
        lambda: variation(terms, rng), 100 * float(np.sqrt(np.mean(terms))), len(terms)
    )
