"""A short share of the spoilt inputs of every door, always the same; and that the harness sees what it is there for."""

import pytest

from tests.fuzz.doors import Door

harness = pytest.importorskip("tests.fuzz.__main__", reason="limits of memory and forks are not there on this system")
CASES = 5  # of each door


@pytest.fixture(scope="module")
def found():
    return list(harness.outcomes([(door, case) for door in harness.DOORS for case in range(CASES)]))


@pytest.mark.parametrize("door", harness.DOORS)
def test_spoilt_input_is_read_rightly_or_refused_in_one_line(found, door):
    mine = [one for one in found if one.door == door]
    assert len(mine) == CASES and not [one for one in mine if one.kind == "other"]
    assert {one.kind for one in mine} & {"refused", "right"}


ACTS = {  # what must not be -> how it is told
    "__import__('os')._exit(3)": "crash, exit code 3",
    "bytearray(3 << 30)": "MemoryError",
    "{}['x']": "KeyError",
    "int('x.txt')": "ValueError: invalid literal",
    "max([])": "ValueError: max",
    "None": "untold: []",
    "[None for _ in iter(int, 1)]": "too long",
}


@pytest.mark.parametrize("act", ACTS)
def test_what_must_not_be_is_seen(monkeypatch, act):
    call = lambda home: ({"sound": 1} if not (home / "x.txt").exists() else eval(act) or {}, [])
    spoil = lambda home, rng: (home / "x.txt").write_text("x", encoding="utf-8") and "x.txt"
    monkeypatch.setitem(harness.DOORS, "bad", Door(lambda home: None, call, spoil))
    monkeypatch.setattr(harness, "MOST_SECONDS", 1)
    (outcome,) = harness.outcomes([("bad", 0)])
    assert outcome.kind == "other" and outcome.said.startswith(ACTS[act])
