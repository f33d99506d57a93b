"""What a notebook becomes on real patients: what only virtual ones have is left out, with its reason in its place."""

import re
from itertools import groupby

from nbformat.v4 import new_markdown_cell

VIRTUAL = "virtual"  # the tag of cells that need the virtual cohort, and its name as `data`
BEGINS = re.compile(r"\brunner\.start\([^)]*\bdata\b")
FIGURE = re.compile(r"""save\(fig, f?["'](\w+)["']""")
HEADING = re.compile(r"^#{2,4} +(.+?)\s*$", re.MULTILINE)


def for_data(notebook, data, number):
    """The notebook with the cells that hold for dataset `data`, as a new NotebookNode.

    The dataset's notice stands below the title. Each run of cells tagged `virtual` becomes one line: which headings and
    figures are left out and what they need (a cell's metadata `lacks`; by default the virtual cohort). A run of prose
    without a heading goes silently. Of a notebook that the dataset's card does not name, title and parameters stay,
    and a line names those that have something to say.
    number: of the notebook, "03". ValueError if its numbers and figures would be called virtual.
    """
    from cinema.data.public import cards, prepared

    card, page = cards.card(data), notebook.copy()
    opening, rest = notebook.cells[:1], notebook.cells[1:]
    if number not in card.notebooks:
        rest = [cell for cell in rest if "parameters" in cell.metadata.get("tags", ())]
        have = f"Notebooks that have: {', '.join(card.notebooks)}."
        rest.append(new_markdown_cell(f"*This page has nothing to say about {card.name}. {have}*"))
    elif not any(BEGINS.search(cell.source) for cell in rest if cell.cell_type == "code"):
        lacks = "no runner.start(.., data, ..)"
        raise ValueError(f"notebook {number} has {lacks}; what it shows of {card.name} would be called virtual")
    page.cells = [*opening, new_markdown_cell(prepared.notice(data))]
    for is_virtual, cells in groupby(rest, lambda cell: VIRTUAL in cell.metadata.get("tags", ())):
        run = list(cells)
        page.cells += _left_out(run, card.name) if is_virtual else run
    for index, cell in enumerate(page.cells):
        cell["id"] = f"cell-{index:02d}"
    return page


def _left_out(run, name):
    """A cell with the line that stands for a run of cells; none where nothing is missed."""
    text = "\n".join(cell.source for cell in run if cell.cell_type == "markdown")
    code = "\n".join(cell.source for cell in run if cell.cell_type == "code")
    headings, figures = HEADING.findall(text), FIGURE.findall(code)
    if not headings and not code:
        return []
    what = [f"“{heading}”" for heading in headings] + [f"figure {figure}" for figure in figures]
    needs = list(dict.fromkeys(cell.metadata.get("lacks", "the virtual cohort") for cell in run))
    said = f"{', '.join(what) or 'a step of this section'}. It needs {' and '.join(needs)}."
    return [new_markdown_cell(f"*Left out for {name}: {said}*")]
