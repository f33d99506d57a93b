"""`segment` delivers all or nothing: killed at every step of a delivery, two at once, and what a user cannot get."""

import multiprocessing
import os
import pathlib

import numpy as np
import pytest
import torch

from cinema.data.study import Study, View, save_study
from cinema.inference import segment
from cinema.inference.segment import RESULTS

pytestmark = pytest.mark.skipif(os.name == "nt", reason="forks")
NEW = ("sax.nii.gz", "metrics.json", "numbers.csv", "report.html")
OLD = ("sax.nii.gz", "lax_2c.nii.gz", "metrics.json", "report.html")


def fill(folder, names, text):
    for name in names:
        (folder / name).write_text(text, encoding="utf-8")


def held(out):
    return {name: (out / name).read_text(encoding="utf-8") for name in RESULTS if (out / name).exists()}


def deliver(out, names, text):
    with segment.staged(out) as folder:
        fill(folder, names, text)


def killed_at(step, out):
    """Deliver NEW and end, as kill -9 does, at the step-th move; exit code 0 if there are fewer."""
    moves, replace, rename = iter(range(step)), os.replace, pathlib.Path.rename

    def counted(move):
        return lambda *paths: move(*paths) if next(moves, None) is not None else os._exit(9)

    os.replace, pathlib.Path.rename = counted(replace), counted(rename)
    deliver(out, NEW, "new")
    os._exit(0)


def run(target, *arguments):
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    return process


@pytest.mark.parametrize("earlier", [OLD, ()])
def test_a_run_killed_at_any_step_leaves_the_earlier_or_the_new_results(earlier, tmp_path):
    steps = 0
    while True:
        out = tmp_path / str(steps) / "out"
        out.mkdir(parents=True)
        (out / "mine.txt").write_text("mine", encoding="utf-8")
        fill(out, earlier, "old")
        process = run(killed_at, steps, out)
        process.join()
        texts = set(held(out).values())  # before anything is mended
        assert len(texts) < 2 or "report.html" not in held(out)
        with pytest.raises(ValueError, match="stopped"), segment.staged(out):
            raise ValueError("stopped")  # the next run mends and sweeps even if it fails itself
        whole = [dict.fromkeys(earlier, "old"), dict.fromkeys(NEW, "new")]
        assert held(out) in (whole if process.exitcode else whole[1:]) and os.listdir(out.parent) == ["out"]
        assert sorted(set(os.listdir(out)) - set(RESULTS)) == ["mine.txt"]
        if process.exitcode == 0:
            break
        steps += 1
    assert steps == len(earlier) + len(NEW) + 2


def test_two_at_once_leave_the_results_of_one(tmp_path):
    for turn in range(10):
        out = tmp_path / str(turn) / "out"
        both = [run(deliver, out, names, text) for names, text in ((OLD, "one"), (NEW, "other"))]
        for process in both:
            process.join()
            assert process.exitcode == 0
        assert held(out) in (dict.fromkeys(OLD, "one"), dict.fromkeys(NEW, "other"))
        assert os.listdir(out.parent) == ["out"] and set(os.listdir(out)) <= set(RESULTS)


def test_an_out_that_is_a_file_system_of_its_own_is_filled_from_within(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: path == out)
    for text in ("first", "second"):
        with segment.staged(out) as folder:
            assert out in folder.parents
            fill(folder, NEW, text)
        assert held(out) == dict.fromkeys(NEW, text) and set(os.listdir(out)) == set(NEW)
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize(
    "device, words",
    [("warp", "device warp"), ("meta", "device meta"), ("cuda:99", "device cuda:99 .*give --device cpu")],
)
def test_a_device_that_is_not_there_is_refused_before_anything_is_read(device, words, tmp_path):
    with pytest.raises(ValueError, match=words) as caught:
        segment.segment(tmp_path / "nothing", tmp_path / "out", device=device)
    assert "\n" not in str(caught.value) and not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "error",
    [MemoryError("Unable to allocate"), RuntimeError("not enough memory: you tried"), torch.OutOfMemoryError("memory")],
)
def test_lack_of_memory_is_one_line(error, tmp_path, monkeypatch):
    image = np.random.default_rng(1).normal(size=(60, 60, 4, 3)).astype(np.float32)
    path = save_study(Study("one", "test", {"sax": View(image, np.diag([2.0, 2, 10, 1]))}), tmp_path)

    def fails(*_):
        raise error

    reader = type("Reader", (), {"predict_sax": fails})()
    with pytest.raises(ValueError, match="one.h5 needs more memory than there is; cut"):
        segment.segment(path, tmp_path / "out", readers={"sax": reader})
    assert os.listdir(tmp_path) == ["one.h5"]
