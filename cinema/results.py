"""The numbers a notebook stands for: recorded once, with interval and meaning, and read from here ever after.

`begin` at the top of a notebook, `record` beside each number, `table` at its end. They are written to
<out>/results/<notebook>.json at once; the runner merges these files into figures/results.json.
"""

import json
import math
import os
from pathlib import Path

import pandas as pd

_current = {}  # the notebook being run: path of its file, its rows by key, whose patients, what figures say of them


def begin(notebook, out, data="virtual"):
    """Start the record of `notebook` ("03_segmentation") in folder `out`, empty.

    data: "virtual" or the dataset; numbers and figures (plots.style.save) are of that cohort unless they say another.
    """
    stamp = data
    if data != "virtual":
        from cinema.datasets import prepared

        stamp = prepared.stamp(data)
    path = Path(out) / "results" / f"{notebook}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    _current.clear()
    _current.update(path=path, rows={}, data=data, stamp=stamp)
    write_json(path, [])


def stamp():
    """What figures say of their patients: "virtual", or the dataset's name and licence."""
    return _current.get("stamp", "virtual")


def record(key, value, lower=None, upper=None, n=None, unit="", cohort=None, claim=""):
    """Record one number; a key recorded again replaces its row.

    key:    unique over all notebooks, opening with the notebook's number: "03_dice_lv_cinema".
    value:  a finite number, True or False, or a short text; lower, upper: its 95 % interval, NaN or None where there
            are too few patients for one; n: how many patients.
    cohort: "virtual" or the dataset's name (by default as `begin` was told); claim: id of the claim it bears on ("C3").
    """
    if not _current:
        raise ValueError(f"{key} recorded before results.begin(notebook, out); call that first")
    lower, upper = (None if isinstance(end, float) and math.isnan(end) else end for end in (lower, upper))
    row = {"key": key, "value": _plain(key, value), "lower": _plain(key, lower), "upper": _plain(key, upper),
           "n": None if n is None else int(n), "unit": unit, "cohort": cohort or _current["data"], "claim": claim}
    _current["rows"][key] = row
    write_json(_current["path"], list(_current["rows"].values()))


def table():
    """What this notebook has recorded, as a DataFrame: key, value, lower, upper, n, unit, cohort, claim."""
    if not _current:
        raise ValueError("no record yet; call results.begin(notebook, out) first")
    columns = ("key", "value", "lower", "upper", "n", "unit", "cohort", "claim")
    return pd.DataFrame(list(_current["rows"].values()), columns=columns, dtype=object)


def write_json(path, content):
    """Write JSON whole or not at all: to a temporary name, then renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _plain(key, value):
    """The value as JSON has it: numpy scalars and one-element tensors become plain numbers."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key} is {value}; record a finite number, or leave it out and say why")
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise ValueError(f"{key} is a {type(value).__name__}; record a number or a text")
    return value
