"""What follows from volumes, against arithmetic by hand; normal ranges against the table they come from."""

import csv
import io

import pytest
from places import ROOT

from cinema.inference import numbers

VOLUMES = {"LVEDV": 150.0, "LVESV": 60.0, "LVEF": 60.0, "LVM": 100.0, "RVEDV": 155.0, "RVESV": 80.0, "RVEF": 48.4}
CURVES = {"lv_volumes": [150.0, 60.0], "rv_volumes": [155.0, 80.0], "ed_frame": 0, "es_frame": 1}
KNOWN = {"height_cm": 180.0, "weight_kg": 80.0, "sex": "M", "heart_rate_bpm": 60.0}


def metrics(attributes=KNOWN, cycle_ms=None, **changed):
    found = {**VOLUMES, **CURVES, "MAPSE": {"lax_4c": 12.0}, "GLshortening": {}, "warnings": {}, **changed}
    return found | {"derived": numbers.derived(found, attributes, cycle_ms)}


def row(found, name):
    return next(one for one in numbers.rows(found) if one.name == name)


def test_stroke_volume_output_and_what_is_per_surface():
    found = metrics()
    assert found["derived"]["BSA"] == pytest.approx(2.0)  # sqrt(180 * 80 / 3600)
    assert (row(found, "LVSV").value, row(found, "LVSV").per_m2) == (90.0, 45.0)
    assert (row(found, "CO").value, row(found, "CO").per_m2) == pytest.approx((5.4, 2.7))
    assert row(found, "LVM").per_m2 == 50.0 and row(found, "LVEF").per_m2 is None


@pytest.mark.parametrize(
    "attributes, cycle_ms, rate",
    [({}, None, None), ({}, 800.0, 75.0), ({}, 90.0, None), ({"heart_rate_bpm": 50.0}, 800.0, 50.0)],
)
def test_heart_rate_where_it_is_known(attributes, cycle_ms, rate):
    more = metrics(attributes, cycle_ms)["derived"]
    assert more["HR"] == rate and (more["CO"] is None) == (rate is None) == (more["HR_from"] is None)
    assert more["BSA"] is None and not [one for one in numbers.rows(metrics(attributes, cycle_ms)) if one.per_m2]


@pytest.mark.parametrize("size", [(None, 80), (180, None), (1.8, 80), (180, 0.0), (180, 8000)])
def test_no_body_surface_from_what_nobody_is(size):
    assert numbers.body_surface_m2(*size) is None


def test_ranges_are_those_of_the_table_and_of_the_persons_sex():
    table = list(csv.DictReader((ROOT / "data" / "reference_values.csv").open(encoding="utf-8")))
    stored = {(one["quantity"], one["sex"]): (float(one["mean"]), float(one["sd"])) for one in table}
    columns = dict(zip(numbers.NORMAL, "lv_edv_ml lv_esv_ml lv_sv_ml lv_ef_percent lv_mass_g_m2".split(), strict=True))
    for name, column in columns.items():
        assert numbers.NORMAL[name] == {sex: stored[column, sex] for sex in "FM"}
    assert all("Petersen 2017, JCMR 19:18" in one["source"] for one in table if one["quantity"] in columns.values())
    found = metrics()
    assert set(row(found, "LVEDV").normal) == {"men"} and set(row(metrics({}), "LVEDV").normal) == {"women", "men"}
    assert row(found, "LVEF").normal["men"] == pytest.approx((58 - 9.8, 58 + 9.8)) and not row(found, "RVEDV").normal
    lies = {
        name: numbers.against_normal(row(metrics(LVEDV=270.0, LVEF=40.0), name)) for name in ("LVEDV", "LVEF", "LVM")
    }
    assert lies == {"LVEDV": "above", "LVEF": "below", "LVM": "within"}  # 50 g/m2 in men
    assert numbers.against_normal(row(metrics({}), "LVEF")) == ""


def test_the_right_ventricle_between_its_own_extremes():
    found = metrics(rv_volumes=[150.0, 90.0, 75.0, 160.0])
    assert [found["derived"][name] for name in numbers.OWN] == [160.0, 75.0, 85.0, 53.125]
    assert found["derived"]["own_RV_frames"] == (3, 2)
    missing = metrics(RVEDV=None, RVESV=None, RVEF=None)["derived"]
    assert missing["own_RVEDV"] is None and missing["RVSV"] is None and missing["strokes"] is None


@pytest.mark.parametrize("right, apart", [([155.0, 80.0], False), ([120.0, 80.0], True)])
def test_stroke_volumes_that_differ_are_said(right, apart):
    found = metrics(rv_volumes=right)
    assert numbers.apart(found) == apart
    assert numbers.warning(found) == ({numbers.STROKES: found["derived"]["strokes"]} if apart else {})
    assert ("leaking valve" in found["derived"]["strokes"]) == apart and "LV 90 ml" in found["derived"]["strokes"]


def test_a_doubt_reaches_what_was_made_of_the_doubtful():
    found = metrics(warnings={"LVEDV": "too large"})
    assert {one.name for one in numbers.rows(found) if one.doubtful} == {"LVEDV", "LVSV", "CO"}
    assert row(metrics(warnings={"confidence": "low"}), "LVEF").doubtful
    for name in (numbers.STROKES, *numbers.STROKE_CHECKS):
        found = metrics(warnings={name: "apart"})
        assert {one.name for one in numbers.rows(found) if one.doubtful} == {"LVSV", "RVSV", "own_RVSV", "CO"}
    assert numbers.warning(metrics(rv_volumes=[120.0, 80.0], warnings={name: "apart"})) == {}  # one sentence is enough


def test_tables():
    found = metrics(LVM=None)
    lines = {one["number"]: one for one in csv.DictReader(io.StringIO(numbers.table(found)))}
    assert (
        lines["LVSV"]["value"] == "90" and lines["LVSV"]["unit"] == "ml" and lines["LVSV"]["against_normal"] == "within"
    )
    assert lines["MAPSE_4C"]["value"] == "12" and "LVM" not in lines and "MAPSE_2C" not in lines
    columns = numbers.columns(found)
    assert (columns["LVEDV_ml"], columns["LVEDV_ml_per_m2"], columns["HR_per_min"]) == (150.0, 75.0, 60.0)
    assert columns["LVM_g"] is None and columns["MAPSE_2C_mm"] is None and numbers.columns(None) == {}
    assert all(name in columns for name in ("LVEF_percent", "CO_l_per_min", "own_RVEF_percent", "BSA_m2"))
