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
PATHS = sorted(PACKAGE.rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in PATHS}
FOLDERS = ("cinema", "experiments", "tests", "notebooks/py")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TWINS = sorted((ROOT / "notebooks" / "py").glob("*.py"))
ORDER = (  # imports go down a floor, never up, and not between rooms of one floor
    ("files", "terms", "parallel"),
    ("models", "stats", "results", "__init__"),
    ("cli", "data", "data.public", "plots"),
    ("__main__", "phantom", "training", "runner"),
    ("inference",),
    ("analysis", "doctor"),
)
FLOORS = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}
LEVEL = {("plots", "stats"), ("data.public", "data")}  # the first may import the second all the same
APART = [("data", "models"), ("models", "data"), ("training", "phantom")]  # never, whatever the floors
LIGHT = ("stats", "runner", "results", "cli", "files", "terms", "parallel", "plots", "phantom")
FORBIDDEN = dict.fromkeys(LIGHT, {"torch", "timm"}) | {"models": {"h5py", "nibabel", "pydicom"}}  # outside packages
LONGEST = 330  # lines of a file, after the formatter


def room_of(module):
    """cinema.data.public.acdc -> data.public, cinema.models.vit -> models, cinema.terms -> terms."""
    words = module.split(".")[1:] or ["__init__"]
    return "data.public" if words[:2] == ["data", "public"] else words[0]


def imports(path):
    """Full names of what a file imports, anywhere in it: modules of the project, heads of outside packages."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write cinema.x"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names += [name if name in MODULES else node.module for name in full]
    return {name if name.split(".")[0] == "cinema" else name.split(".")[0] for name in names}


IMPORTS = {module: imports(path) for module, path in MODULES.items()}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_a_floor(module):
    room, found = room_of(module), IMPORTS[module]
    assert room in FLOORS, f"{room} has no floor; rank it here, and say in README what it is for"
    for other in {room_of(name) for name in found if name.split(".")[0] == "cinema"} - {room}:
        assert FLOORS[other] < FLOORS[room] or (room, other) in LEVEL, f"{room} may not import {other}"
        assert (room, other) not in APART, f"{room} may not import {other}"
    assert not found & ({"experiments", "tests", "notebooks"} | FORBIDDEN.get(room, set()))


def test_imports_have_no_circle():
    waiting = {module: {name for name in found if name in MODULES} - {module} for module, found in IMPORTS.items()}
    while free := [module for module, needed in waiting.items() if not needed & set(waiting)]:
        for module in free:
            del waiting[module]
    assert not waiting, f"these import each other: {sorted(waiting)}"


@pytest.mark.parametrize("module", MODULES)
def test_no_file_is_long(module):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_nothing_is_stored_in_two_places():
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__", "shipped"} <= set(FLOORS)


def test_only_one_file_imports_timm():
    assert [module for module, found in IMPORTS.items() if "timm" in found] in ([], ["cinema.models._timm"])


def test_importing_the_package_and_the_runner_is_cheap():
    code = "import sys, cinema, cinema.cli, cinema.runner.run; assert 'UNet' in dir(cinema);"
    code += "heavy = {'torch', 'matplotlib', 'timm'} & set(sys.modules); assert not heavy, heavy"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_public_names_are_there_and_others_are_refused():
    import cinema

    assert all(callable(getattr(cinema, name)) for name in cinema.__all__)
    with pytest.raises(AttributeError, match="public names are CineMA"):
        cinema.nothing


@pytest.mark.parametrize("folder", FOLDERS)
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


@pytest.mark.parametrize("twin", TWINS, ids=lambda path: path.stem)
def test_notebook_opens_with_one_call_and_names_few_modules(twin):
    named = {name for name in imports(twin) if name.split(".")[0] == "cinema"}
    text = twin.read_text(encoding="utf-8")
    assert len(named) <= 12, sorted(named)
    assert f'page = runner.start("{twin.stem}", profile, ' in text and "results.begin" not in text


def test_code_is_formatted_and_plainly_right():
    for command in (["ruff", "format", "--check"], ["ruff", "check"], ["mypy"]):
        done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, done.stdout


def test_every_twin_has_its_notebook():
    assert [path.stem for path in TWINS] == [path.stem for path in NOTEBOOKS]


def test_figures_are_named_after_a_notebook():
    numbers = {path.name[:2] for path in NOTEBOOKS}
    files = [path for path in (ROOT / "figures").iterdir() if path.suffix in (".png", ".pdf")]
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
