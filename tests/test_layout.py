"""What holds for the tree as a whole: who imports whom, how notebooks are written, what no file may say."""

import ast
import re
import subprocess
import sys

import jupytext
import nbformat
import pytest
from places import ROOT

PACKAGE = ROOT / "cinema"
MODULES = sorted(PACKAGE.rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ORDER = [  # each imports only from earlier rows, and from its own part
    {"terms"},
    {"study"},
    {"geometry", "metrics"},
    {"phantom"},
    {"datasets", "transforms"},
    {"loaders"},
    {"models"},
    {"tasks"},
    {"train", "evaluate"},
    {"compare", "shipping"},
    {"experiments"},
]
RANK = {part: rank for rank, parts in enumerate(ORDER) for part in parts}
FORBIDDEN = {  # part -> what it may not import, beyond the order
    "models": {"study", "phantom", "datasets", "transforms", "loaders", "h5py", "nibabel", "pydicom"},
    "plots": {"torch", "models", "tasks", "train", "evaluate", "loaders", "datasets", "study"},
    **dict.fromkeys(
        (
            "stats",
            "diagnosis",
            "survival",
            "cox",
            "fairness",
            "mitigation",
            "exposures",
            "ledger",
            "long_axis",
            "run",
            "execute",
            "publish",
            "expected",
            "upkeep",
            "results",
            "cli",
            "terms",
            "study",
            "geometry",
            "phantom",
            "datasets",
        ),
        {"torch", "timm"},
    ),
}


def part_of(path):
    """terms.py -> terms, models/vit.py -> models."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Parts of the package and outside packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write cinema.x"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            words = name.split(".")
            found.add(words[1] if words[0] == "cinema" and len(words) > 1 else words[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    part, found = part_of(path), imports(path)
    too_late = {name for name in found if name in RANK and name != part and RANK[name] >= RANK.get(part, len(ORDER))}
    assert not too_late, f"{part} may not import {too_late}"
    assert not found & FORBIDDEN.get(part, set())


def test_only_one_file_imports_timm():
    assert [path.name for path in MODULES if "timm" in imports(path)] in ([], ["_timm.py"])


def test_importing_the_package_and_the_runner_is_cheap():
    code = (
        "import sys, cinema, cinema.cli, cinema.run; heavy = {'torch', 'matplotlib', 'timm'} & set(sys.modules);"
        "assert not heavy, heavy; import cinema; assert 'UNet' in dir(cinema)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_public_names_are_there_and_others_are_refused():
    import cinema

    assert all(callable(getattr(cinema, name)) for name in cinema.__all__)
    with pytest.raises(AttributeError, match="public names are CineMA"):
        cinema.nothing


def test_lines_are_at_most_120_characters():
    files = [*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "notebooks" / "py").glob("*.py")]
    assert not [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 120
    ]


@pytest.mark.parametrize("folder", ["cinema", "tests", "notebooks/py"])
def test_text_names_its_encoding(folder):
    """Otherwise it is the machine's, or ASCII once a library has changed the process's locale."""
    silent = []
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            named = {word.arg for word in getattr(node, "keywords", ())}
            reads = called.endswith((".read_text", ".write_text")) and not called.startswith("checkpoint.")
            opens = called == "open" and not re.search("'[rwa]b'", ast.unparse(node))
            starts = called.startswith("subprocess.") and named & {"text", "universal_newlines"}
            if (reads or opens or starts) and "encoding" not in named:
                silent.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not silent


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_readable_executed_and_in_step_with_its_twin(path):
    notebook = nbformat.read(path, 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    lengths = [sum(bool(line.strip()) for line in cell.source.splitlines()) for cell in code]
    words = sum(len(re.findall(r"\w+", cell.source)) for cell in notebook.cells if cell.cell_type == "markdown")
    assert sum("parameters" in cell.metadata.get("tags", ()) for cell in notebook.cells) == 1
    assert max(lengths) <= 14, [cell.source for cell, length in zip(code, lengths, strict=True) if length > 14]
    assert words >= 5 * sum(lengths), f"{words} words for {sum(lengths)} lines of code"
    assert all(cell.execution_count is not None for cell in code)
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    twin = jupytext.read(path.parent / "py" / f"{path.stem}.py")
    sources = [[(cell.cell_type, cell.source.strip()) for cell in one.cells] for one in (notebook, twin)]
    assert sources[0] == sources[1], f"run python3 -m cinema notebooks --sync after editing {path.stem}.py"
    needs = [one.metadata.get("cinema", {}).get("needs", []) for one in (notebook, twin)]
    assert needs[0] == needs[1]


def test_every_twin_has_its_notebook():
    assert [path.stem for path in sorted((ROOT / "notebooks" / "py").glob("*.py"))] == [path.stem for path in NOTEBOOKS]


def test_figures_are_named_after_a_notebook():
    numbers = {path.name[:2] for path in NOTEBOOKS}
    files = [*(ROOT / "figures").glob("*.png"), *(ROOT / "figures").glob("*.pdf")]
    assert not [path.name for path in files if path.name[:2] not in numbers]


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *ROOT.glob("*/README.md")], ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (path.parent / link).exists()]


def test_no_file_names_a_folder_of_one_machine():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, encoding="utf-8")
    if tracked.returncode:
        pytest.skip("not a git clone")
    machine = re.compile(r"""["'(= ]/(?:ro{2}t|hom[e]|wor[k]|tm[p])/""")
    for name in filter(None, tracked.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in (".py", ".md", ".ipynb", ".toml", ".yml", ".txt", ".cff", ".csv", "") and path.is_file():
            assert not machine.search(path.read_text(encoding="utf-8")), f"{name} names a folder of one machine"
