"""What makes a reading's LVEF doubtful: signs weighed on difficult virtual hearts, then checked on labelled patients.

    python3 -m cinema experiment confidence ACDC

Half of the hearts are those of virtual people ill in every way, half vary beyond any clinic; all are new to the
readers, and a model of the scanner (phantom.image) that training does not use images them, badly. The weights go to
confidence.CALIBRATION, which `segment` reads. Of ACDC the 100 patients for training are read, to see whether the least
confident readings are the worst; nothing is fitted to them.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.optimize import nnls
from scipy.stats import spearmanr

from cinema.data.public import acdc
from cinema.files import whole_or_not
from cinema.inference import confidence, measures, rules
from cinema.inference.reader import PIXEL_MM, SIZE, OwnReader
from cinema.parallel import in_parallel
from cinema.phantom import cohort, image
from cinema.stats import classification, estimates
from experiments.own_weights.library import library_heart
from experiments.real_reader import N_CI

N_VIRTUAL = {"ci": 6, "laptop": 200}
SEED = 4711  # of hearts and people that no training and no other experiment draws
MOST_POINTS = 20.0  # an error beyond counts as this, so that no single heart makes the weights
WORST = 0.1
FAR_OFF_POINTS = 10.0


def run(profile, jobs, seed, work, raw):
    """Table by file name. confidence: rows set (virtual, ACDC), measure; n, value, lower, upper. Values of the virtual
    set are those of hearts left out of the fit, a tenth at a time. In the laptop profile the weights are written too.

    Raises FileNotFoundError where `raw` is no ACDC folder.
    """
    patients = [subject for subject in acdc.subjects(raw)[0] if subject.split != "test"]
    chosen = patients[:N_CI] if profile == "ci" else patients
    virtual = pd.DataFrame(in_parallel(virtual_row, range(N_VIRTUAL[profile]), jobs, "virtual hearts")).dropna()
    real = pd.DataFrame(in_parallel(patient_row, chosen, jobs, "patients")).dropna()
    calibration = fitted(virtual)
    if profile == "laptop":
        with whole_or_not(confidence.CALIBRATION) as temporary:
            calibration.to_csv(temporary, index=False, float_format="%.4g")
    weights = {row.sign: (row.points, row.usual) for row in calibration.itertuples()}
    real["expected"] = [confidence.expected_error(signs_in(row), weights) for _, row in real.iterrows()]
    rows = checked("virtual", left_out(virtual)) + checked("ACDC", real)
    return {"confidence": pd.DataFrame(rows)}


def difficult(index):
    """Heart, acquisition and grid of the virtual hold-out `index`."""
    rng = np.random.default_rng([SEED, index])
    person = cohort.person("training", index, SEED)
    heart = person.heart if index % 2 else library_heart(index, SEED)[0]
    scan = replace(
        person.acquisition,
        snr=person.acquisition.snr * rng.uniform(0.25, 1),
        breath_shift_mm=rng.uniform(0.5, 5),
        plane_error_deg=rng.uniform(2, 9),
        blur_mm=rng.uniform(0.4, 2),
        coil_shading=rng.uniform(0, 1.2),
        banding=rng.uniform(0.3, 1) * (rng.random() < 0.4),
        ghosting=rng.uniform(0.05, 0.25) * (rng.random() < 0.3),
        slice_thickness_mm=rng.uniform(5, 10),
        pixel_mm=None,
    )
    step = rng.uniform(8, 11)
    depth = int(np.ceil((heart.lv_length_mm + 20) / step))
    return heart, scan, {"sax": ((SIZE["sax"],) * 2 + (depth,), (PIXEL_MM, PIXEL_MM, step))}


def virtual_row(index):
    """`row` of a virtual hold-out, cut around the heart."""
    heart, scan, grid = difficult(index)
    view = image.acquire(heart, scan, [0.0, heart.es_fraction], grid, ("sax",))["sax"]
    return {"study": f"{index:04d}"} | row(OwnReader(search=False), view.image, view.labels, grid["sax"][1])


def patient_row(subject):
    """`row` of a patient of ACDC."""
    study = acdc.read(subject)
    sax, ends = study.views["sax"], [study.ed_frame, study.es_frame]
    true = np.stack([sax.label_at(frame) for frame in ends], axis=-1)
    return {"study": study.id} | row(OwnReader(), sax.image[..., ends], true, sax.spacing_mm)


def row(reader, pixels, true, spacing_mm):
    """Signs and error (points of LVEF) of one reading at ED and ES; signs are NaN where nothing was found."""
    found, chance = reader.read_sax(pixels, spacing_mm)
    tidied, positions = rules.tidy(found), np.arange(true.shape[2]) * spacing_mm[2]
    seen, known = (measures.sax_metrics(labels, spacing_mm, positions, 0, 1) for labels in (tidied, true))
    signs = confidence.signs_of(confidence.frame_signs(found, tidied, chance), seen)
    return (signs or dict.fromkeys(confidence.REASONS, np.nan)) | {"error": abs((seen["LVEF"] or 0.0) - known["LVEF"])}


def signs_in(row):
    return {name: row[name] for name in confidence.REASONS}


def fitted(rows):
    """The calibration: no sign can make a study more certain, so weights are least squares without negative ones."""
    signs = rows[list(confidence.REASONS)]
    design = np.c_[np.ones(len(rows)), signs]
    points, _ = nnls(design, np.minimum(rows["error"], MOST_POINTS))
    low = np.quantile(design @ points, 1 - WORST)
    usual = [0.0, *signs.median(), 0.0]
    return pd.DataFrame({"sign": ["none", *signs, "low"], "points": [*points, low], "usual": usual})


def left_out(rows):
    """`rows` with the error expected by a calibration on the other nine tenths."""
    part, expected = np.arange(len(rows)) % 10, np.zeros(len(rows))
    for k in np.unique(part):
        weights = {one.sign: (one.points, one.usual) for one in fitted(rows[part != k]).itertuples()}
        for i in np.flatnonzero(part == k):
            expected[i] = confidence.expected_error(signs_in(rows.iloc[i]), weights)
    return rows.assign(expected=expected)


def checked(part, rows):
    """Rows of the table of one set: whether the expected error is right in the mean, and large where the error is."""
    error, expected, n = rows["error"].to_numpy(), rows["expected"].to_numpy(), len(rows)
    k = max(1, round(WORST * n))
    worst, suspected = (set(np.argsort(-values, kind="stable")[:k]) for values in (error, expected))
    values = {"LVEF absolute error": estimates.without_interval(error.mean(), n)}
    values["expected error"] = estimates.without_interval(expected.mean(), n)
    values["rank correlation"] = estimates.without_interval(spearmanr(error, expected)[0], n)
    values["worst tenth among the least confident tenth"] = estimates.proportion(len(worst & suspected), k)
    far_off = error > FAR_OFF_POINTS
    if 1 < far_off.sum() < n - 1:
        values[f"AUC for an error above {FAR_OFF_POINTS:g} points"] = classification.auc(far_off, expected)
    return [
        {"set": part, "measure": name, "n": one.n, "value": one.value, "lower": one.lower, "upper": one.upper}
        for name, one in values.items()
    ]
