"""The report of one examination: one HTML file that needs nothing else."""

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from cinema.data.reading import Reading
from cinema.inference.confidence import sentence
from cinema.inference.measures import Arrays
from cinema.plots import cine, style
from cinema.terms import VIEW_NAMES

MODELS = {  # whether they are the project's own -> what to know of them
    True: "The model behind these numbers was trained on virtual hearts only and has never been validated on patients.",
    False: "These numbers come from weights chosen by the user; whether they are valid for this scan has not been "
    "established.",
}
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
HEAD = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Cine study</title><style>{STYLE}</style></head>
<body><h1>Cine study: volumes and function</h1>
"""
OUTLINES = (
    "<p>Outlines: LV cavity blue, myocardium green, RV cavity orange. Short-axis slices row by row in the "
    "order of the file.</p>"
)


def report_html(reading: Reading, labels: Arrays, landmarks: Arrays, metrics: Mapping[str, Any], own: bool) -> str:
    """The page as text; metrics: of segment; own: whether the models are the project's."""
    views = reading.study.views
    warning = f"<p class=warn><strong>Not for clinical use.</strong> {MODELS[own]}</p>"
    parts = [warning, *_doubts(metrics), "<h2>Numbers</h2>", _numbers(metrics)]
    if metrics["lv_volumes"] and len(metrics["lv_volumes"]) > 1:
        fig, ax = style.figure(1)
        cine.volume_curves(ax, *(metrics[key] for key in ("lv_volumes", "rv_volumes", "ed_frame", "es_frame")))
        parts.append(f'<img alt="Volume over time" width=460 src="{cine.png_uri(fig)}">')
    parts += ["<h2>What was read</h2>", *_sources(reading), "<h2>Views in motion</h2>", OUTLINES]
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
    return HEAD + "\n".join(parts) + "\n</body></html>\n"


def _doubts(metrics: Mapping[str, Any]) -> list[str]:
    """All doubts in one place, in colour; without any, how far LVEF may be off where that is known."""
    warnings, known = metrics.get("warnings"), metrics.get("confidence")
    if warnings:
        lines = "".join(f"<li>{escape(sentence)}</li>" for sentence in warnings.values())
        return [f"<div class=warn><strong>Doubtful.</strong><ul>{lines}</ul></div>"]
    return [f"<p>{escape(sentence(known))}</p>"] if known else []


def _phases(labels: Arrays, metrics: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """view -> phase -> frame: ED and ES of the short axis at the same part of each view's cycle."""
    total = len(metrics["lv_volumes"] or metrics.get("areas_mm2", {}).get("LV", ()))
    known = {"ED": metrics["ed_frame"], "ES": metrics["es_frame"]}
    phases: dict[str, dict[str, int]] = {name: {} for name in labels}
    for name, mask in labels.items():
        for phase, frame in known.items():
            if frame is not None:
                n = mask.shape[3]
                phases[name][phase] = min(round(frame / total * n), n - 1) if total else frame
    return phases


def _numbers(metrics: Mapping[str, Any]) -> str:
    warned, areas = metrics.get("warnings", {}), metrics.get("areas_mm2", {})
    rows = [(text, metrics[key], unit, key in warned) for key, text, unit in NUMBERS]
    for key, text, unit in (("MAPSE", "MAPSE", "mm"), ("GLshortening", "long-axis shortening", "%")):
        rows += [(f"{text}, {VIEW_NAMES[view]}", value, unit, key in warned) for view, value in metrics[key].items()]
    for phase in ("ED", "ES") if areas else ():
        frame = metrics[f"{phase.lower()}_frame"]
        rows += [(f"{name} area of the slice, {phase}", area[frame], "mm2", False) for name, area in areas.items()]
    plain = metrics.get("all_slices", {})
    rows += [(f"{text}, plain sum of all slices", plain.get(key), unit, False) for key, text, unit in NUMBERS]
    shown = [
        (text, "not given" if value is None else f"{value:.1f}", unit, "doubtful, see above" if doubt else "")
        for text, value, unit, doubt in rows
        if doubt or value is not None
    ]
    cells = "<tr><td>{}</td><td class=n>{}</td><td>{}</td><td>{}</td></tr>"
    return "<table>" + "".join(cells.format(*row) for row in shown) + "</table>"


def _sources(reading: Reading) -> tuple[str, str]:
    """What the input lacked, and its series. File names of the user's may name a patient: they stay out."""
    notes, rows = reading.notes, []
    for number, row in enumerate(reading.table, start=1):
        called = f"series {row['series']}"
        if isinstance(row["series"], str):
            called = f"file {number}"
            notes = tuple(note.replace(row["series"], called) for note in notes)
        view = VIEW_NAMES.get(row["view"], "set aside")
        rows.append(
            f"<tr><td>{called}</td><td>{view}</td><td class=n>{row['slices']}</td>"
            f"<td class=n>{row['frames']}</td><td>{escape(row['reason'])}</td></tr>"
        )
    lacked = "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>" if notes else ""
    columns = "".join(f"<th>{name}</th>" for name in ("source", "view", "slices", "frames", "why"))
    return lacked, f"<table><tr>{columns}</tr>" + "".join(rows) + "</table>"
