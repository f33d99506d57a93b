"""Ejection fraction of many studies from masks, and what two scans of one heart say about a way of measuring it."""

from functools import partial

import numpy as np
import pandas as pd
import torch

from cinema import compare, stats
from cinema.geometry import tidy_labels
from cinema.measure import closed_rings
from cinema.metrics import published_ef_percent, volume_ml
from cinema.reader import OwnReader
from cinema.study import load_study
from cinema.tasks.task import one_thread
from cinema.terms import LABELS
from cinema.transforms import min_max

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
    return closed_rings(np.stack([tidy_labels(found[..., t]) for t in (0, 1)], axis=-1))


def by_network(run, paths):
    """`from_masks` by the trained network of a compare.Run, on one thread."""
    with one_thread():
        return from_masks(paths, partial(network_masks, model=compare.model_of(run)))


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


def variation(terms, rng, n_resamples=stats.N_RESAMPLES):
    """Coefficient of variation in percent of `pair_terms`, patients resampled: stats.Estimate."""
    return stats.bca(terms, _root_mean, rng, n_resamples)


def variation_difference(first, second, rng, level=stats.LEVEL):
    """Coefficient of variation of one way minus that of another, from their `pair_terms` on the same patients."""
    return stats.bca((first, second), lambda a, b, axis=-1: _root_mean(a, axis) - _root_mean(b, axis), rng, level=level)


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
    return {name: stats.bca(part, np.mean, rng) for name, part in parts.items()}


def shrunk(values, share, middle):
    """Values drawn toward `middle`: share 1 leaves them alone, share 0 predicts the same for everybody."""
    return middle + share * (np.asarray(values, float) - middle)
