"""What follows from the volumes of one study: stroke volume, output, what is taken per body surface, normal ranges; and
all numbers as rows, for the page, for numbers.csv and for the table of several studies.
"""

import csv
import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from cinema.data.reading import BEAT_MS
from cinema.inference.measures import smooth
from cinema.terms import LAX_VIEWS, VIEW_NAMES

SIZE_CM, WEIGHT_KG = (40.0, 250.0), (2.0, 350.0)  # of a person; a header may hold anything
STROKES_APART = 0.2  # of the larger stroke volume: from here it is said, the bound is ours
NORMAL_SDS = 1.96  # 95 % of people, if they are spread normally
# Petersen 2017, JCMR 19:18 (data/reference_values.csv): mean, SD of women and men of 45 to 74 years, 1.5 T, trabeculae
# and papillary muscles counted as blood. Volumes and EF are the person's, LVM is per m2 of body surface.
NORMAL = {
    "LVEDV": {"F": (124, 21), "M": (166, 32)},
    "LVESV": {"F": (49, 11), "M": (69, 16)},
    "LVSV": {"F": (75, 14), "M": (96, 20)},
    "LVEF": {"F": (61, 5), "M": (58, 5)},
    "LVM": {"F": (42, 7), "M": (53, 9)},
}
NORMAL_PER_M2 = ("LVM",)
NORMAL_SOURCE = (
    "Petersen 2017, JCMR 19:18: mean and 1.96 SD of 432 women and 368 men, 45 to 74 years, at 1.5 T, papillary muscles "
    "counted as blood. None is given for the right ventricle or for volumes per m²: no source of these was checked"
)
PHASES = {"EDV": "end-diastolic volume", "ESV": "end-systolic volume", "SV": "stroke volume", "EF": "ejection fraction"}
OWN = {f"own_RV{name}": f"RV {text}, at its own extremes" for name, text in PHASES.items()}
TEXTS = (
    {f"LV{name}": f"LV {text}" for name, text in PHASES.items()}
    | {"LVM": "LV mass (ED, 1.05 g/ml)", "HR": "heart rate", "CO": "cardiac output (LV stroke volume x heart rate)"}
    | {f"RV{name}": f"RV {text}, at the LV's frames" for name, text in PHASES.items()}
    | OWN
)
UNITS = dict.fromkeys(TEXTS, "ml") | {"LVM": "g", "HR": "1/min", "CO": "l/min"}
UNITS |= {name: "%" for name in TEXTS if name.endswith("EF")}
PER_M2 = tuple(name for name, unit in UNITS.items() if unit not in ("%", "1/min"))
MOTION = {"MAPSE": ("MAPSE", "mm"), "GLshortening": ("long-axis shortening", "%")}
WORDS = {"%": "percent", "1/min": "per_min", "l/min": "l_per_min"}  # of units, in names of columns
STROKES = "stroke volumes"  # a warning's name
STROKE_CHECKS = ("difference of the stroke volumes", "difference of the stroke volumes relative to the larger")


class Row(NamedTuple):
    """A number. per_m2: value over the body surface; normal: group -> (low, high); doubtful: a warning is about it."""

    name: str
    text: str
    value: float | None
    unit: str
    per_m2: float | None = None
    normal: Mapping[str, tuple[float, float]] = {}
    doubtful: bool = False


def derived(metrics: Mapping[str, Any], attributes: Mapping[str, Any], cycle_ms: float | None) -> dict[str, Any]:
    """What metrics.json says under `derived`, None where it is not known: LVSV, RVSV, HR, CO, BSA (m2, Mosteller), sex,
    HR_from, the RV between the extremes of its own curve (own_RVEDV .., own_RV_frames), strokes (a sentence).

    metrics: after `plausibility.judged`; attributes: of the study; cycle_ms: number of frames times their distance.
    """
    found: dict[str, Any] = {"LVSV": _stroke(metrics, "LV"), "RVSV": _stroke(metrics, "RV")}
    found["HR"], found["HR_from"] = _heart_rate(attributes, cycle_ms)
    known = None not in (found["LVSV"], found["HR"])
    found["CO"] = found["LVSV"] * found["HR"] / 1000 if known else None  # ml to l
    found["BSA"] = body_surface_m2(attributes.get("height_cm"), attributes.get("weight_kg"))
    found["sex"] = attributes.get("sex") if attributes.get("sex") in ("F", "M") else None
    curve = np.asarray(metrics["rv_volumes"], float)
    own: dict[str, Any] = dict.fromkeys((*OWN, "own_RV_frames"))
    if len(curve) > 1 and curve.max() > 0 and metrics["RVEDV"] is not None and metrics["RVESV"] is not None:
        ed, es = int(np.argmax(smooth(curve))), int(np.argmin(smooth(curve)))
        edv, esv = float(curve[ed]), float(curve[es])
        values = (edv, esv, edv - esv, 100 * (edv - esv) / edv)
        own = dict(zip(OWN, values, strict=True)) | {"own_RV_frames": (ed, es)}
    return found | own | {"strokes": _strokes(found["LVSV"], own["own_RVSV"])}


def _stroke(metrics: Mapping[str, Any], side: str) -> float | None:
    edv, esv = metrics[f"{side}EDV"], metrics[f"{side}ESV"]
    return None if edv is None or esv is None else edv - esv


