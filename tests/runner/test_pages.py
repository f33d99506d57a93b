"""Pages of a run: nothing is asked of the net, every picture is described, notebooks lead to each other."""

import io
import json
import re
import shutil
from base64 import b64decode, b64encode

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from places import ROOT

from cinema.runner import pages, run

TITLES = {"00_first": "First <of all>", "01_second": "Second", "02_third": "Third"}


def png():
    data = io.BytesIO()
    Image.new("RGB", (4, 4)).save(data, "PNG")
    return b64encode(data.getvalue()).decode()


def film():
    data, frames = io.BytesIO(), [Image.new("RGB", (8, 4), (k, 0, 0)) for k in (0, 250)]
    frames[0].save(data, "WEBP", save_all=True, append_images=frames[1:], duration=50)
    return f'<img alt="Cine" src="data:image/webp;base64,{b64encode(data.getvalue()).decode()}">'


@pytest.fixture
def notebook():
    show = lambda **data: new_output("display_data", {key.replace("_", "/"): value for key, value in data.items()})
    plot = 'page.save(fig, "01_empty")\npage.save(other, "01_other")'
    return new_notebook(
        cells=[
            new_markdown_cell("# Second\n\nAs notebook 00 shows, and notebooks 01 and 02; notebook 77 does not."),
            new_markdown_cell("## How empty\n\n*How empty does it\nget?* **Not *that*.**"),
            new_code_cell(plot, outputs=[show(image_png=png()), show(image_png=png())]),
            new_markdown_cell("## In motion"),
            new_code_cell("x", outputs=[show(text_html=film()), show(text_markdown="See notebook 02.")]),
            new_code_cell(
                "y", outputs=[show(image_png=png()), show(text_html="<style>a {}</style><table><tr><td>1</table>")]
            ),
        ]
    )


def test_an_executed_notebook_is_a_page_of_its_own(notebook):
    page = pages.notebook_page(notebook, "01_second", TITLES)
    assert "<title>Second</title>" in page and 'name="viewport"' in page
    assert re.findall(r'<a href="(\S+)">([^<]*)</a>', page.partition("<main>")[0]) == [
        ("index.html", "Home"),
        ("00_first.html", "← First &lt;of all&gt;"),
        ("02_third.html", "Third →"),
    ]
    cited = re.findall(r'<a href="(\d\d_\w+.html)">(\d\d)</a>', page.partition("<main>")[2])
    assert cited == [
        ("00_first.html", "00"),
        ("01_second.html", "01"),
        ("02_third.html", "02"),
        ("02_third.html", "02"),
    ]
    empty = "How empty: How empty does it get?"
    assert re.findall(r'<img[^>]*alt="([^"]*)"', page) == [empty, empty, "Cine", "In motion"]
    assert page.count("<img") == 4 and page.count("<style") == 1
    assert page.count('<div class="wide" tabindex="0"') == page.count("<table") == 1
    still = Image.open(io.BytesIO(b64decode(re.search(r'srcset="[^,]*,([^"]*)"', page)[1])))
    assert still.n_frames == 1 and "(prefers-reduced-motion: reduce)" in page


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem[:2])
def test_stored_notebooks_become_pages_that_ask_the_net_for_nothing(path):
    titles = {book.stem: book.stem for book in path.parent.glob("*.ipynb")}
    page = pages.notebook_page(nbformat.read(path, 4), path.stem, titles)
    outside = re.findall(
        r'(?:src|srcset)="(?!data:)[^"]*"|<link[^>]*>|<script[^>]*src[^>]*>|@import[^;]*|url\([^)]*\)', page
    )
    assert not outside and "$$" not in page and not re.search(r"\$[^$\n<]*\\[a-z]+[^$\n<]*\$", page)
    described = re.findall(r"<img[^>]*>", page)
    assert all(re.search(r'alt="[^"]{3,}"', tag) and "No description" not in tag for tag in described)


def test_home_shows_its_figures_from_a_copied_folder(notebook, tmp_path):
    setting = run.Setting(tmp_path, "ci", "virtual", tmp_path / "data", 0)
    (setting.folder / "figures" / "results").mkdir(parents=True)
    row = {"key": "01_a", "value": 0.25, "lower": None, "upper": None, "n": 3, "unit": "", "cohort": "v", "claim": ""}
    (setting.folder / "figures" / "results" / "01_second.json").write_text(json.dumps([row]), encoding="utf-8")
    (setting.folder / "figures" / "01_empty.png").write_bytes(b"a picture")
    nbformat.write(notebook, setting.folder / "01_second.ipynb")
    (setting.folder / "01_second.html").touch()
    (tmp_path / "report" / "laptop").mkdir()
    (tmp_path / "report" / "laptop" / "index.html").touch()
    pages.write_home(setting, TITLES, {"01_second": "ran"})
    copied = shutil.copytree(tmp_path / "report", tmp_path / "elsewhere" / "report")
    for home in (copied / "index.html", copied / "ci" / "index.html"):
        text = home.read_text(encoding="utf-8")
        places = re.findall(r'(?:href|src)="([^"#]+)"', text)
        assert len(places) > 5 and all((home.parent / place).exists() for place in places)
        assert "How empty: How empty does it get?" in text and "Run laptop" in text and "<td>ran</td>" in text
    assert "01_a</td><td>0.25" in (copied / "ci" / "numbers.html").read_text(encoding="utf-8")
