"""A full disk: the command ends with code 2 and one line, leaves nothing half written, and works once there is room.

    python tests/bench/full_disk.py [--doors prepare,segment] [--sizes 20]

As root on Linux. Each door of kill.py writes to a tmpfs of few KiB, mounted for that run alone (unshare): sizes from
one page to just below what is needed, and one above. What it leaves is then laid on a disk with room, and it is run
again.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import kill

PAGE_KIB = 4
SPARE_KIB = 64  # above what is needed
LIMITED = """mount -t tmpfs -o "size=$0k" tmpfs "$1/disk" || exit 9
folder="$1"; shift; "$@"; code=$?
cp -a "$folder/disk/." "$folder/after"; exit $code"""


def limited(size_kib, folder):
    """What to put before a command for folder/disk to have that size; what it holds at the end goes to folder/after."""
    for name in ("disk", "after"):
        (folder / name).mkdir(exist_ok=True)
    return ("unshare", "--mount", "sh", "-c", LIMITED, str(size_kib), str(folder))


def permitted(folder):
    """True if such a file system may be mounted here."""
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*limited(PAGE_KIB, folder), "true"], stderr=subprocess.DEVNULL).returncode == 0


def needed_kib(base):
    """Size that the whole run's files take, in pages."""
    sizes = [path.stat().st_size for path in (base / "whole" / "disk").rglob("*") if path.is_file()]
    return sum(-(-size // (1024 * PAGE_KIB)) * PAGE_KIB for size in sizes)


def sizes_kib(count, needed):
    """Sizes from a page to a page below what is needed, and one above."""
    steps, below = max(count - 2, 1), needed // PAGE_KIB - 1
    return [PAGE_KIB * (1 + k * (below - 1) // steps) for k in range(count - 1)] + [needed + SPARE_KIB]


def filled(name, base, size_kib, wanted, enough=False):
    """What is wrong, in words, after a run into a disk of that size and another with room: none if all is well."""
    door, out = kill.DOORS[name], base / uuid.uuid4().hex[:8]
    shutil.copytree(base / "given", out)
    process, mark = kill.start(door.script, out, limited(size_kib, out))
    code, said = kill.ended(process)
    wrong = [f"{len(numbers)} processes live"] if (numbers := kill.living(mark)) else []
    told = all(words in said for words in (f"{out}/disk/", "No space left on device", "; free "))
    ended = [line for line in said.splitlines() if not line.startswith("segment: ")]  # which stage it is at
    if code != 0 if enough else code != 2 or len(ended) != 1 or not told:
        wrong.append(f"ended with {code}: {said}")
    (out / "disk").rmdir()
    (out / "after").rename(out / "disk")
    found = kill.result(door, out)
    if any(content != wanted.get(path) for path, content in found.items()) or (door.at_once and found and not enough):
        wrong.append(f"half there: {[*found]}")
    wrong += [f"left: {path.relative_to(out)}" for path in kill.left(out)]
    return wrong + kill.checked(door, out, [kill.start(door.script, out)], wanted)


def main():
    sys.path.insert(0, str(kill.ROOT))
    parser = argparse.ArgumentParser()
    parser.add_argument("--doors", default="prepare,segment")
    parser.add_argument("--sizes", type=int, default=20)
    options = parser.parse_args()
    bad = 0
    for name in options.doors.split(","):
        with tempfile.TemporaryDirectory() as folder:
            wanted, _ = kill.whole(name, Path(folder))
            needed = needed_kib(Path(folder))
            for size in sizes_kib(options.sizes, needed):
                wrong = filled(name, Path(folder), size, wanted, enough=size > needed)
                bad += kill.said(f"{name}, {size} of {needed} KiB", wrong)
    print(f"{options.sizes} sizes of each; {bad} faults", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