def _heart_rate(attributes: Mapping[str, Any], cycle_ms: float | None) -> tuple[float | None, str | None]:
    if attributes.get("heart_rate_bpm"):
        return float(attributes["heart_rate_bpm"]), "the R-R intervals in the headers"
    if cycle_ms is not None and BEAT_MS[0] <= cycle_ms <= BEAT_MS[1]:
        return 60_000 / cycle_ms, "the time between frames, if these cover the whole beat"
    return None, None


def body_surface_m2(height_cm: float | None, weight_kg: float | None) -> float | None:
    """Mosteller's body surface: sqrt(height in cm * weight in kg / 3600); None where one is unknown or nobody's."""
    for value, (low, high) in ((height_cm, SIZE_CM), (weight_kg, WEIGHT_KG)):
        if value is None or not low <= value <= high:
            return None
    return float(np.sqrt(height_cm * weight_kg / 3600))  # type: ignore[operator]


def _strokes(left: float | None, right: float | None) -> str | None:
    if left is None or right is None or max(left, right) <= 0:
        return None
    apart = abs(left - right) / max(left, right)
    said = f"Stroke volumes: LV {left:.0f} ml, RV {right:.0f} ml (at its own extremes)"
    if apart < STROKES_APART:
        return f"{said}; they agree within {100 * STROKES_APART:.0f} %, as they should without leak or shunt."
    return (
        f"{said}: {100 * apart:.0f} % apart. A leaking valve, a shunt, or one ventricle misread; look at the outlines."
    )


def apart(metrics: Mapping[str, Any]) -> bool:
    """Whether the stroke volumes differ by more than STROKES_APART."""
    return "apart" in (metrics["derived"]["strokes"] or "")


def warning(metrics: Mapping[str, Any]) -> dict[str, str]:
    """STROKES -> sentence where the stroke volumes differ and no warning of `plausibility` says so; else nothing."""
    told = set(STROKE_CHECKS) & set(metrics["warnings"])
    return {STROKES: metrics["derived"]["strokes"]} if apart(metrics) and not told else {}


def rows(metrics: Mapping[str, Any]) -> list[Row]:
    """All numbers of `segment`'s metrics, those that are not known with value None, always the same in one order."""
    more, warned = metrics["derived"], set(metrics.get("warnings", {}))
    if warned & {STROKES, *STROKE_CHECKS}:
        warned |= {"LVSV", "RVSV", "own_RVSV", "CO"}
    if "confidence" in warned:
        warned |= {"LVEF"}
    for side in ("LV", "RV"):
        if warned & {f"{side}EDV", f"{side}ESV"}:
            warned |= {f"{side}SV"} | ({"CO"} if side == "LV" else {name for name in OWN if name.endswith("SV")})
    found = []
    for name, text in TEXTS.items():
        value = metrics[name] if name in metrics else more[name]
        per_m2 = value / more["BSA"] if name in PER_M2 and None not in (value, more["BSA"]) else None
        sexes = {sex: of for sex, of in NORMAL.get(name, {}).items() if more["sex"] in (None, sex)}
        normal = {
            {"F": "women", "M": "men"}[sex]: (mean - NORMAL_SDS * sd, mean + NORMAL_SDS * sd)
            for sex, (mean, sd) in sexes.items()
        }
        found.append(Row(name, text, value, UNITS[name], per_m2, normal, name in warned))
    for name, (text, unit) in MOTION.items():
        for view in LAX_VIEWS:
            called = f"{name}_{VIEW_NAMES[view]}"
            value = metrics[name].get(view)
            found.append(Row(called, f"{text}, {VIEW_NAMES[view]}", value, unit, doubtful=name in warned))
    return found


def against_normal(row: Row) -> str:
    """ "below", "above" or "within" the range where there is one of the person's sex, else nothing."""
    value = row.per_m2 if row.name in NORMAL_PER_M2 else row.value
    if len(row.normal) != 1 or value is None:
        return ""
    ((low, high),) = row.normal.values()
    return "below" if value < low else "above" if value > high else "within"


def columns(metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    """Name with unit -> value of one study, for a table of several; None gives nothing."""
    if metrics is None:
        return {}
    found: dict[str, Any] = {}
    for row in rows(metrics):
        unit = WORDS.get(row.unit, row.unit)
        found[f"{row.name}_{unit}"] = row.value
        if row.name in PER_M2:
            found[f"{row.name}_{unit}_per_m2"] = row.per_m2
    return found | {"BSA_m2": metrics["derived"]["BSA"]}


def table(metrics: Mapping[str, Any]) -> str:
    """The known numbers, and those that were withheld, as the text of numbers.csv."""
    head = ("number", "value", "unit", "per_m2", "normal_low", "normal_high", "against_normal", "doubtful", "meaning")
    lines: list[tuple] = [head]
    for row in rows(metrics):
        low, high = next(iter(row.normal.values())) if len(row.normal) == 1 else (None, None)
        if row.value is not None or row.doubtful:
            shown = [rounded(number) for number in (row.per_m2, low, high)]
            lines.append((row.name, rounded(row.value), row.unit, *shown, against_normal(row), row.doubtful, row.text))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def rounded(value: float | None) -> str:
    """A number to three decimals; nothing where it is not known."""
    return "" if value is None or not np.isfinite(value) else f"{value:.3f}".rstrip("0").rstrip(".")
