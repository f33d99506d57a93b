"""Headers of DICOM files: one record per image frame, damage and mixtures named; single pictures with their pixels."""

import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

TAGS = """SOPClassUID SOPInstanceUID SeriesInstanceUID StudyInstanceUID PatientID PatientName StudyDate Modality
SeriesNumber InstanceNumber ImageType Rows Columns NumberOfFrames PixelSpacing ImagePositionPatient
ImageOrientationPatient SliceThickness SpacingBetweenSlices TriggerTime NominalInterval AcquisitionTime ContentTime
CardiacNumberOfImages EchoTime InversionTime SamplesPerPixel FrameOfReferenceUID Manufacturer MagneticFieldStrength
PatientSex PatientAge PatientSize PatientWeight SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence"""
DICOM_SUFFIXES = (".dcm", ".ima", ".dicom")
MR_IMAGES = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1")  # classic and enhanced MR image storage
THICKNESS_MM = 8.0  # of a slice whose header does not say
BYSTANDERS = ("dicomdir", "license", "readme", "version", "lockfile")


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
    clock: str  # time of acquisition (else of content), to sort by where triggers are missing, or repeats
    rr_ms: float | None
    declared: int | None  # frames of the cycle, as the scanner counted them
    path: Path
    index: int  # within a multi-frame file
    contrast: tuple  # image kind, echo time, colours: frames that differ in it are different pictures
    inversion_ms: float | None
    place: str  # frame of reference
    pixels: np.ndarray | None = None


