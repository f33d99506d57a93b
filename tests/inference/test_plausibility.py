"""What is refused, what carries a warning, what is not given; and that labelled patients pass every check."""

from dataclasses import replace

import numpy as np
import pytest
from places import SHARED

from cinema.data.public import acdc
from cinema.data.reading import Reading
from cinema.data.study import Study, View
from cinema.inference import measures, numbers, plausibility, segment
from cinema.terms import LABELS

ACDC = SHARED / "real" / "acdc"
CYCLE = np.array([0, 0.1, 0.3, 0.6, 0.9, 1, 0.9, 0.6, 0.4, 0.3, 0.2, 0.1])  # of the way from ED to ES
RNG = np.random.default_rng(5)


def heart(step_mm=10.0, slices=10, cycle=CYCLE):
    """(labels, positions): an LV in its wall and an RV of about 140 and 110 ml, pixels of 2 mm; 60 % are ejected."""
    x, y, z, t = np.meshgrid(*map(np.arange, (60, 60, slices, len(cycle))), indexing="ij")
    shrunk = 1 - 0.26 * cycle[t]
    along = (z - (slices - 1) / 2) * step_mm / 45
    reach = np.sqrt(np.clip(shrunk**2 - along**2, 0, None)) * 14
    labels = np.zeros(x.shape, np.uint8)
    labels[np.hypot(x - 40, y - 30) < reach * 0.9] = LABELS["RV"]
    labels[(np.hypot(x - 20, y - 30) < 18) & (np.abs(along) < 1.1)] = LABELS["MYO"]
    labels[np.hypot(x - 20, y - 30) < reach] = LABELS["LV"]
    return labels, np.arange(slices) * step_mm


def reading(image, spacing=(2.0, 2.0, 10.0), positions=None):
    study = Study("one", "test", {"sax": View(image, np.diag([*spacing, 1.0]))})
    return Reading(
        study, [], sax_positions_mm=np.arange(image.shape[2]) * spacing[2] if positions is None else positions
    )


def cine(frames=12):
    """An image whose slices differ more than its frames."""
    slices = RNG.normal(100, 20, (60, 60, 8, 1))
    return (slices + RNG.normal(0, 2, (60, 60, 8, frames))).astype(np.float32)


def warnings(labels, positions, **changed):
    metrics = measures.sax_metrics(labels, (2.0, 2.0, 10.0), positions) | {"MAPSE": {}, "GLshortening": {}} | changed
    return plausibility.judged(metrics, labels, positions)


