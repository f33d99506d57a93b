"""The pages of a run, which ask the net for nothing: each executed notebook, the run's home, its numbers.

Light and dark as the reader's system, readable on a phone and on paper. A picture is described by its section and the
question that opens it.
"""

import base64
import io
import os
import platform
import re
from html import escape
from importlib import metadata
from pathlib import Path

from cinema.files import write_text
from cinema.results import read_json
from cinema.runner import ledger
from cinema.runner.api import api
from cinema.runner.publish import figures

CITED = re.compile(r"\b[Nn]otebooks? \d\d\b(?:(?:, | and | to | or )\d\d\b)*")
WORDLESS = re.compile(r'<img (?![^>]*alt="(?!No description))[^>]*>')
FILM = re.compile(r'(<img [^>]*?)src="data:image/webp;base64,([^"]+)"([^>]*>)')
STYLE = """:root { color-scheme: light dark; --text: #1d1d1f; --soft: #55555c; --ground: #fff; --line: #d5d5db;
  --box: #f4f4f7; --link: #0a4fbf }
@media (prefers-color-scheme: dark) { :root { --text: #e9e9ec; --soft: #b4b4bb; --ground: #17171a; --line: #3c3c42;
  --box: #232328; --link: #8fb8ff } }
body { font: 17px/1.6 system-ui, sans-serif; max-width: 56rem; margin: 0 auto; padding: 0 1rem 3rem;
  color: var(--text); background: var(--ground); overflow-wrap: break-word }
a { color: var(--link) } nav { display: flex; flex-wrap: wrap; gap: .3rem 1.5rem; padding: .8rem 0 }
h1 { line-height: 1.25 } code, dt { overflow-wrap: anywhere }
h2 { margin-top: 2.2rem; border-top: 1px solid var(--line); padding-top: 1rem }
img { max-width: 100%; height: auto; background: #fff } figure { margin: 0 } figcaption, .soft { color: var(--soft) }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13.5px; line-height: 1.45 }
.input pre { background: var(--box); padding: .7rem .9rem; border-radius: .4rem } .highlight .k, .highlight .kn,
.highlight .kc, .highlight .ow { font-weight: 650 } .highlight .c1, .highlight .sd { color: var(--soft) }
.wide { overflow-x: auto; margin: .8rem 0 } table { border-collapse: collapse; font-size: 14px }
td, th { padding: .2rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line) }
.dataframe td { text-align: right; white-space: nowrap } blockquote { margin-left: 1rem; color: var(--soft) }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.2rem }
.gallery img { border: 1px solid var(--line) } .gallery figcaption { font-size: 14px; line-height: 1.4 }
input { font: inherit; width: 100%; max-width: 24rem; padding: .3rem }
@media print { nav, .input { display: none } }"""
PAPER = """CineMA is a masked autoencoder: it hides most of a cine study of the heart, in four views, and learns to fill
it in. Its authors pretrained it on 74,916 studies of UK Biobank and fine-tuned it to outline the heart, to measure its
function and to tell disease, sex, age and scanner. Here the model is rebuilt, and every question of the paper is asked
again, by default of virtual hearts whose truth is known."""
FILTER = """<p><label for="words">Show rows with</label> <input id="words" type="search"></p><script>
document.getElementById("words").addEventListener("input", event => {
  const words = event.target.value.toLowerCase().split(" ")
  for (const row of document.querySelectorAll("tbody tr"))
    row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word)) })</script>"""


def framed(title: str, parts: list[str], links: list[tuple[str, str]]) -> str:
    """A whole page. links: (address, words) of its navigation."""
    head = '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    head += f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
    there = "".join(f'<a href="{address}">{escape(words)}</a>' for address, words in links)
    return "\n".join(
        [f"{head}<style>{STYLE}</style></head><body><nav>{there}</nav><main>", *parts, "</main></body></html>\n"]
    )


