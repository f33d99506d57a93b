"""Headers of a folder of DICOM files: one record per image frame, damage and mixtures named."""

from collections.abc import Iterator
from dataclasses import dataclass
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

    Identifiers are kept for grouping while reading and go no further. An image that was read at once (pictures.py) has
    its pixels, (x, y) or None where they are damaged, instead of a path, and what ends below at None.
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
    pixels: np.ndarray | None = None
    path: Path | None = None
    index: int = 0  # within a multi-frame file
    contrast: tuple = ((), None, 1)  # image kind and echo time: frames that differ in it are different pictures
    inversion_ms: float | None = None
    place: str = ""  # frame of reference


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
    pictures = [pair for pair in headers if _is_image(pair[1])]
    for file, header in pictures:
        images.setdefault(str(header.get("SOPInstanceUID", file)), (file, header))
    copies = len(pictures) - len(images)
    if copies:
        notes.append(f"{copies} {'file is a copy' if copies == 1 else 'files are copies'} of others and left out")
    if not images:
        raise ValueError(f"{path} holds DICOM but no MR images; export the cine series themselves")
    frames = [frame for file, header in images.values() for frame in frames_of(file, header)]
    return frames, attributes([header for _, header in images.values()]), notes


def _is_image(header: pydicom.Dataset) -> bool:
    return str(header.SOPClassUID) in MR_IMAGES or ("Rows" in header and str(header.get("Modality", "MR")) == "MR")


def _read_headers(files: list[Path]) -> tuple[list[tuple[Path, pydicom.Dataset]], list[Path]]:
    """(path, header) of DICOM files, and the paths that are something else. Damaged DICOM is an error."""
    headers, foreign = [], []
    for file in files:
        header = _read_header(file)
        if header is None:
            foreign.append(file)
        else:
            headers.append((file, header))
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
    people: dict[str, int] = {}
    visits: dict[str, int] = {}
    for _, header in headers:
        for groups, keys in ((people, ("PatientID", "PatientName")), (visits, ("StudyDate", "StudyInstanceUID"))):
            name = next((str(header[key].value) for key in keys if header.get(key)), None)
            if name:
                groups[name] = groups.get(name, 0) + 1
    for groups, what in ((people, "patients"), (visits, "examinations")):
        if len(groups) > 1:
            counts = " and ".join(str(count) for count in sorted(groups.values(), reverse=True))
            raise ValueError(f"{path} mixes {len(groups)} {what} ({counts} files); give the folder of one of them")


def frames_of(file: Path, header: pydicom.Dataset) -> Iterator[Frame]:
    """Frame records of a classic file (one) or an enhanced one (many); none where geometry is missing."""
    count = int(header.get("NumberOfFrames") or 1)
    shared = _first(header.get("SharedFunctionalGroupsSequence"))
    groups = header.get("PerFrameFunctionalGroupsSequence") or [None] * count
    for index in range(count):
        sources = [source for source in (groups[index] if index < len(groups) else None, shared) if source is not None]

        def value(name: str, macro: str | None = None, sources: list = sources) -> Any:
            for source in sources:
                item = _first(source.get(macro)) if macro else None
                if item is not None and item.get(name) is not None:
                    return item[name].value
            return header.get(name)

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
        row, column = orthonormal(np.asarray(orientation, float))
        yield Frame(
            path=file,
            index=index,
            series=str(header.get("SeriesInstanceUID", "")),
            number=int(header.get("SeriesNumber") or 0),
            instance=int(header.get("InstanceNumber") or 0) + index,
            shape=(int(header.Columns), int(header.Rows)),
            position=np.asarray(position, float),
            row=row,
            column=column,
            spacing=(float(spacing[1]), float(spacing[0])),
            thickness=_number(value("SliceThickness", "PixelMeasuresSequence")) or THICKNESS_MM,
            trigger_ms=_number(header.get("TriggerTime") if delay is None else delay),
            clock=str(header.get("AcquisitionTime") or header.get("ContentTime") or ""),
            rr_ms=_number(beat) or None,
            declared=int(header.get("CardiacNumberOfImages") or 0) or None,
            contrast=(
                tuple(sorted(kind)),
                None if echo is None else round(echo, 2),
                int(header.get("SamplesPerPixel") or 1),
            ),
            inversion_ms=_number(header.get("InversionTime")),
            place=str(header.get("FrameOfReferenceUID", "")),
        )


def attributes(headers: list) -> dict:
    """What may be known of the person and the scan; ages above 89 are left out, as they may identify."""
    header = headers[0]
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


def orthonormal(orientation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column direction, freed of the header's rounding."""
    row = orientation[:3] / np.linalg.norm(orientation[:3])
    column = orientation[3:] - row * (row @ orientation[3:])
    return row, column / np.linalg.norm(column)


def _first(sequence: Any) -> Any:
    return sequence[0] if sequence else None


def _number(value: Any) -> float | None:
    try:
        return None if value is None or str(value) == "" else float(value)
    except (TypeError, ValueError):
        return None
