"""What a reader of the report is told: body surface, ranges, doubts, how it was made, and what is left out."""

import hashlib
import re
from html import escape

import dicom_writer as writer
import pytest

from cinema.inference import report, segment
from cinema.terms import VIEWS

GIVEN = dict(PatientSex="F", PatientSize="1.70", PatientWeight="66", ManufacturerModelName="MAGNETOM Aera of Dr Doe")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    given, out = tmp_path_factory.mktemp("given"), tmp_path_factory.mktemp("out") / "out"
    writer.write_study(given, slices=8, step=12.0, spacing=(3.0, 3.0), shape=(60, 54), **GIVEN)
    metrics = segment.segment(given, out, readers=dict.fromkeys(VIEWS, writer.GreyReader()))
    return (out / "report.html").read_text(encoding="utf-8"), metrics


def cells(page, text):
    (line,) = re.findall(rf"<tr[^>]*><td>{re.escape(text)}</td>(.*?)</tr>", page)
    return [re.sub("<[^>]*>", "", cell) for cell in line.split("</td>")]


def test_numbers_stand_beside_surface_and_range(page):
    text, metrics = page
    surface = (170 * 66 / 3600) ** 0.5
    value, unit, per_m2, normal, lies, _ = cells(text, "LV end-diastolic volume")
    assert (float(value), unit, normal) == (pytest.approx(metrics["LVEDV"], abs=0.05), "ml", "women 83 to 165")
    assert float(per_m2) == pytest.approx(metrics["LVEDV"] / surface, abs=0.06)
    assert lies == ("above the range" if metrics["LVEDV"] > 165 else "below the range" if metrics["LVEDV"] < 83 else "")
    assert cells(text, "LV mass (ED, 1.05 g/ml)")[3] == "women 28 to 56 per m²"
    assert float(cells(text, "heart rate")[0]) == pytest.approx(60_000 / 900, abs=0.1)
    assert f"{surface:.2f} m² by Mosteller" in text and "Petersen 2017" in text and "R-R intervals" in text


def test_one_edv_in_the_table_and_the_sum_of_all_slices_in_a_note(page):
    text, metrics = page
    assert text.count("LV end-diastolic volume") == 1
    assert f"Summed over all slices without regard to it: LVEDV {metrics['all_slices']['LVEDV']:.1f} ml" in text


def test_scanner_and_making_are_said_and_no_free_text_of_the_header(page):
    text, metrics = page
    assert "Scanner: Siemens, Aera, 1.5 T." in text and "Doe" not in re.sub('base64,[^"]*', "", text)
    assert f"<td>{metrics['made']['version']}</td>" in text and "readers handed over by a program" in text
    assert "@media print" in text


def test_doubts_come_first(page):
    text, metrics = page
    assert metrics["derived"]["strokes"] and metrics["warnings"]
    for sentence in metrics["warnings"].values():
        assert text.index("Doubtful in this study") < text.index(escape(sentence)) < text.index("<h2>Numbers")


def test_how_far_the_reader_was_off_in_patients_is_that_of_the_record(tmp_path):
    lines = ["set,group,measure,n,value"]
    lines += [f"{name},all,LVEF absolute error,{n},{n / 10}" for name, n in (("training", 70), ("test", 30))]
    lines += [f"{name},all,RVEF absolute error,{n},{n / 5}" for name, n in (("training", 70), ("test", 30))]
    record = tmp_path / "record.csv"
    record.write_text("\n".join([*lines, "test,DCM,LVEF absolute error,5,1"]), encoding="utf-8")
    said = report.on_patients(record)
    assert "In 70 and in 30 other labelled patients" in said and "no clinical validation" in said
    assert "LVEF was off by 7.0 and 3.0 points on average, its RVEF by 14.0 and 6.0" in said
    assert "MODEL_CARD.md" in report.on_patients(tmp_path / "none") and "never" not in report.OWN_MODEL
    assert report.RECORD.is_file()  # in a clone


def test_weights_are_named_with_their_checksum(tmp_path):
    file = tmp_path / "some.safetensors"
    file.write_bytes(b"weights")
    reader = type("Reader", (), {"files": (file,)})()
    made = segment.made({"sax": reader, "lax_4c": reader}, None, "cpu")
    assert made["weights"] == {"some.safetensors": hashlib.sha256(b"weights").hexdigest()}
