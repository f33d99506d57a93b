"""How far off the long-axis reader is on virtual people left out: hinges and apex by view, and MAPSE.

    python3 -m cinema experiment long_axis

People of the widest role, of a seed that no training draws, imaged by a model of the scanner (phantom.image) that
training does not use. Their landmarks are exact. A whole cycle is read by the steps of `segment`.
"""

from functools import partial

import numpy as np
import pandas as pd

from cinema.inference import measures
from cinema.inference.reader import PIXEL_MM, SIZE, OwnReader
from cinema.parallel import in_parallel
from cinema.phantom import cohort, image, shape
from cinema.stats import estimates
from cinema.terms import LAX_VIEWS, VIEW_NAMES

N_PEOPLE = {"ci": 2, "laptop": 40}
SEED = 4711  # as experiment confidence
N_FRAMES = 16
GRID = {view: ((SIZE["lax"],) * 2, (PIXEL_MM, PIXEL_MM)) for view in LAX_VIEWS}
FAR_OFF_MM = 10.0


def run(profile, jobs, seed, work):
    """Table by file name. long_axis: rows view, measure; n (people), value, lower, upper (95 % interval)."""
    people = in_parallel(partial(person_rows, reader=OwnReader()), range(N_PEOPLE[profile]), jobs, "virtual people")
    rows, rng, table = pd.DataFrame(sum(people, [])), np.random.default_rng(seed), []
    for view, of_view in rows.groupby("view", sort=False):
        for measure in rows.columns.drop("view"):
            one = estimates.mean(of_view[measure], rng)
            values = {key: getattr(one, key) for key in ("value", "lower", "upper")}
            table.append({"view": view, "measure": measure, "n": one.n, **values})
    return {"long_axis": pd.DataFrame(table)}


def person_rows(index, reader):
    """A row per view of the virtual person `index`: distances are means over the cycle."""
    person = cohort.person("training", index, SEED)
    heart, phases = person.heart, np.arange(N_FRAMES) / N_FRAMES
    es = round(heart.es_fraction * N_FRAMES)
    views, mapse = (
        image.acquire(heart, person.acquisition, phases, GRID, LAX_VIEWS),
        shape.truth(heart, [0.0])["mapse_mm"],
    )
    rows = []
    for name, view in views.items():
        found = measures.smooth_marks(reader.predict_lax(view.image, view.spacing_mm)[1])
        true, spacing = np.asarray(view.landmarks), view.spacing_mm
        if np.linalg.norm(found[:, :2] - true[:, :2]) > np.linalg.norm(found[:, 1::-1] - true[:, :2]):
            found = found[:, [1, 0, 2]]  # which hinge comes first is the reader's business
        away_mm = np.linalg.norm((found - true) * spacing[:2], axis=-1)
        hinges, apex = away_mm[:, :2].mean(), away_mm[:, 2].mean()
        read, exact = (measures.long_axis_motion(marks, spacing, 0, es)[0] for marks in (found, true))
        rows.append(
            {
                "view": VIEW_NAMES[name],
                "hinges, mm off": hinges,
                f"a hinge more than {FAR_OFF_MM:g} mm off, share": float(
                    away_mm[:, :2].mean(axis=0).max() > FAR_OFF_MM
                ),
                "apex, mm off": apex,
                "MAPSE minus that of the heart, mm": read - mapse,
                "MAPSE minus that of the exact landmarks, mm": read - exact,
                "MAPSE, mm off that of the heart": abs(read - mapse),
            }
        )
    return rows


def card(table):
    """The table of MODEL_CARD.md, in Markdown, from that of `run`: means and 95 % intervals over people."""
    measured = list(table["measure"].unique())
    lines = [f"| view | n | {' | '.join(measured)} |", "|" + "---|" * (len(measured) + 2)]
    for view, rows in table.groupby("view", sort=False):
        cells = [f"{row.value:.2f} ({row.lower:.2f} to {row.upper:.2f})" for row in rows.itertuples()]
        lines.append(f"| {view} | {rows['n'].iloc[0]} | {' | '.join(cells)} |")
    return "\n".join(lines)
