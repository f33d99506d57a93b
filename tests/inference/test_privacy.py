"""A marker in every field that can name a patient, and in every name of file and folder: it comes out nowhere."""

import os
import re
import sys
import tempfile
import zlib
from base64 import b64decode
from importlib.util import find_spec
from pathlib import Path

import dicom_writer as writer
import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.datadict import DicomDictionary

from cinema.data.inputs import read_input
from cinema.data.study import save_study
from cinema.inference import dicom_seg, studies
from cinema.terms import VIEWS

MARK, UID, DATE = "ZQMARK", "9.8.7654", "18881231"
TEXT = {vr: MARK for vr in ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UT")} | {"UR": f"https://{MARK}.org"}
TEXT |= {"UI": UID, "DA": DATE, "DT": f"{DATE}235958", "TM": "235958.75"}
SEG = find_spec("highdicom") is not None
NEEDED = {"SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "PixelData"}  # the second and third are marked by hand
FORMS = [MARK, MARK.lower(), UID, DATE, "1888-12-31", "235958", "23:59:58"]


def mark_all(data, number):
    """Every attribute of the dictionary that holds text, a date, a time or an identifier."""
    for tag, (vr, many, _, _, keyword) in DicomDictionary.items():
        group = tag >> 16
        if keyword and vr in TEXT and keyword not in NEEDED and group % 2 == 0 and 0x8 <= group < 0x5000:
            data.add_new(tag, vr, TEXT[vr] if many.startswith("1") else [TEXT[vr]] * max(int(many[0]), 1))
    item = pydicom.Dataset()
    item.PatientID, item.IssuerOfPatientID, item.PatientName = MARK, MARK, f"{MARK}^{MARK}"
    for sequence in ("OtherPatientIDsSequence", "RequestAttributesSequence", "ReferencedPatientSequence"):
        setattr(data, sequence, [item])
    data.private_block(0x0029, f"{MARK} HEADER", create=True).add_new(0x10, "LO", MARK)
    data.SeriesInstanceUID, data.SOPInstanceUID = f"{UID}.{data.SeriesNumber}", f"{UID}.{number}"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.SourceApplicationEntityTitle = data.file_meta.ImplementationVersionName = MARK
    data.preamble = MARK.encode().ljust(128, b"\0")


def dicom(folder):
    plain = writer.write_study(folder / "plain", slices=5, step=18.0, spacing=(3.0, 3.0), shape=(60, 54), angles=(10,))
    for number, path in enumerate(sorted(plain.rglob("*.dcm"))):
        data = pydicom.dcmread(path)
        mark_all(data, number)
        writer.save(data, folder / f"{MARK}^JOHN_{DATE}" / path.parent.name / path.parts[-3] / f"{MARK}{number}.dcm")
    return folder / f"{MARK}^JOHN_{DATE}"


def nifti(folder):
    view = read_input(writer.write_study(folder / "plain", spacing=(3.0, 3.0), shape=(60, 54))).study.views["sax"]
    image = nib.Nifti1Image(np.round(view.image).astype(np.int16), view.affine)
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[field] = MARK.encode()
    image.header["pixdim"][4] = 0.09
    image.header.set_xyzt_units("mm", "sec")
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", MARK.encode()))
    path = folder / f"{MARK}_JOHN" / f"{MARK}_{DATE}_sax.nii.gz"
    path.parent.mkdir()
    nib.save(image, path)
    return path


@pytest.mark.parametrize("make", [dicom, nifti])
def test_no_mark_of_a_patient_comes_out(make, tmp_path, capsys, monkeypatch):
    given, out, temporary = make(tmp_path), tmp_path / "out", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    seen, wrote = [], set()

    def watch(event, arguments):  # what is opened to be written, and what lies there before it is removed
        if not watching:
            return
        if event == "open" and isinstance(arguments[0], str) and isinstance(arguments[2], int):
            if arguments[2] & (os.O_WRONLY | os.O_RDWR):
                wrote.add(arguments[0])
        elif event in ("os.remove", "shutil.rmtree") and isinstance(arguments[0], (str, os.PathLike)):
            seen.extend(marks_below(Path(arguments[0])))

    watching = [True]
    sys.addaudithook(watch)
    try:
        studies.command([given], out, dicom_seg=SEG, readers=dict.fromkeys(VIEWS, writer.GreyReader()))
        save_study(read_input(given).study, tmp_path / "store")
    finally:
        watching.clear()
    shown = capsys.readouterr()
    assert "LVEF" in shown.out
    assert marks_in((shown.out + shown.err).replace(str(given), "").encode()) == []
    assert seen == [] and [marks_below(place) for place in (out, tmp_path / "store", temporary)] == [[], [], []]
    names = {Path(path).name for path in wrote}
    assert {"sax.nii.gz", "metrics.json", "numbers.csv", "report.html", "study.h5"} <= names, names
    assert not SEG or set(dicom_seg.FILES.values()) <= {path.name for path in out.iterdir()}
    assert not [path for path in wrote if MARK in Path(path).name]
    assert marks_below(given) != []  # they would have been seen


def marks_below(path):
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return [(file.name, mark) for file in files for mark in marks_in(file.read_bytes() + file.name.encode())]


def marks_in(held):
    """Marks in bytes, packed or plain; in a page's pictures, too."""
    if held[:2] == b"\x1f\x8b":
        held = zlib.decompressobj(31).decompress(held)
    text = [held, *(b64decode(part) for part in re.findall(rb"base64,([A-Za-z0-9+/=]+)", held))]
    return [mark for mark in FORMS for part in text if mark.encode() in part]
