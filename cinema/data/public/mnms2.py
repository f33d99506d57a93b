"""M&Ms-2: short axis and four-chamber view at ED and ES with labels, right-heart diseases, three vendors.

Source, licence, layout, split and differences from the release: cinema/shipped/cards/mnms2.yaml.
"""

from pathlib import Path

import pandas as pd

from cinema.data.public import common
from cinema.data.study import Study

NAME = "mnms2"
TABLE = "dataset_information.csv"
COLUMNS = {"DISEASE": "disease", "VENDOR": "vendor", "SCANNER": "scanner", "FIELD": "field_t"}
VIEWS = {"sax": "SA", "lax_4c": "LA"}
LAST = {"train": 160, "val": 200, "test": 360}  # last number of each split
ROLES = ("ED", "ES", "ED_gt", "ES_gt")


@common.sorted_out
def subjects(raw: Path) -> common.Cases:
    """Every complete row of the table whose eight files are there; the others, and folders without a row, with the
    reason. Rows without a number are no subject."""
    root = raw / "MnM2"
    if not root.is_dir():
        raise FileNotFoundError(f"{root} does not exist; name the folder that holds MnM2")
    table = common.read_table(root / TABLE, ("SUBJECT_CODE", *COLUMNS), dtype=str, keep_default_na=False)
    codes = table["SUBJECT_CODE"].str.strip()
    numbers = codes[codes != ""].str.removesuffix(".0").str.zfill(3)
    rows = dict(iter(table.loc[numbers.index].groupby(numbers)))
    folders = {folder.name for folder in (root / "dataset").glob("*") if folder.is_dir()}
    for pid in [*rows, *sorted(folders - set(rows))]:
        yield common.attempt(pid, _subject, root / "dataset" / pid, rows.get(pid))


def _subject(home: Path, rows: pd.DataFrame | None) -> common.Subject:
    if rows is None:
        raise ValueError(f"no row in {TABLE}; disease and vendor are unknown: fetch the table again")
    if len(rows) > 1:
        raise ValueError(f"{home.name} has {len(rows)} rows in {TABLE}; keep the right one")
    row = rows.iloc[0]
    lacking = [column for column in COLUMNS if not row[column].strip()]
    if lacking:
        raise ValueError(f"{TABLE} gives no {', '.join(lacking)} of it; incomplete rows are left out")
    number = int(home.name) if home.name.isdecimal() else 0
    if not 1 <= number <= LAST["test"]:
        raise ValueError(f"SUBJECT_CODE is {home.name!r}; the split knows the numbers 1 to {LAST['test']}")
    split = next(split for split, last in LAST.items() if number <= last)
    stems = [f"{home.name}_{short}_{role}" for short in VIEWS.values() for role in ROLES]
    paths = common.there(home, stems)
    attributes = {ours: row[theirs].strip() for theirs, ours in COLUMNS.items()}
    field = float(pd.to_numeric(attributes["field_t"], errors="coerce"))
    if not 0 < field < float("inf"):
        raise ValueError(f"field strength is {attributes['field_t']!r} in {TABLE}; it must be a number of tesla")
    attributes["field_t"] = field
    return common.Subject(home.name, split, paths, common.known(attributes))


def read(subject: common.Subject) -> Study:
    """SAX and 4C with labels, frame 0 = ED and frame 1 = ES."""
    views = {}
    for k, name in enumerate(VIEWS):
        ed, es, *masks = subject.files[k * len(ROLES) : (k + 1) * len(ROLES)]
        views[name] = common.with_labels(*common.labelled(NAME, (ed, es), masks), (0, 1))
    return common.beating(subject, NAME, views, 0, 1)
