"""Killed at any moment, run again: the same result, nothing left behind, nobody left running.

    python tests/bench/kill.py [--doors prepare,segment,..] [--moments 50] [--together 50] [--container]

Each door works on a small input of its own. It is run whole once; then killed (SIGKILL) at moments spread over its
work, and run again: every file it is for must have the bytes of the whole run, no temporary or lock may lie about, the
system's folder of temporaries (each trial has its own) included, and no process of either run may live. What `segment`
is for must be there whole or not at all, before the next run too. Then two are started at once: one may be refused, in
one line, and what they leave must be that of one. --container: each run is process 1 of a process namespace (unshare,
as root). Prints how each went.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import NamedTuple

import psutil

ROOT = Path(__file__).resolve().parents[2]
PLACES = [str(ROOT / place) for place in ("", "tests", "tests/runner", "tests/training")]
CONTAINER = ("unshare", "--fork", "--pid", "--mount-proc")
TEMPORARY = "temporary"  # stands for the system's folder
PATIENCE_S = 300  # for a run, and for processes to end: on a busy machine
BEGIN = "import sys\nfrom pathlib import Path\nhere = Path(sys.argv[1])\n"


class Door(NamedTuple):
    """make(folder) writes the input; script works in `here`, a copy of it, after it has printed a line; kept: what it
    is for, as patterns, which is there whole or not at all if `at_once`."""

    make: str
    script: str
    kept: tuple
    at_once: bool = False


REPRODUCE = """from cinema import cli
from cinema.runner import run
whole = run.reproduce
run.reproduce = lambda **options: whole(root=here, **options)
print("begun", flush=True)
sys.exit(cli.main(["reproduce", "--profile", "ci"]))"""
PREPARE = """from cinema import cli
import cinema.data.public.acdc, cinema.data.public.prepare
print("begun", flush=True)
sys.exit(cli.main(["prepare", "acdc", str(here / "raw"), "--out", str(here / "disk" / "acdc"), "--jobs", "2"]))"""
SEGMENT = """from functools import partial
from cinema import cli
from cinema.inference import reader, segment
reader.OwnReader = partial(reader.OwnReader, turns=1)
print("begun", flush=True)
sys.exit(cli.main(["segment", str(here / "dicom"), "--out", str(here / "disk" / "out")]))"""
SCAN = """import dicom_writer
small = {"frames": 3, "spacing": (3.0, 3.0), "shape": (60, 54)}
dicom_writer.write_study(here / "dicom", slices=4, step=20.0, angles=(10,), **small)"""
TRAIN = """from test_loop import *
paths = sorted((here / "studies").glob("*.h5"))
sets = StudyFrames(paths[:3], ("sax",), grid=tiny.GRID, augment=SEGMENTATION)
sets = sets, StudyFrames(paths[3:], ("sax",), grid=tiny.GRID)
print("begun", flush=True)
try:
    fit(model(), TASK, *sets, replace(CONFIG, epochs=10, save_seconds=0), here / "run")
except OSError as error:
    print(error, file=sys.stderr)
    sys.exit(2)"""
FINETUNE = """from test_finetune import *
published.SMALL_GRID = small.SMALL_GRID = tiny.GRID
print("begun", flush=True)
command = "finetune segmentation acdc --profile ci --model scratch --device cpu".split()
sys.exit(main([*command, "--data-root", str(here), "--out", str(here / "run")]))"""
WEIGHTS = ("run/best.safetensors", "run/last.safetensors", "run/metrics.csv")
DOORS = {
    "reproduce": Door("from test_run import make_project\nmake_project(here)", REPRODUCE, ("report/ci/figures/**/*",)),
    "prepare": Door("from rawtrees import acdc\nacdc.build(here / 'raw')", PREPARE, ("disk/acdc/*",)),
    "segment": Door(SCAN, SEGMENT, ("disk/out/*",), at_once=True),
    "train": Door("from test_loop import tiny\ntiny.write(here / 'studies', 4, ('sax',), 3)", TRAIN, WEIGHTS),
    "finetune": Door("from test_finetune import make\nmake(here, 'acdc')", FINETUNE, (*WEIGHTS, "run/scores.csv")),
}


def start(script, folder, prefix=()):
    """(process, mark of it and of all it starts) of a script that has begun its work in `folder`."""
    mark, own = uuid.uuid4().hex, folder / TEMPORARY
    own.mkdir(exist_ok=True)
    ours = {"PYTHONPATH": os.pathsep.join(PLACES), "OMP_NUM_THREADS": "1", "TMPDIR": str(own), "KILL_MARK": mark}
    command = [*prefix, sys.executable, "-c", BEGIN + script, str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8", "errors": "replace"}
    process = subprocess.Popen(command, env=os.environ | ours, start_new_session=True, **pipes)
    while (line := process.stdout.readline()).strip() not in ("begun", ""):
        pass
    assert line, f"it did not begin: {process.wait()}"
    return process, mark


def ended(process):
    """(exit code, what it said) of a process that is left to end."""
    said = process.stdout.read()  # communicate() would lose what came with the line that was waited for
    return process.wait(PATIENCE_S), said


def kill(process, prefix):
    """SIGKILL to the script itself, which with `unshare` before it is a child: process 1 of its own."""
    number = process.pid
    if prefix:
        children = psutil.Process(number).children()
        number = children[0].pid if children else number
    os.kill(number, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def living(mark):
    """Processes that carry a mark; those that are ending have a moment to do so."""
    for _ in range(100):
        found = [process.info["pid"] for process in psutil.process_iter(["pid", "environ"]) if of(process, mark)]
        if not found:
            break
        time.sleep(0.1)
    return found


def of(process, mark):
    return (process.info["environ"] or {}).get("KILL_MARK") == mark


def result(door, folder):
    """Path -> content of what the door is for."""
    paths = [path for pattern in door.kept for path in sorted(folder.glob(pattern)) if path.is_file()]
    return {path.relative_to(folder).as_posix(): content(path) for path in paths}


def content(path):
    """Bytes of a file; of a study its content; of safetensors header and tensors apart, as the library writes its
    metadata in any order."""
    held = path.read_bytes()
    if path.suffix == ".h5":  # packed into other bytes each time
        from cinema.data import hdf5

        with hdf5.opened(path) as file:
            return hdf5.content_of(file)
    if path.suffix != ".safetensors":
        return held
    end = 8 + int.from_bytes(held[:8], "little")
    return json.loads(held[8:end]), held[end:]


def left(folder):
    """Temporaries and locks, and files in what stands for the system's folder (torch makes an empty folder there)."""
    found = [path for pattern in (".*.part", ".lock", ".moving", ".earlier") for path in folder.rglob(pattern)]
    return found + [path for path in folder.glob(f"{TEMPORARY}/**/*") if path.is_file()]


