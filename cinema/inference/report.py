"""The report of one examination: one HTML file that needs nothing else.

It says which scanner made the images, and neither when nor of whom: a date of examination identifies.
"""

import csv
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from cinema.data.reading import Reading
from cinema.data.study import View
from cinema.files import RECORDED
from cinema.inference import dicom_seg, numbers, viewer
from cinema.inference.confidence import sentence
from cinema.inference.measures import Arrays
from cinema.plots import cine, style
from cinema.terms import VIEW_NAMES

OWN_MODEL = "The model behind these numbers was trained on virtual hearts only."
OTHER_MODEL = (
    "These numbers come from weights chosen by the user; whether they are valid for this scan has not been established."
)
RECORD = RECORDED / "real_reader.csv"  # of the project's own on labelled patients
ORIGINS = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"  # none outside
PARTS = ("HR", "RVEDV", "own_RVEDV", "MAPSE_2C")  # a line is drawn above these numbers
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.5em 0}td,th{padding:.15em .8em .15em 0;text-align:left;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}.warn{background:#fff3cd;padding:.6em 1em}
tr.part td{border-top:1px solid #bbb}.small{font-size:13px;color:#444}
@media(max-width:600px){body{margin:1em auto}table{font-size:13px}td,th{padding-right:.4em}h1{font-size:1.5em}}
@media print{body,.small{font-size:11px}body{margin:0;max-width:none}.screen{display:none}
.warn{border:1px solid #888}table,img,.warn{break-inside:avoid}h2{break-after:avoid}}"""
HEAD = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{ORIGINS}">
<title>Cine study</title><style>{STYLE}{viewer.STYLE}</style></head>
<body><main><h1>Cine study: volumes and function</h1>
"""


def report_html(reading: Reading, labels: Arrays, landmarks: Arrays, metrics: Mapping[str, Any], own: bool) -> str:
    """The page as text; metrics: of segment; own: whether the models are the project's."""
    views = reading.study.views
    model = f"{OWN_MODEL} {on_patients(RECORD)}" if own else OTHER_MODEL
    warning = f"<p class=warn><strong>Not for clinical use.</strong> {model}</p>"
    lacked, sources = _sources(reading)
    parts = [warning, *_doubts(metrics), _scanner(reading.study.attributes), lacked]
    parts += ["<h2>Numbers</h2>", _numbers(metrics)]
    times = views["sax"].frame_times_ms if metrics["lv_volumes"] else None
    parts += [f"<p class=small>{escape(note)}</p>" for note in (*_phase_note(metrics, times), *_notes(metrics))]
    if metrics["lv_volumes"] and len(metrics["lv_volumes"]) > 1:
        fig, ax = style.figure(1)
        curves, ends = (metrics["lv_volumes"], metrics["rv_volumes"]), (metrics["ed_frame"], metrics["es_frame"])
        cine.volume_curves(ax, *curves, *ends, views["sax"].frame_times_ms)
        parts.append(f'<img alt="Volume over time" width=460 src="{cine.png_uri(fig)}">')
    phases = _phases(labels, landmarks, metrics)
    if any(view.n_frames > 1 for name, view in views.items() if name in phases):
        cycle = 60_000 / metrics["derived"]["HR"] if metrics["derived"]["HR"] else 1000.0
        parts += [
            "<h2 class=screen>All slices in motion</h2>",
            viewer.viewer_html(views, labels, landmarks, phases, cycle),
        ]
    if labels:
        legend = f"<p class=small>{viewer.LEGEND}</p>"
        parts += ["<h2>End diastole and end systole</h2>", legend, *_stills(views, labels, landmarks, phases)]
    parts += ["<h2>What was read</h2>", sources, "<h2>How this was made</h2>", _made(metrics["made"])]
    return HEAD + "\n".join(parts) + "\n</main></body></html>\n"


def on_patients(record: Path) -> str:
    """How far the project's own reader was off in labelled patients, as `experiment real_reader` recorded it."""
    if not record.is_file():  # in an installed package
        return "MODEL_CARD.md says how far it was off in labelled patients; that was no clinical validation."
    with record.open(encoding="utf-8", newline="") as file:
        known = {(row["set"], row["measure"]): row for row in csv.DictReader(file) if row["group"] == "all"}
    n = [known[name, "LVEF absolute error"]["n"] for name in ("training", "test")]
    left, right = (
        [f"{float(known[name, f'{side}EF absolute error']['value']):.1f}" for name in ("training", "test")]
        for side in ("LV", "RV")
    )
    return (
        f"In {n[0]} and in {n[1]} other labelled patients (ACDC, Bernard et al. 2018) its LVEF was off by {left[0]} "
        f"and {left[1]} points on average, its RVEF by {right[0]} and {right[1]}; MODEL_CARD.md says in which hearts "
        "most. That was no clinical validation."
    )


def _doubts(metrics: Mapping[str, Any]) -> list[str]:
    """All doubts in one place, in colour; without any, how far LVEF may be off where that is known."""
    said, known = metrics["warnings"].values(), metrics.get("confidence")
    if said:
        lines = "".join(f"<li>{escape(one)}</li>" for one in said)
        return [f"<div class=warn><strong>Doubtful in this study.</strong><ul>{lines}</ul></div>"]
    return [f"<p>{escape(sentence(known))}</p>"] if known else []


def _scanner(attributes: Mapping[str, Any]) -> str:
    field = f"{attributes['field_t']:g} T" if "field_t" in attributes else None
    known = [str(word) for word in (attributes.get("vendor"), attributes.get("scanner_model"), field) if word]
    return f"<p>Scanner: {escape(', '.join(known)) or 'not known from this input'}.</p>"


def _phases(labels: Arrays, landmarks: Arrays, metrics: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """view -> phase -> frame: ED and ES of the short axis at the same part of each view's cycle."""
    total = len(metrics["lv_volumes"] or metrics.get("areas_mm2", {}).get("LV", ()))
    known = {"ED": metrics["ed_frame"], "ES": metrics["es_frame"]}
    counts = {name: len(marks) for name, marks in landmarks.items()}
    counts |= {name: mask.shape[3] for name, mask in labels.items()}
    phases: dict[str, dict[str, int]] = {name: {} for name in counts}
    for name, n in counts.items():
        for phase, frame in known.items():
            if frame is not None:
                phases[name][phase] = min(round(frame / total * n), n - 1) if total else frame
    return phases


def _stills(views: Mapping[str, View], labels: Arrays, landmarks: Arrays, phases: Mapping) -> list[str]:
    """Pictures of ED and ES: all slices of the short axis from the base, the long axes beside each other."""
    found = []
    if "sax" in labels:
        view, mask = views["sax"], labels["sax"]
        order = viewer.base_first(view, mask, landmarks, views)
        for phase, frame in phases["sax"].items():
            fig = cine.all_slices(view.image[..., frame], mask[..., frame], view.spacing_mm, order)
            title = f"SAX, {phase} (frame {frame}), base first"
            found.append(f'<h3>{title}</h3><img alt="{title}" src="{cine.png_uri(fig)}">')
    long_axes = {name: mask for name, mask in labels.items() if name != "sax"}
    if long_axes:
        fig = cine.stills(views, long_axes, landmarks, phases)
        found.append(f'<h3>Long axes</h3><img alt="Long axes at ED and ES" src="{cine.png_uri(fig)}">')
    return found


def _numbers(metrics: Mapping[str, Any]) -> str:
    """The table: value, per m2 where the body surface is known, range of healthy people where there is one."""
    indexed = metrics["derived"]["BSA"] is not None
    head = ["", "value", "", *(["per m²"] if indexed else []), "95 % of healthy people", ""]
    lines = ["<tr>" + "".join(f"<th>{name}</th>" for name in head) + "</tr>"]
    shown = [row for row in numbers.rows(metrics) if row.value is not None or row.doubtful]
    if metrics["derived"]["own_RV_frames"] == (metrics["ed_frame"], metrics["es_frame"]):
        shown = [row for row in shown if row.name not in numbers.OWN]  # they would be the same again
    for row in shown:
        per_m2 = [] if not indexed else ["" if row.per_m2 is None else f"{row.per_m2:.1f}"]
        of = " per m²" if row.name in numbers.NORMAL_PER_M2 else ""
        normal = "; ".join(f"{who} {low:.0f} to {high:.0f}{of}" for who, (low, high) in row.normal.items())
        lies = {"below": "below the range", "above": "above the range"}.get(numbers.against_normal(row), "")
        remark = "; ".join(filter(None, [lies, "doubtful, see above" if row.doubtful else ""]))
        value = "not given" if row.value is None else f"{row.value:.1f}"
        lines.append(_line(row.text, [value], row.unit, per_m2, normal, remark, part=row.name in PARTS))
    areas = metrics.get("areas_mm2", {})
    for phase in ("ED", "ES") if areas else ():
        frame, empty = metrics[f"{phase.lower()}_frame"], [""] * indexed
        lines += [
            _line(f"{name} area of the slice, {phase}", [f"{area[frame]:.1f}"], "mm2", empty, "", "")
            for name, area in areas.items()
        ]
    return "<table>" + "".join(lines) + "</table>"


def _line(text: str, value: list, unit: str, per_m2: list, normal: str, remark: str, part: bool = False) -> str:
    cells = [f"<td>{escape(text)}</td>", *(f"<td class=n>{one}</td>" for one in value), f"<td>{unit}</td>"]
    cells += [*(f"<td class=n>{one}</td>" for one in per_m2), f"<td>{normal}</td>", f"<td>{remark}</td>"]
    return f"<tr{' class=part' * part}>" + "".join(cells) + "</tr>"


def _phase_note(metrics: Mapping[str, Any], times_ms: Any) -> list[str]:
    """Which frames ED and ES are, and when, where the short axis says so."""
    if None in (metrics["ed_frame"], metrics["es_frame"]) or not metrics["lv_volumes"]:
        return []
    frames = {"ED": metrics["ed_frame"], "ES": metrics["es_frame"]}
    when = {phase: "" if times_ms is None else f" ({times_ms[frame]:.0f} ms)" for phase, frame in frames.items()}
    said = " and ".join(f"{phase} is frame {frame}{when[phase]}" for phase, frame in frames.items())
    return [f"{said} of {len(metrics['lv_volumes'])}, counted from 0: the largest and the smallest LV."]


def _notes(metrics: Mapping[str, Any]) -> list[str]:
    """Sentences on how the numbers are to be taken."""
    more, found = metrics["derived"], []
    plain = {key: value for key, value in metrics.get("all_slices", {}).items() if value is not None}
    if plain:
        shown = ", ".join(f"{key} {value:.1f} {numbers.UNITS[key]}" for key, value in plain.items())
        found.append(f"The LV above ends at the mitral valve. Summed over all slices without regard to it: {shown}.")
    if metrics["RVEDV"] is not None and more["own_RV_frames"]:
        (ed, es), at = more["own_RV_frames"], (metrics["ed_frame"], metrics["es_frame"])
        twice = (
            f"The RV is given twice: at the LV's frames ({at[0]} and {at[1]}), and at its own extremes ({ed} and {es})."
        )
        found.append("The RV's extremes lie at the same frames as the LV's." if (ed, es) == at else twice)
    if more["strokes"] and not numbers.apart(metrics):
        found.append(more["strokes"])
    if more["HR"]:
        found.append(f"Heart rate from {more['HR_from']}.")
    elif more["LVSV"] is not None:
        found.append("No output is given: the input does not tell the heart rate.")
    if more["BSA"]:
        found.append(f"Per m² of body surface, {more['BSA']:.2f} m² by Mosteller from the header's size and weight.")
    else:
        found.append("Nothing is given per m² of body surface: the input does not tell size and weight.")
    return [*found, f"Healthy people: {numbers.NORMAL_SOURCE}."]


def _made(made: Mapping[str, Any]) -> str:
    weights = [f"{name} (SHA-256 {checksum[:16]})" for name, checksum in made["weights"].items()]
    files = [*made.get("dicom_seg", ()), "numbers.csv", "metrics.json"]
    rows = {
        "cinema": made["version"],
        "weights": "; ".join(weights) or "readers handed over by a program",
        "settings": f"view {made['view'] or 'told from the input'}, device {made['device']}",
        "beside this page": f"masks (.nii.gz), {', '.join(files)}",
    }
    if made.get("dicom_seg"):
        rows["DICOM-SEG"] = dicom_seg.HOW_TO_LOAD
    return (
        "<table>"
        + "".join(f"<tr><td>{key}</td><td>{escape(text)}</td></tr>" for key, text in rows.items())
        + "</table>"
    )


def _sources(reading: Reading) -> tuple[str, str]:
    """(what the input lacked, its series). File names of the user's may name a patient: they stay out."""
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
    lines = "".join(f"<li>{escape(note)}</li>" for note in notes)
    lacked = f"<p>What the images lack, and what was done about it:</p><ul>{lines}</ul>" if notes else ""
    columns = "".join(f"<th>{name}</th>" for name in ("source", "view", "slices", "frames", "why"))
    return lacked, f"<table><tr>{columns}</tr>" + "".join(rows) + "</table>"
