"""What the project's readers make of labelled patients, ACDC by class: the steps of `segment`, nothing by hand.

    python3 -m cinema experiment real_reader ACDC

ACDC: the folder that holds `database`. ED and ES alone are read. The readers saw no patient in training, and nothing of
one is kept: the table holds numbers over patients. Source of the patients: Bernard et al. 2018,
doi:10.1109/TMI.2018.2837502, CC BY-NC-SA 4.0.
"""

import numpy as np
import pandas as pd

from cinema.data.public import acdc
from cinema.data.reading import Reading
from cinema.data.study import Study, View
from cinema.inference import measures, segment
from cinema.parallel import in_parallel
from cinema.stats import estimates
from cinema.stats.metrics import dice
from cinema.terms import LABELS, STRUCTURES

PHASES = ("ED", "ES")
SETS = {"train": "training", "val": "training", "test": "test"}  # the release's validation patients train elsewhere
BANDS = {"EF below 30": (0, 30), "EF 30 to 50": (30, 50), "EF 50 or more": (50, 101)}  # percent, of the masks
VOLUMES = ("LVEDV", "LVESV", "LVEF", "RVEDV", "RVESV", "RVEF", "LVM")
CLOSE_POINTS = 4.0  # of ejection fraction, either way: within it a reading would hardly change what is done
LOST_DICE = 0.5
N_CI = 3


def run(profile, jobs, seed, work, raw):
    """Tables by file name. real_reader: rows set, group, measure; n, value, lower, upper (95 % interval), and of a bias
    low_limit, high_limit (limits of agreement). A group of fewer than five patients has values without intervals.

    Raises FileNotFoundError where `raw` is no ACDC folder.
    """
    subjects, skipped = acdc.subjects(raw)
    for one in skipped:
        print(f"skipped {one.id}: {one.reason}")
    rows = pd.DataFrame(in_parallel(patient, subjects[:N_CI] if profile == "ci" else subjects, jobs, "patients"))
    return {"real_reader": summary(rows, np.random.default_rng(seed))}


def patient(subject):
    """One row of a labelled patient: set, class, what was read and what the masks say."""
    study = acdc.read(subject)
    sax, ends = study.views["sax"], (study.ed_frame, study.es_frame)
    true = np.stack([sax.label_at(frame) for frame in ends], axis=-1)
    positions = np.arange(sax.image.shape[2]) * sax.spacing_mm[2]
    two = Study(study.id, "acdc", {"sax": View(sax.image[..., list(ends)], sax.affine)}, ed_frame=0, es_frame=1)
    reading = Reading(two, [], sax_positions_mm=positions)
    labels, marks, *_ = segment.read_views(two, segment.open_readers(None), positions)
    metrics, labels, _ = segment.measured(reading, labels, marks)
    reference = measures.sax_metrics(true, sax.spacing_mm, positions, 0, 1)
    row = {"set": SETS[subject.split], "class": study.attributes["disease"]}
    for name in VOLUMES:
        row |= {name: metrics[name], f"true {name}": reference[name]}
    for t, phase in enumerate(PHASES):
        scores = compared(labels["sax"][..., t], true[..., t])
        row |= {f"{phase} {name}": value for name, value in scores.items()}
    return row


def compared(found, true):
    """Scores of one phase, by name; found, true: (x, y, z) labels of the same grid.

    Slices count as missed or invented by their LV, at the base (the end where the true LV is larger) and at the apex.
    Shares of area (percent, found against true) are over slices that both call LV, so that no slice decides them.
    """
    row = {f"Dice {name}": dice(found == LABELS[name], true == LABELS[name]) for name in STRUCTURES}
    seen, area = ((labels == LABELS["LV"]).sum(axis=(0, 1)) for labels in (found, true))
    there = np.flatnonzero(area)
    halves = np.array_split(area[there], 2)
    if halves[0].mean() < halves[-1].mean():  # the stack starts at the apex
        found, true, seen, area = found[..., ::-1], true[..., ::-1], seen[::-1], area[::-1]
        there = np.flatnonzero(area)
    middle = there.mean()
    z = np.arange(len(area))
    for end, part in (("base", z < middle), ("apex", z >= middle)):
        row[f"slices missed at {end}"] = int((part & (area > 0) & (seen == 0)).sum())
        row[f"slices invented at {end}"] = int((part & (area == 0) & (seen > 0)).sum())
    both = (seen > 0) & (area > 0)
    for name in ("LV", "MYO"):
        sizes = [(labels[..., both] == LABELS[name]).sum() for labels in (found, true)]
        row[f"{name} area, percent too large"] = 100 * (sizes[0] / sizes[1] - 1) if both.any() else np.nan
    return row


