"""report/api.html: what the package offers, room by room, from its docstrings. Nothing is imported for it."""

import ast
import html
from collections.abc import Iterator
from pathlib import Path

from cinema.files import PACKAGE, write_text

STYLE = """body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; color: #222 }
pre { white-space: pre-wrap; margin: .2rem 0 .8rem 1.5rem; color: #555 } dt { margin-top: .6rem }
h2 { border-bottom: 1px solid #ddd }"""


def write_api(path: Path, package: Path = PACKAGE) -> None:
    """Write the page: each module's docstring and the signatures and docstrings of its public functions and classes."""
    listed, parts = "", ""
    for module in sorted(package.rglob("*.py")):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        name = ".".join(module.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        about, entries = _docstring(tree), "".join(_entries(tree.body))
        if module.name != "__main__.py" and (about or entries):
            listed += f'<li><a href="#{name}">{name}</a></li>'
            parts += f'<h2 id="{name}">{name}</h2><pre>{about}</pre><dl>{entries}</dl>'
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>cinema: API</title><style>{STYLE}</style>'
    write_text(path, f"{head}<h1>cinema</h1><ul>{listed}</ul>{parts}</html>\n")


def _entries(body: list[ast.stmt], owner: str = "") -> Iterator[str]:
    """An entry for each public function and class, and for the methods of the classes."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        head = f"class {node.name}"
        if isinstance(node, ast.FunctionDef):
            returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            head = f"{owner}{node.name}({ast.unparse(node.args)}){returned}"
        yield f"<dt><code>{html.escape(head)}</code></dt><dd><pre>{_docstring(node)}</pre></dd>"
        yield from _entries(node.body if isinstance(node, ast.ClassDef) else [], f"{node.name}.")


def _docstring(node: ast.Module | ast.FunctionDef | ast.ClassDef) -> str:
    return html.escape(ast.get_docstring(node) or "")
