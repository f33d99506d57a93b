"""Where things are, files that are written whole or not at all, and work done in parallel."""

import errno
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from unittest import mock

import psutil
import pytest
from places import ROOT

from cinema import files
from cinema.files import write_text
from cinema.parallel import in_parallel


def test_roots_of_a_checkout_of_an_installed_package_and_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("CINEMA_DATA", raising=False)
    assert files.is_clone() and files.ROOT == ROOT and files.data_folder() == ROOT / "data"
    assert files.WEIGHTS.is_dir() and files.CARDS.is_dir()
    monkeypatch.setattr(files, "ROOT", tmp_path / "site-packages")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "me")
    assert not files.is_clone() and files.data_folder() == tmp_path / "me" / "cinema_data"
    monkeypatch.setenv("CINEMA_DATA", str(tmp_path / "elsewhere"))
    assert files.data_folder() == tmp_path / "elsewhere"


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_the_order_of_the_items_whatever_the_jobs(jobs, capsys):
    assert in_parallel(partial(pow, 2), iter(range(5)), jobs, "powers") == [1, 2, 4, 8, 16]
    assert in_parallel(lambda pair: pair[0] - pair[1], [(3, 1), (5, 4)], jobs) == [2, 1]
    assert in_parallel(abs, [], jobs) == []
    assert in_parallel(lambda n: in_parallel(abs, range(n), jobs), [1, 2], jobs) == [[0], [0, 1]]
    with pytest.raises(ZeroDivisionError):
        in_parallel(lambda x: 1 // x, [1, 0], jobs)
    assert capsys.readouterr().err == ""


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "table.csv"
    with files.whole_or_not(path) as temporary:
        temporary.write_text("first", encoding="utf-8")
        assert not path.exists() and temporary.name == path.name
    with pytest.raises(ValueError, match="stopped"), files.whole_or_not(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise ValueError("stopped")
    assert path.read_text(encoding="utf-8") == "first"
    with pytest.raises(FileNotFoundError), files.whole_or_not(path):
        pass  # nothing was written
    with pytest.raises(BlockingIOError, match="theirs"), files.whole_or_not(path):
        raise BlockingIOError("theirs")  # what a writer raises is not taken for our own lock's
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(KeyboardInterrupt), files.whole_or_not(tmp_path / "out") as temporary:
        (temporary / "deep").mkdir(parents=True)
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with files.whole_or_not(tmp_path / "new" / "out") as temporary:
        temporary.mkdir()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


def test_a_full_disk_names_what_was_to_be_written(tmp_path, monkeypatch):
    """While it is written, and before: then no folder stays either."""
    full, path = OSError(errno.ENOSPC, "No space left on device"), tmp_path / "table.csv"
    with pytest.raises(OSError, match="No space left on device: .*table.csv'"), files.whole_or_not(path):
        raise full
    monkeypatch.setattr(files, "alone", mock.Mock(side_effect=full))
    with pytest.raises(OSError, match="table.csv'"), files.whole_or_not(path):
        pass
    assert not list(tmp_path.iterdir())


HOLD = """import sys, time
from cinema import files
with files.beside(sys.argv[1]) as temporary, files.alone(sys.argv[2]):
    temporary.write_text("a patient's", encoding="utf-8")
    print("held", flush=True)
    time.sleep(60)"""


def test_what_a_killed_process_leaves_is_swept_and_its_lock_is_gone(tmp_path):
    """While it lives nothing of it is touched, whatever its number; foreign hidden files stay."""
    path, foreign = tmp_path / "masks", [tmp_path / ".other.part", tmp_path / ".x.0123abcd.part", tmp_path / ".y.part"]
    foreign[0].mkdir()
    for file in foreign[1:]:
        file.write_text("", encoding="utf-8")
    command = [sys.executable, "-c", HOLD, path, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        process.stdout.readline()
        files.sweep(path)
        assert (left := set(tmp_path.glob(".masks.*.part/masks")))
        with pytest.raises(BlockingIOError, match="another process is at work in"), files.alone(tmp_path):
            pass
        process.kill()
    assert set(tmp_path.glob(".masks.*.part/masks")) == left
    write_text(tmp_path / "another name", "")  # any writing there sweeps
    with files.alone(tmp_path):
        assert (tmp_path / ".lock").exists()
    assert sorted(tmp_path.iterdir()) == sorted([*foreign, tmp_path / "another name"])


ONE_BY_ONE = """import sys
from pathlib import Path
from cinema import files
count = Path(sys.argv[1], "count")
for _ in range(100):
    with files.alone(sys.argv[1], wait_s=60):
        count.write_text(str(int(count.read_text(encoding="utf-8")) + 1), encoding="utf-8")
    files.write_text(Path(sys.argv[1], "whole"), "x" * 9)"""


def test_one_at_a_time_and_no_sweeper_takes_what_is_being_written(tmp_path):
    (tmp_path / "count").write_text("0", encoding="utf-8")
    command, environment = [sys.executable, "-c", ONE_BY_ONE, tmp_path], {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [subprocess.Popen(command, env=environment) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert (tmp_path / "count").read_text(encoding="utf-8") == "400"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["count", "whole"]


PARENT = """import os, sys, time
from pathlib import Path
from cinema.parallel import in_parallel
def wait(path):
    Path(path).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(60)
in_parallel(wait, sys.argv[1:], 2)"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    marks = [tmp_path / name for name in "ab"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", PARENT, *marks], env=environment, stderr=subprocess.PIPE) as process:
        assert wait_until(lambda: all(mark.exists() and mark.stat().st_size for mark in marks))
        workers = [int(mark.read_text(encoding="utf-8")) for mark in marks]
        assert process.pid not in workers and all(map(psutil.pid_exists, workers))
        process.kill()
        assert wait_until(lambda: not any(map(psutil.pid_exists, workers)))


def wait_until(true, seconds=20):
    """True as soon as `true()` is; False where it is not within so long."""
    end = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.1)
    return found
