"""The ledger: what the paper claims, what it printed, what was found here, and what follows from it. No torch.

data/ledger.csv says for each claim which recorded numbers are shown, which one decides and what it would have to be;
cinema/shipped/paper_results.csv holds the published numbers. Verdicts are computed from recorded values and intervals.
"""

import math
import re
from pathlib import Path

import pandas as pd

from cinema.files import PAPER_RESULTS, ROOT, write_between
from cinema.results import read_json, read_table

BEGIN, END = "<!-- ledger -->", "<!-- /ledger -->"
AGREES, DIFFERS, OPEN = "agrees in direction", "differs in direction", "cannot be settled on virtual data"
COUNTED = "counted"  # a claim that only says how many there are
RETEST = "re-test"  # stands for the claim of published rows that others found with the released weights
FOUND = "<!-- found -->", "<!-- /found -->"
# README's three sentences; {key} is a recorded number.
SENTENCES = (
    "Pretraining helps: frozen features of the pretrained encoder change the error of EF, against those of random "
    "weights, by {02_ef_shipped_gain}.",
    "Against CNNs no difference of Dice is seen ({03_difference_cinema_unet}), CineMA's masks give a closer LVEF "
    "(error by {04_lvef_mae_difference}), and it tells types of disease apart less well (AUC by "
    "{06_macro_auc_difference}); notebook 12 says how equal the terms were.",
    "No gain of the picture over what is known of a person is seen: {08_gain_features_diabetes} of AUC for diabetes "
    "beside age, sex and BMI, {09_c_gain_age_sex_features} of the C-index for death beside age and sex.",
)
# How the columns of `table` are called on a page.
HEADS = {name: name for name in "claim sentence published source trust virtual real verdict why".split()}
HEADS |= {"virtual": "ours, virtual patients", "real": "ours, real patients", "would_settle": "what would settle it"}
ENDS = ["value", "lower", "upper"]
LINE = "claim topic sentence ours decides needs margin floor because would_settle".split()  # columns of data/ledger.csv
ODDITY = "id where what here measured key".split()
RESTORE = "restore it: git checkout data, or install the package again"
METHODS = ("CineMA", "CNN", "UNet", "ResNet")
PUBLISHED_CNNS = ("published CNN", "published nnU-Net")
MORE_IS_BETTER = ("mean Dice", "sensitivity", "specificity")  # in percent
NEEDS = ("", "count", "above", "below", "within")


def read_ledger(root=ROOT):
    """data/ledger.csv as a list of dicts, one a claim.

    ours:    "words=key; words=key", the recorded numbers that are shown.
    decides: key of a paired difference of methods, or "" where virtual data settle nothing.
    needs:   what its whole 95 % interval must be for the claim to hold: "above" or "below" zero, or "within" -+ margin;
             "count" for a claim that only counts, which no difference can decide.
    floor:   what a method scores that learns nothing, a number or a key, or "": CineMA and the CNN must both be better.
    because: where nothing decides, why.
    Raises ValueError for a line that breaks these rules.
    """
    path = root / "data" / "ledger.csv"
    lines = read_table(path, LINE, RESTORE, dtype=str).fillna("").to_dict("records")
    for line in lines:
        if line["needs"] not in NEEDS or (line["needs"] not in ("", "count")) != bool(line["decides"]):
            told = f"decides {line['decides']!r}, needs {line['needs']!r}"
            raise ValueError(f"{line['claim']}: {told}; give both or none, or 'count' alone")
        if (line["needs"] == "within") != bool(line["margin"]) or bool(line["decides"]) == bool(line["because"]):
            raise ValueError(f"{line['claim']}: a margin goes with 'within', and a reason with no deciding number")
        shown = [part.strip().rsplit("=", 1) for part in line["ours"].split(";")]
        if any(len(pair) < 2 for pair in shown):
            raise ValueError(f"{line['claim']}: ours is {line['ours']!r}; give 'words=key; words=key'")
        line["ours"] = dict(shown)
    return lines


