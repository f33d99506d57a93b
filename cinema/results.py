"""The numbers a notebook stands for: recorded once, with interval and meaning, and held against what is expected.

`begin` at the top of a notebook, `record` beside each number, `table` at its end (runner.start's page does all three).
They are written to <out>/results/<notebook>.json at once; the runner merges these files into <out>/results.json, and
`python3 -m cinema expected` compares those of the laptop and ci profiles with figures/expected.csv: a value and a
tolerance for each key and profile.
"""

import json
import math
from pathlib import Path

import pandas as pd

from cinema.files import ROOT, write_text

FIELDS = ("key", "value", "lower", "upper", "n", "unit", "cohort", "claim")  # of a record
MERGED = ("notebook", "profile", "data", "seed")  # what a record has beside them in a results.json
EXPECTED = ["key", "value", "tolerance", "profile"]  # of figures/expected.csv
AGAIN = "remove it and run python3 -m cinema reproduce again"
_current = {}  # the notebook being run: path of its file, its rows by key, whose patients, what figures say of them


def begin(notebook, out, data="virtual", stamp=None):
    """Start the record of `notebook` ("03_segmentation") in folder `out`, empty; notebooks call runner.start.

    data: "virtual" or the dataset whose patients it is about. stamp: what figures (plots.style.save) say of them.
    """
    path = Path(out) / "results" / f"{notebook}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    _current.clear()
    _current.update(path=path, rows={}, data=data, stamp=stamp or data)
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
    numbers = (_plain(key, number) for number in (value, lower, upper))
    row = (key, *numbers, None if n is None else int(n), unit, cohort or _current["data"], claim)
    _current["rows"][key] = dict(zip(FIELDS, row))
    write_json(_current["path"], list(_current["rows"].values()))


def table():
    """What this notebook has recorded, as a DataFrame: FIELDS."""
    if not _current:
        raise ValueError("no record yet; call results.begin(notebook, out) first")
    return pd.DataFrame(list(_current["rows"].values()), columns=FIELDS, dtype=object)


def write_json(path, content):
    """Write JSON whole or not at all."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _plain(key, value):
    """The value as JSON has it: numpy scalars and one-element tensors become plain numbers."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key} is {value}; record a finite number, or leave it out and say why")
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise ValueError(f"{key} is a {type(value).__name__}; record a number or a text")
    return value


def read_json(path, absent=()):
    """Content of a JSON file: a dictionary if `absent` is one, else the rows of a record or of a results.json.
    `absent` if there is no such file; ValueError in one line if it is damaged or holds something else."""
    if not path.exists():
        return absent
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise ValueError(f"{path} is no readable JSON file ({_short(error)}); {AGAIN}") from None
    needed = {*FIELDS, *(MERGED if path.name == "results.json" else ())}
    if not isinstance(found, dict if isinstance(absent, dict) else list):
        raise ValueError(f"{path} holds a {type(found).__name__}, not what was written there; {AGAIN}")
    for row in found if isinstance(found, list) else ():
        if not (isinstance(row, dict) and needed <= row.keys() and all(map(_is_number, (row["lower"], row["upper"])))):
            raise ValueError(f"{path} holds a row that is no record of {', '.join(sorted(needed))}; {AGAIN}")
    return found


def read_table(path, columns, remedy, numeric=(), least=1, name=None, **settings):
    """DataFrame of a CSV table that has `columns`, `least` rows or more, and in `numeric` only numbers and empty cells.
    remedy: what to do about one that is not so; name: in messages, for the path; settings: of pandas.read_csv.
    FileNotFoundError, and ValueError for what is damaged, empty or another table, in one line."""
    path, name = Path(path), name or path
    if not path.is_file():
        raise FileNotFoundError(f"{name} is missing; {remedy}")
    try:
        found = pd.read_csv(path, **settings)
    except (ValueError, OSError) as error:  # pandas' own errors and undecodable bytes are ValueErrors
        raise ValueError(f"{name} is no readable CSV table ({_short(error)}); {remedy}") from None
    lacking = [str(column) for column in dict.fromkeys((*columns, *numeric)) if column not in found]
    if lacking:
        has = ", ".join(map(str, found.columns))[:200]
        raise ValueError(f"{name} lacks the columns {', '.join(lacking)}, it has {has}; {remedy}")
    if len(found) < least:
        raise ValueError(f"{name} has {len(found)} rows; {remedy}")
    words = [column for column in numeric if found[column].dtype.kind not in "iuf"]
    if words:
        raise ValueError(f"{name} holds something else than numbers in {', '.join(words)}; {remedy}")
    return found


