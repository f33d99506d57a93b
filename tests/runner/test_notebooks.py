"""Upkeep of the stored notebooks."""

import nbformat
import pytest

from cinema.runner import notebooks


def test_pages_that_may_show_a_patient_are_not_stored(tmp_path):
    (tmp_path / "data" / "real").mkdir(parents=True)
    with pytest.raises(ValueError, match="data/real is there"):
        notebooks.main(sync=False, update=True, table=False, root=tmp_path)
    with pytest.raises(ValueError, match="nothing to do"):
        notebooks.main(sync=False, update=False, table=False)


def test_outputs_are_taken_and_cells_kept(tmp_path):
    ours, executed = tmp_path / "notebooks", tmp_path / "report" / "laptop"
    for folder, count in ((ours, None), (executed, 1)):
        folder.mkdir(parents=True)
        cell = nbformat.v4.new_code_cell("1 + 1", execution_count=count)
        if count:
            cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "2"}, execution_count=count)]
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "00_x.ipynb")
    notebooks.main(sync=False, update=True, table=False, root=tmp_path)
    (stored,) = nbformat.read(ours / "00_x.ipynb", 4).cells
    assert stored.source == "1 + 1" and stored.outputs[0]["data"]["text/plain"] == "2"


def test_a_changed_cell_loses_its_output():
    pages = [["kept = 1\nprint(kept)", f"changed = {number}\nprint(changed)"] for number in (1, 2)]
    cells = [[nbformat.v4.new_code_cell(source) for source in sources] for sources in pages]
    old, new = (nbformat.v4.new_notebook(cells=page) for page in cells)
    for cell in old.cells:
        cell.execution_count, cell.outputs = 1, [nbformat.v4.new_output("stream", text="1\n")]
    kept, changed = notebooks.merged(new, old).cells
    assert kept.outputs and kept.execution_count == 1
    assert not changed.outputs and changed.execution_count is None
