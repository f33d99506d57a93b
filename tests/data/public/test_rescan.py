"""Rescan: raw folders read and refused; pickles read without running them."""

import copyreg
import os
import pickle
import re

import numpy as np
import pytest
from rawtrees import rescan as builder
from rawtrees.rescan import Calls

from cinema.data.public import pickles, rescan

OPTIONS = {"frames": 4}
HEAD = "A,B1,B2,EDV_A,EDV_B1,EDV_B2,ESV_A,ESV_B1,ESV_B2\n"


def test_scans_splits_and_what_is_skipped(tree):
    known = tree.facts
    assert {name: one.split for name, one in tree.found.items() if name in known["ids"]} == known["splits"]
    assert {name for name, one in tree.found.items() if one.split == "val"} == {"G_s_0053", "H_s_0054"}  # first of each
    assert set(tree.skipped) == set(known["bad"]) - set(tree.found)
    for name, reason in tree.skipped.items():
        assert re.search(known["bad"][name], reason) and "\n" not in reason
    assert not (tree.raw / "pickle/ran").exists()  # what a hostile pickle would make
    assert tree.found["scan_01_B"].attributes == {"patient": "scan_01", "rescan": "B"}


def test_pixels_masks_and_places_are_those_of_the_scan(tree):
    for name in tree.facts["ids"]:
        study, true = rescan.read(tree.found[name]), tree.facts["studies"][name]
        assert set(study.views) == {"sax", "lax_2c", "lax_4c"}
        for view, found in study.views.items():
            expected, at = true.views[view], np.array([40, 3, 2 if view == "sax" else 0, 1.0])
            index = np.linalg.inv(expected.affine) @ found.affine @ at  # the slices may run the other way
            np.testing.assert_allclose(index, np.rint(index), atol=1e-6)
            i, j, k = np.rint(index[:3]).astype(int)
            assert (i, j) == (40, 3)
            np.testing.assert_array_equal(found.image[:, :, int(at[2])], expected.image[:, :, k])
            if view == "sax" and found.labels is not None:
                np.testing.assert_array_equal(found.labels[:, :, int(at[2])], expected.labels[:, :, k])
                assert found.label_frames == tuple(range(4))
        if name.startswith("retest"):
            assert study.ed_frame is None and study.views["sax"].labels is None
        else:
            voxels = [int((true.views["sax"].labels[..., t] == 3).sum()) for t in range(4)]
            assert (study.ed_frame, study.es_frame) == (int(np.argmax(voxels)), int(np.argmin(voxels)))


def retest(folder, scans, rows):
    """(subjects, skipped) of a retest set of scans and the rows of its table; None: there is no table."""
    study = builder.hearts("rescan", 6, 0, 4)[0]
    home = folder / "pickle/test_retest_100"
    for number in scans:
        builder.scan(home / str(number), study, masks=False)
    if rows is not None:
        (home / "labels.csv").write_text(rows, encoding="utf-8")
    return rescan.subjects(folder)


def test_b1_and_b2_are_two_scans(tmp_path):
    subjects, skipped = retest(tmp_path, range(1, 6), f"{HEAD}1,2,3,150,160,140,60,70,50\n4,5,,120,110,,50,,\n")
    assert not skipped
    found = {one.id: one.attributes for one in subjects}
    assert list(found) == ["retest_00_A", "retest_00_B1", "retest_00_B2", "retest_01_A", "retest_01_B1"]
    volumes = {"lv_edv_ml": 140.0, "lv_esv_ml": 50.0, "lv_ef_percent": pytest.approx(100 * 90 / 140)}
    assert found["retest_00_B2"] == {"patient": "retest_00", "rescan": "B"} | volumes
    assert found["retest_01_B1"] == {"patient": "retest_01", "rescan": "B", "lv_edv_ml": 110.0}


