"""Headers of a folder's DICOM files: what is an image of the patient; damage, copies and mixtures are named."""

import hashlib
import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pydicom

from cinema.data.frames import MR_IMAGES, Frame, claimed, door, frames_of, number, said

TAGS = """SOPClassUID SOPInstanceUID SeriesInstanceUID StudyInstanceUID PatientID PatientName StudyDate Modality
SeriesNumber InstanceNumber ImageType Rows Columns NumberOfFrames PixelSpacing ImagePositionPatient
ImageOrientationPatient SliceThickness SpacingBetweenSlices TriggerTime NominalInterval AcquisitionTime ContentTime
CardiacNumberOfImages EchoTime InversionTime SamplesPerPixel BitsAllocated TemporalPositionIdentifier
FrameOfReferenceUID Manufacturer ManufacturerModelName MagneticFieldStrength PatientSex PatientAge PatientSize
PatientWeight SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence"""
DICOM_SUFFIXES = (".dcm", ".ima", ".dicom")
PLACE_AND_TIME = ("SeriesInstanceUID", "InstanceNumber", "ImagePositionPatient", "TriggerTime", "AcquisitionTime")
BYSTANDERS = ("dicomdir", "license", "readme", "version", "lockfile")
SCANNERS = """Vida Fit|Vida|Prisma Fit|Prisma|Skyra Fit|Skyra|Aera|Avanto Fit|Avanto|Sola Fit|Sola|Altea|Amira|Lumina
Verio|Espree|Symphony|Sonata|Trio|Biograph|Cima.X|Free.Max|Terra|Ingenia Ambition|Ingenia Elition|Ingenia|Achieva|Intera
Artist|Premier|Architect|Voyager|MR750w|MR750|MR450w|MR450|HDxt|HDx|Titan|Galan|Orian|Fortian|Elan"""


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
    _refuse_mixtures([header for _, header in headers], path)
    notes = []
    if foreign:
        notes.append(f"{len(foreign)} {'file that is' if len(foreign) == 1 else 'files that are'} not DICOM left out")
    images = []
    for file, header in headers:
        is_mr = "Rows" in header and str(said(header, "Modality") or "MR") == "MR"
        if is_mr or str(header.SOPClassUID) in MR_IMAGES:
            images.append((file, header))
    if not images:
        raise ValueError(f"{path} holds DICOM but no MR images; export the cine series themselves")
    kept = _without_copies(images)
    if copies := len(images) - len(kept):
        notes.append(f"{copies} {'file is a copy' if copies == 1 else 'files are copies'} of others and left out")
    made = [one for file, header in kept for one in frames_of(file, header, file.stat().st_size)]
    aside = Counter(one for one in made if isinstance(one, str))
    frames = [one for one in made if isinstance(one, Frame)]
    notes += [f"set aside: {count} x {reason}" for reason, count in aside.items()]
    if not frames:
        raise ValueError(f"{path} holds no image of the body: {'; '.join(notes)}; export the cine series themselves")
    return frames, attributes(images[0][1]), notes


def _without_copies(images: list[tuple[Path, pydicom.Dataset]]) -> list[tuple[Path, pydicom.Dataset]]:
    """Images without repeated files. Anonymisers give one SOPInstanceUID to all: only what is equal is a copy."""
    names = [str(said(header, "SOPInstanceUID") or file) for file, header in images]
    often = Counter(names)
    kept: dict[tuple, tuple] = {}
    for name, (file, header) in zip(names, images, strict=True):
        content: tuple = ()
        if often[name] > 1:
            stored = file.read_bytes()[-claimed(header)[2] :]  # pixels come last
            content = (*(str(said(header, other)) for other in PLACE_AND_TIME), hashlib.sha256(stored).digest())
        kept.setdefault((name, *content), (file, header))
    return list(kept.values())


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
    except OSError as error:
        raise ValueError(
            f"{file} cannot be read ({error.strerror or error}); check the disk and its permissions"
        ) from None
    # Files without the DICM mark exist (old exports); they begin with group 0002 or 0008, little or big endian.
    if start[128:] != b"DICM" and start[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08"):
        return None
    try:
        with door(file):
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=TAGS.split(), force=True)
    except ValueError:
        if start[128:] == b"DICM":
            raise
        return None
    return header if said(header, "SOPClassUID") else None  # a DICOMDIR has none


def _refuse_mixtures(headers: list[pydicom.Dataset], path: Path) -> None:
    """One patient, one examination. Counts are named, identities never."""
    for what, names, apart in (
        ("patients", ("PatientID", "PatientName"), _other_patient),
        ("examinations", ("StudyDate", "StudyInstanceUID"), _other_examination),
    ):
        keys = Counter(tuple(str(said(one, name) or "").strip(" ^").upper() for name in names) for one in headers)
        groups: list[list[tuple]] = []
        for key in sorted(keys, key=lambda key: -sum(map(bool, key))):  # those that say most begin the groups
            group = next((group for group in groups if not any(apart(key, other) for other in group)), None)
            groups.append([key]) if group is None else group.append(key)
        if len(groups) > 1:
            sizes = sorted((sum(keys[key] for key in group) for group in groups), reverse=True)
            counts = " and ".join(map(str, sizes))
            raise ValueError(f"{path} mixes {len(groups)} {what} ({counts} files); give the folder of one of them")


def _other_patient(one: tuple, other: tuple) -> bool:
    """Whether (id, name) are of two patients. An empty field tells nobody apart."""
    by_id = bool(one[0] and other[0])
    return one[0] != other[0] if by_id else bool(one[1] and other[1]) and one[1] != other[1]


def _other_examination(one: tuple, other: tuple) -> bool:
    """Whether (date, study) are of two examinations; one may go on over midnight."""
    same = bool(one[1]) and one[1] == other[1]
    days = [number(key[0]) for key in (one, other)]
    if None in days:
        return bool(one[1] and other[1]) and not same
    first, last = sorted(pd.to_datetime([key[0] for key in (one, other)], format="%Y%m%d", errors="coerce"))
    return days[0] != days[1] and not (same and (last - first).days == 1)


def attributes(header: pydicom.Dataset) -> dict:
    """What may be known of the person and the scan; ages above 89 are left out, as they may identify.

    scanner_model is one of SCANNERS or absent: the field is free text, in which a site may have written anything.
    """
    maker = str(said(header, "Manufacturer") or "").lower()
    names = {"siemens": "Siemens", "philips": "Philips", "ge ": "GE", "canon": "Canon", "toshiba": "Canon"}
    age, size = str(said(header, "PatientAge") or ""), number(said(header, "PatientSize"))
    model = f"_{said(header, 'ManufacturerModelName') or ''}_".lower()
    known = {
        "vendor": next((name for word, name in names.items() if word in maker + " "), None),
        "scanner_model": next((name for name in re.split("[|\n]", SCANNERS) if name.lower() in model), None),
        "field_t": number(said(header, "MagneticFieldStrength")),
        "sex": {"F": "F", "M": "M"}.get(str(said(header, "PatientSex") or "").upper()),
        "age_years": int(age[:-1]) if age.endswith("Y") and age[:-1].isdigit() and int(age[:-1]) < 90 else None,
        "height_cm": round(100 * size, 1) if size else None,
        "weight_kg": number(said(header, "PatientWeight")) or None,
    }
    return {name: value for name, value in known.items() if value is not None}