@pytest.mark.parametrize(
    "image, spacing, words",
    [
        (cine(), (1.0, 1.0, 1.0), "distance of slices is 1 mm, not 2 to 40 mm: set the voxel size"),
        (cine(), (0.002, 0.002, 0.01), "pixel size is 0.002 mm"),
        (cine(), (2000.0, 2000.0, 10000.0), "pixel size is 2000 mm"),
        (cine(), (0.5, 0.5, 10.0), "field of view is 30 mm"),
        (cine().transpose(0, 1, 3, 2), (2.0, 2.0, 10.0), "time and slices seem to be swapped"),
        (cine().transpose(0, 1, 3, 2)[..., :1], (2.0, 2.0, 10.0), "frames of one slice; store time on the fourth"),
        (np.repeat(cine(1), 5, 2), (2.0, 2.0, 10.0), "length of the stack is 390 mm, above 300 mm"),
    ],
)
def test_input_that_is_no_cine_of_a_heart_is_refused(image, spacing, words):
    with pytest.raises(ValueError, match=words) as caught:
        plausibility.refuse(reading(image, spacing), "FILE")
    assert str(caught.value).startswith("FILE, SAX: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("spacing", [(0.7, 0.7, 5.0), (1.9, 1.9, 10.0), (1.4, 1.4, 17.7)])
def test_input_of_real_protocols_passes(spacing):
    image = np.tile(cine(), (3, 3, 1, 1))
    positions = np.arange(8) * spacing[2]
    positions[3] = np.nan  # a slice is missing
    image[:, :, 3] = 0
    plausibility.refuse(reading(image, spacing, positions), "FILE")
    plausibility.refuse(reading(image[:, :, :1], spacing), "FILE")  # one slice


def test_a_sound_heart_has_no_warning():
    metrics, warned = warnings(*heart())
    assert warned == {} and 55 < metrics["LVEF"] < 65 and metrics["LVEDV"] > 100


def without_slice(labels):
    labels[:, :, 4][labels[:, :, 4] == LABELS["LV"]] = LABELS["MYO"]


def doubled_frame(labels):
    labels[..., 2] = labels[..., 5]


def lost_wall(labels):
    labels[:, :, :, 5][labels[:, :, :, 5] == LABELS["MYO"]] = 0


def lost_cavity(labels):
    labels[:, :, :, 5][labels[:, :, :, 5] == LABELS["LV"]] = LABELS["MYO"]


def lost_rv(labels):
    labels[labels == LABELS["RV"]] = 0


@pytest.mark.parametrize(
    "change, quantity, not_given",
    [
        (without_slice, "number of slices without LV between others", []),
        (doubled_frame, "LV volume that leaps in one frame relative to the largest", []),
        (lost_wall, "wall volume at ES over that at ED", []),
        (lost_cavity, "LVEF", ["LVESV", "LVEF"]),
        (lost_rv, "difference of the stroke volumes relative to the larger", ["RVEDV", "RVESV"]),
    ],
)
def test_a_misreading_carries_its_warning(change, quantity, not_given):
    labels, positions = heart()
    change(labels)
    metrics, warned = warnings(labels, positions)
    assert quantity in warned and all(metrics[name] is None and "not given" in warned[name] for name in not_given)


@pytest.mark.parametrize(
    "name, value, given, words",
    [
        ("LVEF", -402.9, False, "LVEF is -402.9 %, not 5 to 90 %: ED and ES may be swapped"),
        ("RVEF", 100.0, False, "No heart has that: it is not given"),
        ("LVEF", 93.0, True, "not 5 to 90 %"),
        ("LVEDV", 8.7e6, True, "LVEDV is 8.7e+06 ml"),
        ("LVM", 0.0, False, "LVM is 0 g"),
        ("MAPSE", {"lax_2c": 12.0, "lax_4c": -5.7}, True, "MAPSE is -5.7 mm"),
    ],
)
def test_each_number_is_held_against_what_hearts_have(name, value, given, words):
    plain = {"all_slices": {"LVEF": value}} if name == "LVEF" else {}
    metrics, warned = warnings(*heart(), **{name: value}, **plain)
    assert words in warned[name] and metrics[name] == (value if given else None)
    assert metrics.get("all_slices", {}).get("LVEF") == (value if plain and given else None)


def test_a_stack_inside_the_heart_is_doubtful():
    labels, positions = heart()
    _, warned = warnings(labels[:, :, 4:6], positions[4:6])
    assert {"length of the LV at ED", "LV area where the stack ends relative to the largest"} <= set(warned)


def test_one_slice_gives_areas_and_no_volume(tmp_path):
    labels, _ = heart()
    one = reading(np.zeros((60, 60, 1, 12), np.float32))
    metrics, _, notes = segment.measured(one, {"sax": labels[:, :, 5:6]}, {})
    metrics, warned = plausibility.judged(metrics, None, one.sax_positions_mm)
    assert metrics["LVEDV"] is None and metrics["LVM"] is None and metrics["lv_volumes"] == [] and not warned
    assert metrics["areas_mm2"]["LV"][0] == 4 * np.sum(labels[:, :, 5, 0] == LABELS["LV"])
    assert (metrics["ed_frame"], metrics["es_frame"]) == (0, 5) and "areas, no volumes" in notes[0]
    metrics |= {"derived": numbers.derived(metrics, {}, None), "made": segment.made({}, None, "cpu"), "warnings": {}}
    segment.write(tmp_path, replace(one, notes=tuple(notes)), {"sax": labels[:, :, 5:6]}, {}, metrics, own=True)
    assert "LV area of the slice, ES" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.skipif(not ACDC.is_dir(), reason="needs ACDC beside the checkout (../shared/real/acdc)")
def test_no_labelled_patient_crosses_a_bound():
    patients = [subject for subject in acdc.subjects(ACDC)[0] if subject.split != "test"]
    for subject in patients[::10]:  # all hundred were measured once; a tenth is read each time
        study = acdc.read(subject)
        sax, ends = study.views["sax"], [study.ed_frame, study.es_frame]
        two = reading(sax.image[..., ends], sax.spacing_mm)
        plausibility.refuse(two, study.id)
        labels = np.stack([sax.label_at(frame) for frame in ends], axis=-1)
        metrics = measures.sax_metrics(labels, sax.spacing_mm, two.sax_positions_mm, 0, 1)
        assert plausibility.judged(metrics | {"MAPSE": {}, "GLshortening": {}}, labels, two.sax_positions_mm)[1] == {}
