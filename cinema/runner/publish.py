"""Brings a run's figures and numbers to figures/."""

import filecmp
import shutil
from pathlib import Path

from cinema.files import whole_or_not
from cinema.results import read_json, write_json

FIGURES = (".png", ".pdf")
ON_RECORD = ("laptop", "virtual", 0)  # profile, data and seed of what is committed


def place(setting, out):
    """Where figures and results.json of a run go: `out`; else figures/ for the run that stands on record, and
    report/<run>/figures for all others. ValueError for these in figures/: that folder is committed."""
    committed, on_record = setting.root / "figures", (setting.profile, setting.data, setting.seed) == ON_RECORD
    if out and not on_record and Path(out).resolve().is_relative_to(committed.resolve()):
        rule = f"{committed.name}/ is for virtual patients in the laptop profile with seed 0 only, name another folder"
        raise ValueError(f"--out {out}; {rule} (default report/<run>/figures)")
    return Path(out) if out else committed if on_record else setting.folder / "figures"


def publish(setting, done, names, out):
    """Copy what the notebooks `done` have made to `out` and put their rows in out/results.json. Rows of other notebooks
    stay if those are still among `names`. Times are not in it: same seed, same bytes."""
    made = setting.folder / "figures"
    rows = [row for row in read_json(out / "results.json") if row["notebook"] in set(names) - set(done)]
    for name in done:
        if made.resolve() != out.resolve():
            copy_figures(made, out, name)
        about = {"notebook": name, "profile": setting.profile, "data": setting.data, "seed": setting.seed}
        rows += [row | about for row in read_json(made / "results" / f"{name}.json")]
    rows.sort(key=lambda row: row["notebook"])  # stable: within a notebook the order of recording
    owner = {}
    for row in rows:
        if owner.setdefault(row["key"], row["notebook"]) != row["notebook"]:
            raise ValueError(f"{row['key']} is recorded by {owner[row['key']]} and {row['notebook']}; rename one")
    write_json(out / "results.json", rows)


def copy_figures(made, out, name):
    """Make the files NN_* of `out` those of `made`, each replaced whole; figures no longer made are removed."""
    paths = sorted(made.glob(f"{name[:2]}_*"))
    for path in paths:
        target = out / path.name
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        elif not target.exists() or not filecmp.cmp(path, target, shallow=False):
            with whole_or_not(target) as temporary:
                shutil.copyfile(path, temporary)
    for stale in {path.name for path in figures(out, name)} - {path.name for path in paths}:
        (out / stale).unlink()


def figures(out, name):
    return [path for path in sorted(out.glob(f"{name[:2]}_*")) if path.suffix in FIGURES]
