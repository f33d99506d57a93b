"""Brings a run's figures and numbers to figures/, and writes report/index.html."""

import filecmp
import html
import os
import shutil
from pathlib import Path

from cinema.files import whole_or_not, write_text
from cinema.results import read_json, write_json
from cinema.runner.api import write_api

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


def write_index(setting, titles, state, out):
    """report/index.html: the notebooks of this run, their figures and their numbers. titles: name -> heading of the
    notebook; state: name -> "ran", "up to date", "failed" or "not run"."""
    report = setting.folder.parent
    seconds = read_json(report / "times.json", {}).get(setting.folder.name, {})
    link = lambda path: Path(os.path.relpath(path.resolve(), report.resolve())).as_posix()
    about = f"profile {setting.profile}, data {setting.data}, seed {setting.seed}"
    parts = [HEAD.format(about=html.escape(about))]
    for name, title in titles.items():
        page = setting.folder / f"{name}.html"
        if page.exists():
            spent = f"{seconds[name]:.0f} s" if name in seconds else ""
            note = ", ".join(filter(None, (spent, state.get(name))))
            head = f'<h2><a href="{link(page)}">{html.escape(title)}</a></h2><p>{note}</p><div class="figures">'
            images = [(link(file), file.stem) for file in figures(out, name) if file.suffix == ".png"]
            shown = [f'<a href="{at}"><img src="{at}" alt="{stem}" loading="lazy"></a>' for at, stem in images]
            parts += [head, *shown, "</div>"]
    parts.append('<p><a href="api.html">What the package offers</a>, from its docstrings.</p>')
    parts.append(numbers(read_json(out / "results.json")))
    write_api(report / "api.html")
    write_text(report / "index.html", "\n".join([*parts, "</body></html>\n"]))


def numbers(rows):
    """HTML table of recorded numbers."""
    columns = ("key", "value", "lower", "upper", "n", "unit", "cohort", "claim", "profile")
    head = "".join(f"<th>{column}</th>" for column in columns)
    body = []
    for row in rows:
        cells = [f"{row[column]:.4g}" if isinstance(row[column], float) else row[column] for column in columns]
        body.append("".join(f"<td>{'' if cell is None else html.escape(str(cell))}</td>" for cell in cells))
    return f"<h2>Numbers</h2><table><tr>{head}</tr>" + "".join(f"<tr>{line}</tr>" for line in body) + "</table>"


HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>CineMA companion</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
.figures {{ display: flex; flex-wrap: wrap; gap: 1rem }} .figures img {{ height: 11rem; border: 1px solid #ddd }}
table {{ border-collapse: collapse; font-size: 13px }} td, th {{ padding: .15rem .6rem; text-align: left }}
tr:nth-child(even) {{ background: #f5f5f5 }} p {{ color: #666 }}
</style></head><body><h1>CineMA companion</h1><p>{about}. Figures and numbers from the virtual cohort say so.</p>"""
