"""One examination in, masks, numbers and a report out; `studies` holds the command `segment`."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinema import __version__
from cinema.data.inputs import read_input
from cinema.data.nifti import write_nifti
from cinema.data.reading import Reading, describe
from cinema.data.study import Study
from cinema.files import WEIGHTS, alone, beside
from cinema.inference import confidence, dicom_seg, measures, numbers, plausibility, rules
from cinema.inference.measures import Arrays
from cinema.terms import LABELS, STRUCTURES, VIEW_NAMES, VIEWS

FAR_APART_MM = 12.0
RESULTS = (
    *[f"{view}.nii.gz" for view in VIEWS],
    *dicom_seg.FILES.values(),
    "metrics.json",
    "numbers.csv",
    "report.html",
)
MOVING, EARLIER = ".moving", ".earlier"  # in a folder of results, while others take their place
WAIT_S = 60.0  # for another run that delivers into the same folder
UNITS = {"LVEDV": "ml", "LVESV": "ml", "LVEF": "%", "RVEDV": "ml", "RVESV": "ml", "RVEF": "%", "LVM": "g"}


def segment(
    input: str | Path,
    out: str | Path,
    weights: str | Path | None = None,
    view: str | None = None,
    device: str = "cpu",
    readers: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = lambda stage: None,
    as_seg: bool = False,
) -> dict[str, Any]:
    """Masks, volumes and a report of one examination; returns what metrics.json holds.

    input:   DICOM folder, NIfTI file or folder, or a stored study (.h5).
    out:     folder for RESULTS; they appear together at the end, or not at all.
    weights: file, folder or repository, or one model of the latter two (SOURCE:segmentation/acdc_sax, :1 for seed 1);
             None takes the project's own small weights.
    view:    what an input of one plane shows, where it does not tell.
    readers: view -> object with predict_sax(image, spacing_mm) -> labels and predict_lax(image, spacing_mm) ->
             (labels, landmarks), instead of weights; either of the latter may be None.
    tell:    is told each stage as it begins.
    as_seg:  whether the short axis's masks at ED and ES are written as DICOM-SEG too (needs highdicom).
    Raises FileNotFoundError or ValueError in one line.
    """
    if as_seg:
        dicom_seg.need()
    with staged(Path(out)) as folder, in_memory(input):
        if readers is None:
            from cinema.models.weights import check_device

            check_device(device)
        opened = readers or open_readers(weights, device)
        sax: Any = opened.get("sax")
        glance = getattr(
            sax, "glance", lambda image, mm: sax.predict_sax(image[..., :: max(image.shape[3] // 3, 1)], mm)
        )
        likeness = sax and (lambda image, mm: measures.likeness_to_short_axis(glance(image, mm), mm))
        tell("reading files")
        reading = read_input(input, view, likeness)
        plausibility.refuse(reading, input)
        found, landmarks, unread, signs = read_views(reading.study, opened, reading.sax_positions_mm, tell)
        metrics, labels, notes = measured(reading, found, landmarks)
        known = confidence.signs_of(signs, metrics) if weights is None else None  # it is calibrated for our own only
        stack = labels["sax"] if metrics["lv_volumes"] else None
        metrics, warnings = plausibility.judged(metrics, stack, reading.sax_positions_mm)
        metrics["confidence"] = sure = confidence.confidence(known) if metrics["LVEF"] is not None else None
        doubts = {"confidence": confidence.sentence(sure)} if sure and sure["low"] else {}
        metrics = {"warnings": warnings | doubts, **metrics}
        metrics["derived"] = numbers.derived(metrics, reading.study.attributes, cycle_ms(reading.study))
        metrics["warnings"] |= numbers.warning(metrics)
        metrics["made"] = made(opened, view, device)
        if as_seg and "sax" in labels:
            metrics["made"]["dicom_seg"] = dicom_seg.write(
                folder, labels["sax"], reading.study.views["sax"].affine, metrics
            )
        elif as_seg:
            notes.append("no short axis: no DICOM-SEG is written")
        reading = replace(reading, notes=(*reading.notes, *unread, *notes))
        tell("report")
        write(folder, reading, labels, landmarks, metrics, own=weights is None)
    return metrics


@contextmanager
def in_memory(source: str | Path) -> Iterator[None]:
    """A context in which lack of memory, numpy's or torch's, is a ValueError in one line."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        cure = "cut the images around the heart, or give fewer frames or views at a time"
        raise ValueError(f"{source} needs more memory than there is; {cure}") from None


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
    tell: Callable[[str], None] = lambda stage: None,
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
        tell("short axis" if name == "sax" else f"long axis {VIEW_NAMES[name]}")
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
    positions: Any = reading.sax_positions_mm
    if "sax" in labels and np.isfinite(positions).sum() > 1:
        sax, whole = views["sax"], labels["sax"]
        affines = {view: views[view].affine for view in landmarks}
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
            if metrics["es_frame"] is not None:
                gap = measures.slices_to_valve(whole, distance, positions, metrics["es_frame"])
                metrics["slices to the valve at ES"] = round(gap, 2) if np.isfinite(gap) else None
            reasons[-1] += ". all_slices in metrics.json has the numbers of all slices, simply summed"
            notes.append("; ".join(reasons))
        apart = float(np.median(np.abs(np.diff(positions[np.isfinite(positions)]))))
        if apart > FAR_APART_MM:
            cure = "; ending the LV at the valve takes most of that away" if at_valve else ""
            notes.append(
                f"slices are {apart:.1f} mm apart (8 to 10 mm is usual): where they happen to lie moves "
                f"summed volumes, and EF by several points{cure} (notebook 11 measures it)"
            )
    elif labels:
        name = "sax" if "sax" in labels else next(iter(labels))
        pixel_mm2 = np.prod(views[name].spacing_mm[:2])
        areas = {one: np.sum(labels[name] == LABELS[one], axis=(0, 1, 2)) * pixel_mm2 for one in STRUCTURES}
        metrics["ed_frame"], metrics["es_frame"] = measures.extreme_frames(areas["LV"], study.ed_frame, study.es_frame)
        metrics["areas_mm2"] = {one: area.tolist() for one, area in areas.items()}
        lack = "one slice of the short axis" if name == "sax" else "no short axis"
        notes.append(f"{lack}: areas, no volumes; ED and ES are the extremes of the LV area in {VIEW_NAMES[name]}")
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
    (folder / "numbers.csv").write_text(numbers.table(metrics), encoding="utf-8")
    (folder / "report.html").write_text(report_html(reading, labels, landmarks, metrics, own), encoding="utf-8")


