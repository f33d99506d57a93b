"""What a notebook becomes on real patients, and that nothing of them reaches figures/."""

import json

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell as code
from nbformat.v4 import new_markdown_cell as prose
from PIL import Image
from places import ROOT

from cinema import results
from cinema.data.public import cards, prepared
from cinema.plots import style
from cinema.runner import for_data, publish, run
from cinema.stats import estimates

PARAMETERS = 'profile = "laptop"\ndata = "virtual"\ndata_root = "../data"\nseed = 0\nout = "../figures"'
BEGIN = """from cinema import runner
page = runner.start("03_page", profile, data, data_root, seed, out)
page.record("03_n", 1.5)"""
DRAW = 'fig, ax = page.figure()\npage.save(fig, "03_generic")'
VIRTUAL = {"tags": ["virtual"]}


def page(*more):
    opening = [prose("# Page\n\nOf all."), code(PARAMETERS, metadata={"tags": ["parameters"]}), code(BEGIN)]
    return nbformat.v4.new_notebook(cells=[*opening, *more], metadata={"cinema": {"needs": []}})


def sources(notebook, number):
    return [cell.source for cell in for_data.for_data(notebook, "acdc", number).cells]


def test_virtual_cells_become_one_line_that_names_headings_figures_and_reason():
    hospitals = {**VIRTUAL, "lacks": "other hospitals"}
    noise = prose("## Noise\n\n*Why?*", metadata=VIRTUAL), code('save(fig, "03_robustness")', metadata=hospitals)
    silent = prose("All hearts are virtual.", metadata=VIRTUAL)
    original = page(*noise, code("kept = 1"), silent, prose("For all."))
    found = sources(original, "03")
    assert found[0] == "# Page\n\nOf all." and found[1] == prepared.notice("acdc")
    left_out = "*Left out for ACDC: “Noise”, figure 03_robustness. It needs the virtual cohort and other hospitals.*"
    assert found[2:] == [PARAMETERS, BEGIN, left_out, "kept = 1", "For all."]
    assert len(original.cells) == 8  # as it was


def test_a_page_with_nothing_to_say_names_those_that_have():
    found = sources(page(code("1 / 0")), "09")
    others = ", ".join(cards.card("acdc").notebooks)
    assert found[2:] == [PARAMETERS, f"*This page has nothing to say about ACDC. Notebooks that have: {others}.*"]
    assert "03" in others


def test_a_page_that_would_call_real_numbers_virtual_is_refused():
    plain = page()
    plain.cells[2].source = 'runner.start("03_page", profile, "virtual", data_root, seed, out)'
    with pytest.raises(ValueError, match="notebook 03 has no runner.start.*of ACDC would be called virtual"):
        for_data.for_data(plain, "acdc", "03")


