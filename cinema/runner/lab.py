"""`python3 -m cinema lab` and `report`: the notebooks in JupyterLab, the pages of a run in a browser."""

import subprocess
import sys
import webbrowser

from cinema.files import ROOT
from cinema.parallel import count_cores
from cinema.runner.execute import environment
from cinema.runner.run import choose, read_notebooks


def lab(notebook=None, root=ROOT):
    """JupyterLab on notebooks/, or on one of them, with the kernel and threads that `reproduce` gives them."""
    folder = root / "notebooks"
    books = read_notebooks(folder)
    target = books[choose(books, [notebook], None)[0]].path if notebook else folder
    kernel = root / "report" / "by_hand" / ".jupyter"
    command = [sys.executable, "-m", "jupyterlab", str(target)]
    try:
        return subprocess.call(command, env=environment(kernel, max(1, count_cores() // 2)), cwd=root)
    except KeyboardInterrupt:
        return 130


def report(show=False, root=ROOT):
    """Where the pages of the last runs lie; opened in a browser if `show`."""
    page = root / "report" / "index.html"
    if not page.is_file():
        raise FileNotFoundError(f"{page} does not exist yet; python3 -m cinema reproduce makes it")
    print(page)
    if show and not webbrowser.open(page.as_uri()):
        raise OSError("no browser was found here; open that file in one")
    return 0
