"""The runner, on two small notebooks: what runs, what is kept, what a failure or Ctrl-C leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
from places import ROOT

from cinema import results
from cinema.runner import execute, page, publish, run

EMPTY_ROW = {"lower": None, "upper": None, "n": None, "unit": "", "cohort": "virtual", "claim": ""}
PARAMETERS = 'profile = "laptop"\ndata = "virtual"\ndata_root = "../data"\nseed = 0\nout = "../figures"'
BODY = """from pathlib import Path
from cinema import results
results.begin("{name}", out)
results.record("{number}_seed", seed + 0.5, lower=0, upper=1, n=3)
Path(out, "{number}_figure.png").write_bytes(profile.encode())"""


def write_notebook(root, name, body=None, needs=(), parameters=PARAMETERS):
    code = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    body = nbformat.v4.new_code_cell(body or BODY.format(name=name, number=name[:2]))
    cells = [nbformat.v4.new_markdown_cell(f"# Notebook {name}"), code, body]
    (root / "notebooks").mkdir(exist_ok=True)
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"cinema": {"needs": list(needs)}})
    nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")


def make_project(root):
    (root / "cinema").mkdir()
    (root / "cinema" / "module.py").write_text("x = 1\n", encoding="utf-8")
    (root / "constraints.txt").write_text("numpy==1\n", encoding="utf-8")
    write_notebook(root, "00_first")
    write_notebook(root, "01_second", needs=["00_first"])
    return root


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project of two notebooks after one successful ci run."""
    root = make_project(tmp_path_factory.mktemp("project"))
    assert run.reproduce(profile="ci", root=root) == 0
    return root


def lines(capsys):
    return capsys.readouterr().out.strip().splitlines()


def recorded_in(project):
    return (project / "report" / "ci" / "figures" / "results.json").read_bytes()


@pytest.mark.slow
def test_a_run_leaves_figures_numbers_executed_copies_and_an_index(project):
    assert (project / "report" / "ci" / "figures" / "00_figure.png").read_bytes() == b"ci"
    assert not (project / "figures").exists()
    rows = [(row["key"], row["value"], row["notebook"], row["profile"]) for row in json.loads(recorded_in(project))]
    assert rows == [("00_seed", 0.5, "00_first", "ci"), ("01_seed", 0.5, "01_second", "ci")]
    made = {path.name for path in (project / "report" / "ci").iterdir()}
    assert made >= {"00_first.ipynb", "00_first.html", "01_second.ipynb", "01_second.html"}
    index = (project / "report" / "index.html").read_text(encoding="utf-8")
    assert 'href="ci/01_second.html"' in index and 'src="ci/figures/00_figure.png"' in index
    assert set(json.loads((project / "report" / "times.json").read_bytes())["ci"]) == {"00_first", "01_second"}
    for path in (project / "report" / "ci").glob("*.ipynb"):  # executed copies name no folder of this machine
        code = "\n".join(cell.source for cell in nbformat.read(path, 4).cells)
        assert 'out = "../report/ci/figures"' in code and str(project) not in code


def test_nothing_changed_nothing_run(project, capsys):
    before, start = recorded_in(project), time.monotonic()
    assert run.reproduce(profile="ci", root=project) == 0
    printed = lines(capsys)
    assert printed[0].endswith("up to date") and printed[1].endswith("up to date")
    assert printed[-2].startswith(f"written: {project / 'report' / 'ci' / 'figures'} and ")
    assert printed[-1].startswith("2 notebooks, 0 failed, 2 figures, 2 results, ")
    assert f"(profile ci, {run.count_cores()} cores)" in printed[-1]
    assert time.monotonic() - start < 10 and recorded_in(project) == before


@pytest.mark.slow
def test_forced_again_gives_the_same_bytes_two_at_once(project, capsys):
    before = recorded_in(project)
    assert run.reproduce(profile="ci", force=True, jobs=2, root=project) == 0
    assert sum(" running, about " in line for line in lines(capsys)) == 2
    assert recorded_in(project) == before


def test_failure_shows_the_cell_stops_dependents_and_keeps_earlier_results(tmp_path, capsys):
    root = make_project(tmp_path)
    write_notebook(root, "00_first", 'x = 1\nraise RuntimeError("planted fault")')
    (root / "figures").mkdir()
    (root / "figures" / "00_figure.png").write_bytes(b"earlier")
    run_of = {"notebook": "00_first", "profile": "laptop", "data": "virtual", "seed": 0}
    earlier = [{**EMPTY_ROW, **run_of, "key": "00_seed", "value": 1}]
    results.write_json(root / "figures" / "results.json", earlier)
    assert run.reproduce(profile="laptop", root=root) == 1
    printed = "\n".join(lines(capsys))
    assert 'raise RuntimeError("planted fault")' in printed and "RuntimeError: planted fault" in printed
    assert "not run: 00_first did not succeed" in printed
    assert "2 notebooks, 2 failed" in printed.splitlines()[-1]
    assert (root / "report" / "laptop" / "00_first.partial.ipynb").exists()
    assert (root / "figures" / "00_figure.png").read_bytes() == b"earlier"
    assert json.loads((root / "figures" / "results.json").read_bytes()) == earlier


