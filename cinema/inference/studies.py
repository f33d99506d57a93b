"""The command `segment`: one examination or several, and where it is while it works.

Nothing heavy is imported before the first line of progress is out.
"""

import csv
import io
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from cinema.cli import one_line
from cinema.files import write_text
from cinema.terms import VIEW_NAMES

TABLE = "studies.csv"
Tell = Callable[[str], None]


def progress(study: str) -> Tell:
    """A function that says on stderr which stage `study` has reached: on a terminal in one line written anew, which an
    empty stage wipes out; elsewhere in a line each."""

    def tell(stage: str) -> None:
        text = f"{study}: {stage}" if stage else ""
        if sys.stderr.isatty():
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{text[:width]:{width}}\r{text[:width]}", end="", file=sys.stderr, flush=True)
        elif text:
            print(text, file=sys.stderr, flush=True)

    return tell


def command(input: list[str | Path], out: str | Path, jobs: int = 1, dicom_seg: bool = False, **options: Any) -> int:
    """`segment` for the command line. One input: its results in `out`, exit code 0, errors are raised. Several: results
    in out/study_001 .. in the order given, all numbers in out/studies.csv; 0 if all are well, 1 if some failed, 2 if
    all did.

    Names of inputs may name patients: which number is which is printed and written nowhere.
    """
    if dicom_seg:
        from cinema.inference.dicom_seg import need

        need()
        options["as_seg"] = True
    if len(input) > 1:
        return _several([Path(one) for one in input], Path(out), jobs, options)
    tell = progress("segment")
    tell("starting")
    from cinema.inference.segment import segment

    try:
        metrics = segment(input[0], out, tell=tell, **options)
    finally:
        tell("")
    show(metrics)
    print(f"written: {out} (not for clinical use)")
    return 0


def show(metrics: Mapping[str, Any]) -> None:
    """Print warnings, the views and the numbers."""
    from cinema.inference.segment import UNITS

    warned = metrics["warnings"]
    print("".join(f"WARNING: {sentence}\n" for sentence in warned.values()), end="")
    print("\n".join(metrics["input"]["series"]))
    print("\n".join(f"note: {note}" for note in metrics["input"]["notes"]))
    known = {name: unit for name, unit in UNITS.items() if metrics[name] is not None}
    print("  ".join(f"{name} {metrics[name]:.1f} {unit}{' (!)' * (name in warned)}" for name, unit in known.items()))
    for name, unit in (("MAPSE", "mm"), ("GLshortening", "%")):
        if metrics[name]:
            values = "  ".join(f"{VIEW_NAMES[v]} {value:.1f} {unit}" for v, value in metrics[name].items())
            print(f"{name} {values}{' (!)' * (name in warned)}")
    if "areas_mm2" in metrics:
        for name, area in metrics["areas_mm2"].items():
            print(f"{name} area: ED {area[metrics['ed_frame']]:.0f} mm2  ES {area[metrics['es_frame']]:.0f} mm2")


def _several(sources: list[Path], out: Path, jobs: int, options: Mapping[str, Any]) -> int:
    names = [f"study_{number:03d}" for number in range(1, len(sources) + 1)]
    if any(out.glob("study_*")) or (out / TABLE).exists():  # an older study_002 is another patient's
        raise ValueError(f"--out {out} holds studies of an earlier call; name another folder, or remove them")
    print("\n".join(f"{name}  {source}" for name, source in zip(names, sources, strict=True)), flush=True)
    tasks = [(name, len(sources), source, out / name, options) for name, source in zip(names, sources, strict=True)]
    rows: list[dict[str, Any]] = []
    for row, said in _in_order(tasks, min(jobs, len(sources))):
        print(said, flush=True)
        rows.append(row)
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / TABLE, _table(rows))
    failed = sum(row["status"] == "failed" for row in rows)
    print(f"written: {out} ({len(rows) - failed} of {len(rows)} studies; not for clinical use)")
    return 0 if not failed else 2 if failed == len(rows) else 1


def _in_order(tasks: list[tuple], jobs: int) -> Iterable[tuple[dict[str, Any], str]]:
    """Results of `_one`, each as soon as it and those before it are there."""
    if jobs == 1:
        return (_one(*task) for task in tasks)
    import os

    from joblib import Parallel, delayed

    from cinema.parallel import end_with

    watched = {"initializer": end_with, "initargs": (os.getpid(),)}
    return Parallel(jobs, return_as="generator", **watched)(delayed(_one)(*task) for task in tasks)


def _one(name: str, total: int, source: Path, out: Path, options: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """(row of TABLE, what to print) of one study, whatever becomes of it."""
    tell = progress(f"{name} of {total}")
    tell("starting")
    try:
        from cinema.inference import numbers
        from cinema.inference.segment import UNITS, segment

        metrics = segment(source, out, tell=tell, **options)
    except Exception as error:
        tell("")
        reason = one_line(error)
        return {"study": name, "status": "failed", "reason": without_names(reason, source)}, f"{name} FAILED: {reason}"
    tell("")
    known = [f"{key} {metrics[key]:.1f} {unit}" for key, unit in UNITS.items() if metrics[key] is not None]
    warned = len(metrics["warnings"])
    values = {key: numbers.rounded(value) for key, value in numbers.columns(metrics).items()}
    row = {"study": name, "status": "done", "reason": "", "warnings": warned} | values
    return row, f"{name}  {'  '.join(known)}{f'  ({warned} warnings)' if warned else ''}"


def without_names(text: str, source: Path) -> str:
    """`text` without the names of `source`, of the folders it lies in, and of all that lies below it."""
    paths = (source, source.resolve(), *source.rglob("*"))
    names = {part for path in paths for part in (*path.parts, path.stem, Path(path.stem).stem)}  # x.nii.gz, x.nii, x
    known = sorted((name for name in names if name.strip("/\\.")), key=len, reverse=True)
    hidden = re.sub(rf"(?<!\w)(?:{'|'.join(map(re.escape, known))})(?!\w)", "*", text)
    return re.sub(r"[\\/.]*\*(?:[\\/.]*\*)*", "(name)", hidden)


def _table(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(["study", "status", "reason", "warnings", *(name for row in rows for name in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