def read_paper(*claims):
    """Published numbers: claim, quantity, system, value, lower, upper, unit, dataset, source, trust, note. claims: only
    those ("C4"); without, all."""
    table = read_table(PAPER_RESULTS, ["claim", "quantity", "system", "unit", "trust"], RESTORE, numeric=ENDS)
    return table[table["claim"].isin(claims)] if claims else table


def read_rows(out, profile):
    """Rows of the notebooks' own records below `out` about virtual patients, in the form of figures/results.json."""
    paths, about = sorted((Path(out) / "results").glob("*.json")), {"profile": profile, "data": "virtual"}
    return [{**row, "notebook": path.stem, **about} for path in paths for row in read_json(path)]


def recorded_on_patients(report):
    """Rows that runs with a data set have left below `report` (report/NAME/figures/results.json), ci excepted."""
    rows = [row for path in sorted(Path(report).glob("*/figures/results.json")) for row in read_json(path)]
    return [row for row in rows if row["data"] != "virtual" and row["profile"] != "ci"]


def keys(line):
    """Recorded numbers that a line of the ledger uses."""
    return [*line["ours"].values(), *(key for key in (line["decides"], line["floor"]) if "_" in key)]


def _cohort(row):
    """The data set of the run, or else of the number."""
    return row["data"] if row["data"] != "virtual" else row["cohort"]


def _is_real(row):
    return _cohort(row) not in ("virtual", "published")


def _virtual(rows):
    """key -> row of what was not found on patients; the laptop profile goes before others."""
    return {row["key"]: row for row in sorted(rows, key=lambda row: row["profile"] == "laptop") if not _is_real(row)}


def verdict(line, found):
    """(AGREES, DIFFERS, OPEN or COUNTED; the reason), from the recorded rows by key.

    Virtual data can show the direction of a difference between methods, never the size of an error on patients.
    Trainings of the ci profile last seconds and decide nothing; nor do methods that are no better than `floor`.
    """
    if not line["decides"]:
        return COUNTED if line["needs"] == "count" else OPEN, line["because"]
    row, floor = found.get(line["decides"]), _floor(line, found)
    if row is None:
        return OPEN, "not run"
    if row["lower"] is None or row["upper"] is None:
        return OPEN, "no interval was recorded"
    if row["profile"] == "ci":
        return OPEN, "trained for seconds only (ci profile)"
    sign = -1 if line["needs"] == "below" else 1
    scores = {words: found[key]["value"] for words, key in line["ours"].items() if key in found}
    methods = [words for words in scores if words.split(", ")[-1] in METHODS]
    idle = [words for words in methods if floor is not None and sign * (scores[words] - floor) <= 0]
    if idle:
        return OPEN, f"{' and '.join(idle)} no better than what learns nothing"
    lower, upper, limit, margin = row["lower"], row["upper"], float(line["margin"] or 0), f"±{line['margin']}"
    if line["needs"] == "within":
        if -limit < lower and upper < limit:
            return AGREES, f"the interval lies within {margin}"
        if lower > limit or upper < -limit:
            return DIFFERS, f"the interval lies beyond {margin}"
        return OPEN, f"the interval reaches past {margin} and back"
    if sign * lower > 0 and sign * upper > 0:
        return AGREES, "the interval of the difference excludes zero"
    if sign * lower < 0 and sign * upper < 0:
        return DIFFERS, "the interval of the difference excludes zero, on the other side"
    return OPEN, "the interval of the difference includes zero"


