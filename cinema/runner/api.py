"""report/api.html: what the package offers, room by room, from its docstrings. Nothing is imported for it."""

import ast
import html
from collections.abc import Iterator
from pathlib import Path

from cinema.files import PACKAGE


def api(package: Path = PACKAGE) -> list[str]:
    """Parts of the page: of each module the docstring, of its public functions and classes signature and docstring."""
    listed, parts = "", ""
    for module in sorted(package.rglob("*.py")):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        name = ".".join(module.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        about, entries = _docstring(tree), "".join(_entries(tree.body))
        if module.name != "__main__.py" and (about or entries):
            listed += f'<li><a href="#{name}">{name}</a></li>'
            parts += f'<h2 id="{name}">{name}</h2><pre>{about}</pre><dl>{entries}</dl>'
    return [f"<h1>cinema</h1><ul>{listed}</ul>", parts]


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
