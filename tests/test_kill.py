"""Killed and run again, and two at once; tests/bench/kill.py does the same at many moments and for more commands."""

import os

import pytest
from bench import kill

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prepare", "train"])
def test_killed_and_run_again_is_the_same_and_nothing_is_left(name, tmp_path):
    wanted, seconds = kill.whole(name, tmp_path)
    assert set(wanted) and not kill.left(tmp_path)
    assert kill.killed(name, tmp_path, 0.6 * seconds, wanted) == []


@pytest.mark.slow
def test_of_two_at_once_one_is_refused_or_both_agree(tmp_path):
    wanted, _ = kill.whole("train", tmp_path)
    assert kill.together("train", tmp_path, wanted) == []


def test_a_fault_is_found(tmp_path):
    """What the harness looks for, planted: another result, a temporary, a refusal of all."""
    door = kill.Door("", "", ("run/*",))
    for path in ("run/metrics.csv", "run/.x.01234567.part/x"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("1", encoding="utf-8")
    script = "print('begun', flush=True); print('another process is at work'); sys.exit(2)"
    wrong = kill.checked(door, tmp_path, [kill.start(script, tmp_path)], {"run/metrics.csv": b"2"})
    assert [fault.split(" ")[0] for fault in wrong] == ["ended", "differs:", "left:"]
