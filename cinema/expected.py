"""figures/expected.csv: the value of each recorded number and how far a run may be from it, per profile."""

import json
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ["key", "value", "tolerance", "profile"]


def read_results(path):
    """Rows of a results.json; none if there is no such file."""
    return json.loads(path.read_bytes()) if path.exists() else []


def read_expected(path):
    """DataFrame key, value, tolerance, profile; ValueError if the file says something else."""
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    table = pd.read_csv(path, comment="#", float_precision="round_trip")  # an update leaves other rows' digits alone
    if list(table.columns) != COLUMNS:
        raise ValueError(f"{path.name} has columns {list(table.columns)}; they must be {COLUMNS}")
    if (table.tolerance < 0).any() or table.duplicated(["key", "profile"]).any():
        raise ValueError(f"{path.name}: tolerances must not be negative, and a key stands once per profile")
    return table


def differences(rows, table):
    """One line for each number of `rows` (of results.json) further from its expected value than its tolerance."""
    lines = []
    found = comparable(rows)
    for key, value, tolerance, profile in table.itertuples(index=False):
        got = found.get((key, profile), value)
        if not abs(got - value) <= tolerance:
            lines.append(f"{key} is {got:.6g}; expected {value:.6g} within {tolerance:.3g} ({profile})")
    return lines


def missing(rows, table, profile):
    """One line for each number expected of a whole run of `profile` that `rows` lack."""
    found = comparable(rows)
    wanted = table[table.profile == profile].key
    return [f"{key} was not recorded ({profile})" for key in wanted if (key, profile) not in found]


def comparable(rows):
    """(key, profile) -> value of the rows expected.csv speaks of: numbers from the virtual cohort with seed 0."""
    return {(row["key"], row["profile"]): row["value"] for row in rows
            if row["data"] == "virtual" and row["seed"] == 0 and not isinstance(row["value"], str)}


def main(update, root=ROOT):
    """Print what is off and return 1 if anything is; with `update`, take over the present values instead."""
    rows, path = read_results(root / "figures" / "results.json"), root / "figures" / "expected.csv"
    table = read_expected(path)
    if update:
        updated(rows, table).to_csv(path, index=False)
        return 0
    off = differences(rows, table)
    print(*off, f"{len(off)} of {len(table)} expected numbers off", sep="\n")
    return 1 if off else 0


def updated(rows, table):
    """The table with the values of `rows`. Profiles that `rows` have nothing of stay; so do known tolerances.

    A new number gets half its interval as tolerance; without one, a tenth of its value, and a whole number none. The
    ci profile, which runs on any machine and trains for seconds, takes up new numbers with an interval only.
    """
    found = comparable(rows)
    known = {(row.key, row.profile): row.tolerance for row in table.itertuples()}
    fresh = []
    for row in rows:
        name = (row["key"], row["profile"])
        has_interval = row["lower"] is not None and row["upper"] is not None and row["lower"] < row["upper"]
        if name in found and (has_interval or name in known or row["profile"] != "ci"):
            spread = 0.0 if isinstance(row["value"], int) else 0.1 * abs(row["value"])
            if has_interval:
                spread = (row["upper"] - row["lower"]) / 2
            fresh.append((row["key"], row["value"], known.get(name, float(f"{spread:.2g}")), row["profile"]))
    kept = table[~table.profile.isin([profile for _, profile in found])]
    columns = pd.DataFrame(fresh, columns=COLUMNS, dtype=object)
    return pd.concat([kept.astype(object), columns]).sort_values(["profile", "key"])
