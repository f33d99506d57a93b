"""report/api.html: what the package offers, room by room, from its docstrings. Nothing is imported for it."""

import ast
import html
from pathlib import Path

from cinema.files import PACKAGE, write_text

STYLE = """body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; color: #222 }
pre { white-space: pre-wrap; margin: .2rem 0 .8rem 1.5rem; color: #555 } dt { margin-top: .6rem }
h2 { border-bottom: 1px solid #ddd }"""


def write_api(path: Path, package: Path = PACKAGE) -> None:
    """Write the page: each module's docstring and the signatures and docstrings of its public functions and classes."""
    modules = [module for module in sorted(package.rglob("*.py")) if module.name != "__main__.py"]
    parts = [_module(module, package) for module in modules]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>cinema: API</title><style>{STYLE}</style>'
    listed = "".join(f'<li><a href="#{name}">{name}</a></li>' for name, text in parts if text)
    body = "".join(text for _, text in parts)
    write_text(path, f"{head}<h1>cinema</h1><ul>{listed}</ul>{body}</html>\n")


def _module(path: Path, package: Path) -> tuple[str, str]:
    """(dotted name, its section); an empty section where there is nothing public."""
    name = ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    entries = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            entries.append(_entry(node))
            methods = node.body if isinstance(node, ast.ClassDef) else []
            entries += [
                _entry(method, f"{node.name}.")
                for method in methods
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_")
            ]
    about = _text(ast.get_docstring(tree))
    if not entries and not about:
        return name, ""
    return name, f'<h2 id="{name}">{name}</h2><pre>{about}</pre><dl>{"".join(entries)}</dl>'


def _entry(node: ast.FunctionDef | ast.ClassDef, owner: str = "") -> str:
    if isinstance(node, ast.ClassDef):
        head = f"class {node.name}"
    else:
        returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        head = f"{owner}{node.name}({ast.unparse(node.args)}){returned}"
    return f"<dt><code>{html.escape(head)}</code></dt><dd><pre>{_text(ast.get_docstring(node))}</pre></dd>"


def _text(docstring: str | None) -> str:
    return html.escape(docstring or "")
