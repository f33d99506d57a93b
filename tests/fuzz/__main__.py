"""`python -m tests.fuzz --n 10000 --seed 0`: what came of spoilt inputs, and exit code 1 if any was no refusal.

Each case runs in a child of its own, with a limit of memory and of time.
"""

import argparse
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from tests.fuzz.doors import DOORS

FORK = multiprocessing.get_context("fork")
KINDS = ("right", "changed", "refused", "other")
MOST_BYTES, MOST_SECONDS, PATIENCE_SECONDS = 2 << 30, 10, 60  # more than before; of the processor; by the clock
REMEDY = re.compile(
    r"must|choose|name|give|take|keep|remove|export|again|allowed|unpack|copy|write|use|rename|put |free|convert"
    r"|drop|leave|left out|fetch|hold for|see |install|needs|correct|prepare|is read|fit |follow"
)
LIBRARY = re.compile(
    r"^(max|min)\(\) arg|^[^(]{0,60}(\[Errno|has no attribute|NoneType|out of bounds|could not convert|invalid literal"
    r"|operand|not supported between|broadcast|cannot reshape|to unpack|codec can't|index out of range|unhashable)"
)


class Outcome(NamedTuple):
    """kind: of KINDS; changed: another result without a word, where nothing told it from another examination's."""

    door: str
    case: int
    kind: str
    what: str
    said: str
    megabytes: float = 0.0


def told(text, names):
    """Whether it is one line that names what it is about and what to do, and no library's alone."""
    named = any(name in text for name in names) and REMEDY.search(text)
    return bool(named) and "\n" not in text and not LIBRARY.search(text)


def judge(door, home, what, sound):
    """(kind, words) of what the door makes of the spoilt input in `home`."""
    result, said = sound
    parts = [part for path in home.rglob("*") for part in path.relative_to(home).parts] + what.split()
    names = {*door.words, *(name for one in parts for name in (one, one.split(".")[0]) if len(name) > 2)}
    whole = ": home" in what  # the folder itself has another name: nothing in it can be told by its place
    own = bool(door.own) and door.own in f"/{what.split(': ')[0]}" and not whole
    try:
        found, more = door.call(home)
    except BaseException as error:
        frames = [one for one in traceback.extract_tb(error.__traceback__) if f"{os.sep}cinema{os.sep}" in one.filename]
        place = f" [{Path(frames[-1].filename).name}:{frames[-1].lineno}]" if frames else ""
        if isinstance(error, (ValueError, OSError, SystemExit)) and told(str(error), names) and not own:
            return "refused", str(error)
        return "other", f"{type(error).__name__}: {error}{place}"
    lines = Counter(line for one in more if (line := one.replace(str(home), "")))
    new = list((lines - Counter(said)).elements())
    lost = set(result) - set(found)
    if own and door.neighbour in lost:
        return "other", f"neighbour lost: {new}"
    untold = [line for line in new if LIBRARY.search(line) or "\n" in line or not (REMEDY.search(line) or not lost)]
    if untold or (lost and not new and not whole):
        return "other", f"untold: {untold}"
    return "refused" if lost else "right" if new or found == result else "changed", "; ".join(new)


def _one(pipe, name, case, seed, sound):
    used, memory = time.process_time(), int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (memory + MOST_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + MOST_SECONDS + 1,) * 2)
    os.setsid()
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    place, (template, expected) = Path(tempfile.mkdtemp(dir=Path(sound[name][0]).parent)), sound[name]
    shutil.copytree(template, home := place / "case")
    what = DOORS[name].spoil(home, np.random.default_rng([seed, zlib.crc32(name.encode()), case]))
    verdict = judge(DOORS[name], home, what, expected)
    shutil.rmtree(place, ignore_errors=True)  # before it is sent: then this process is killed
    pipe.send(
        Outcome(name, case, *verdict[:1], what, verdict[1], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    )


def _sound(pipe, names, place):
    """Send name -> (folder of a sound input, what comes out of it)."""
    sound = {}
    for name in names:
        template = Path(place) / name / "case"
        template.mkdir(parents=True)
        DOORS[name].make(template)
        shutil.copytree(template, copy := template.with_name("copy"))
        result, said = DOORS[name].call(copy)
        sound[name] = template, (result, [line.replace(str(copy), "") for line in said])
        os.chdir(place)
    pipe.send(sound)


def apart(function, *arguments, patience=None):
    """What a child sends that runs function(pipe, *arguments); a text if it crashes or hangs."""
    pipe, other = FORK.Pipe()
    child = FORK.Process(target=function, args=(other, *arguments))
    child.start()
    other.close()
    try:
        return pipe.recv() if pipe.poll(patience) else "no end in sight"
    except EOFError:
        child.join()
        return (
            "too long" if child.exitcode in (-signal.SIGXCPU, -signal.SIGKILL) else f"crash, exit code {child.exitcode}"
        )
    finally:
        with suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
        child.join()


def outcomes(cases, seed=0):
    """An Outcome for each (door, number)."""
    with tempfile.TemporaryDirectory(prefix="fuzz", ignore_cleanup_errors=True) as place:
        sound = apart(_sound, list(dict.fromkeys(door for door, _ in cases)), place)
        for door, case in cases:
            found = apart(_one, door, case, seed, sound, patience=PATIENCE_SECONDS)
            yield Outcome(door, case, "other", "", found) if isinstance(found, str) else found


def table(found, shown="other"):
    """Lines: door, tried, how many of each kind, most memory; then the kinds of what is shown, the shortest of each."""
    lines = ["".join(word.rjust(11) for word in ("door", "tried", *KINDS, "MB"))]
    for door in dict.fromkeys(one.door for one in found):
        mine = [one for one in found if one.door == door]
        counts = [sum(one.kind == kind for one in mine) for kind in KINDS]
        lines.append("".join(f"{word:>11}" for word in (door, len(mine), *counts, int(max(o.megabytes for o in mine)))))
    kinds = {
        one: (one.door, re.sub(r"[\d'\"(].*", "", one.said, flags=re.DOTALL)[:50]) for one in found if one.kind == shown
    }
    for kind, count in Counter(kinds.values()).most_common(60):
        one = min((one for one in kinds if kinds[one] == kind), key=lambda one: len(one.what))
        lines.append(f"{one.door} {one.case}, {count} times: {one.what[:120]} -> {one.said[:300]}".replace("\n", "\\n"))
    return lines


def main():
    options = argparse.ArgumentParser("tests.fuzz", description="Spoilt inputs at every door of the package.")
    options.add_argument("--n", type=int, default=1000, help="cases, over all doors together")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--door", action="append", choices=list(DOORS), help="only these (default all)")
    options.add_argument("--show", default="other", choices=KINDS, help="examples of")
    given, found = options.parse_args(), []
    names = given.door or list(DOORS)
    with suppress(KeyboardInterrupt):  # then the table of what has been done
        for outcome in outcomes(
            [(door, case) for case in range(-(-given.n // len(names))) for door in names], given.seed
        ):
            found.append(outcome)
    print(*table(found, given.show), sep="\n")
    return int(any(one.kind == "other" for one in found))


if __name__ == "__main__":
    sys.exit(main())