def table(rows, root=ROOT):
    """The whole ledger: claim, topic, sentence, published, source, trust, virtual, real, verdict, why, would_settle.
    rows: of figures/results.json or `read_rows`."""
    virtual, real, paper, lines = _virtual(rows), [row for row in rows if _is_real(row)], read_paper(), []
    for line in read_ledger(root):
        printed, asked = paper[paper["claim"] == line["claim"]], keys(line)
        on_patients = [f"{row['key']} {number(row)}, {_cohort(row)}" for row in real if row["key"] in asked]
        ours = [f"{words} {number(virtual[key])}" for words, key in line["ours"].items() if key in virtual]
        row = {name: line[name] for name in ("claim", "topic", "sentence")} | {"published": published(printed)}
        row |= {name: "; ".join(dict.fromkeys(printed[name].dropna())) for name in ("source", "trust")}
        row |= {"virtual": "; ".join(ours) or "not run", "real": "; ".join(on_patients) or "-"}
        row["verdict"], row["why"] = verdict(line, virtual)
        lines.append(row | {"would_settle": line["would_settle"]})
    return pd.DataFrame(lines)


def ledger_keys(root=ROOT):
    """Every recorded number that the ledger asks for, once each."""
    return list(dict.fromkeys(key for line in read_ledger(root) for key in keys(line)))


def oddity_keys(root=ROOT):
    """Every recorded number that the list of oddities asks for."""
    return read_table(root / "data" / "oddities.csv", ODDITY, RESTORE)["key"].dropna().tolist()


def unknown(rows, wanted):
    """The keys among `wanted` that `rows` lack, as one line; "" if there are none."""
    found = {row["key"] for row in rows}
    lacking = [key for key in wanted if key not in found]
    return f"{len(lacking)} numbers are not recorded: {', '.join(lacking)}." if lacking else ""


def comparison(rows, root=ROOT):
    """Claims with a printed number of CineMA beside ours: claim, who, value, lower, upper, n, quantity, unit. who:
    "published CineMA", "published CNN", "ours, CineMA" ..; the unit is the paper's; shares of 1 become percent."""
    found, paper, lines = _virtual(rows), read_paper(), []
    for line in read_ledger(root):
        printed = paper[(paper["claim"] == line["claim"]) & paper["system"].notna()].dropna(subset="value")
        if not line["decides"] or printed.empty:
            continue
        about = {"claim": line["claim"], **printed.iloc[0][["quantity", "unit"]]}
        for row in printed.to_dict("records"):
            lines.append(about | {"who": f"published {row['system']}"} | {name: row[name] for name in ENDS})
        for words, key in line["ours"].items():
            if key in found and words in METHODS:
                row = found[key]
                factor = 100 if about["unit"] == "percent" and row["unit"] == "" else 1
                ends = {name: math.nan if row[name] is None else factor * row[name] for name in ENDS}
                lines.append(about | {"who": f"ours, {words}", "n": row["n"]} | ends)
    return pd.DataFrame(lines, columns="claim who value lower upper n quantity unit".split())


def relative(both):
    """`comparison` as errors, over the error of the published CNN: the same columns, and 1 is that CNN. Dice,
    sensitivity and specificity become what they lack to 100 %, so that less is better everywhere."""
    turned = both["quantity"].isin(MORE_IS_BETTER)
    errors = both[ENDS].where(~turned, 100 - both[["value", "upper", "lower"]].to_numpy())
    is_base = both["who"].isin(PUBLISHED_CNNS)
    base = both["claim"].map(errors["value"][is_base].set_axis(both["claim"][is_base]))
    lacks = both["quantity"].where(~turned, "100 % − " + both["quantity"])
    return both.assign(quantity=lacks, **errors.div(base, axis=0))[base.notna()]


def deciding(rows, root=ROOT):
    """The deciding difference of each claim that has one: claim, topic, needs, margin, value, lower, upper, n, unit.
    Differences that a claim needs below zero are turned, so that what favours it is positive everywhere."""
    found, lines = _virtual(rows), []
    for line in read_ledger(root):
        row = found.get(line["decides"])
        if row and row["lower"] is not None:
            ends = row["value"], row["lower"], row["upper"]
            if line["needs"] == "below":
                ends = -ends[0], -ends[2], -ends[1]
            about = line["claim"], line["topic"], line["needs"], float(line["margin"] or "nan")
            lines.append((*about, *ends, row["n"], row["unit"]))
    return pd.DataFrame(lines, columns="claim topic needs margin value lower upper n unit".split())


