"""What `doctor` says of a sound machine, and of planted problems: each in one line with its remedy."""

import shutil
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest
from places import ROOT

from cinema import doctor
from cinema.files import WEIGHTS


def test_the_machine_of_the_tests_is_well_but_for_its_room(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("CINEMA_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(doctor, "room", lambda: iter([(True, "memory and disk")]))
    monkeypatch.setattr(doctor, "CHECKS", [getattr(doctor, check.__name__) for check in doctor.CHECKS])
    assert doctor.command() == 0
    told = capsys.readouterr().out
    assert "PROBLEM" not in told and "5 files of the project, each as it was shipped" in told
    assert told.endswith("nothing stands in the way\n")


def other_version(tmp_path, monkeypatch):
    of = lambda name: "0.1" if name == "scipy" else metadata.version(name)
    monkeypatch.setattr(doctor, "metadata", SimpleNamespace(version=of, PackageNotFoundError=LookupError))
    monkeypatch.setenv("CINEMA_NO_VENV", "1")


def damaged_weights(tmp_path, monkeypatch):
    for path in WEIGHTS.iterdir():
        shutil.copy(path, tmp_path)
    path = tmp_path / "reader_sax.safetensors"
    held = path.read_bytes()
    path.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    monkeypatch.setattr(doctor, "WEIGHTS", tmp_path)
    monkeypatch.setattr(doctor, "ROOT", tmp_path)


def full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=3e8))


def damaged_in_cache(tmp_path, monkeypatch):
    blob = tmp_path / "models--mathpluscode--CineMA" / "blobs" / ("0" * 64)
    link = tmp_path / "models--mathpluscode--CineMA/snapshots/1/pretrained/cinema.safetensors"
    for path in (blob, link):
        path.parent.mkdir(parents=True)
    blob.write_bytes(b"cut")
    link.symlink_to(blob)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))


def half_prepared(tmp_path, monkeypatch):
    (tmp_path / "acdc").mkdir()
    (tmp_path / "acdc" / "patient001.h5").touch()
    monkeypatch.setenv("CINEMA_DATA", str(tmp_path))


@pytest.mark.parametrize(
    "plant, check, words",
    [
        (other_version, "packages", "scipy (0.1); unset CINEMA_NO_VENV"),
        (damaged_weights, "weights", "reader_sax.safetensors are missing or damaged; git checkout"),
        (full_disk, "room", "disk: 0.3 GB free"),
        (damaged_in_cache, "weights", "cinema.safetensors are damaged; delete"),
        (half_prepared, "data_sets", "never finished; python3 -m cinema prepare acdc RAW"),
    ],
)
def test_a_planted_problem_is_found_with_its_remedy(plant, check, words, tmp_path, monkeypatch, capsys):
    plant(tmp_path, monkeypatch)
    monkeypatch.setattr(doctor, "CHECKS", [getattr(doctor, check)])
    assert doctor.command() == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("PROBLEM")]
    assert words in line


def test_it_runs_where_no_package_is(tmp_path):
    """With nothing but the standard library, and without setting anything up."""
    shutil.copytree(ROOT / "cinema", tmp_path / "cinema")
    (tmp_path / "notebooks").mkdir()
    for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv[1:] = "]
    command[-1] += "['doctor']; from cinema import __main__; __main__.main()"
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", env={"HOME": str(tmp_path)})
    assert ran.returncode in (0, 1) and "no environment yet" in ran.stdout, ran
    assert not (tmp_path / ".venv").exists()


def test_its_commands_are_there(capsys):
    from cinema import cli

    assert cli.parse(["doctor"])[0] == "doctor" and cli.parse(["lab", "03"])[1]["notebook"] == "03_segmentation"[:2]
    assert cli.parse(["report", "--open"])[1]["show"] is True