@pytest.mark.parametrize("name", cards.names())
def test_every_notebook_of_a_dataset_can_be_made_for_it(name):
    for number in cards.card(name).notebooks:
        (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        made = for_data.for_data(nbformat.read(path, 4), name, number)
        nbformat.validate(made)
        assert not [cell for cell in made.cells if "virtual" in cell.metadata.get("tags", ())]
        assert sum("parameters" in cell.metadata.get("tags", ()) for cell in made.cells) == 1


@pytest.fixture(scope="module")
def real_run(tmp_path_factory):
    """A project after a run on a prepared dataset, and the bytes that figures/ had before."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("cinema", "notebooks", "figures", "data/acdc"):
        (root / folder).mkdir(parents=True)
    (root / "constraints.txt").write_text("", encoding="utf-8")
    (root / "figures" / "03_generic.png").write_bytes(b"of virtual hearts")
    (root / "figures" / "results.json").write_text("[]\n", encoding="utf-8")
    (root / "data" / "acdc" / "prepared.json").write_text("{}", encoding="utf-8")
    planted = code('raise RuntimeError("needs virtual hearts")', metadata=VIRTUAL)
    book = page(code(DRAW), planted)
    early = nbformat.v4.new_notebook(cells=book.cells[:2], metadata={"cinema": {"needs": []}})
    book.metadata["cinema"]["needs"] = ["02_early"]
    for name, pages in (("02_early", early), ("03_page", book)):
        nbformat.write(pages, root / "notebooks" / f"{name}.ipynb")
    before = {path.name: path.read_bytes() for path in (root / "figures").iterdir()}
    assert run.reproduce(profile="ci", data="acdc", only=["03"], root=root) == 0
    return root, before


def test_a_real_run_leaves_figures_alone_and_keeps_its_own_in_report(real_run):
    root, before = real_run
    assert {path.name: path.read_bytes() for path in (root / "figures").iterdir()} == before
    made = root / "report" / "ci-acdc"
    assert (made / "03_page.ipynb").exists() and (made / "figures" / "03_generic.png").exists()
    assert not (made / "02_early.ipynb").exists()  # what notebooks need of each other is shipped
    (row,) = json.loads((made / "figures" / "results.json").read_bytes())
    assert (row["key"], row["cohort"], row["data"], row["profile"]) == ("03_n", "acdc", "acdc", "ci")
    about = Image.open(made / "figures" / "03_generic.png").text["Description"]
    assert prepared.stamp("acdc") in about and "virtual" not in about


def test_a_real_run_is_cached_until_its_dataset_changes(real_run, capsys):
    root, _ = real_run
    for change, words in ((None, "up to date"), ("{} ", "running")):
        if change:
            (root / "data" / "acdc" / "prepared.json").write_text(change, encoding="utf-8")
        assert run.reproduce(profile="ci", data="acdc", only=["03"], root=root) == 0
        assert capsys.readouterr().out.splitlines()[0].partition(",")[0].endswith(words)


def test_preparing_a_dataset_makes_no_virtual_page_out_of_date(real_run):
    root, _ = real_run
    virtual = run.check_setting(root, "ci", "virtual", None, 0)
    books = run.read_notebooks(root / "notebooks")
    before = run.keys(virtual, books)
    (root / "data" / "acdc" / "other.json").write_text("{}", encoding="utf-8")
    assert run.keys(virtual, books) == before


def test_real_figures_may_not_be_sent_to_figures(real_run):
    root, _ = real_run
    with pytest.raises(ValueError, match="figures/ is for virtual patients in the laptop"):
        run.reproduce(profile="ci", data="acdc", out=root / "figures" / "acdc", root=root)
    setting = run.Setting(root, "ci", "acdc", root / "data", 0)
    assert publish.place(setting, None) == root / "report" / "ci-acdc" / "figures"


def test_a_dataset_that_is_unknown_or_not_prepared_is_said_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match="data 'adcd' is unknown; choose from virtual, acdc"):
        run.check_setting(tmp_path, "ci", "adcd", None, 0)
    with pytest.raises(FileNotFoundError, match="python3 -m cinema prepare acdc RAW"):
        run.check_setting(tmp_path, "ci", "acdc", tmp_path, 0)


def test_records_and_figures_are_of_the_dataset_until_the_next_page(tmp_path):
    results.begin("03_page", tmp_path, "acdc")
    results.record("03_few", 0.5, *estimates.bca([0.4, 0.6], np.mean, np.random.default_rng(0), least=5)[1:])
    results.record("03_paper", 1.0, cohort="published")
    rows = json.loads((tmp_path / "results" / "03_page.json").read_bytes())
    ends = [(row["lower"], row["upper"], row["cohort"]) for row in rows]
    assert ends == [(None, None, "acdc"), (None, None, "published")]
    results.begin("03_page", tmp_path)
    results.record("03_n", 1)
    fig, _ = style.figure()
    style.save(fig, "03_x", tmp_path, 0)
    plt.close(fig)
    assert json.loads((tmp_path / "results" / "03_page.json").read_bytes())[0]["cohort"] == "virtual"
    assert "data: virtual" in Image.open(tmp_path / "03_x.png").text["Description"]


def test_few_patients_get_a_number_and_no_interval():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"study": list("abcdef") * 2, "arm": ["x"] * 6 + ["y"] * 6, "dice": np.arange(12.0)})
    enough = estimates.difference(table, "y", "x", rng, least=estimates.FEW)
    few = estimates.difference(table[table["study"] < "e"], "y", "x", rng, least=estimates.FEW)
    assert (enough.value, few.value, few.n) == (6.0, 6.0, 4)
    assert np.isfinite(enough.lower) and np.isnan(few.lower) and np.isnan(few.upper)
    assert few.text(1) == "6.0 (n = 4, too small for an interval)"
    assert estimates.verdict(few) == "not compared, n too small" and estimates.verdict(enough) == "better"
    one = estimates.means(table[table["study"] == "a"], "dice", "arm", rng, least=estimates.FEW)
    assert {arm: (estimate.value, estimate.n) for arm, estimate in one.items()} == {"x": (0.0, 1), "y": (6.0, 1)}
