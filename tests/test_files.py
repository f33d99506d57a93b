"""Where things are, files that are written whole or not at all, and work done in parallel."""

from functools import partial
from pathlib import Path

import pytest
from places import ROOT

from cinema import files
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
    with pytest.raises(ZeroDivisionError):
        in_parallel(lambda x: 1 // x, [1, 0], jobs)
    assert capsys.readouterr().err == ""


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "table.csv"
    with files.whole_or_not(path) as temporary:
        temporary.write_text("first", encoding="utf-8")
        assert not path.exists() and temporary.name.startswith(".table.csv.") and temporary.suffix == ".part"
    with pytest.raises(ValueError, match="stopped"), files.whole_or_not(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise ValueError("stopped")
    assert path.read_text(encoding="utf-8") == "first"
    with pytest.raises(FileNotFoundError), files.whole_or_not(path):
        pass  # nothing was written
    with files.whole_or_not(path, ".part.gz") as temporary:
        temporary.write_text("second", encoding="utf-8")
        assert temporary.name.endswith(".part.gz")
    assert path.read_text(encoding="utf-8") == "second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(KeyboardInterrupt), files.whole_or_not(tmp_path / "out") as temporary:
        (temporary / "deep").mkdir(parents=True)
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with files.whole_or_not(tmp_path / "out") as temporary:
        temporary.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