IN_ANOTHER = """import signal, sys
from functools import partial
from pathlib import Path
from cinema import cli
from cinema.runner import run
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
run.reproduce = partial(run.reproduce, root=Path(sys.argv[1]))
sys.exit(cli.main(["reproduce", "--profile", "ci"]))"""


@pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")
def test_interrupt_ends_the_kernel_and_leaves_130(tmp_path):
    root = make_project(tmp_path)
    mark = root / "kernel"
    body = f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    write_notebook(root, "00_first", body)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", IN_ANOTHER, str(root)], cwd=ROOT, env=environment, **pipes)
    deadline = time.monotonic() + 60
    while not (mark.exists() and mark.read_text(encoding="utf-8")) and time.monotonic() < deadline:
        time.sleep(0.1)
    kernel = int(mark.read_text(encoding="utf-8"))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.strip().splitlines() == ["cinema: interrupted; what was finished is kept"]
    assert not psutil.pid_exists(kernel)


def setting(root, **changes):
    return run.Setting(root, **{"profile": "ci", "data": "virtual", "data_root": root / "data", "seed": 0, **changes})


def test_key_follows_everything_a_result_depends_on(tmp_path):
    (tmp_path / "work").mkdir()  # a folder of that name above the project means nothing
    root = make_project(tmp_path / "work")
    (root / "data" / "work").mkdir(parents=True)

    def current(**changes):
        return run.keys(setting(root, **changes), run.read_notebooks(root / "notebooks"))

    before = current()
    assert current() == before
    (root / "cinema" / "runner").mkdir()
    for file in ("data/work/generated.csv", "cinema/runner/run.py"):  # made by a notebook; how notebooks are run
        (root / file).write_text("is not what they say", encoding="utf-8")
        assert current() == before
    for change in ({"seed": 1}, {"profile": "laptop"}):
        assert current(**change)["00_first"] != before["00_first"]
    for file in ("cinema/module.py", "constraints.txt", "data/table.csv"):
        (root / file).write_text("changed", encoding="utf-8")
        assert current()["00_first"] != before["00_first"]
        before = current()
    write_notebook(root, "01_second", "y = 2", needs=["00_first"])
    assert current()["00_first"] == before["00_first"] and current()["01_second"] != before["01_second"]
    write_notebook(root, "00_first", "y = 2")
    assert current()["01_second"] != before["01_second"]
    (root / "elsewhere" / "acdc").mkdir(parents=True)
    real = {"data": "acdc", "data_root": root / "elsewhere"}
    before = current(**real)
    (root / "elsewhere" / "acdc" / "patient001.nii.gz").write_bytes(b"1")
    assert current(**real) != before


def test_only_and_from_choose_and_bring_what_is_needed():
    needs = {"00_a": (), "01_b": (), "02_c": ("01_b",), "03_d": ("02_c",)}
    books = {name: run.Notebook(Path(), "", "", earlier) for name, earlier in needs.items()}
    assert run.choose(books, None, None) == list(books)
    assert run.choose(books, ["01", "03_d"], None) == ["01_b", "03_d"]
    assert run.choose(books, None, "02") == ["02_c", "03_d"]
    assert run.with_needs(books, ["03_d"]) == ["01_b", "02_c", "03_d"]
    with pytest.raises(ValueError, match="notebook '07' is unknown; choose from 00_a, 01_b"):
        run.choose(books, ["07"], None)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"profile": "huge"}, "profile 'huge' is unknown; choose from ci, laptop, paper"),
        ({"jobs": 0}, "--jobs 0"),
        ({"only": ["09"]}, "notebook '09' is unknown; choose from 00_first, 01_second"),
    ],
)
def test_what_is_unknown_is_named_with_the_choices(tmp_path, changes, message):
    root = make_project(tmp_path)
    with pytest.raises(ValueError, match=message):
        run.reproduce(**changes, root=root)
    assert not (root / "figures").exists() and not (root / "report").exists()


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"parameters": PARAMETERS + "\nsteps = 3"}, "00_first.ipynb has 1 parameters cells .*'steps'"),
        ({"needs": ["01_second"]}, "00_first.ipynb needs '01_second'"),
    ],
)
def test_a_notebook_has_the_five_parameters_and_needs_earlier_ones_only(changes, words, tmp_path):
    write_notebook(tmp_path, "00_first", **changes)
    write_notebook(tmp_path, "01_second")
    with pytest.raises(ValueError, match=words):
        run.read_notebooks(tmp_path / "notebooks")
    with pytest.raises(FileNotFoundError, match="clone of the repository"):
        run.read_notebooks(tmp_path / "nowhere")


