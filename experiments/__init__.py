"""Experiments too long for a notebook: one command each, tidy rows in data/experiments, read by the notebooks.

`python3 -m cinema experiment NAME` resumes where it was stopped: finished trainings are read, not repeated.
"""

import time
from importlib import import_module
from pathlib import Path

from cinema.files import data_folder

OF_PATIENTS = ("real_reader", "conventions", "rules", "confidence")  # these read a raw folder of labelled patients
NAMES = ("ingredients", "fine_tuning", "labels", "measures", "long_axis", *OF_PATIENTS)
PROFILES = ("ci", "laptop")


def run(name, profile="laptop", jobs=1, seed=0, out=None, work=None, raw=None):
    """Run one of NAMES; writes its tables to <out>/<table>.csv and returns the path of <name>.csv.

    jobs: trainings at once, each on one thread, so that numbers do not depend on it.
    out:  default data/experiments, for the laptop profile with seed 0, on record; else data/work/<profile>/experiments.
    work: of what may be thrown away; default data/work/<profile>.
    raw:  the raw folder of those in OF_PATIENTS.
    Raises ValueError for an unknown name or profile, or a raw folder where none is read or that is lacking.
    """
    for what, value, choices in (("experiment", name, NAMES), ("profile", profile, PROFILES)):
        if value not in choices:
            raise ValueError(f"unknown {what} {value!r}; choose one of {', '.join(choices)}")
    if (raw is not None) != (name in OF_PATIENTS):
        raise ValueError(
            f"{name} reads virtual people; leave {raw} out"
            if raw
            else f"{name} reads patients; give the raw folder of ACDC"
        )
    given = {} if raw is None else {"raw": raw}
    data = data_folder()
    work = Path(work or data / "work" / profile)
    out = Path(out or (data if (profile, seed) == ("laptop", 0) else work) / "experiments")
    tables = import_module(f"experiments.{name}").run(profile, jobs, seed, work, **given)
    out.mkdir(parents=True, exist_ok=True)
    for table, rows in tables.items():
        rows.to_csv(out / f"{table}.csv", index=False, float_format="%.4g")
    return out / f"{name}.csv"


def command(**options):
    """`run` for the command line: says what was written. Exit code 0."""
    started = time.time()
    path = run(**options)
    print(f"written: {path} ({path.stat().st_size / 1e3:.0f} kB) after {(time.time() - started) / 60:.1f} minutes")
    return 0
