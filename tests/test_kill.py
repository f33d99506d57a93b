"""Killed and run again, two at once, and a full disk; tests/bench/kill.py and full_disk.py do the same at many moments
and sizes."""

import os

import pytest
from bench import full_disk, kill

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prepare", "train", "segment"])
def test_killed_and_run_again_is_the_same_and_nothing_is_left(name, tmp_path):
    wanted, seconds = kill.whole(name, tmp_path)
    assert set(wanted) and not kill.left(tmp_path)
    assert kill.killed(name, tmp_path, 0.6 * seconds, wanted) == []


@pytest.mark.slow
def test_of_two_at_once_one_is_refused_or_both_agree(tmp_path):
    wanted, _ = kill.whole("train", tmp_path)
    assert kill.together("train", tmp_path, wanted) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prepare", "segment"])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(name, tmp_path):
    if not full_disk.permitted(tmp_path):
        pytest.skip("no tmpfs may be mounted here: that takes root on Linux")
    wanted, _ = kill.whole(name, tmp_path)
    for size in full_disk.sizes_kib(3, full_disk.needed_kib(tmp_path))[:2]:
        assert full_disk.filled(name, tmp_path, size, wanted) == []


def test_a_fault_is_found(tmp_path):
    """What the harness looks for, planted: another result, a temporary, a refusal of all."""
    door = kill.Door("", "", ("run/*",))
    for path in ("run/metrics.csv", "run/.x.01234567.part/x"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("1", encoding="utf-8")
    script = "print('begun', flush=True); print('another process is at work'); sys.exit(2)"
    wrong = kill.checked(door, tmp_path, [kill.start(script, tmp_path)], {"run/metrics.csv": b"2"})
    assert [fault.split(" ")[0] for fault in wrong] == ["ended", "differs:", "left:"]
