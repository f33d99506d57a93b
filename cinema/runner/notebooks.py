"""For maintainers: notebooks/*.ipynb from jupytext twins and executed copies, and the tables of the READMEs."""

import base64
import json
import re

import jupytext
import nbformat
from jupytext.combine import combine_inputs_with_outputs

from cinema.files import ROOT, whole_or_not
from cinema.results import read_json, write_json


def main(sync, update, table, root=ROOT):
    """Do what is asked for, in that order; ValueError if nothing is, or if stored pages might show a patient."""
    if not (sync or update or table):
        raise ValueError("nothing to do; give --sync, --update or --table")
    if sync:
        sync_all(root / "notebooks")
    if update:
        if (root / "data" / "real").exists():
            remedy = "take it away, run reproduce --only 01 --force and give this command again"
            raise ValueError(f"data/real is there, so pages may show a patient; {remedy}")
        take_outputs(root / "notebooks", root / "report" / "laptop")
    if table:
        from cinema.data.public import cards
        from cinema.runner import ledger

        print(seconds_table(root))
        write_film(root)
        ledger.write_readme(root)
        cards.write_readme(root / "data" / "README.md")


def sync_all(notebooks):
    """Write NN_name.ipynb for each py/NN_name.py; cells whose source is unchanged keep their outputs."""
    for twin in sorted((notebooks / "py").glob("*.py")):
        target = notebooks / f"{twin.stem}.ipynb"
        earlier = nbformat.read(target, 4) if target.exists() else None
        write_notebook(merged(jupytext.read(twin), earlier), target)
        print(target.name)


def take_outputs(notebooks, executed):
    """Put the outputs of executed/NN_name.ipynb into notebooks/NN_name.ipynb; the cells stay as they are."""
    for target in sorted(notebooks.glob("*.ipynb")):
        source = executed / target.name
        if not source.exists():
            raise FileNotFoundError(f"no {source}; run `python3 -m cinema reproduce` first")
        outputs = nbformat.read(source, 4)
        outputs.cells = [cell for cell in outputs.cells if "injected-parameters" not in cell.metadata.get("tags", ())]
        cells = nbformat.read(target, 4)
        if [cell.source for cell in cells.cells] != [cell.source for cell in outputs.cells]:
            raise ValueError(f"{target.name} has changed since {source} was executed; run reproduce again")
        write_notebook(merged(cells, outputs), target)
        print(target.name)


def merged(cells, outputs):
    """Notebook with the cells of one and the outputs of the other where sources agree; ids by position, no times."""
    notebook = combine_inputs_with_outputs(cells, outputs) if outputs else cells
    executed = {cell.source.strip() for cell in outputs.cells} if outputs else set()
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{index:02d}"
        cell.metadata = {key: cell.metadata[key] for key in ("tags", "lacks") if cell.metadata.get(key)}
        if cell.cell_type == "code":  # libraries' warnings name folders of the machine they ran on
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            if cell.source.strip() not in executed:  # jupytext also takes the outputs of cells that look alike
                cell.outputs, cell.execution_count = [], None
    kept = {"cinema": notebook.metadata.get("cinema", {"needs": []})}
    kept["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    kept["language_info"] = {"name": "python"}
    notebook.metadata = kept
    return notebook


def write_notebook(notebook, path):
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    write_json(path, json.loads(nbformat.writes(notebook, 4)))


def write_film(root):
    """figures/00_moving_heart.webp, which README shows: the film that notebook 00 holds."""
    for cell in nbformat.read(root / "notebooks" / "00_start_here.ipynb", 4).cells:
        for output in cell.get("outputs", ()):
            page = output.get("data", {}).get("text/html", "")
            if film := re.search(r"data:image/webp;base64,([^\"]+)", page):
                with whole_or_not(root / "figures" / "00_moving_heart.webp") as temporary:
                    temporary.write_bytes(base64.b64decode(film[1]))
                return
    raise ValueError("notebook 00 holds no film; run it and give --update first")


def seconds_table(root):
    """README's table, in Markdown: notebook, what it shows, seconds per profile from report/times.json."""
    from cinema.runner.run import read_notebooks

    times = read_json(root / "report" / "times.json", {})
    lines = ["| notebook | what it shows | ci, s | laptop, s |", "|---|---|---|---|"]
    for name, book in read_notebooks(root / "notebooks").items():
        seconds = [f"{times[run][name]:.0f}" if name in times.get(run, {}) else "" for run in ("ci", "laptop")]
        lines.append(f"| [{name}](notebooks/{name}.ipynb) | {book.title} | {seconds[0]} | {seconds[1]} |")
    return "\n".join(lines)