def notebook_page(notebook, name: str, titles: dict[str, str]) -> str:
    """An executed notebook as a page. titles: name -> heading of all notebooks of the run, in order."""
    from nbconvert import HTMLExporter  # takes a second to import, and only runs that execute something need it

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source, titles)
        for output in cell.get("outputs", ()):
            if "text/markdown" in output.get("data", {}):
                output.data["text/markdown"] = linked(output.data["text/markdown"], titles)
    plain = {"exclude_input_prompt": True, "exclude_output_prompt": True, "exclude_anchor_links": True}
    body = HTMLExporter(template_name="basic", **plain).from_notebook_node(notebook)[0]
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)  # of outputs, which know one background only
    described = iter([words for _, words in pictures(notebook)])
    body = WORDLESS.sub(lambda tag: _described(tag[0], next(described)), body)
    body = re.sub(r"<table", '<div class="wide" tabindex="0" role="region" aria-label="Table"><table', body)
    body = FILM.sub(_still_where_asked, body.replace("</table>", "</table></div>"))
    names = list(titles)
    at, links = names.index(name), [("index.html", "Home")]
    links += [(f"{names[at - 1]}.html", f"← {titles[names[at - 1]]}")] if at else []
    links += [(f"{names[at + 1]}.html", f"{titles[names[at + 1]]} →")] if at + 1 < len(names) else []
    return framed(titles[name], [body], links)


def linked(text: str, titles: dict[str, str]) -> str:
    """Markdown in which every notebook that is named is a link to its page."""
    pages = {name[:2]: f"{name}.html" for name in titles}
    link = lambda number: f"[{number[0]}]({pages[number[0]]})" if number[0] in pages else number[0]
    return CITED.sub(lambda cited: re.sub(r"\d\d", link, cited[0]), text)


def pictures(notebook) -> list[tuple[str, str]]:
    """(name of the figure or "", what it shows) of each picture among the outputs, in order: the heading above it and,
    where there is one, the question in italics that stands nearest before it."""
    found, heading, question = [], "", ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in re.findall(r"^#+ .*|(?<!\*)\*[^*]+\?\*", cell.source, re.MULTILINE):
                plain = " ".join(line.strip("#*").split())
                heading, question = (plain, "") if line[0] == "#" else (heading, plain)
        saved = re.findall(r"page\.save\([^\n]*?\"(\d\d_\w+)\"", cell.source) if cell.cell_type == "code" else []
        shown = [output for output in cell.get("outputs", ()) if "image/png" in output.get("data", {})]
        for k in range(len(shown)):
            words = f"{heading}{' ' if heading.endswith('?') else ': '}{question}" if question else heading
            found.append((saved[k] if k < len(saved) else "", words))
    return found


def _described(tag: str, words: str) -> str:
    tag = re.sub(r'\s(alt|class)="[^"]*"', "", tag)
    return tag.replace("<img ", f'<img alt="{escape(words)}" ', 1)


def _still_where_asked(film: re.Match) -> str:
    """A moving picture that stands still for readers who have asked for less motion."""
    from PIL import Image

    first = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(film[2]))) as frames:
        frames.convert("RGB").save(first, "WEBP", quality=60)
    still = f"data:image/webp;base64,{base64.b64encode(first.getvalue()).decode()}"
    source = f'<source media="(prefers-reduced-motion: reduce)" srcset="{still}">'
    return f'<picture>{source}{film[1]}src="data:image/webp;base64,{film[2]}"{film[3]}</picture>'


def write_home(setting, titles: dict[str, str], state: dict[str, str]) -> None:
    """report/<run>/index.html and numbers.html, and report/index.html, which is the home of the run that came last.

    titles: name -> heading; state: name -> "ran", "up to date", "failed" or "not run" of what this run has looked at.
    """
    report, run = setting.folder.parent, setting.folder
    rows = rows_of(setting, titles)
    write_text(report / "api.html", framed("cinema: the package", api(), [("index.html", "Home")]))
    for place in (run, report):
        write_text(place / "index.html", home(setting, titles, state, rows, place))
    write_text(
        run / "numbers.html", framed("Numbers", ["<h1>Numbers</h1>", FILTER, numbers(rows)], [("index.html", "Home")])
    )


