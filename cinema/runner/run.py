"""Runs the notebooks: which, in what order, with which parameters, and what of it still holds. No torch.

notebooks/NN_name.ipynb is executed by papermill as report/<run>/NN_name.ipynb; its figures and numbers go to
report/<run>/figures. Those of the run on record (laptop, virtual patients, seed 0) are brought to figures/ once it has
succeeded, so that a failure leaves what was there; of all others they stay in report/<run>.
A notebook is run again when its key changes: code, parameters, package, data, versions, and the keys of what it needs.
"""

import ast
import hashlib
import json
import os
import re
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain
from doit.exceptions import TaskError
from doit.reporter import ZeroReporter
from doit.tools import config_changed

from cinema import results
from cinema.files import ROOT, alone, data_folder
from cinema.parallel import count_cores
from cinema.runner import pages, publish
from cinema.runner.execute import WAIT_S, Executor

PROFILES = ("ci", "laptop", "paper")
PARAMETERS = {"profile", "data", "data_root", "seed", "out"}
NOT_IN_KEY = (
    "__main__.py",
    "cli.py",
    "doctor.py",
    *(f"runner/{name}.py" for name in "run execute publish pages notebooks lab".split()),
)
IN_KEY = {"experiments"}  # folders of data/ that notebooks read; prepared datasets lie beside them


@dataclass(frozen=True)
class Notebook:
    path: Path
    title: str  # its first heading
    code: str  # all code cells
    needs: tuple  # names of earlier notebooks whose results it reads: metadata.cinema.needs


@dataclass(frozen=True)
class Setting:
    """What one run is made with; `folder` is its place in report/."""

    root: Path
    profile: str
    data: str
    data_root: Path
    seed: int

    @property
    def folder(self):
        words = [self.profile, "" if self.data == "virtual" else self.data, f"seed{self.seed}" if self.seed else ""]
        return self.root / "report" / "-".join(filter(None, words))

    def parameters(self):
        """The five values a notebook gets; paths as seen from notebooks/, so that they name no machine's folders."""
        places = {"data_root": self.data_root, "out": self.folder / "figures"}
        for name, place in places.items():
            inside = place.is_relative_to(self.root)
            places[name] = Path(os.path.relpath(place, self.root / "notebooks") if inside else place).as_posix()
        return {"profile": self.profile, "data": self.data, "seed": self.seed, **places}