@pytest.mark.parametrize(
    "rows, message",
    [("A,B1\n1,2\n", "lacks the columns B2"), ("", "no readable CSV"), (None, "labels.csv is missing")],
)
def test_a_bad_table_stops_the_run(rows, message, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        retest(tmp_path, (1,), rows)


def test_rows_of_the_table_that_cannot_be_right_are_skipped(tmp_path):
    subjects, skipped = retest(tmp_path, (1, 2, 3), f"{HEAD}1,2,2,1,1,1,1,1,1\n3,,,big,,,1,,\n")
    assert [one.id for one in subjects] == ["retest_00_A"]
    reasons = {one.id: one.reason for one in skipped}
    assert "the scan 2 more than once" in reasons["retest_00_B1"] and "more than once" in reasons["retest_00_B2"]
    assert "row 1: a volume is no number" in reasons["retest_01_A"]


def written(folder, **changes):
    """One training scan whose SAX dictionary is changed; its subject."""
    study = builder.hearts("rescan", 6, 0, 4)[0]
    builder.scan(folder / "pickle/train/G/s_1", study)
    sax = builder.content(study.views["sax"], "sax")
    builder.dump(folder / "pickle/train/G/s_1/SAX.pickle", sax | changes)
    return study, sax, rescan.subjects(folder)[0][0]


def test_slices_are_where_their_positions_are_and_rows_come_first(tmp_path):
    study, sax, one = written(tmp_path, PixelSpacing=[1.8, 2.5], SliceSpacing=9.0)
    assert rescan.read(one).views["sax"].spacing_mm == pytest.approx((2.5, 1.8, 10.0))  # x is between columns
    positions = np.array(sax["ImagePositionPatient"])
    study, sax, one = written(tmp_path, ImagePositionPatient=positions[::-1])  # stored against the release's assumption
    affine = rescan.read(one).views["sax"].affine
    np.testing.assert_allclose(affine[:3, 3], positions[0] * (-1, -1, 1))
    np.testing.assert_allclose(affine[:3, 2], (positions[1] - positions[0]) * (-1, -1, 1))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "right angles"),
        ({"PixelSpacing": [0, 1]}, "PixelSpacing positive"),
        ({"PixelSpacing": ["a", "b"]}, "PixelSpacing is missing or holds no numbers"),
        ({"SliceSpacing": -1}, "SliceSpacing"),
        ({"ImagePositionPatient": np.zeros((8, 3))}, "evenly spaced"),
        ({"ImagePositionPatient": np.zeros((7, 3))}, r"shape \(7, 3\); it must be \(8, 3\)"),
        ({"image_voxels": np.full((8, 4, 96, 96), np.nan)}, "NaN"),
        ({"image_voxels": np.zeros((4, 96, 96))}, "4 axes"),
        ({"image_voxels": "pixels"}, "4 axes"),
        ({"ImageOrientationPatient": None}, "ImageOrientationPatient"),
    ],
)
def test_headers_that_make_no_grid_are_refused(changes, message, tmp_path):
    _, _, one = written(tmp_path, **changes)
    with pytest.raises(ValueError, match=message) as error:
        rescan.read(one)
    assert "\n" not in str(error.value) and "SAX.pickle" in str(error.value)


# Pickles --------------------------------------------------------------------------------------------------------------

PLAIN = {
    "voxels": np.arange(24, dtype=np.int16).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.eye(3)[:2]),
    "swapped": np.arange(3, dtype=">i4"),
    "strided": np.arange(12.0).reshape(3, 4)[::2, ::3],
    "empty": np.zeros((0, 3)),
    "flags": np.array([True, False]),
    "names": np.array(["a", "bcd"]),
    "one": np.float64(1.5),
    "two": np.int64(-2),
    "list": [1, 2.5, None, True, ("a", b"\x00\xff", b"")],
    "big": 2**70,
    "nested": {"a": {3: [np.ones(2, np.float32)]}},
}


def same(a, b):
    if isinstance(a, np.ndarray):
        return a.dtype.newbyteorder("=") == b.dtype.newbyteorder("=") and np.array_equal(a, b)
    if isinstance(a, dict):
        return type(b) is dict and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_and_arrays_come_back(protocol, tmp_path):
    path = tmp_path / "plain.pickle"
    path.write_bytes(pickle.dumps(PLAIN, protocol))
    assert same(PLAIN, pickles.read(path))


