"""Lessons: what is said of an answer, and that every page's exercises can be solved, failed and left open."""

import ast
import re
import warnings
from types import SimpleNamespace

import jupytext
import matplotlib.pyplot as plt
import numpy as np
import pytest
from places import ROOT

from cinema.runner import lessons
from cinema.runner.lessons import NONE_YET, NOT_YET, RIGHT, check
from cinema.runner.page import Page

TWINS = sorted((ROOT / "notebooks" / "py").glob("*.py"))
TRY = re.compile(r"^(\w+) = (.+?)  # try ([^;\n]+)", re.MULTILINE)
FOLDED = re.compile(r"<details>\s*<summary>Answer</summary>.*?```python\n(.*?)```.*?</details>", re.DOTALL)


def tags(cell):
    return set(cell.metadata.get("tags", ()))


def cells_of(twin):
    """(cells before the lesson: imports, parameters, page.start; the cells from there on)."""
    cells = jupytext.read(twin).cells
    begin = next(k for k, cell in enumerate(cells) if "runner.start(" in cell.source) + 1
    return [cell for cell in cells[:begin] if cell.cell_type == "code"], cells[begin:]


LESSONS = [twin for twin in TWINS if any("lesson" in tags(cell) for cell in cells_of(twin)[1])]


def said(found):
    return found.data


@pytest.mark.parametrize(
    ("answer", "right", "wrong", "close", "words"),
    [
        (36, 36, {37: "no"}, 0.02, RIGHT),
        (36.0, 36, {37: "no"}, 0.5, RIGHT),
        (37, 36, {108: "those are the hidden ones"}, 0.5, "Close, but too large."),
        (108, 36, {108: "those are the hidden ones"}, 0.02, "those are the hidden ones"),
        (72, 36, {108: "those are the hidden ones"}, 0.02, "Too large, by a factor of 2."),
        (0.425, 0.421875, {0.75: "one view"}, 0.02, RIGHT),
        (0.45, 0.421875, {0.75: "one view"}, 0.02, "Close"),
        (-0.4, 0.4, {0.75: "one view"}, 0.02, "sign"),
        (float("nan"), 0.4, {0.75: "one view"}, 0.02, NOT_YET),
        (" Apex ", "apex", {"base": "the other end"}, 0.02, RIGHT),
        ("BASE", "apex", {"base": "the other end"}, 0.02, "the other end"),
        (3, "apex", {"base": "the other end"}, 0.02, "The answer is a text."),
        (None, 3, {2: "no"}, 0.02, "The answer is a number."),
        (np.float32(3.001), 3.0, {2.0: "no"}, 0.02, RIGHT),
        (False, True, {False: "no"}, 0.02, "no"),
        ([1, 2], np.array([1, 2]), [([2, 1], "turned round")], 0.02, RIGHT),
        ([2, 1], np.array([1, 2]), [([2, 1], "turned round")], 0.02, "turned round"),
        ([1, 2, 3], np.array([1, 2]), [([2, 1], "turned round")], 0.02, r"The shape is (3,), and should be (2,)."),
        ([5, 6], np.array([1, 2]), [([2, 1], "turned round")], 0.02, "some values are not"),
        (..., 36, {37: "no"}, 0.02, NONE_YET),
    ],
)
def test_an_answer_is_right_or_gets_a_hint(answer, right, wrong, close, words):
    assert words in said(check(answer, right, wrong, close))


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [(36.0, {36.5: "no"}, "counts as"), (36, {}, "no wrong answer"), (float("nan"), {1: "no"}, "not equal to itself")],
)
def test_a_check_that_cannot_fail_is_refused(right, wrong, message):
    with pytest.raises(ValueError, match=message):
        check(..., right, wrong)


def test_the_page_has_it():
    assert Page.check is lessons.check


class Reader:
    """Someone who reads a page: runs its cells one after the other in a namespace, and keeps what checks were asked."""

    def __init__(self, twin, monkeypatch, folder):
        self.names, self.checks, self.page = {"__name__": "lesson"}, [], twin.stem
        monkeypatch.chdir(folder)
        monkeypatch.setattr(Page, "check", staticmethod(self.keep))
        (folder / "data").mkdir()
        before, self.cells = cells_of(twin)
        for cell in before:
            self.run(cell.source)
            if "parameters" in tags(cell):
                self.names |= {"profile": "ci", "data_root": folder / "data", "out": folder / "figures"}

    def keep(self, answer, right, wrong, close=0.02):
        self.checks.append(SimpleNamespace(right=right, wrong=wrong))
        return check(answer, right, wrong, close)

    def run(self, source):
        """What a cell's last line gives; its figures are closed."""
        tree = ast.parse(source)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            exec(compile(tree, self.page, "exec"), self.names)
            found = eval(compile(ast.Expression(last.value), self.page, "eval"), self.names) if last else None
        plt.close("all")
        return found

    def solve(self, source, answers):
        """A check with no answer, with the right one and with each of its wrong ones."""
        assert self.names["answer"] is ..., "an exercise opens with answer = ..."
        assert said(self.run(source)) == NONE_YET
        pairs = self.checks[-1].wrong
        for mistake, hint in list(pairs.items() if hasattr(pairs, "items") else pairs):
            self.names["answer"] = mistake
            assert said(self.run(source)) == f"{NOT_YET} {hint}"
        for lines in answers:
            self.run(lines)
            assert said(self.run(source)).startswith(RIGHT), lines

    def vary(self, source, after):
        """A cell to try with each value it names, one at a time, and last as it stands."""
        found = TRY.findall(source)
        assert 1 <= len(found) <= 3, f"a cell to try sets one to three values, each with its `# try`: {source}"
        changed = []
        for name, value, values in found:
            told = ast.literal_eval(f"[{values}]")
            assert ast.literal_eval(value) in told and len(told) > 1, f"{name}: {values} lacks {value} or another"
            changed += [(f"{name} = {value}  #", f"{name} = {other!r}  #") for other in told]
        for old, new in [*changed, ("", "")]:
            for cell in (source.replace(old, new, 1), *after):
                self.run(cell)


def following(cells, at):
    """Lines of the lesson that a cell to try feeds: until the next heading, exercise, or other cell to try."""
    for cell in cells[at + 1 :]:
        if tags(cell) & {"try", "exercise"} or cell.cell_type == "markdown" and re.search("^#", cell.source, re.M):
            return
        if cell.cell_type == "code" and "lesson" in tags(cell):
            yield cell.source


@pytest.mark.parametrize("twin", LESSONS, ids=lambda twin: twin.stem[:2])
def test_a_lesson_runs_by_itself_and_its_exercises_hold(twin, monkeypatch, tmp_path):
    reader, asked, solved = Reader(twin, monkeypatch, tmp_path), 0, 0
    for at, cell in enumerate(reader.cells):
        if cell.cell_type != "code" or "lesson" not in tags(cell):
            continue
        if "check" in tags(cell):
            folded = next(later for later in reader.cells[at + 1 :] if later.cell_type == "markdown")
            answers = FOLDED.findall(folded.source)
            assert "answer" in tags(folded) and answers, f"no folded answer follows {cell.source}"
            reader.solve(cell.source, answers)
            solved += 1
        elif "try" in tags(cell):
            reader.vary(cell.source, list(following(reader.cells, at)))
        else:
            reader.run(cell.source)
            asked += "exercise" in tags(cell)
    assert asked == solved