def cycle_ms(study: Study) -> float | None:
    """How long the frames of the first view that knows their times last together; None where none does."""
    for view in study.views.values():
        if view.frame_times_ms is not None and view.n_frames > 1:
            return float(np.mean(np.diff(view.frame_times_ms))) * view.n_frames
    return None


def made(readers: Mapping[str, Any], view: str | None, device: str) -> dict[str, Any]:
    """What the results were made with: version, weights (file -> its SHA-256), and the options that matter."""
    files = {Path(file) for reader in readers.values() for file in getattr(reader, "files", ())}
    sums = {}
    for file in sorted(files):
        with file.open("rb") as stream:
            sums[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"version": __version__, "weights": sums, "view": view, "device": device}


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

    Results of an earlier run in `out` are replaced together; if that is interrupted, they are put back, by the next run
    where this one was killed. Other files in `out` are left alone. ValueError if `out` cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; name a folder")
    try:
        if any((out / name).is_dir() for name in (MOVING, EARLIER)):
            with alone(out, WAIT_S):
                _put_back(out)
        # into a file system that is mounted there, as for a container, nothing moves from outside it
        with beside(out / "results" if os.path.ismount(out) else out) as folder:
            folder.mkdir(parents=True)
            yield folder
            _deliver(folder, out)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not error.errno:
            raise  # an input of ours that does not exist, already in words
        raise ValueError(f"cannot write {out}: {error.strerror or error}; free space or choose another --out") from None


def _deliver(folder: Path, out: Path) -> None:
    """`folder` becomes `out`; where that is there, the results in it are replaced, or all stay if anything stops it.

    The earlier ones are in MOVING until all of them are, then in EARLIER until all new ones have come: so whoever finds
    one of these knows what to put back. Only the last step makes the new ones the results, and that is one step.
    """
    with suppress(OSError):  # another run may have come first
        if not out.exists():
            folder.rename(out)
            return
    out.mkdir(exist_ok=True)
    with alone(out, WAIT_S):
        _put_back(out)
        (out / MOVING).mkdir()
        try:
            _move(out, out / MOVING)
            (out / MOVING).rename(out / EARLIER)
            _move(folder, out)
            (out / EARLIER).rename(folder / EARLIER)
        except BaseException:
            _put_back(out)
            raise


def _put_back(out: Path) -> None:
    """Undo a delivery into `out` that was stopped."""
    if (out / EARLIER).is_dir():
        for name in reversed(RESULTS):
            (out / name).unlink(missing_ok=True)
        (out / EARLIER).rename(out / MOVING)
    if (out / MOVING).is_dir():
        _move(out / MOVING, out)
        (out / MOVING).rmdir()


def _move(source: Path, target: Path) -> None:
    """Results from folder to folder, masks first: a report never lies beside masks that are not its own."""
    for name in RESULTS:
        if (source / name).exists():
            os.replace(source / name, target / name)