def reproduce(only=None, first=None, force=False, jobs=None, out=None, root=ROOT, **kind):
    """Run what is out of date, write `out` and report/; returns 0, or 1 if a notebook or a number failed.

    only: names or numbers of notebooks; what they need is run where it is out of date. first: that one and all later.
    jobs: how many at once (default half the cores); the cores are divided among them.
    out: where figures and numbers go (default: publish.place). kind: profile, data, data_root and seed, as
         `check_setting` takes them.
    """
    setting = check_setting(root, **kind)
    out = publish.place(setting, out)
    books = read_notebooks(root / "notebooks")
    if setting.data != "virtual":  # the shipped weights stand in for what notebooks make for each other
        books = {name: replace(book, needs=()) for name, book in books.items()}
    named = choose(books, only, first)
    chosen = with_needs(books, named)
    cores = count_cores()
    # Of all notebooks, not the chosen ones: threads, and with them last digits, must not depend on --only.
    jobs = min(max(1, cores // 2) if jobs is None else jobs, len(books))
    if jobs < 1:
        raise ValueError(f"--jobs {jobs}; at least one notebook must run at a time")
    start, state, titles = time.monotonic(), {}, {name: book.title for name, book in books.items()}
    with Executor(setting.folder, setting.parameters(), max(1, cores // jobs), titles) as executor:
        try:
            run_graph(setting, {name: books[name] for name in chosen}, named if force else (), jobs, executor, state)
        finally:  # after Ctrl-C too: what has succeeded is kept
            done = [name for name in chosen if state.get(name) in ("ran", "up to date")]
            out.mkdir(parents=True, exist_ok=True)
            with alone(out, WAIT_S):
                publish.publish(setting, done, list(books), out)
            pages.write_home(setting, titles, state)
    rows = [row for row in results.read_json(out / "results.json") if row["notebook"] in done]
    table = results.read_expected(root / "figures" / "expected.csv")
    off = results.differences(rows, table)
    if len(done) == len(books) and (setting.data, setting.seed) == ("virtual", 0):
        off += results.missing(rows, table, setting.profile)
    figures = {path.stem for name in done for path in publish.figures(out, name)}  # PNG and PDF of the same are one
    said = f"{len(chosen)} notebooks, {len(chosen) - len(done)} failed, {len(figures)} figures, {len(rows)} results"
    print(f"written: {out} and {setting.folder.parent / 'index.html'} (python3 -m cinema report --open)")
    print(*off, f"{said}, {time.monotonic() - start:.0f} s (profile {setting.profile}, {cores} cores)", sep="\n")
    return 1 if off or len(done) < len(chosen) else 0


def check_setting(root, profile="laptop", data="virtual", data_root=None, seed=0):
    """The Setting of a run. data: "virtual", or a dataset prepared in data_root/<data> (default data/)."""
    if profile not in PROFILES:
        raise ValueError(f"profile {profile!r} is unknown; choose from {', '.join(PROFILES)}")
    data_root = Path(data_root or (data_folder() if root == ROOT else root / "data")).resolve()
    if data != "virtual":
        from cinema.data.inputs import DATASETS

        if data not in DATASETS:
            raise ValueError(f"data {data!r} is unknown; choose from {', '.join(['virtual', *DATASETS])}")
        if not (data_root / data / "prepared.json").is_file():
            remedy = f"`python3 -m cinema prepare {data} RAW` makes it from the raw folder"
            where = f"--data-root names the folder that holds {data}"
            raise FileNotFoundError(f"{data_root / data} holds no prepared.json; {remedy} ({where})")
    return Setting(root, profile, data, data_root, seed)


def read_notebooks(folder):
    """name -> Notebook for every NN_*.ipynb, in order; ValueError where one breaks the rules of CONTRIBUTING.md."""
    books = {}
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        content = nbformat.read(path, 4)
        cells = [cell for cell in content.cells if cell.cell_type == "code"]
        parameters = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", ())]
        assigned = [node for node in ast.parse("\n".join(parameters)).body if isinstance(node, ast.Assign)]
        found = {target.id for node in assigned for target in node.targets}
        if len(parameters) != 1 or found != PARAMETERS:
            has = f"{len(parameters)} parameters cells with {sorted(found)}"
            raise ValueError(f"{path.name} has {has}; it must have one, with {sorted(PARAMETERS)}")
        needs = tuple(content.metadata.get("cinema", {}).get("needs", ()))
        for need in needs:
            if need not in books:
                raise ValueError(f"{path.name} needs {need!r}; it can only need an earlier notebook: {list(books)}")
        prose = "\n".join(cell.source for cell in content.cells if cell.cell_type == "markdown")
        title = next((line.lstrip("# ") for line in prose.splitlines() if line.startswith("# ")), path.stem)
        books[path.stem] = Notebook(path, title, "\n\n".join(cell.source for cell in cells), needs)
    if not books:
        raise FileNotFoundError(f"no notebooks in {folder}; run this in a clone of the repository")
    return books


def choose(books, only, first):
    """Names meant by --only and --from, in order."""
    known = {word: name for name in books for word in (name, name.split("_")[0])}
    for word in filter(None, [*(only or ()), first]):
        if word not in known:
            raise ValueError(f"notebook {word!r} is unknown; choose from {', '.join(books)}")
    named = {known[word] for word in only or known}
    return [name for name in books if name in named and (not first or name >= known[first])]


def with_needs(books, chosen):
    """`chosen` and everything they need, in order."""
    wanted = set(chosen)
    for name in reversed(books):  # needs are always earlier
        if name in wanted:
            wanted |= set(books[name].needs)
    return [name for name in books if name in wanted]


def keys(setting, books):
    """name -> hash of everything the notebook's result depends on."""
    shared = hashlib.sha256(json.dumps([setting.parameters(), sys.version_info[:2]]).encode())
    package, data = setting.root / "cinema", setting.root / "data"
    files = [path for path in sorted(package.rglob("*")) if path.relative_to(package).as_posix() not in NOT_IN_KEY]
    files = [path for path in files if path.suffix != ".yaml" or path.stem == setting.data]  # one dataset's card
    files += [setting.root / "constraints.txt"]
    tables = [path for path in sorted(data.rglob("*.*")) if path.suffix in (".csv", ".json", ".safetensors")]
    files += [path for path in tables if path.parent == data or path.relative_to(data).parts[0] in IN_KEY]
    for path in files:
        if path.is_file() and path.suffix != ".pyc":
            shared.update(path.name.encode() + path.read_bytes())
    if setting.data != "virtual":  # too large to read: names, sizes and times stand for the content
        for path in sorted((setting.data_root / setting.data).rglob("*")):
            shared.update(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    found = {}
    for name, book in books.items():
        parts = [shared.hexdigest(), book.code, *(found[need] for need in book.needs)]
        found[name] = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return found


def run_graph(setting, books, forced, jobs, executor, state):
    """Run what is out of date in order of needs, `jobs` at once; fills state: name -> what became of it."""
    key = keys(setting, books)

    def tasks():
        for name, book in books.items():
            task = {"basename": name, "actions": [(executor.execute, (name, book.path))], "task_dep": list(book.needs)}
            task["uptodate"] = [name not in forced, config_changed(key[name])]
            task["targets"] = [str(setting.folder / f"{name}.ipynb")]
            task["io"] = {"capture": False}  # doit's capture swaps sys.stdout, which threads would share
            yield task

    kept = {"backend": "json", "dep_file": str(setting.folder / ".doit.json")}
    ways = {"num_process": jobs if jobs > 1 else 0, "par_type": "thread", "continue": True}
    titles = executor.titles
    after, usual = lambda: pages.write_home(setting, titles, state), usual_seconds(setting)
    configuration = {**kept, **ways, "reporter": Lines(books, state, usual, after)}
    loader = ModuleTaskLoader({"task_notebooks": tasks, "DOIT_CONFIG": configuration})
    DoitMain(loader, config_filenames=()).run(["run", *books])


def usual_seconds(setting):
    """Notebook -> seconds that the same run took here last, or else those of README's table."""
    readme, column = setting.root / "README.md", {"ci": 1, "laptop": 2}.get(setting.profile)
    text = readme.read_text(encoding="utf-8") if readme.exists() and column else ""
    rows = re.findall(r"^\| \[(\w+)\]\(.*\| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    here = results.read_json(setting.folder.parent / "times.json", {}).get(setting.folder.name, {})
    return {row[0]: float(row[column]) for row in rows} | here


class Lines(ZeroReporter):
    """doit's reporter: one line as a notebook starts and one as it ends; `after` is called when one has been made.
    usual: notebook -> seconds to be expected."""

    def __init__(self, books, state, usual, after):
        self.books, self.state, self.begun, self.usual, self.after = list(books), state, {}, usual, after

    def line(self, task, text):
        print(f"[{self.books.index(task.name) + 1}/{len(self.books)}] {task.name:<24} {text}", flush=True)

    def execute_task(self, task):
        self.begun[task.name] = time.monotonic()
        self.line(task, "running" + (f", about {self.usual[task.name]:.0f} s" if task.name in self.usual else ""))

    def add_success(self, task):
        self.state[task.name] = "ran"
        self.line(task, f"{time.monotonic() - self.begun[task.name]:.0f} s")
        self.after()

    def skip_uptodate(self, task):
        self.state[task.name] = "up to date"
        self.line(task, "up to date")

    def add_failure(self, task, fail):
        failed = task.name in self.begun
        self.state[task.name] = "failed" if failed else "not run"
        needs = [need for need in task.task_dep if self.state.get(need) in ("failed", "not run")]
        self.line(task, "failed" if failed else f"not run: {', '.join(needs)} did not succeed")
        if isinstance(fail, TaskError):  # our own fault; what a notebook does wrong is printed by the executor
            print(fail.get_msg())