def rows_of(setting, titles) -> list[dict]:
    """What the notebooks of a run have recorded, with run and notebook."""
    about = {"profile": setting.profile, "data": setting.data, "seed": setting.seed}
    read = lambda name: read_json(setting.folder / "figures" / "results" / f"{name}.json", [])
    return [{**row, "notebook": name, **about} for name in titles for row in read(name)]


def home(setting, titles, state, rows, place: Path) -> str:
    """The home of a run, for the folder `place`: what was asked and found, its figures, how it was made."""
    from nbformat import read

    link = lambda path: Path(os.path.relpath(path, place)).as_posix()
    runs = sorted(path.parent for path in setting.folder.parent.glob("*/index.html") if path.parent != setting.folder)
    links = [
        (link(setting.folder / "numbers.html"), "Numbers"),
        (link(setting.folder.parent / "api.html"), "The package"),
    ]
    links += [(link(run / "index.html"), f"Run {run.name}") for run in runs]
    about = f"Profile {setting.profile}, data {setting.data}, seed {setting.seed}"
    parts = ["<h1>CineMA companion</h1>", f"<p>{PAPER}</p>", f'<p class="soft">{about}. What is virtual says so.</p>']
    if setting.data == "virtual":
        parts += ["<h2>What the paper claims, and what was found</h2>", claims(rows)]
    parts += ["<h2>The notebooks</h2>", overview(setting, titles, state, link), "<h2>Figures</h2>"]
    for name, title in titles.items():
        executed, shown = setting.folder / f"{name}.ipynb", []
        words = dict(pictures(read(executed, 4))) if executed.exists() else {}
        for path in figures(setting.folder / "figures", name):
            if path.suffix == ".png":
                told = escape(words.get(path.stem) or path.stem[3:].replace("_", " "))
                image = f'<a href="{link(path)}"><img src="{link(path)}" alt="{told}" loading="lazy"></a>'
                shown.append(f"<figure>{image}<figcaption>{told}</figcaption></figure>")
        if shown:
            page = link(setting.folder / f"{name}.html")
            parts += [f'<h3><a href="{page}">{escape(title)}</a></h3><div class="gallery">', *shown, "</div>"]
    return framed("CineMA companion", [*parts, "<h2>How it was made</h2>", machine()], links)


def table(head: list[str], lines: list[list[str]], label: str) -> str:
    """HTML of a table that scrolls by itself; cells are HTML."""
    row = lambda cells, kind: "<tr>" + "".join(f"<{kind}>{cell}</{kind}>" for cell in cells) + "</tr>"
    body = "".join(row(line, "td") for line in lines)
    whole = f"<table><thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table>"
    return f'<div class="wide" tabindex="0" role="region" aria-label="{label}">{whole}</div>'


def claims(rows) -> str:
    shown = ["claim", "sentence", "published", "virtual", "verdict"]
    whole = ledger.table(rows)[shown].astype(str).map(escape)
    return table([ledger.HEADS[name] for name in shown], whole.to_numpy().tolist(), "Claims")


def overview(setting, titles, state, link) -> str:
    """Table of the notebooks that have a page: title, seconds, what became of them."""
    seconds = read_json(setting.folder.parent / "times.json", {}).get(setting.folder.name, {})
    lines = []
    for name, title in titles.items():
        page = setting.folder / f"{name}.html"
        words = f'<a href="{link(page)}">{escape(title)}</a>' if page.exists() else escape(title)
        lines.append([name[:2], words, f"{seconds[name]:.0f}" if name in seconds else "", state.get(name, "")])
    return table(["", "notebook", "seconds", "this run"], lines, "Notebooks")


def numbers(rows) -> str:
    """All recorded numbers."""
    columns = ["key", "value", "lower", "upper", "n", "unit", "cohort", "claim"]
    text = lambda value: "" if value is None else f"{value:.4g}" if isinstance(value, float) else escape(str(value))
    return table(columns, [[text(row[column]) for column in columns] for row in rows], "Numbers")


def machine() -> str:
    """Where and with which versions."""
    versions = []
    for name in ("cinema", "torch", "timm", "numpy", "scipy", "matplotlib", "lifelines"):
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:  # a clone that is not installed
            continue
    where = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f'<p class="soft">{escape(where)}; {escape(", ".join(versions))}.</p>'