def whole(name, base, prefix=()):
    """(what a run that nobody disturbs leaves, seconds it works); its input lies in base/given from then on."""
    door, given, out = DOORS[name], base / "given", base / "whole"
    given.mkdir()
    command = [sys.executable, "-c", BEGIN + door.make, str(given)]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(PLACES)}, check=True)
    shutil.copytree(given, out)
    process, _ = start(door.script, out, prefix)
    begun = time.monotonic()
    code, said = ended(process)
    assert code == 0, said
    return result(door, out), time.monotonic() - begun


def killed(name, base, moment_s, wanted, prefix=()):
    """What is wrong, in words, after a run killed moment_s into its work and another one: none if all is well."""
    door, out = DOORS[name], base / uuid.uuid4().hex[:8]
    shutil.copytree(base / "given", out)
    process, mark = start(door.script, out, prefix)
    time.sleep(moment_s)
    kill(process, prefix)
    wrong = [f"{len(numbers)} processes live after the kill"] if (numbers := living(mark)) else []
    if door.at_once and result(door, out) not in ({}, wanted):
        wrong.append(f"half there after the kill: {[*result(door, out)]}")
    return wrong + checked(door, out, [start(door.script, out, prefix)], wanted)


def together(name, base, wanted, prefix=()):
    """The same after two runs at once."""
    door, out = DOORS[name], base / uuid.uuid4().hex[:8]
    shutil.copytree(base / "given", out)
    return checked(door, out, [start(door.script, out, prefix) for _ in range(2)], wanted)


def checked(door, out, runs, wanted):
    """What is wrong after these runs have ended: one must have succeeded, another may have been refused in one line."""
    ends, wrong = [ended(process) for process, _ in runs], []
    refused = [said for code, said in ends if code == 2 and "another process is at work" in said]
    if sum(code == 0 for code, _ in ends) + len(refused) < len(ends) or len(refused) == len(ends):
        wrong.append(f"ended with {ends}")
    if result(door, out) != wanted:
        found = result(door, out)
        wrong.append(f"differs: {[path for path in {*found, *wanted} if found.get(path) != wanted.get(path)]}")
    wrong += [f"left: {path.relative_to(out)}" for path in left(out)]
    wrong += [f"lives: {numbers}" for _, mark in runs if (numbers := living(mark))]
    shutil.rmtree(out, ignore_errors=True)
    return wrong


def said(what, wrong):
    """Print how a trial went; 1 if it went wrong."""
    print(f"{what}: {'; '.join(wrong) or 'well'}", flush=True)
    return 1 if wrong else 0


def main():
    sys.path.insert(0, str(ROOT))
    parser = argparse.ArgumentParser()
    parser.add_argument("--doors", default=",".join(DOORS))
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--together", type=int, default=50)
    parser.add_argument("--container", action="store_true")
    options = parser.parse_args()
    prefix, bad = CONTAINER if options.container else (), 0
    for name in options.doors.split(","):
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder)
            wanted, seconds = whole(name, base, prefix)
            moments = [(k + 0.5) / options.moments * seconds for k in range(options.moments)]
            for k, moment in enumerate(moments):
                bad += said(f"{name}, kill {k + 1}, {moment:.1f} s", killed(name, base, moment, wanted, prefix))
            for k in range(options.together):
                bad += said(f"{name}, two at once {k + 1}", together(name, base, wanted, prefix))
        print(f"{name}: {options.moments} kills, {options.together} times two at once; {bad} faults so far", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
