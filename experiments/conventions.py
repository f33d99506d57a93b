"""How human readers draw a short axis, measured on their labels, and whether the virtual labels follow them.

    python3 -m cinema experiment conventions ACDC

The same measures are taken of the 100 training patients of ACDC and of virtual patients of the same classes, drawn by
phantom.drawing. Nothing of a patient is kept but numbers over patients. Source of the patients: Bernard et al. 2018,
doi:10.1109/TMI.2018.2837502, CC BY-NC-SA 4.0.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import ndimage

from cinema.data.public import acdc
from cinema.parallel import in_parallel
from cinema.phantom import cohort, drawing, image, shape
from cinema.stats import estimates
from cinema.terms import LABELS

PHASES = ("ED", "ES")
N_VIRTUAL, N_CI = 100, 5
GRID = {"sax": ((112, 112, 13), (1.5, 1.5, 10.0))}
RAYS, STEP_MM = 72, 0.25
AWAY_MM = (-3, -2, -1, 0, 1, 2, 3)  # from a contour along a ray, outward positive
SHOWN = (  # in data/DATASHEET.md
    "ED ring of the first LV slice, share open",
    "ES ring of the first LV slice, share open",
    "ED RV missing in the first LV slice",
    "ES RV missing in the first LV slice",
    "base from ED to ES (mm)",
    *[
        f"ED septum, {away:+d} mm from the {edge}"
        for edge in ("endocardial contour", "epicardial contour")
        for away in (-2, -1, 0, 1, 2)
    ],
    *[f"{phase} free wall, {away:+d} mm from the RV contour" for phase in PHASES for away in (-2, -1, 0, 1, 2)],
    *[
        f"{phase} lateral, {away:+d} mm from the epicardial contour"
        for phase in PHASES
        for away in (-2, -1, 0, 1, 2, 3)
    ],
    "LVEF drawn minus LVEF of the tissue (points)",
    "RVEF drawn minus RVEF of the tissue (points)",
)
TURN = np.arange(RAYS) * 2 * np.pi / RAYS  # of rays, counted from the direction of the RV
SEPTAL, LATERAL = np.cos(TURN) > 0.7, np.cos(TURN) < 0
EDGES = (  # of a ring or RV, rays, and what their grey values are called
    ("endo", SEPTAL, "septum, {:+d} mm from the endocardial contour"),
    ("epi", SEPTAL, "septum, {:+d} mm from the epicardial contour"),
    ("rv", SEPTAL, "free wall, {:+d} mm from the RV contour"),
    ("epi", LATERAL, "lateral, {:+d} mm from the epicardial contour"),
)


def run(profile, jobs, seed, work, raw):
    """Tables by file name. conventions: rows hearts (ACDC, virtual), class, measure; n, value, lower, upper.

    Raises FileNotFoundError where `raw` is no ACDC folder.
    """
    patients = [one for one in acdc.subjects(raw)[0] if one.split != "test"]
    few = profile == "ci"
    real = in_parallel(of_patient, patients[:N_CI] if few else patients, jobs, "patients")
    people = [cohort.person("acdc", index, seed) for index in range(N_CI if few else N_VIRTUAL)]
    rows = pd.DataFrame(real + in_parallel(of_person, people, jobs, "virtual patients"))
    return {"conventions": summary(rows, np.random.default_rng(seed))}


def of_patient(subject):
    """One row of a labelled patient."""
    study = acdc.read(subject)
    sax, ends = study.views["sax"], (study.ed_frame, study.es_frame)
    labels = np.stack([sax.label_at(frame) for frame in ends], axis=-1)
    row = measured(sax.image[..., list(ends)], labels, sax.spacing_mm)
    return {"hearts": "ACDC", "class": study.attributes["disease"].replace("ARV", "RV")} | row


def of_person(person):
    """One row of a virtual patient, with labels as drawn."""
    heart, scan = person.heart, replace(person.acquisition, pixel_mm=GRID["sax"][1][0])
    view = image.acquire(heart, scan, (0.0, heart.es_fraction), GRID, ("sax",))["sax"]
    row = measured(view.image, view.labels, view.spacing_mm)
    tissue, pen = shape.truth(heart, [0.0]), drawing.truth(heart)
    for side in ("LV", "RV"):
        name = f"{side.lower()}_ef_percent"
        row[f"{side}EF drawn minus {side}EF of the tissue (points)"] = pen[f"drawn_{name}"] - tissue[name]
    return {"hearts": "virtual", "class": person.attributes["disease"].replace("ARV", "RV")} | row


def measured(images, labels, spacing_mm):
    """Measures of ED and ES by name; images, labels: (x, y, z, 2). Base first or last, the larger end is the base."""
    lv = (labels == LABELS["LV"]).sum(axis=(0, 1))
    halves = np.array_split(lv[lv[:, 0] > 0, 0], 2)
    if halves[0].mean() < halves[-1].mean():
        images, labels, lv = images[:, :, ::-1], labels[:, :, ::-1], lv[::-1]
    row, first = {}, {}
    for t, phase in enumerate(PHASES):
        shown = np.flatnonzero(lv[:, t])
        first[phase] = shown[0]
        rv = (labels[..., t] == LABELS["RV"]).sum(axis=(0, 1))
        row[f"{phase} RV missing in the first LV slice"] = float(rv[shown[0]] == 0)
        row[f"{phase} RV in a slice without LV"] = float(((rv > 0) & (lv[:, t] == 0)).any())
        middle = images[:, :, shown[len(shown) // 2], t], labels[:, :, shown[len(shown) // 2], t]
        levels = [np.median(middle[0][middle[1] == LABELS[name]]) for name in ("MYO", "LV")]
        profiles = [rays(images[:, :, z, t], labels[:, :, z, t], spacing_mm, *levels) for z in shown]
        row[f"{phase} ring of the first LV slice, share open"] = np.nanmean(profiles[0]["wall"] > 0.5)
        for edge, part, name in EDGES:
            there = [profile[edge][part] for profile in profiles[2:-2] if edge in profile]
            for k, away in enumerate(AWAY_MM):
                level = np.nanmean([np.nanmean(lines[:, k]) for lines in there]) if there else np.nan
                row[f"{phase} {name.format(away)}"] = level
    row["base from ED to ES (mm)"] = (first["ES"] - first["ED"]) * float(spacing_mm[2])
    return row


def rays(picture, label, spacing_mm, muscle, blood):
    """Grey values about one slice's LV, 0 at `muscle` and 1 at `blood`: `wall` (ray) in the middle of the ring.

    Where an RV shows the way of the septum, also `endo`, `epi` and `rv` (ray, AWAY_MM) about the contours of the ring
    and of the RV at its free wall, NaN where a ray meets none.
    """
    left = np.isin(label, (LABELS["LV"], LABELS["MYO"]))
    centre = np.array(ndimage.center_of_mass(left))
    right = label == LABELS["RV"]
    toward = np.array(ndimage.center_of_mass(right)) - centre if right.any() else np.array([1.0, 0.0])
    turn = np.arctan2(toward[1], toward[0]) + TURN
    reach = np.arange(0, 80, STEP_MM)
    where = [centre[a] + f(turn)[:, None] * reach / spacing_mm[a] for a, f in enumerate((np.cos, np.sin))]
    along = lambda values: ndimage.map_coordinates(np.asarray(values, float), where, order=1, mode="nearest")
    grey = (along(picture) - muscle) / (blood - muscle)
    last = lambda inside: np.array([reach[np.flatnonzero(ray)[-1]] if ray.any() else 0.0 for ray in inside])
    ends = {"endo": last(along(label == LABELS["LV"]) > 0.5), "epi": last(along(left) > 0.5)}
    rv = last(along(right) > 0.5)
    ends["rv"] = np.where(rv > ends["epi"], rv, np.nan)
    at = lambda distance: np.array([np.interp(d, reach, line) for d, line in zip(distance, grey)])
    found = {"wall": at((ends["endo"] + ends["epi"]) / 2)}
    if right.any():
        found |= {edge: np.stack([at(end + away) for away in AWAY_MM], axis=1) for edge, end in ends.items()}
    return found


def summary(rows, rng):
    """The table of `run` from one row a heart."""
    table = []
    for hearts, of_kind in rows.groupby("hearts", sort=False):
        for group, chosen in ({"all": of_kind} | dict(iter(of_kind.groupby("class")))).items():
            for measure in rows.columns.drop(["hearts", "class"]):
                one = estimates.mean(chosen[measure].dropna(), rng)
                about = {"hearts": hearts, "class": group, "measure": measure, "n": one.n}
                table.append(about | {key: getattr(one, key) for key in ("value", "lower", "upper")})
    return pd.DataFrame(table)


def card(table):
    """The table of data/DATASHEET.md, in Markdown, from that of `run`: mean and 95 % interval over all hearts."""
    known = table[table["class"] == "all"].set_index(["measure", "hearts"])
    lines = ["| measure | ACDC | virtual, as drawn |", "|---|---|---|"]
    for measure in SHOWN:
        cells = [known.loc[(measure, hearts)] for hearts in ("ACDC", "virtual") if (measure, hearts) in known.index]
        cells = [f"{one.value:.2f} ({one.lower:.2f} to {one.upper:.2f})" if one.n else "" for one in cells]
        lines.append(f"| {measure} | {' | '.join(cells)} |")
    return "\n".join(lines)
