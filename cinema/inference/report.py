"""The report of one examination: one HTML file that needs nothing else."""

from html import escape

import numpy as np

from cinema.plots import cine, style
from cinema.terms import VIEW_NAMES

NOT_CLINICAL = "<strong>Not for clinical use.</strong>"
OWN_MODEL = (
    "The model behind these numbers was trained on virtual hearts only and has never been validated on patients."
)
OTHER_MODEL = (
    "These numbers come from weights chosen by the user; whether they are valid for this scan has not been established."
)
NUMBERS = (
    ("LVEDV", "LV end-diastolic volume", "ml"),
    ("LVESV", "LV end-systolic volume", "ml"),
    ("LVEF", "LV ejection fraction", "%"),
    ("LVM", "LV mass (ED, 1.05 g/ml)", "g"),
    ("RVEDV", "RV end-diastolic volume", "ml"),
    ("RVESV", "RV end-systolic volume", "ml"),
    ("RVEF", "RV ejection fraction", "%"),
)
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.5em 0}td,th{padding:.15em .8em .15em 0;text-align:left;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}.warn{background:#fff3cd;padding:.6em 1em}
@media print{.moving{display:none}}"""


def report_html(reading, labels, landmarks, metrics, own=True):
    """The page as text. labels: view -> (x, y, z, t); landmarks: view -> (t, 3, 2); metrics: of segment."""
    views = reading.study.views
    parts = [
        f"<p class=warn>{NOT_CLINICAL} {OWN_MODEL if own else OTHER_MODEL}</p>",
        "<h2>Numbers</h2>",
        _numbers(metrics),
    ]
    if metrics["lv_volumes"] and len(metrics["lv_volumes"]) > 1:
        fig, ax = style.figure(1)
        cine.volume_curves(ax, *(metrics[key] for key in ("lv_volumes", "rv_volumes", "ed_frame", "es_frame")))
        parts.append(f'<img alt="Volume over time" width=460 src="{cine.png_uri(fig)}">')
    parts += [
        "<h2>What was read</h2>",
        _lacks(reading),
        _series(reading),
        "<h2>Views in motion</h2>",
        "<p>Outlines: LV cavity blue, myocardium green, RV cavity orange. Short-axis slices row by row in the "
        "order of the file.</p>",
    ]
    for name, mask in labels.items():
        view = views[name]
        if mask.shape[3] > 1:
            times = view.frame_times_ms
            cycle = 1000 if times is None else float(np.mean(np.diff(times))) * mask.shape[3]
            img = cine.moving(view.image, mask, view.spacing_mm, cycle_ms=cycle)
            parts.append(f"<h3>{VIEW_NAMES[name]}</h3><div class=moving>{img}</div>")
    if labels:
        fig = cine.stills(views, labels, landmarks, _phases(labels, metrics))
        parts += ["<h2>End diastole and end systole</h2>", f'<img alt="ED and ES" src="{cine.png_uri(fig)}">']
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Cine study</title>'
        f"<style>{STYLE}</style></head>\n<body><h1>Cine study: volumes and function</h1>\n{body}\n</body></html>\n"
    )


def _phases(labels, metrics):
    """view -> phase -> frame: ED and ES of the short axis at the same part of each view's cycle."""
    total = len(metrics["lv_volumes"])
    known = {phase: metrics[key] for phase, key in (("ED", "ed_frame"), ("ES", "es_frame")) if metrics[key] is not None}
    return {
        name: {
            phase: frame if not total else min(round(frame / total * mask.shape[3]), mask.shape[3] - 1)
            for phase, frame in known.items()
        }
        for name, mask in labels.items()
    }


def _numbers(metrics):
    rows = [(text, metrics[key], unit) for key, text, unit in NUMBERS if metrics[key] is not None]
    for key, text, unit in (("MAPSE", "MAPSE", "mm"), ("GLshortening", "long-axis shortening", "%")):
        rows += [(f"{text}, {VIEW_NAMES[view]}", value, unit) for view, value in metrics[key].items()]
    if "all_slices" in metrics:
        rows += [
            (f"{text}, plain sum of all slices", metrics["all_slices"][key], unit)
            for key, text, unit in NUMBERS
            if metrics["all_slices"].get(key) is not None
        ]
    return (
        "<table>"
        + "".join(f"<tr><td>{text}</td><td class=n>{value:.1f}</td><td>{unit}</td></tr>" for text, value, unit in rows)
        + "</table>"
    )


def _lacks(reading):
    """What the input lacked. File names of the user's may name a patient: they stay out."""
    notes = reading.notes
    for number, row in enumerate(reading.table, start=1):
        if isinstance(row["series"], str):
            notes = [note.replace(row["series"], f"file {number}") for note in notes]
    return "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>" if notes else ""


def _series(reading):
    rows = []
    for number, row in enumerate(reading.table, start=1):
        called = f"file {number}" if isinstance(row["series"], str) else f"series {row['series']}"
        view = VIEW_NAMES.get(row["view"], "set aside")
        rows.append(
            f"<tr><td>{called}</td><td>{view}</td><td class=n>{row['slices']}</td>"
            f"<td class=n>{row['frames']}</td><td>{escape(row['reason'])}</td></tr>"
        )
    return (
        "<table><tr><th>source</th><th>view</th><th>slices</th><th>frames</th><th>why</th></tr>"
        + "".join(rows)
        + "</table>"
    )
