"""One record per image of a DICOM file, and its pixels. Whatever pydicom or a decoder raises ends at `door`."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

MR_IMAGES = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1")  # classic and enhanced MR image storage
THICKNESS_MM = 8.0  # of a slice whose header does not say
PIXEL_MM, SLICE_MM, PLACE_MM = (0.1, 20.0), (0.1, 100.0), 1e4  # what edges, thickness and position can be
MAX_PIXELS, MAX_IMAGES = 2**28, 20_000  # of one file: 400 frames of 800 x 800
PLAIN = (None, ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)  # pixels as they are
ITEM_BYTES = 8  # that a compressed image takes at least
RESCALING, SYNCHRONY = "PixelValueTransformationSequence", "CardiacSynchronizationSequence"


@dataclass(frozen=True, eq=False)
class Frame:
    """One image. position, row, column: LPS mm and unit vectors; spacing: along row and column of pixels in mm.

    Identifiers are kept for grouping while reading and go no further. Pixels, (x, y), are those of an image that was
    read at once (`picture`), None where they are damaged.
    """

    series: str
    number: int
    instance: int
    shape: tuple  # columns, rows
    position: np.ndarray
    row: np.ndarray
    column: np.ndarray
    spacing: tuple
    thickness: float
    trigger_ms: float | None
    order: tuple  # what the header says of its place in time: temporal position, else indices of its dimensions
    clock: str  # time of acquisition (else of content), to sort by where triggers are missing, or repeats
    rr_ms: float | None
    declared: int | None  # frames of the cycle, as the scanner counted them
    path: Path
    index: int  # within a multi-frame file
    contrast: tuple  # image kind, echo time, colours: frames that differ in it are different pictures
    inversion_ms: float | None
    place: str  # frame of reference
    pixels: np.ndarray | None = None


@contextmanager
def door(file: str | Path) -> Iterator[None]:
    """Whatever pydicom, its late conversions or a decoder raise within becomes one ValueError that names the file."""
    try:
        yield
    except Exception as error:  # of any kind, lack of memory too; its text may quote the header and stays out
        why = f"{type(error).__name__} while reading it"
        raise ValueError(f"{file} is damaged or cut short ({why}); export it again or remove it") from None


def said(header: pydicom.Dataset, name: str) -> Any:
    """An element; None where it is absent, empty or cannot be converted, which pydicom tries only now."""
    try:
        found = header.get(name)
    except Exception:
        return None
    return None if isinstance(found, str) and not found.strip() else found


def number(value: Any) -> float | None:
    """A finite number, or None."""
    found = numbers([value], 1)
    return None if found is None else float(found[0])


def numbers(values: Any, count: int) -> np.ndarray | None:
    """(count,) finite numbers, or None where the header has something else."""
    try:
        found = np.array([float(value) for value in values])
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and np.isfinite(found).all() else None


def whole(value: Any) -> int:
    """A whole number; 0 where there is none."""
    return int(number(value) or 0)


def frame_value(header: pydicom.Dataset, index: int, name: str, macro: str = "") -> Any:
    """What holds for a frame: said by its own functional group (sequence `macro`), by the shared one, or the header."""
    own, shared = (said(header, f"{of}FunctionalGroupsSequence") or [] for of in ("PerFrame", "Shared"))
    for group in (*own[index : index + 1], *shared[:1]):
        items = said(group, macro)
        if items and said(items[0], name) is not None:
            return said(items[0], name)
    return said(header, name)


def claimed(header: pydicom.Dataset) -> tuple[int, int, int]:
    """(images, pixels, bytes) that a header claims, all images together."""
    rows, columns, bits = (whole(said(header, name)) for name in ("Rows", "Columns", "BitsAllocated"))
    count = max(whole(said(header, "NumberOfFrames")), 1)
    return count, count * rows * columns, count * rows * columns * bits // 8


def frames_of(file: Path, header: pydicom.Dataset, size: int) -> Iterator[Frame | str]:
    """Frame records of a classic file (one) or an enhanced one (many); for one that cannot be used, the reason.

    size: of the file in bytes. ValueError where it cannot hold what its header claims, before any record is made.
    """
    count, pixels, stored = claimed(header)
    if not pixels:
        if str(header.SOPClassUID) in MR_IMAGES:
            raise ValueError(f"{file} is damaged: size of the image is missing; export it again or remove it")
        return  # no picture of the body: a screen shot, a curve
    plain = said(header.file_meta, "TransferSyntaxUID") in PLAIN
    if count > 1 and (stored if plain else ITEM_BYTES * count) > size:
        raise ValueError(
            f"{file} is cut short: its {size} bytes cannot hold {count} images; export it again or remove it"
        )
    if pixels > MAX_PIXELS or count > MAX_IMAGES:
        yield f"{count:,} images of {pixels:,} pixels in one file, more than a cine has"
        return
    for index in range(count):
        with door(file):
            made = _frame(file, header, index)
        yield made


def _frame(file: Path, header: pydicom.Dataset, index: int) -> Frame | str:
    value = partial(frame_value, header, index)
    directions = numbers(value("ImageOrientationPatient", "PlaneOrientationSequence"), 6)
    position = numbers(value("ImagePositionPatient", "PlanePositionSequence"), 3)
    spacing = numbers(value("PixelSpacing", "PixelMeasuresSequence"), 2)
    if directions is None or position is None:
        return "an image without position or orientation (a map, a screen shot)"
    if spacing is None or not PIXEL_MM[0] <= spacing.min() <= spacing.max() <= PIXEL_MM[1]:
        return f"pixel spacing is missing or not between {PIXEL_MM[0]} and {PIXEL_MM[1]:.0f} mm"
    row, column = directions.reshape(2, 3)
    if abs(np.linalg.norm(row) - 1) > 0.1 or abs(np.linalg.norm(np.cross(row, column)) - 1) > 0.1:
        return "orientation is not two directions at right angles"
    if np.abs(position).max() > PLACE_MM:
        return "position lies metres outside the scanner"
    row = row / np.linalg.norm(row)  # freed below of the header's rounding
    column = column - row * (row @ column)
    words = value("FrameType", "MRImageFrameTypeSequence") or said(header, "ImageType") or ()
    words = [words] if isinstance(words, str) else words
    kind = {str(word).upper() for word in words} & {"P", "PHASE", "PHASE MAP", "VELOCITY", "R", "I"}
    beat = number(value("RRIntervalTimeNominal", SYNCHRONY) or said(header, "NominalInterval")) or None
    delays = [value(f"{of}CardiacTriggerDelayTime", SYNCHRONY) for of in ("Nominal", "Actual")]
    trigger = next((number(delay) for delay in (*delays, said(header, "TriggerTime")) if delay is not None), None)
    echo = number(value("EffectiveEchoTime", "MREchoSequence") or said(header, "EchoTime"))
    turn = value("TemporalPositionIndex", "FrameContentSequence") or said(header, "TemporalPositionIdentifier")
    turns = value("DimensionIndexValues", "FrameContentSequence") or ()
    turns = (turn or 0, *(turns if np.iterable(turns) else [turns]))
    taken = str(value("FrameAcquisitionDateTime", "FrameContentSequence") or "")[8:]
    thickness = number(value("SliceThickness", "PixelMeasuresSequence")) or THICKNESS_MM
    return Frame(
        path=file,
        index=index,
        series=str(said(header, "SeriesInstanceUID") or ""),
        number=whole(said(header, "SeriesNumber")),
        instance=whole(said(header, "InstanceNumber")) + index,
        shape=(whole(header.Columns), whole(header.Rows)),
        position=position,
        row=row,
        column=column / np.linalg.norm(column),
        spacing=(float(spacing[1]), float(spacing[0])),
        thickness=thickness if SLICE_MM[0] <= thickness <= SLICE_MM[1] else THICKNESS_MM,
        trigger_ms=trigger,
        order=tuple(map(whole, turns)),
        clock=taken or str(said(header, "AcquisitionTime") or said(header, "ContentTime") or ""),
        rr_ms=beat,
        declared=whole(said(header, "CardiacNumberOfImages")) or None,
        contrast=(
            tuple(sorted(kind)),
            None if echo is None else round(echo, 2),
            whole(said(header, "SamplesPerPixel")) or 1,
        ),
        inversion_ms=number(said(header, "InversionTime")),
        place=str(said(header, "FrameOfReferenceUID") or ""),
    )


def picture(name: str, data: bytes) -> Frame:
    """The Frame in the bytes of a DICOM file of one image; ValueError in one line if its header cannot be used.

    Its pixels are (x, y), or None where they are damaged: a frame that is missing.
    """
    with warnings.catch_warnings(action="ignore"):
        with door(name):
            dataset = pydicom.dcmread(BytesIO(data), force=True)
            dataset.setdefault("SOPClassUID", "")
        frame = next(frames_of(Path(name), dataset, len(data)), "size is missing")
        if isinstance(frame, str):
            raise ValueError(f"{name} lacks what a picture of a cine has: {frame}")
        try:
            pixels = pixels_of(dataset).reshape(frame.shape[::-1]).T
        except Exception:  # decoders raise whatever they like
            pixels = None
        return replace(frame, pixels=pixels)


def pixels_of(dataset: pydicom.Dataset) -> np.ndarray:
    """(images, rows, columns), bright where the signal is: in the file's type, or float32 where its header rescales.

    Raises whatever pydicom and its decoders do.
    """
    stored = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    shown = said(dataset, "PhotometricInterpretation"), said(dataset, "PresentationLUTShape")
    if shown[0] == "MONOCHROME1" or shown[1] == "INVERSE":  # the larger, the darker
        top = -1 if dataset.PixelRepresentation else 2**dataset.BitsStored - 1
        stored = (top - stored.astype(np.int64)).astype(stored.dtype)
    words = ("RescaleSlope", "RescaleIntercept")
    scales = [[number(frame_value(dataset, index, word, RESCALING)) for word in words] for index in range(len(stored))]
    if all(slope in (None, 1) and intercept in (None, 0) for slope, intercept in scales):
        return stored
    scaled = stored.astype(np.float32)
    for image, (slope, intercept) in zip(scaled, scales, strict=True):
        image[:] = image * np.float32(slope or 1) + np.float32(intercept or 0)
    return scaled
