"""prepare and info: what is written, resumed, skipped and refused, by a small adapter and by ACDC's."""

import errno
import json
import os
import types
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from rawtrees import acdc

from cinema.cli import main
from cinema.data.public import prepare, prepared
from cinema.data.public.common import Skipped, Subject
from cinema.data.study import Study, View, load_study, study_paths
from cinema.terms import SMALL_GRID

READ = []  # ids that the small adapter was asked to read


RAISES = {}  # what it raises, by the id of the subject


def subjects(raw):
    found = [Subject(path.stem, "train", (path,), {"sex": "F"}) for path in sorted(Path(raw).glob("*.npy"))]
    found += [Subject(path.stem, "test", (path,)) for path in sorted(Path(raw).glob("more/*.npy"))]
    return found, [Skipped("lost", "is missing; copy it")] if (Path(raw) / "lost").exists() else []


def read(subject):
    READ.append(subject.id)
    if subject.id == "stop":
        raise KeyboardInterrupt
    if subject.id in RAISES:
        raise RAISES[subject.id]
    if subject.id == "bad":
        raise ValueError("bad\nhas no pixels")
    image = np.load(subject.files[0])
    return Study(subject.id, "acdc", {"sax": View(image, np.diag([1.0, 1.0, 10.0, 1.0]))}, subject.attributes)


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """A raw folder of three subjects, and the small adapter in ACDC's place."""
    module = types.SimpleNamespace(subjects=subjects, read=read)
    monkeypatch.setattr(prepare, "adapter_of", lambda name: module)
    READ.clear()
    folder = tmp_path / "raw"
    (folder / "more").mkdir(parents=True)
    for name in ("a", "b", "more/c"):
        np.save(folder / f"{name}.npy", np.random.default_rng(0).random((30, 30, 2, 3)).astype(np.float32))
    return folder


def run(raw, out, *more):
    return main(["prepare", "acdc", str(raw), "--out", str(out), *more])


def test_studies_manifest_and_summary(raw, tmp_path, capsys):
    assert run(raw, tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "ACDC: 3 ready, 0 skipped (train 2 of 90 published, val 0 of 10 published, test 1 of 50 published)" in said
    assert sorted(os.listdir(tmp_path / "out")) == ["a.h5", "b.h5", "c.h5", "prepared.json"]
    study = load_study(tmp_path / "out" / "a.h5")
    assert study.attributes["split"] == "train" and study.attributes["dataset"] == "acdc"
    text = (tmp_path / "out" / "prepared.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text and json.loads(text)["counts"] == {"train": 2, "test": 1}


def test_what_is_there_is_not_read_again_unless_its_files_changed(raw, tmp_path):
    run(raw, tmp_path / "out")
    READ.clear()
    run(raw, tmp_path / "out")
    assert READ == []
    np.save(raw / "b.npy", np.ones((31, 30, 2, 3), np.float32))
    run(raw, tmp_path / "out")
    assert READ == ["b"] and load_study(tmp_path / "out" / "b.h5").views["sax"].image.shape[0] == 31


def test_bad_subjects_are_skipped_with_one_line_each_and_nothing_ready_gives_code_2(raw, tmp_path, capsys):
    (raw / "a.npy").rename(raw / "bad.npy")
    (raw / "lost").mkdir()
    assert run(raw, tmp_path / "out") == 0
    said = capsys.readouterr().out.splitlines()
    assert "skipped bad: bad has no pixels" in said and "skipped lost: is missing; copy it" in said
    assert not (tmp_path / "out" / "bad.h5").exists()
    for name in ("b", "more/c"):
        (raw / f"{name}.npy").unlink()
    assert run(raw, tmp_path / "none") == 2


@pytest.mark.parametrize(
    "error, words",
    [
        (AttributeError("'NoneType' object has no attribute 'x'"), "its files are damaged (AttributeError 'NoneType'"),
        (MemoryError(), "its files are damaged (MemoryError "),
        (AssertionError("a\nb"), "(AssertionError a b); fetch them again"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), "its files are damaged (UnicodeDecodeError"),
        (
            OSError(5, "Input/output error", "far/away/b.npy"),
            "b.npy cannot be read (Input/output error); copy it again",
        ),
        (ValueError("b.npy is black; remove it"), "skipped b: b.npy is black; remove it"),
    ],
)
def test_whatever_one_subject_raises_is_its_reason_and_the_others_are_ready(
    raw, tmp_path, monkeypatch, capsys, error, words
):
    monkeypatch.setitem(RAISES, "b", error)
    assert run(raw, tmp_path / "out") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("skipped b: ")]
    assert (
        len(lines) == 1
        and words in lines[0]
        and sorted(os.listdir(tmp_path / "out")) == ["a.h5", "c.h5", "prepared.json"]
    )


