"""One examination in, masks, numbers and a report out: `python3 -m cinema segment INPUT --out OUT`."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinema.data.inputs import read_input
from cinema.data.nifti import write_nifti
from cinema.data.reading import Reading, describe
from cinema.data.study import Study
from cinema.files import WEIGHTS, beside
from cinema.inference import confidence, measures, rules
from cinema.inference.measures import Arrays
from cinema.terms import LABELS, VIEW_NAMES, VIEWS

FAR_APART_MM = 12.0
RESULTS = (*[f"{view}.nii.gz" for view in VIEWS], "metrics.json", "report.html")
UNITS = {"LVEDV": "ml", "LVESV": "ml", "LVEF": "%", "RVEDV": "ml", "RVESV": "ml", "RVEF": "%", "LVM": "g"}


def segment(
    input: str | Path,
    out: str | Path,
    weights: str | Path | None = None,
    view: str | None = None,
    device: str = "cpu",
    readers: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Masks, volumes and a report of one examination; returns what metrics.json holds.

    input:   DICOM folder, NIfTI file or folder, or a stored study (.h5).
    out:     folder for RESULTS; they appear together at the end, or not at all.
    weights: file, folder or repository, or one model of the latter two (SOURCE:segmentation/acdc_sax, :1 for seed 1);
             None takes the project's own small weights.
    view:    what an input of one plane shows, where it does not tell.
    readers: view -> object with predict_sax(image, spacing_mm) -> labels and predict_lax(image, spacing_mm) ->
             (labels, landmarks), instead of weights; either of the latter may be None.
    Raises FileNotFoundError or ValueError in one line.
    """
    with staged(Path(out)) as folder:
        reading = read_input(input, view)
        opened = readers or open_readers(weights, device)
        found, landmarks, unread, signs = read_views(reading.study, opened, reading.sax_positions_mm)
        metrics, labels, notes = measured(reading, found, landmarks)
        known = confidence.signs_of(signs, metrics) if weights is None else None  # it is calibrated for our own only
        metrics["confidence"] = sure = confidence.confidence(known)
        doubts = [confidence.sentence(sure)] if sure and sure["low"] else []
        reading = replace(reading, notes=(*doubts, *reading.notes, *unread, *notes))
        write(folder, reading, labels, landmarks, metrics, own=weights is None)
    return metrics


def command(**options: Any) -> int:
    """`segment` for the command line: prints the views and the numbers. Exit code 0."""
    metrics = segment(**options)
    print("\n".join(metrics["input"]["series"]))
    print("\n".join(f"note: {note}" for note in metrics["input"]["notes"]))
    known = {name: unit for name, unit in UNITS.items() if metrics[name] is not None}
    print("  ".join(f"{name} {metrics[name]:.1f} {unit}" for name, unit in known.items()))
    for name, unit in (("MAPSE", "mm"), ("GLshortening", "%")):
        if metrics[name]:
            print(f"{name} " + "  ".join(f"{VIEW_NAMES[v]} {value:.1f} {unit}" for v, value in metrics[name].items()))
    print(f"written: {options['out']} (not for clinical use)")
    return 0


def open_readers(weights: str | Path | None, device: str = "cpu") -> Mapping[str, Any]:
    """view -> reader: the project's own, or of a weights file, a folder of them, or a Hugging Face repository."""
    from cinema.inference import grid, reader

    path = WEIGHTS if weights is None else Path(weights)
    if weights is None or (path.is_dir() and any(path.glob("reader_*.safetensors"))):
        return dict.fromkeys(VIEWS, reader.OwnReader(path, device))
    return grid.readers_from_file(path, device) if path.is_file() else grid.readers_from_repository(weights, device)


def read_views(
    study: Study,
    readers: Mapping[str, Any],
    sax_positions_mm: Any = None,
) -> tuple[dict[str, NDArray], dict[str, NDArray], list[str], confidence.Signs]:
    """(labels, landmarks, notes, signs): tidy (x, y, z, t) uint8 labels and (t, 3, 2) landmarks per view that has them,
    and the short axis's signs of doubt (`confidence.frame_signs`), none of readers without probabilities.

    Slices without an image are not shown to the reader and stay empty. Landmarks are smoothed over time.
    """
    labels, landmarks, notes, signs = {}, {}, [], {}
    for name, view in study.views.items():
        if name not in readers:
            notes.append(f"these weights do not read the {VIEW_NAMES[name]} view")
            continue
        if name == "sax":
            known = np.isfinite(sax_positions_mm)
            labels[name] = np.zeros(view.image.shape, np.uint8)
            shown = view.image[:, :, known], view.spacing_mm
            if hasattr(readers[name], "read_sax"):
                found, chance = readers[name].read_sax(*shown)
                tidied = rules.tidy(found)
                signs = confidence.frame_signs(found, tidied, chance)
            else:
                tidied = rules.tidy(readers[name].predict_sax(*shown))
            labels[name][:, :, known] = tidied
        else:
            found, marks = readers[name].predict_lax(view.image, view.spacing_mm)
            if marks is not None:
                landmarks[name] = measures.smooth_marks(marks)
            if found is not None:
                labels[name] = rules.tidy(found)
    if not labels and not landmarks:
        read, has = (", ".join(VIEW_NAMES[name] for name in views) for views in (readers, study.views))
        raise ValueError(f"these weights read {read}; the input has {has}: choose other weights")
    return labels, landmarks, notes, signs