@pytest.mark.parametrize("package", [b"numpy.core", b"numpy._core"])
def test_both_names_of_numpys_inside_are_known(package, tmp_path):
    value = {"a": np.arange(6.0).reshape(2, 3), "b": np.float32(2)}
    data, n = re.subn(rb"cnumpy\._?core\.multiarray\n", b"c" + package + b".multiarray\n", pickle.dumps(value, 2))
    assert n >= 1
    (tmp_path / "a.pickle").write_bytes(data)
    assert same(value, pickles.read(tmp_path / "a.pickle"))


CHANGED = b"N}X\x04\x00\x00\x00callX\x01\x00\x00\x00xs\x86b."  # sets the attribute `call` of what was read last
CALL = r"asks for (posix|nt|os)\.mkdir; .* if you trust it"


def trapped(trap):
    """name -> (a pickle that would make the folder `trap` if a plain reader loaded it, what is said of it)."""
    trap, code = str(trap), f"__import__('os').mkdir({str(trap)!r})"
    loud, line = Calls(os.mkdir, trap), b"V" + trap.encode() + b"\n"
    hostile = {
        "reduce": (loud, CALL),
        "nested": ({"a": [1, ({"b": loud},)]}, CALL),
        "key": ({loud: 1}, CALL),
        "eval": (Calls(eval, code), r"asks for (builtins|__builtin__)\.eval;"),
        "exec": (Calls(exec, code), "exec"),
        "object array": (np.array([loud, 1], object), "has an array of dtype O8"),
        "getattr": (Calls(getattr, "", "join"), "getattr"),
        "ufunc": (np.add, "asks for"),
        "loads": (Calls(pickle.loads, pickle.dumps(loud)), "loads"),
    }
    return {name: (pickle.dumps(value, 4), words) for name, (value, words) in hostile.items()} | {
        "inst": (b"(" + line + b"ios\nmkdir\n.", CALL),  # the oldest way to call
        "obj": (b"(cos\nmkdir\n" + line + b"o.", "asks for "),
        "protocol 0": (pickle.dumps(loud, 0), CALL),
        "state": (pickle.dumps(Calls(dict, state={"a": 1}), 2), "dict"),
        "newobj": (b"\x80\x02cbuiltins\nobject\n)\x81.", "object"),
        "attribute path": (b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.", "asks for numpy.ndarray.__init__"),
        "extension": (b"\x80\x02\x82\x01.", "asks for "),
        "persistent": (b"Psomewhere\n.", "asks for "),
        "call of a call": (b"\x80\x02cnumpy\ndtype\n(X\x02\x00\x00\x00f4tR)R.", "not a whole pickle"),
        "stand-in changed": (b"\x80\x02cnumpy\ndtype\n" + CHANGED, "not a whole pickle"),
        "huge array": (b"\x80\x02cnumpy\nndarray\n(J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86tR.", "ndarray"),
        "huge bytes": (b"\x80\x02cbuiltins\nbytes\n(J\xff\xff\xff\x7ftR.", "encode in an unusual way"),
        "function changed": (b"\x80\x02c_codecs\nencode\n" + CHANGED, "changes a function"),
        "place in memory": (b"\x80\x02Nr\xff\xff\xff\x7f.", "asks for "),
    }


@pytest.mark.parametrize("name", trapped("trap"))
def test_hostile_pickles_are_refused_and_nothing_runs(name, tmp_path, monkeypatch):
    monkeypatch.setitem(copyreg._inverted_registry, 1, ("os", "getcwd"))  # an extension that names a function
    trap, path = tmp_path / "ran", tmp_path / "hostile.pickle"
    data, words = trapped(trap)[name]
    path.write_bytes(data)
    with pytest.raises(ValueError, match=words) as error:
        pickles.read(path)
    assert "\n" not in str(error.value) and "hostile.pickle" in str(error.value) and not trap.exists()


@pytest.mark.parametrize(
    "value, message",
    [
        ({1, 2}, "set"),
        (np.array([None, 1], object), "dtype O8"),
        (np.zeros(2, [("a", "f4")]), "dtype V4"),
        (np.datetime64("2020-01-01"), "dtype M8"),
        (1j, "complex"),
        (np.complex64(1j), "dtype c8"),
        (slice(2), "slice"),
        (np.ma.array([1]), "numpy.ma"),
        (bytearray(b"a"), "bytearray"),
        (np.dtype("f4"), "dtype"),
        (np.ndarray, "ndarray"),
        (Ellipsis, "Ellipsis"),
        (np.matrix([1]), "matrix"),
        (range(3), "range"),
        ({(1, 2): 3}, "keys are no plain values"),
    ],
)
def test_what_is_not_plain_is_named(value, message, tmp_path):
    path = tmp_path / "other.pickle"
    for protocol in (2, 4, 5):
        path.write_bytes(pickle.dumps({"a": value}, protocol))
        with pytest.raises(ValueError, match=message) as error:
            pickles.read(path)
        assert "only arrays and plain values are read" in str(error.value)


def test_arrays_that_lie_about_their_size_are_refused(tmp_path):
    path, data = tmp_path / "a.pickle", pickle.dumps(np.arange(6, dtype=np.int16).reshape(2, 3), 4)
    assert b"K\x02K\x03\x86" in data
    for shape in (b"K\x02K\x04\x86", b"K\x02J\xff\xff\xff\xff\x86", b"K\x02N\x86"):
        path.write_bytes(re.sub(b"\x95.{8}", b"", data.replace(b"K\x02K\x03\x86", shape), flags=re.S))  # no frame
        with pytest.raises(ValueError, match="has an array of"):
            pickles.read(path)


def test_limits_and_damage(tmp_path, monkeypatch):
    path = tmp_path / "a.pickle"
    data = pickle.dumps(PLAIN)
    path.write_bytes(data)
    with monkeypatch.context() as patch, pytest.raises(ValueError, match=f"has {len(data)} bytes; at most 100 are"):
        patch.setattr(pickles, "MAX_BYTES", 100)
        pickles.read(path)
    with pytest.raises(FileNotFoundError, match="none.pickle does not exist"):
        pickles.read(tmp_path / "none.pickle")
    deep, around, wide = [], [], [0]
    for _ in range(200):
        deep = [deep]
    around.append(around)
    for _ in range(25):  # 2**25 numbers if it were written out
        wide = [wide, wide]
    for value in (deep, around):
        path.write_bytes(pickle.dumps(value))
        with pytest.raises(ValueError, match="deeper than 32 or contains itself"):
            pickles.read(path)
    path.write_bytes(pickle.dumps(wide))
    found = pickles.read(path)
    assert len(found) == 2 and found[0] is found[1]
    for content in (b"", b"text", data[:-1], data[: len(data) // 2], b"\x80\x09."):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a whole pickle") as error:
            pickles.read(path)
        assert "\n" not in str(error.value)


def test_any_damage_gives_a_plain_value_or_one_line(tmp_path):
    path, rng = tmp_path / "a.pickle", np.random.default_rng(0)
    originals = [np.frombuffer(pickle.dumps(PLAIN, protocol), np.uint8) for protocol in (0, 2, 5)]
    refused = 0
    for turn in range(300):
        data = originals[turn % 3].copy()
        data[rng.integers(len(data), size=rng.integers(1, 4))] = rng.integers(256, dtype=np.uint8)
        path.write_bytes(data.tobytes())
        try:
            pickles.read(path)
        except ValueError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 100


def test_nothing_of_the_outside_reaches_the_reader():
    made = pickles._Reader(pickle.dumps(np.arange(3.0), 4)).load()
    assert type(made) is pickles._Array
    with pytest.raises(pickles.Refused, match="asks for os.system"):
        pickles._Reader(b"").find_class("os", "system")