def test_a_full_disk_is_no_fault_of_the_subject(raw, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        assert run(raw, tmp_path / "out") == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1 and not os.listdir(tmp_path / "out")
    assert f"{tmp_path / 'out' / 'a.h5'}'; free some space and give the same command again" in said.err
    assert run(raw, tmp_path / "out") == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(raw, tmp_path, capsys):
    (raw / "b.npy").unlink()
    os.mkfifo(raw / "b.npy")
    assert run(raw, tmp_path / "out") == 0
    assert "skipped b: b.npy is no file that can be read; copy it again" in capsys.readouterr().out


def test_reasons_name_no_folder_of_the_machine(raw, tmp_path, monkeypatch):
    monkeypatch.setitem(RAISES, "b", ValueError(f"{raw / 'b.npy'} is black; remove it"))
    run(raw, tmp_path / "out")
    record = json.loads((tmp_path / "out" / "prepared.json").read_text(encoding="utf-8"))
    assert record["skipped"] == {"b": "b.npy is black; remove it"}


@pytest.mark.parametrize(
    "error", [AttributeError("'float' object has no attribute 'split'"), PermissionError(13, "no", "a")]
)
def test_tables_and_folders_that_cannot_be_read_are_one_line(raw, tmp_path, monkeypatch, capsys, error):
    def broken(folder):
        raise error

    monkeypatch.setattr(prepare, "adapter_of", lambda name: types.SimpleNamespace(subjects=broken))
    assert run(raw, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "again; expected tree: python3 -m cinema info acdc" in said


def test_an_id_found_twice_is_left_out(raw, tmp_path, capsys):
    (raw / "more" / "c.npy").rename(raw / "more" / "A.npy")
    assert run(raw, tmp_path / "out") == 0
    assert "skipped a: found more than once" in capsys.readouterr().out
    assert [path.stem for path in study_paths(tmp_path / "out")] == ["b"]


@pytest.mark.parametrize("out", ["raw", "raw/below", "."])
def test_output_and_raw_folder_may_not_lie_in_one_another(raw, tmp_path, out, capsys):
    before = sorted(path.name for path in raw.rglob("*"))
    assert run(raw, tmp_path / out) == 2
    assert "lie in one another" in capsys.readouterr().err
    assert sorted(path.name for path in raw.rglob("*")) == before


def test_ctrl_c_leaves_whole_studies_only_and_the_next_run_goes_on(raw, tmp_path):
    (raw / "b.npy").rename(raw / "stop.npy")
    assert run(raw, tmp_path / "out") == 130
    assert sorted(os.listdir(tmp_path / "out")) == ["a.h5"]
    (raw / "stop.npy").rename(raw / "b.npy")
    READ.clear()
    assert run(raw, tmp_path / "out") == 0 and READ == ["b", "c"]


def test_like_release_says_that_it_left(raw, tmp_path, capsys):
    assert run(raw, tmp_path / "out", "--like-release") == 2
    said = capsys.readouterr().err
    assert "--like-release has left" in said and "finetune" in said and said.count("\n") == 1
    assert READ == [] and not (tmp_path / "out").exists()


def test_studies_of_another_raw_folder_are_named_not_deleted(raw, tmp_path, capsys):
    assert run(raw, tmp_path / "out") == 0
    capsys.readouterr()
    (raw / "b.npy").unlink()
    assert run(raw, tmp_path / "out") == 0
    assert "1 studies in" in (said := capsys.readouterr().out) and "(b ..)" in said
    assert (tmp_path / "out" / "b.h5").exists()


def test_a_changed_detail_is_noticed(raw, tmp_path):
    subject = subjects(raw)[0][0]
    marks = {prepare._mark("acdc", replace(subject, details=details)) for details in ({}, {"ed": 1}, {"ed": 2})}
    assert len(marks) == 3


def test_an_empty_raw_folder_names_the_info_command(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "info acdc" in said and said.count("\n") == 1 and not (tmp_path / "out").exists()


def test_info_lists_the_nine_and_refuses_another_name(capsys):
    assert main(["info"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 9
    assert main(["info", "acdc"]) == 0 and "1 RV, 2 MYO, 3 LV" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["info", "nothing"])
    assert "choose from acdc" in capsys.readouterr().err


def test_acdc_is_prepared_and_read_back(tmp_path):
    acdc.build(tmp_path / "raw", faults=("no config",))
    assert run(tmp_path / "raw", tmp_path / "acdc", "--jobs", "2") == 0
    table = prepared.studies("acdc", tmp_path)
    assert len(table) == 6 and load_study(table.path[0]).views["sax"].spacing_mm == pytest.approx((1, 1, 10))
    small, again = (prepared.on_grid(table, {"sax": SMALL_GRID["sax"]}, tmp_path / "small") for _ in range(2))
    copy = load_study(small.path[0]).views["sax"]
    assert copy.image.shape[:3] == (64, 64, 8) and copy.spacing_mm == pytest.approx((2.5, 2.5, 12.0))
    assert again.path.tolist() == small.path.tolist()


def test_without_prepared_studies_the_command_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="cinema prepare acdc RAW"):
        prepared.studies("acdc", tmp_path)


def test_notice_and_stamp_name_dataset_and_licence():
    assert prepared.stamp("acdc") == "ACDC (CC BY-NC-SA 4.0)" and "CC BY-NC-SA 4.0" in prepared.notice("acdc")