def measured(reading: Reading, labels: Arrays, landmarks: Arrays) -> tuple[dict[str, Any], Arrays, list[str]]:
    """(metrics, labels, notes). The LV ends at the mitral valve where the long axis shows it: slices further back lose
    their LV."""
    study, views, notes = reading.study, reading.study.views, []
    metrics: dict[str, Any] = dict.fromkeys((*UNITS, "ed_frame", "es_frame")) | {"lv_volumes": [], "rv_volumes": []}
    if "sax" in labels:
        sax, whole = views["sax"], labels["sax"]
        affines = {view: views[view].affine for view in landmarks}
        positions: Any = reading.sax_positions_mm
        ventricle, distance, coverage = measures.lv_extent(whole, sax.affine, positions, landmarks, affines)
        labels = {**labels, "sax": ventricle}
        known = (sax.spacing_mm, positions, study.ed_frame, study.es_frame)
        metrics |= measures.sax_metrics(ventricle, *known, coverage)
        gone = np.any(whole != ventricle, axis=(0, 1)).sum(axis=0).max()
        at_valve = np.isfinite(distance).any()
        if at_valve:
            reasons = ["the long axis shows the mitral valve, and the LV ends there"]
            if gone:
                reasons.append(f"up to {gone} basal short-axis slice(s) a frame behind it do not count as LV")
            plain = measures.sax_metrics(whole, *known)
            metrics["all_slices"] = {name: plain[name] for name in ("LVEDV", "LVESV", "LVEF", "LVM")}
            reasons[-1] += ". all_slices in metrics.json has the numbers of all slices, simply summed"
            notes.append("; ".join(reasons))
        places = positions[np.isfinite(positions)]
        if len(places) < 2:
            notes.append("one short-axis slice makes no volume: volumes are 0")
        elif (apart := float(np.median(np.abs(np.diff(places))))) > FAR_APART_MM:
            cure = "; ending the LV at the valve takes most of that away" if at_valve else ""
            notes.append(
                f"slices are {apart:.1f} mm apart (8 to 10 mm is usual): where they happen to lie moves "
                f"summed volumes, and EF by several points{cure} (notebook 11 measures it)"
            )
    elif labels:
        name = next(iter(labels))
        area = np.sum(labels[name] == LABELS["LV"], axis=(0, 1, 2))
        metrics["ed_frame"], metrics["es_frame"] = measures.extreme_frames(area, study.ed_frame, study.es_frame)
        notes.append(f"no short axis: no volumes; ED and ES are the extremes of the LV area in {VIEW_NAMES[name]}")
    if labels and not any(np.any(mask == LABELS["LV"]) for mask in labels.values()):
        raise ValueError("no left ventricle was found in any view; is this a cine of the heart, and the view right?")
    timed = "sax" if "sax" in labels else next(iter(labels), "")  # the view whose frames these are
    shares = [
        None if metrics[frame] is None else metrics[frame] / labels[timed].shape[3]
        for frame in ("ed_frame", "es_frame")
    ]
    metrics |= measures.lax_metrics(landmarks, {name: views[name].spacing_mm for name in landmarks}, *shares)
    return metrics, labels, notes


def write(folder: Path, reading: Reading, labels: Arrays, landmarks: Arrays, metrics: dict, own: bool) -> None:
    """RESULTS into `folder`."""
    from cinema.inference.report import report_html

    for name, mask in labels.items():
        view = reading.study.views[name]
        times = view.frame_times_ms
        step = None if times is None or len(times) < 2 else float(np.mean(np.diff(times)))
        write_nifti(mask, view.affine, folder / f"{name}.nii.gz", step, reading.headers.get(name))
    metrics["input"] = {"series": describe(reading).splitlines(), "notes": list(reading.notes)}
    text = json.dumps(_plain(metrics), indent=1, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.html").write_text(report_html(reading, labels, landmarks, metrics, own), encoding="utf-8")


def _plain(value: Any) -> Any:
    """Numbers rounded to 3 decimals, NaN as null: what JSON can hold."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, (float, np.floating)):
        return round(float(value), 3) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A folder beside `out` whose files move into `out` when the block ends well, and vanish when it does not.

    Results of an earlier run in `out` are replaced together; if that is interrupted, they are put back.
    Other files in `out` are left alone. ValueError if `out` cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; name a folder")
    try:
        with beside(out) as folder:
            folder.mkdir(parents=True)
            yield folder
            _deliver(folder, out)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not error.errno:
            raise  # an input of ours that does not exist, already in words
        raise ValueError(f"cannot write {out}: {error.strerror or error}; free space or choose another --out") from None


def _deliver(folder: Path, out: Path) -> None:
    """Move the results over those of an earlier run; put the earlier ones back if anything stops it."""

    def move(source: Path, target: Path) -> None:
        target.mkdir(exist_ok=True)
        for name in RESULTS:
            if (source / name).exists():
                os.replace(source / name, target / name)

    earlier = folder / "earlier"
    try:
        move(out, earlier)
        move(folder, out)
    except BaseException:
        move(earlier, out)
        raise
