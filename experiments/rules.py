"""What each rule after the network gains on labelled patients, ACDC's 100 for training: with it and without it.

    python3 -m cinema experiment rules ACDC

ACDC: the folder that holds `database`. ED and ES alone are read, so that a rule that uses the other frames has one to
go by. Rules in use are taken away one at a time, rejected ones are added.
"""

import numpy as np
import pandas as pd
from scipy import ndimage

from cinema.data.public import acdc
from cinema.inference import measures, rules
from cinema.inference.reader import OwnReader
from cinema.parallel import in_parallel
from cinema.stats import estimates
from cinema.terms import LABELS
from experiments.real_reader import N_CI, PHASES, compared

EFS = ("LVEF", "RVEF")
MIN_RING_SHARE = 0.5  # of the border of a basal cavity that must be muscle
GROWTH = 1.5  # of the RV from one slice to the next toward the apex, at its end


def run(profile, jobs, seed, work, raw):
    """Table by file name. rules: rows rule, in_use, measure; n, with_rule, without_rule, gain and its 95 % interval
    (paired bootstrap). A positive gain is an improvement, whether the measure is to be high or low.

    Raises FileNotFoundError where `raw` is no ACDC folder.
    """
    subjects = [subject for subject in acdc.subjects(raw)[0] if subject.split != "test"]
    chosen = subjects[:N_CI] if profile == "ci" else subjects
    rows = pd.DataFrame(sum(in_parallel(patient, chosen, jobs, "patients"), []))
    return {"rules": summary(rows, np.random.default_rng(seed))}


def patient(subject):
    """Rows of one patient: labels by all rules ("all"), without each of them, and with each rejected one."""
    study = acdc.read(subject)
    sax, ends = study.views["sax"], [study.ed_frame, study.es_frame]
    true = np.stack([sax.label_at(frame) for frame in ends], axis=-1)
    found = OwnReader().predict_sax(sax.image[..., ends], sax.spacing_mm)
    return [{"patient": study.id, "arm": arm, **scores(labels, true, sax.spacing_mm)} for arm, labels in arms(found)]


def arms(found):
    """(name, labels) of the network's labels (x, y, z, t): by all rules, without each, and with each rejected one."""
    for left_out in (None, *rules.RULES):
        labels = found
        for rule in rules.RULES:
            labels = labels if rule is left_out else rule(labels)
        yield left_out.__name__ if left_out else "all", labels
    tidied = rules.tidy(found)
    for rule in REJECTED:
        yield rule.__name__, rule(tidied)


def scores(found, true, spacing_mm):
    """Measures of one patient by name; found, true: (x, y, z, 2) labels at ED and ES."""
    row, positions = {}, np.arange(true.shape[2]) * spacing_mm[2]
    for t, phase in enumerate(PHASES):
        values = compared(found[..., t], true[..., t])
        row |= {f"{phase} {name}": value for name, value in values.items() if "area" not in name}
    seen, known = (measures.sax_metrics(labels, spacing_mm, positions, 0, 1) for labels in (found, true))
    return row | {f"{ef} absolute error": abs((seen[ef] or 0.0) - known[ef]) for ef in EFS}


def summary(rows, rng):
    """The table of `run` from one row a patient and arm."""
    table, used = [], [rule.__name__ for rule in rules.RULES]
    whole = rows[rows["arm"] == "all"].set_index("patient")
    for arm in [name for name in rows["arm"].unique() if name != "all"]:
        other = rows[rows["arm"] == arm].set_index("patient").loc[whole.index]
        having, lacking = (whole, other) if arm in used else (other, whole)
        for measure in rows.columns.drop(["patient", "arm"]):
            sign = 1 if "Dice" in measure else -1
            gain = estimates.paired_difference(
                sign * having[measure], sign * lacking[measure], rng, least=estimates.FEW
            )
            means = {"with_rule": having[measure].mean(), "without_rule": lacking[measure].mean()}
            ends = {"gain": gain.value, "lower": gain.lower, "upper": gain.upper}
            table.append({"rule": arm, "in_use": arm in used, "measure": measure, "n": gain.n, **means, **ends})
    return pd.DataFrame(table)


def tapered(labels):
    """(x, y, z, t) labels without RV in slices at the apical end where it would grow again: fat taken for RV.

    The apical end is the one at which the left ventricle is smaller.
    """
    labels, n = labels.copy(), labels.shape[2]
    for t in range(labels.shape[3]):
        planes = np.moveaxis(labels[..., t], 2, 0)  # a view: writing it writes `labels`
        rv = np.sum(planes == LABELS["RV"], axis=(1, 2))
        lv = np.sum(np.isin(planes, [LABELS["MYO"], LABELS["LV"]]), axis=(1, 2))
        halves = np.array_split(lv[lv > 0], 2)
        apex_first = len(halves[1]) > 0 and halves[0].mean() < halves[1].mean()
        for z in range(n - 1) if apex_first else range(n - 1, 0, -1):
            if 0 < rv[z] <= GROWTH * rv[z + 1 if apex_first else z - 1]:
                break
            planes[z][planes[z] == LABELS["RV"]] = LABELS["background"]
    return labels


def without_open_slices(labels):
    """(x, y, z, t) labels without LV and wall of slices at either end whose cavity has less than MIN_RING_SHARE of its
    border in muscle. It looks inward from both ends until a slice counts."""
    is_open = np.zeros(labels.shape[2:], bool)
    for t in range(labels.shape[3]):
        for slices in (range(labels.shape[2]), reversed(range(labels.shape[2]))):
            for z in slices:
                plane = labels[:, :, z, t]
                has_lv = (plane == LABELS["LV"]).any()
                if has_lv and ring_share(plane) >= MIN_RING_SHARE:
                    break
                is_open[z, t] = has_lv
    return measures.without_atrium(labels, is_open)


def ring_share(label):
    """Share of the LV's border, in one (x, y) slice of labels, that is myocardium."""
    cavity = label == LABELS["LV"]
    border = ndimage.binary_dilation(cavity) & ~cavity
    return float(np.mean(label[border] == LABELS["MYO"]))


def rv_beside_lv(labels):
    """Labels without right ventricle in slices that have no left one: readers of ACDC draw none there."""
    alone = ~np.any(labels == LABELS["LV"], axis=(0, 1))
    return np.where((labels == LABELS["RV"]) & alone, LABELS["background"], labels).astype(labels.dtype)


REJECTED = (tapered, rv_beside_lv, without_open_slices)