def oddities(rows, root=ROOT):
    """data/oddities.csv with what was measured: id, where, what, here, measured, effect ("" where nothing was)."""
    found = {row["key"]: row for row in rows}
    listed = read_table(root / "data" / "oddities.csv", ODDITY, RESTORE, dtype=str).fillna("")
    effect = [number(found[key]) if key in found else "not run" if key else "" for key in listed["key"]]
    return listed.drop(columns="key").assign(effect=effect)


def number(row):
    """A recorded row in words: value, 95 % interval, unit, n."""
    if isinstance(row["value"], str):
        return row["value"]
    inner = [f"{_short(row['lower'])} to {_short(row['upper'])}"] if row["lower"] is not None else []
    inner += [f"n = {row['n']}"] if row["n"] is not None else []
    unit = f" {row['unit']}" if row.get("unit") else ""
    if not inner and 0 < abs(row["value"]) < 0.001:
        return f"{row['value']:.1e}{unit}"
    return f"{_short(row['value'])}{unit}" + (f" ({', '.join(inner)})" if inner else "")


def published(printed):
    """Published rows of one claim in words; "number not found" where none has a value."""
    words = []
    for (quantity, unit), rows in printed.dropna(subset="value").groupby(["quantity", "unit"], sort=False):
        parts = []
        for row in rows.to_dict("records"):
            interval = "" if math.isnan(row["lower"]) else f" ({row['lower']:g} to {row['upper']:g})"
            system = f"{row['system']} " if isinstance(row["system"], str) else ""
            parts.append(f"{system}{row['value']:,.10g}{interval}")  # as printed
        words.append(f"{quantity}: {', '.join(parts)}" + ("" if unit in quantity else f" {unit}"))
    return "; ".join(words) or "number not found"


def markdown(rows, root=ROOT):
    """The ledger as README's table, in Markdown: claim, the number that decides (or the first shown), verdict."""
    known, whole = _virtual(rows), table(rows, root)
    lines = ["| claim | ours, virtual patients | verdict |", "|---|---|---|"]
    for line, row in zip(read_ledger(root), whole.to_dict("records"), strict=True):
        words, key = next(((w, k) for w, k in line["ours"].items() if k == line["decides"]), [*line["ours"].items()][0])
        shown = f"{words} {number(known[key])}" if key in known else "not run"
        cells = f"{row['claim']} {row['sentence']}", shown, row["verdict"]
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    counts = whole["verdict"].value_counts()
    said = ", ".join(f"{word}: {counts.get(word, 0)}" for word in (AGREES, DIFFERS, OPEN, COUNTED))
    return "\n".join(lines) + f"\n\nOf {len(whole)} claims, {said}. Intervals are 95 %."


def found(rows):
    """README's sentences as a list in Markdown, with their numbers; "not run" for those that are not recorded."""
    known = _virtual(rows)
    told = lambda match: number(known[match[1]]) if match[1] in known else "not run"
    return "\n".join(f"- {re.sub('{(.*?)}', told, sentence)}" for sentence in SENTENCES)


def write_readme(root=ROOT):
    """Put what figures/results.json says between README's markers. ValueError if they are absent."""
    rows = read_json(root / "figures" / "results.json")
    for ends, block in ((FOUND, found(rows)), ((BEGIN, END), markdown(rows, root))):
        write_between(root / "README.md", *ends, block)


def _floor(line, found):
    """What a method scores that learns nothing, or None if that is not known."""
    if "_" in line["floor"]:
        return found[line["floor"]]["value"] if line["floor"] in found else None
    return float(line["floor"]) if line["floor"] else None


def _short(value):
    """A number as people write it: whole numbers whole, others with about three significant digits; none but 0 is 0."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if 0 < abs(value) < 0.0005:
        return f"{value:.1g}".replace("-", "−", value < 0)
    if float(value).is_integer():
        return f"{int(value):,}"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}".replace("-", "−")
