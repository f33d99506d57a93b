"""The command for one examination and for several: what is said while it works, and what stands if one fails."""

import csv
import os
import subprocess
import sys
import time

import dicom_writer as writer
import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor

from cinema.data.nifti import write_nifti
from cinema.inference import segment, studies
from cinema.terms import VIEWS

READERS = dict.fromkeys(VIEWS, writer.GreyReader())
SECRET = "DOE_JANE"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given") / f"{SECRET}_1"
    return writer.write_study(folder, slices=4, step=18.0, spacing=(3.0, 3.0), shape=(60, 54), angles=(10,))


@pytest.fixture(scope="module")
def broken(study):
    folder = study.parent / f"{SECRET}_2"
    (folder / f"deep {SECRET}").mkdir(parents=True)
    (folder / f"deep {SECRET}" / f"{SECRET}^X.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"rubbish" * 9)
    return folder


def table(out):
    return list(csv.DictReader((out / "studies.csv").open(encoding="utf-8")))


def test_one_input_tells_its_stages_and_writes_what_it_always_did(study, tmp_path, capsys):
    assert studies.command([study], tmp_path / "out", readers=READERS) == 0
    said = capsys.readouterr()
    stages = [line.removeprefix("segment: ") for line in said.err.splitlines()]
    assert stages == ["starting", "reading files", "short axis", "long axis 4C", "report"]
    assert "LVEF" in said.out and f"written: {tmp_path / 'out'}" in said.out
    assert set(os.listdir(tmp_path / "out")) <= set(segment.RESULTS)
    with pytest.raises(ValueError, match="is empty"):
        (tmp_path / "empty").mkdir()
        studies.command([tmp_path / "empty"], tmp_path / "none", readers=READERS)


def test_on_a_terminal_one_line_is_written_anew(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    tell = studies.progress("study_001 of 2")
    for stage in ("a stage with a name that is too long", "short axis", ""):
        tell(stage)
    shown = capsys.readouterr().err
    assert "\n" not in shown and len(shown.split("\r")[2]) == 29 and shown.endswith("\r" + " " * 29 + "\r")


@pytest.mark.parametrize("jobs", [1, 2])
def test_several_in_one_call_and_the_failed_one_in_a_line(study, broken, tmp_path, capfd, jobs):
    out = tmp_path / "out"
    get_reusable_executor().shutdown()  # workers of an earlier test would write to where its stderr was
    assert studies.command([study, broken, study], out, jobs, readers=READERS) == 1
    said = capfd.readouterr()
    assert sorted(os.listdir(out)) == ["studies.csv", "study_001", "study_003"]
    assert said.out.splitlines()[:2] == [f"study_001  {study}", f"study_002  {broken}"]
    failed = [line for line in said.out.splitlines() if "FAILED" in line]
    assert len(failed) == 1 and failed[0].startswith("study_002") and "is damaged" in failed[0]
    assert "study_001 of 3: short axis" in said.err and "2 of 3 studies" in said.out
    rows = table(out)
    assert [row["study"] for row in rows] == ["study_001", "study_002", "study_003"]
    assert [row["status"] for row in rows] == ["done", "failed", "done"]
    assert float(rows[0]["LVEF_percent"]) > 40 and rows[0] == rows[2] | {"study": "study_001"}
    assert rows[1]["LVEF_percent"] == "" and "(name) is damaged" in rows[1]["reason"]
    assert float(rows[0]["HR_per_min"]) == pytest.approx(66.7, abs=0.1) and rows[0]["warnings"].isdigit()
    written = "".join(path.read_text(encoding="latin-1") for path in out.rglob("*") if path.suffix in (".csv", ".json"))
    assert SECRET not in written + (out / "study_001" / "report.html").read_text(encoding="utf-8")


def test_exit_codes_and_an_earlier_call(broken, study, tmp_path):
    assert studies.command([broken, broken], tmp_path / "all", readers=READERS) == 2
    assert [row["status"] for row in table(tmp_path / "all")] == ["failed", "failed"]
    with pytest.raises(ValueError, match="holds studies of an earlier call; name another"):
        studies.command([study, study], tmp_path / "all", readers=READERS)


def test_names_of_files_and_folders_are_taken_out_of_a_reason(tmp_path):
    inside = tmp_path / "Doe, Jane" / "scan (1)"
    inside.mkdir(parents=True)
    write_nifti(np.zeros((4, 4, 2, 1), "uint8"), np.eye(4), inside / "J. Doe 1960.nii.gz")
    reason = f"series 3 in {inside} has 9 of 10 frames; {inside / 'J. Doe 1960.nii.gz'} and J. Doe 1960 are cut short"
    told = studies.without_names(reason, inside)
    assert told == "series 3 in (name) has 9 of 10 frames; (name) and (name) are cut short"


def test_the_first_line_comes_before_anything_heavy_is_loaded(tmp_path):
    code = "import sys; from cinema.inference import studies; studies.progress('segment')('starting');"
    code += "heavy = {'torch', 'numpy', 'pydicom', 'matplotlib'} & set(sys.modules); assert not heavy, heavy"
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stderr == "segment: starting\n" and time.monotonic() - begun < 10