def summary(rows, rng):
    """The table of `run` from one row a patient."""
    table = []
    for part, of_set in rows.groupby("set", sort=False):
        groups = {"all": of_set} | dict(iter(of_set.groupby("class")))
        groups |= {name: of_set[of_set["true LVEF"].between(*ends, "left")] for name, ends in BANDS.items()}
        for group, chosen in groups.items():
            if len(chosen):
                table += [{"set": part, "group": group, **line} for line in lines(chosen, rng)]
    return pd.DataFrame(table)


def lines(rows, rng):
    """One group's lines: measure, n, value, lower, upper, and limits of agreement of what has a bias."""
    found = []
    for name in [column for column in rows if column.startswith(PHASES)]:
        if "slices" in name:
            share = estimates.proportion(int((rows[name] > 0).sum()), len(rows))
            found.append(_line(f"{name}, share of patients", share))
        else:
            found.append(_line(name, estimates.mean(rows[name], rng)))
    for phase in PHASES:
        lost = int((rows[f"{phase} Dice LV"] < LOST_DICE).sum())
        found.append(_line(f"{phase} LV lost, share of patients", estimates.proportion(lost, len(rows))))
    for name in VOLUMES:
        known = rows[[name, f"true {name}"]].astype(float).dropna()
        off = known[name] - known[f"true {name}"]
        limits = {}
        if len(known) >= estimates.FEW:
            agreement = estimates.bland_altman(known[name], known[f"true {name}"])
            limits = {"low_limit": agreement.lower_limit.value, "high_limit": agreement.upper_limit.value}
        found.append(_line(f"{name} bias", estimates.mean(off, rng)) | limits)
        found.append(_line(f"{name} absolute error", estimates.mean(off.abs(), rng)))
        if name.endswith("EF") and len(known):
            close = estimates.proportion(int((off.abs() <= CLOSE_POINTS).sum()), len(known))
            found.append(_line(f"{name} within {CLOSE_POINTS:g} points, share of patients", close))
    return found


def _line(measure, estimate):
    return {"measure": measure, "n": estimate.n} | {key: getattr(estimate, key) for key in ("value", "lower", "upper")}


def card(table):
    """The table of MODEL_CARD.md, in Markdown, from that of `run`."""
    lines = [
        "| patients | n | Dice at ED, RV/MYO/LV | Dice at ES | LVEF: bias (limits), points | absolute error (95 % CI) "
        f"| within {CLOSE_POINTS:g} points | RVEF: absolute error |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (part, group), rows in table.groupby(["set", "group"], sort=False):
        row = rows.set_index("measure")
        dices = ["/".join(f"{row.loc[f'{phase} Dice {name}', 'value']:.2f}" for name in STRUCTURES) for phase in PHASES]
        bias, error = row.loc["LVEF bias"], row.loc["LVEF absolute error"]
        limits = f" ({bias['low_limit']:.1f} to {bias['high_limit']:.1f})" if bias["n"] >= estimates.FEW else ""
        ends = f" ({error['lower']:.1f} to {error['upper']:.1f})" if error["n"] >= estimates.FEW else ""
        close = row.loc[f"LVEF within {CLOSE_POINTS:g} points, share of patients", "value"]
        lines.append(
            f"| {part}, {group} | {bias['n']} | {dices[0]} | {dices[1]} | {bias['value']:+.1f}{limits} "
            f"| {error['value']:.1f}{ends} | {close:.0%} | {row.loc['RVEF absolute error', 'value']:.1f} |"
        )
    lost = table[table["measure"] == "ES LV lost, share of patients"].query("group == 'all'")
    counts = [f"{round(row.value * row.n)} of the {row.n} {row.set} patients" for row in lost.itertuples()]
    return "\n".join([*lines, "", f"The LV at ES is lost (Dice below {LOST_DICE:g}) in {' and '.join(counts)}."])