def scan(path: str | Path) -> tuple[list[Frame], dict, list[str]]:
    """(frames, attributes, notes) of all DICOM images below a folder (or of one file).

    Raises FileNotFoundError or ValueError in one line: folder missing or empty, no DICOM, damaged files,
    several patients or examinations.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; name a folder of DICOM files")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    if not files:
        raise ValueError(f"{path} is empty; name a folder of DICOM files")
    headers, foreign = _read_headers(files)
    if not headers:
        hint = "; unpack the archive first" if any(file.suffix in (".zip", ".gz", ".tar") for file in files) else ""
        raise ValueError(
            f"{path} holds {len(files)} files, none of them DICOM; name the folder the scanner's "
            f"export was written to{hint}"
        )
    _refuse_mixtures(headers, path)
    notes = []
    if foreign:
        notes.append(f"{len(foreign)} {'file that is' if len(foreign) == 1 else 'files that are'} not DICOM left out")
    images: dict[str, tuple] = {}
    copies = 0
    for file, header in headers:
        is_mr = "Rows" in header and str(header.get("Modality", "MR")) == "MR"
        if is_mr or str(header.SOPClassUID) in MR_IMAGES:
            name = str(header.get("SOPInstanceUID", file))
            copies += name in images
            images.setdefault(name, (file, header))
    if copies:
        notes.append(f"{copies} {'file is a copy' if copies == 1 else 'files are copies'} of others and left out")
    if not images:
        raise ValueError(f"{path} holds DICOM but no MR images; export the cine series themselves")
    frames = [frame for file, header in images.values() for frame in frames_of(file, header)]
    return frames, attributes(next(iter(images.values()))[1]), notes


def _read_headers(files: list[Path]) -> tuple[list[tuple[Path, pydicom.Dataset]], list[Path]]:
    """(path, header) of DICOM files, and the paths that are something else. Damaged DICOM is an error."""
    read = [(file, _read_header(file)) for file in files]
    headers = [(file, header) for file, header in read if header is not None]
    foreign = [file for file, header in read if header is None]
    company = {(file.parent, file.suffix.lower()) for file, _ in headers}
    for file in foreign:
        stem = file.name.lower().lstrip(".").split(".")[0]
        expected = file.suffix.lower() in DICOM_SUFFIXES or (file.parent, file.suffix.lower()) in company
        if expected and not file.name.startswith(".") and stem not in BYSTANDERS:
            raise ValueError(
                f"{file} is damaged or no DICOM file ({file.stat().st_size} bytes); export it again or remove it"
            )
    return headers, foreign


def _read_header(file: Path) -> pydicom.Dataset | None:
    try:
        with open(file, "rb") as stream:
            start = stream.read(132)
        # Files without the DICM mark exist (old exports); they begin with group 0002 or 0008, little or big endian.
        if start[128:] != b"DICM" and start[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08"):
            return None
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=TAGS.split(), force=True)
    except (InvalidDicomError, EOFError, ValueError, NotImplementedError, AttributeError, KeyError, TypeError):
        return None
    except OSError as error:
        raise ValueError(
            f"{file} cannot be read ({error.strerror or error}); check the disk and its permissions"
        ) from None
    return header if "SOPClassUID" in header else None  # a DICOMDIR has none


def _refuse_mixtures(headers: list, path: str | Path) -> None:
    """One patient, one examination. Counts are named, identities never."""
    for what, keys in (("patients", ("PatientID", "PatientName")), ("examinations", ("StudyDate", "StudyInstanceUID"))):
        names = [next((str(header[key].value) for key in keys if header.get(key)), "") for _, header in headers]
        groups = Counter(filter(None, names))
        if len(groups) > 1:
            counts = " and ".join(str(count) for count in sorted(groups.values(), reverse=True))
            raise ValueError(f"{path} mixes {len(groups)} {what} ({counts} files); give the folder of one of them")


def frame_value(header: pydicom.Dataset, index: int, name: str, macro: str) -> Any:
    """What holds for a frame: said by its own functional group (sequence `macro`), by the shared one, or the header."""
    own, shared = (header.get(f"{of}FunctionalGroupsSequence") or [] for of in ("PerFrame", "Shared"))
    for group in (*own[index : index + 1], *shared[:1]):
        items = group.get(macro)
        if items and items[0].get(name) is not None:
            return items[0].get(name)
    return header.get(name)


def frames_of(file: Path, header: pydicom.Dataset) -> Iterator[Frame]:
    """Frame records of a classic file (one) or an enhanced one (many); none where geometry is missing."""
    for index in range(int(header.get("NumberOfFrames") or 1)):
        value = partial(frame_value, header, index)
        orientation = value("ImageOrientationPatient", "PlaneOrientationSequence")
        position = value("ImagePositionPatient", "PlanePositionSequence")
        spacing = value("PixelSpacing", "PixelMeasuresSequence")
        if not (orientation and position and spacing and header.get("Rows") and header.get("Columns")):
            if str(header.SOPClassUID) in MR_IMAGES:
                raise ValueError(
                    f"{file} is damaged: size, position, orientation or pixel spacing is missing; "
                    "export it again or remove it"
                )
            continue  # no picture of the body: a screen shot, a curve
        words = value("FrameType", "MRImageFrameTypeSequence") or header.get("ImageType") or ()
        kind = {str(word).upper() for word in words} & {"P", "PHASE", "PHASE MAP", "VELOCITY", "R", "I"}
        beat = value("RRIntervalTimeNominal", "CardiacSynchronizationSequence") or header.get("NominalInterval")
        delay = value("NominalCardiacTriggerDelayTime", "CardiacSynchronizationSequence")
        echo = _number(value("EffectiveEchoTime", "MREchoSequence") or header.get("EchoTime"))
        colours = int(header.get("SamplesPerPixel") or 1)
        directions = np.asarray(orientation, float)  # freed below of the header's rounding
        row = directions[:3] / np.linalg.norm(directions[:3])
        column = directions[3:] - row * (row @ directions[3:])
        yield Frame(
            path=file,
            index=index,
            series=str(header.get("SeriesInstanceUID", "")),
            number=int(header.get("SeriesNumber") or 0),
            instance=int(header.get("InstanceNumber") or 0) + index,
            shape=(int(header.Columns), int(header.Rows)),
            position=np.asarray(position, float),
            row=row,
            column=column / np.linalg.norm(column),
            spacing=(float(spacing[1]), float(spacing[0])),
            thickness=_number(value("SliceThickness", "PixelMeasuresSequence")) or THICKNESS_MM,
            trigger_ms=_number(header.get("TriggerTime") if delay is None else delay),
            clock=str(header.get("AcquisitionTime") or header.get("ContentTime") or ""),
            rr_ms=_number(beat) or None,
            declared=int(header.get("CardiacNumberOfImages") or 0) or None,
            contrast=(tuple(sorted(kind)), None if echo is None else round(echo, 2), colours),
            inversion_ms=_number(header.get("InversionTime")),
            place=str(header.get("FrameOfReferenceUID", "")),
        )


def attributes(header: pydicom.Dataset) -> dict:
    """What may be known of the person and the scan; ages above 89 are left out, as they may identify."""
    maker = str(header.get("Manufacturer") or "").lower()
    names = {"siemens": "Siemens", "philips": "Philips", "ge ": "GE", "canon": "Canon", "toshiba": "Canon"}
    age, size = str(header.get("PatientAge") or ""), _number(header.get("PatientSize"))
    known = {
        "vendor": next((name for word, name in names.items() if word in maker + " "), None),
        "field_t": _number(header.get("MagneticFieldStrength")),
        "sex": {"F": "F", "M": "M"}.get(str(header.get("PatientSex") or "").upper()),
        "age_years": int(age[:-1]) if age.endswith("Y") and age[:-1].isdigit() and int(age[:-1]) < 90 else None,
        "height_cm": round(100 * size, 1) if size else None,
        "weight_kg": _number(header.get("PatientWeight")) or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _number(value: Any) -> float | None:
    try:
        return None if value is None or str(value) == "" else float(value)
    except (TypeError, ValueError):
        return None


def picture(name: str, data: bytes) -> Frame:
    """The Frame in the bytes of a DICOM file of one image; ValueError in one line if its header cannot be used.

    Its pixels are (x, y), or None where they are damaged: a frame that is missing.
    """
    with warnings.catch_warnings(action="ignore"):
        try:
            dataset = pydicom.dcmread(BytesIO(data), force=True)
            dataset.setdefault("SOPClassUID", "")
        except Exception as error:  # pydicom raises whatever it likes; to the reader it is one damaged file
            raise ValueError(f"{name} is damaged or no DICOM file ({type(error).__name__})") from None
        try:
            frame = next(frames_of(Path(name), dataset))
            numbers = [*frame.row, *frame.column, *frame.position, *frame.spacing]
            if frame.position.shape != (3,) or min(frame.spacing) <= 0 or not np.all(np.isfinite(numbers)):
                raise ValueError
        except Exception:
            raise ValueError(
                f"{name} lacks size, position, orientation or pixel spacing, or they make no sense; "
                "it is no picture of a cine"
            ) from None
        return replace(frame, pixels=_pixels(dataset, data))


def _pixels(dataset: pydicom.Dataset, data: bytes) -> np.ndarray | None:
    """(x, y) in the file's type, or float32 where it is rescaled; what pydicom cannot decompress, by SimpleITK."""
    shape = int(dataset.Rows), int(dataset.Columns)
    try:
        pixels = dataset.pixel_array.reshape(shape)
        slope, intercept = (dataset.get(word) for word in ("RescaleSlope", "RescaleIntercept"))
        if slope not in (None, 1) or intercept not in (None, 0):
            pixels = pixels.astype(np.float32) * np.float32(1 if slope is None else slope) + np.float32(intercept or 0)
    except Exception:  # decoders, too, raise whatever they like
        try:
            with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
                file.write(data)
                file.flush()
                pixels = decompressed(file.name)[0].reshape(shape)
        except Exception:
            return None
    return pixels.T


def decompressed(path: str | Path) -> np.ndarray:
    """(frames, rows, columns) by SimpleITK, which reads files only and rescales as the header says."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    return sitk.GetArrayFromImage(reader.Execute())