def _short(error):
    return " ".join(str(error).split())[:100]


def _is_number(value):
    return value is None or isinstance(value, (int, float))


def read_expected(path):
    """DataFrame key, value, tolerance, profile; ValueError if the file says something else."""
    if not path.exists():
        return pd.DataFrame(columns=EXPECTED)
    remedy = "restore it with git, or remove it and give python3 -m cinema expected --update"
    as_written = {"comment": "#", "float_precision": "round_trip"}  # an update leaves other rows' digits alone
    table = read_table(path, EXPECTED, remedy, ["value", "tolerance"], least=0, **as_written)
    if list(table.columns) != EXPECTED:
        raise ValueError(f"{path.name} has columns {list(table.columns)}; they must be {EXPECTED}")
    if not (table.tolerance >= 0).all() or table.isna().any(axis=None) or table.duplicated(["key", "profile"]).any():
        raise ValueError(f"{path.name}: no cell empty, no tolerance below zero, a key once per profile; {remedy}")
    return table


def differences(rows, table):
    """One line for each number of `rows` (of results.json) further from its expected value than its tolerance."""
    found, lines = comparable(rows), []
    for key, value, tolerance, profile in table.itertuples(index=False):
        got = found.get((key, profile), value)
        if not abs(got - value) <= tolerance:
            lines.append(f"{key} is {got:.6g}; expected {value:.6g} within {tolerance:.3g} ({profile})")
    return lines


def missing(rows, table, profile):
    """One line for each number expected of a whole run of `profile` that `rows` lack."""
    wanted, found = table[table.profile == profile].key, comparable(rows)
    return [f"{key} was not recorded ({profile})" for key in wanted if (key, profile) not in found]


def comparable(rows):
    """(key, profile) -> value of the rows expected.csv speaks of: numbers from the virtual cohort with seed 0."""
    ours = [row for row in rows if (row["data"], row["seed"]) == ("virtual", 0) and not isinstance(row["value"], str)]
    return {(row["key"], row["profile"]): row["value"] for row in ours}


def updated(rows, table):
    """The table with the values of `rows`. Profiles that `rows` have nothing of stay; so do known tolerances.

    A new number gets half its interval as tolerance; without one, a tenth of its value, and a whole number none. The
    ci profile, which runs on any machine and trains for seconds, takes up new numbers with an interval only.
    """
    found = comparable(rows)
    known = {(row.key, row.profile): row.tolerance for row in table.itertuples()}
    fresh = []
    for row in rows:
        name, value, ends = (row["key"], row["profile"]), row["value"], (row["lower"], row["upper"])
        has_interval = None not in ends and ends[0] < ends[1]
        if name in found and (has_interval or name in known or row["profile"] != "ci"):
            spread = (ends[1] - ends[0]) / 2 if has_interval else 0.0 if isinstance(value, int) else 0.1 * abs(value)
            fresh.append((row["key"], value, known.get(name, float(f"{spread:.2g}")), row["profile"]))
    kept = table[~table.profile.isin([profile for _, profile in found])]
    columns = pd.DataFrame(fresh, columns=EXPECTED, dtype=object)
    return pd.concat([kept.astype(object), columns]).sort_values(["profile", "key"])


def main(update, root=ROOT):
    """Print what is off and return 1 if anything is; with `update`, take over the present values instead. Rows are
    those on record (figures/) and of the ci profile (report/ci/figures)."""
    path = root / "figures" / "expected.csv"
    rows = [row for out in ("figures", "report/ci/figures") for row in read_json(root / out / "results.json")]
    table = read_expected(path)
    if not comparable(rows):
        remedy = "run python3 -m cinema reproduce first"
        raise FileNotFoundError(f"figures/ and report/ci/figures/ hold no number to compare; {remedy}")
    if update:
        write_text(path, updated(rows, table).to_csv(index=False))
        return 0
    off = differences(rows, table)
    if not len(table):
        raise ValueError("figures/expected.csv expects nothing; take the present values over with --update")
    print(*off, f"{len(off)} of {len(table)} expected numbers off", sep="\n")
    return 1 if off else 0
