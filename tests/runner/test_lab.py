"""JupyterLab gets the kernel of the run, the report is opened or named."""

import json
import sys

import pytest
from places import ROOT

from cinema.runner import lab


def test_lab_opens_a_notebook_with_the_kernel_of_the_run(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(lab.subprocess, "call", lambda command, **place: called.append((command, place)) or 0)
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    assert lab.lab("03", tmp_path) == 0 and lab.lab(root=tmp_path) == 0
    (command, place), (whole, _) = called
    assert command[:3] == [sys.executable, "-m", "jupyterlab"] and command[3].endswith("/03_segmentation.ipynb")
    assert whole[3].endswith("/notebooks")
    kernel = json.loads((tmp_path / "report/by_hand/.jupyter/kernels/python3/kernel.json").read_bytes())
    assert kernel["argv"][0] == sys.executable and place["env"]["JUPYTER_PATH"].startswith(str(tmp_path))
    with pytest.raises(ValueError, match="notebook '77' is unknown"):
        lab.lab("77", tmp_path)


def test_the_report_is_named_and_opened(tmp_path, monkeypatch, capsys):
    with pytest.raises(FileNotFoundError, match="index.html does not exist yet; python3 -m cinema reproduce makes it"):
        lab.report(root=tmp_path)
    (tmp_path / "report").mkdir()
    page = tmp_path / "report" / "index.html"
    page.touch()
    opened = []
    monkeypatch.setattr(lab.webbrowser, "open", lambda address: opened.append(address) or len(opened) == 1)
    assert lab.report(root=tmp_path) == 0 and opened == []
    assert lab.report(True, tmp_path) == 0 and opened == [page.as_uri()]
    assert capsys.readouterr().out == f"{page}\n{page}\n"
    with pytest.raises(OSError, match="no browser"):
        lab.report(True, tmp_path)