def test_notebooks_get_this_python_and_their_share_of_threads(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    found = execute.environment(tmp_path, threads=3)
    assert {found[name] for name in execute.THREADS} == {"3"} and {found[name] for name in execute.ALONE} == {"1"}
    whole = execute.environment(tmp_path, run.count_cores())
    asked = [sys.executable, "-c", "import torch; print(torch.get_num_threads())"]
    said = subprocess.check_output(asked, env=whole, encoding="utf-8")
    assert int(said) == run.count_cores()  # notebooks ask torch how many cores they were given
    assert "MPLBACKEND" not in found
    kernel = json.loads((tmp_path / "kernels" / "python3" / "kernel.json").read_bytes())
    assert kernel["argv"][0] == sys.executable


def test_two_runs_of_one_kind_do_not_mix(tmp_path):
    """Two at once are held apart by the system, whatever their numbers: in a container both are process 1."""
    hold = "import sys, time; from cinema.runner.execute import Executor; from pathlib import Path\n"
    hold += "with Executor(Path(sys.argv[1]), {}, 1, {}): print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", hold, tmp_path / "ci"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        process.stdout.readline()
        with pytest.raises(BlockingIOError, match="another process is at work in .*ci; wait until it has ended"):
            execute.Executor(tmp_path / "ci", {}, 1, {}).__enter__()
        process.kill()
    with execute.Executor(tmp_path / "ci", {}, 1, {}):
        pass


@pytest.mark.parametrize(
    "profile, data, seed, where",
    [
        ("laptop", "virtual", 0, "figures"),
        ("laptop", "virtual", 1, "report/laptop-seed1/figures"),
        ("ci", "virtual", 0, "report/ci/figures"),
        ("laptop", "acdc", 0, "report/laptop-acdc/figures"),
    ],
)
def test_only_the_run_on_record_goes_where_the_record_lives(profile, data, seed, where, tmp_path):
    of = setting(tmp_path, profile=profile, data=data, seed=seed)
    assert publish.place(of, None) == tmp_path / where
    assert publish.place(of, tmp_path / "own") == tmp_path / "own"
    if where != "figures":
        with pytest.raises(ValueError, match="figures/ is for virtual patients in the laptop profile with seed 0 only"):
            publish.place(of, tmp_path / "figures" / "deeper")


def test_a_page_run_by_hand_leaves_the_record_alone_and_says_where_it_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(page, "ROOT", tmp_path)
    begun = page.start("00_x", "laptop", "virtual", tmp_path / "data", 0, tmp_path / "notebooks" / ".." / "figures")
    begun.record("00_n", 1)
    assert begun.out == tmp_path / "report" / "by_hand" / "figures" and not (tmp_path / "figures").exists()
    assert "figures and numbers of this page go to" in capsys.readouterr().out
    folders = {page.start("00_x", "ci", "virtual", "data", seed, tmp_path).work for seed in (0, 1, 2)}
    assert len(folders) == 3 and Path("data", "work", "ci") in folders


def test_publish_replaces_rows_and_figures_of_what_has_run_and_no_others(tmp_path):
    out, made, names = tmp_path / "figures", tmp_path / "report" / "ci" / "figures", ["00_a", "01_b"]
    (made / "results").mkdir(parents=True)

    def recorded(name, key, value):
        results.write_json(made / "results" / f"{name}.json", [{**EMPTY_ROW, "key": key, "value": value}])

    for name in names:
        recorded(name, f"{name[:2]}_x", 1.0)
        (made / f"{name[:2]}_old.png").write_bytes(b"")
    publish.publish(setting(tmp_path), names, names, out)
    recorded("00_a", "00_x", 2.0)
    (made / "00_old.png").rename(made / "00_new.png")
    publish.publish(setting(tmp_path), ["00_a"], names, out)
    assert {row["key"]: row["value"] for row in results.read_json(out / "results.json")} == {"00_x": 2.0, "01_x": 1.0}
    assert sorted(path.name for path in out.glob("*.png")) == ["00_new.png", "01_old.png"]
    recorded("01_b", "00_x", 1.0)
    with pytest.raises(ValueError, match="00_x is recorded by 00_a and 01_b"):
        publish.publish(setting(tmp_path), names, names, out)


def test_record_keeps_one_row_per_key_in_plain_json(tmp_path):
    results.begin("03_segmentation", tmp_path)
    results.record("03_dice", np.float32(0.5), lower=np.float64(0.25), upper=0.75, n=np.int64(12), claim="C3")
    results.record("03_dice", 0.625)
    results.record("03_holds", np.bool_(True))
    rows = json.loads((tmp_path / "results" / "03_segmentation.json").read_bytes())
    assert [(row["key"], row["value"]) for row in rows] == [("03_dice", 0.625), ("03_holds", True)]
    assert list(results.table().key) == ["03_dice", "03_holds"]
    for bad, words in ((float("nan"), "nan; record a finite number"), ([1], "a list")):
        with pytest.raises(ValueError, match=f"03_bad is {words}"):
            results.record("03_bad", bad)


def rows_of(values, profile="ci", **changes):
    row = dict.fromkeys(results.FIELDS) | {"profile": profile, "data": "virtual", "seed": 0, "notebook": "00_a"}
    return [{**row, "key": key, "value": value, **changes} for key, value in values.items()]


def expected(folder, *lines):
    (folder / "expected.csv").write_text("\n".join(["key,value,tolerance,profile", *lines]), encoding="utf-8")
    return results.read_expected(folder / "expected.csv")


def test_expected_compares_within_tolerance_and_only_what_it_speaks_of(tmp_path):
    table = expected(tmp_path, "00_a,1.0,0.1,ci", "00_b,5,0,ci", "00_c,3,0,laptop")
    assert results.differences(rows_of({"00_a": 1.05, "00_b": 5, "00_new": 9}), table) == []
    assert results.missing(rows_of({"00_a": 1.05}), table, "ci") == ["00_b was not recorded (ci)"]
    (line,) = results.differences(rows_of({"00_a": 1.2}), table)
    assert line == "00_a is 1.2; expected 1 within 0.1 (ci)"
    assert results.differences(rows_of({"00_a": 9.0}, seed=1), table) == []


def test_expected_update_keeps_tolerances_and_other_profiles(tmp_path):
    laptop = "00_c,3,0,laptop", "00_d,0.04987734596443249,0.1,laptop"
    before = expected(tmp_path, "00_a,1.0,0.1,ci", "00_gone,1,0,ci", *laptop)
    rows = rows_of({"00_a": 1.3, "00_count": 7, "00_text": "yes"})
    rows += rows_of({"00_interval": 2.0}, lower=1.0, upper=4.0)
    table = results.updated(rows, before)
    kept = [["00_c", 3, 0, "laptop"], ["00_d", 0.04987734596443249, 0.1, "laptop"]]  # to the last digit
    assert table.values.tolist() == [["00_a", 1.3, 0.1, "ci"], ["00_interval", 2.0, 1.5, "ci"], *kept]
    laptop = results.updated(rows_of({"00_count": 7}, "laptop"), table)
    assert ["00_count", 7, 0.0, "laptop"] in laptop.values.tolist()


def test_expected_reads_what_is_on_record_and_the_ci_run(tmp_path, capsys):
    for folder, profile, value in (("figures", "laptop", 1.0), ("report/ci/figures", "ci", 2.0)):
        (tmp_path / folder).mkdir(parents=True)
        results.write_json(tmp_path / folder / "results.json", rows_of({"00_a": value}, profile))
    expected(tmp_path / "figures", "00_a,1.0,0.1,laptop", "00_a,3.0,0.1,ci")
    assert results.main(update=False, root=tmp_path) == 1
    assert lines(capsys) == ["00_a is 2; expected 3 within 0.1 (ci)", "1 of 2 expected numbers off"]


def test_committed_numbers_are_as_expected():
    rows = results.read_json(ROOT / "figures" / "results.json")
    table = results.read_expected(ROOT / "figures" / "expected.csv")
    assert results.differences(rows, table) == []


def test_seconds_to_be_expected_are_those_of_the_last_run_here_or_of_readme(tmp_path):
    setting = run.Setting(tmp_path, "laptop", "virtual", tmp_path, 0)
    assert run.usual_seconds(setting) == {}
    table = "| notebook | what | ci, s | laptop, s |\n|---|---|---|---|\n| [00_first](a.ipynb) | One | 25 | 66 |\n"
    (tmp_path / "README.md").write_text(table, encoding="utf-8")
    assert run.usual_seconds(setting) == {"00_first": 66.0}
    assert run.usual_seconds(run.Setting(tmp_path, "paper", "virtual", tmp_path, 0)) == {}
    (tmp_path / "report").mkdir()
    results.write_json(tmp_path / "report" / "times.json", {"laptop": {"00_first": 31.5}, "ci": {"00_first": 2.0}})
    assert run.usual_seconds(setting) == {"00_first": 31.5}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    books = run.read_notebooks(ROOT / "notebooks")
    assert set(run.usual_seconds(setting)) == {"00_first", *books}
