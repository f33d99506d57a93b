"""Each public dataset from raw files to its notebook: a generated raw tree, `prepare`, a few steps of `finetune` with
its scores, and the main notebook of its card.

    python tests/bench/real_data.py [NAME ..] [--all-notebooks] [--keep DIR]

Prints a line per step: exit code, seconds, studies prepared. Exit code 0 if all went well.
--all-notebooks: every notebook the card names, not the main one alone.
"""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from cinema.data.public import cards  # noqa: E402

# Kaggle's is for evaluation only: it is read by what was trained on ACDC.
TRAINED = {
    "acdc": "segmentation acdc",
    "mnms": "classification mnms",
    "mnms2": "regression mnms2",
    "ukb": "pretraining ukb",
    "rescan": "segmentation rescan",
    "landmark": "landmark_heatmap lax_2c",
    "emidec": "segmentation emidec",
    "myops": "segmentation myops",
    "kaggle": "segmentation kaggle --from {runs}/acdc/best.safetensors",
}


def run(*words):
    """(exit code, seconds, output) of `python3 -m cinema ...`."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "cinema", *map(str, words)], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    return done.returncode, time.monotonic() - start, done.stdout + done.stderr


def trial(name, folder, all_notebooks):
    """Whether a dataset came through; prints its line, and the output of what failed."""
    card, raw, data, runs = cards.card(name), folder / "raw" / name, folder / "data", folder / "runs"
    importlib.import_module(f"rawtrees.{name}").build(raw, 60 if all_notebooks else 6)  # 06 and 07 refuse a handful
    ci, words = ("--profile", "ci", "--data-root", data), TRAINED[name].format(runs=runs).split()
    steps = {"prepare": ("prepare", name, raw, "--out", data / name)}
    steps[f"finetune {words[0]}"] = ("finetune", *words, *ci, "--out", runs / name)
    for number in card.notebooks if all_notebooks else [card.notebook]:
        steps[f"notebook {number}"] = ("reproduce", *ci, "--data", name, "--only", number)
    failed = []
    for step, command in steps.items():
        code, seconds, output = run(*command)
        print(f"{name}: {step} exit {code}, {seconds:.1f} s", flush=True)
        failed += [output] * (code != 0)
        if step == "prepare" and code:
            break
        if step == "prepare":
            counts = json.loads((data / name / "prepared.json").read_bytes())["counts"]
            print(f"{name}: {sum(counts.values())} studies", flush=True)
    print(*failed, sep="\n", end="\n" * bool(failed))
    return not failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--all-notebooks", action="store_true")
    parser.add_argument("--keep", metavar="DIR", help="where the trees and studies stay (default: a folder that goes)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.keep or temporary)
        results = [trial(name, folder, options.all_notebooks) for name in options.names or cards.names()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
