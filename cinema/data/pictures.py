"""DICOM files of one picture each, taken apart once: what a cine needs of the header, and the pixels.

Thousands of files make one examination, so plain files (explicit VR, little endian, not compressed) are walked
through directly, a tenth of pydicom's time; pydicom reads every other kind.
"""

import struct
import tempfile
import warnings
from io import BytesIO

import numpy as np
import pydicom

from cinema.data.headers import THICKNESS_MM, Frame, orthonormal
from cinema.data.planes import decompressed

PLAIN = b"1.2.840.10008.1.2.1"
LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}  # 4 bytes of length
UNDEFINED = 0xFFFFFFFF
TAGS = {
    0x00180050: "SliceThickness",
    0x00181060: "TriggerTime",
    0x00181062: "NominalInterval",
    0x00181090: "CardiacNumberOfImages",
    0x0020000E: "SeriesInstanceUID",
    0x00200011: "SeriesNumber",
    0x00200013: "InstanceNumber",
    0x00200032: "ImagePositionPatient",
    0x00200037: "ImageOrientationPatient",
    0x00280002: "SamplesPerPixel",
    0x00280010: "Rows",
    0x00280011: "Columns",
    0x00280030: "PixelSpacing",
    0x00280100: "BitsAllocated",
    0x00280103: "PixelRepresentation",
    0x00281052: "RescaleIntercept",
    0x00281053: "RescaleSlope",
    0x00080032: "AcquisitionTime",
}
PIXELS = 0x7FE00010


def picture(name: str, data: bytes) -> Frame:
    """The Frame in the bytes of a DICOM file of one image; ValueError in one line if its header cannot be used.

    Nothing that identifies a patient is kept, nor a date.
    """
    try:
        header, pixels = _plain(data)
    except (struct.error, IndexError, UnicodeDecodeError, ValueError):  # not plain or not whole
        header, pixels = _any(name, data)
    try:
        return _picture(header, pixels)
    except (KeyError, ValueError, TypeError, IndexError):
        raise ValueError(
            f"{name} lacks size, position, orientation or pixel spacing, or they make no sense; "
            "it is no picture of a cine"
        ) from None


def _picture(header, pixels):
    orientation, spacing = _floats(header["ImageOrientationPatient"]), _floats(header["PixelSpacing"])
    shape = int(header["Columns"]), int(header["Rows"])
    position = _floats(header["ImagePositionPatient"])
    if (
        len(orientation) != 6
        or len(position) != 3
        or min(spacing[:2]) <= 0
        or not np.all(np.isfinite([*orientation, *position, *spacing]))
    ):
        raise ValueError
    row, column = orthonormal(np.array(orientation))
    return Frame(
        series=str(header.get("SeriesInstanceUID", "")),
        number=int(header.get("SeriesNumber") or 0),
        instance=int(header.get("InstanceNumber") or 0),
        shape=shape,
        position=np.array(position),
        row=row,
        column=column,
        spacing=(spacing[1], spacing[0]),
        thickness=_one(header, "SliceThickness") or THICKNESS_MM,
        trigger_ms=_one(header, "TriggerTime"),
        clock=str(header.get("AcquisitionTime") or ""),
        rr_ms=_one(header, "NominalInterval"),
        declared=int(_one(header, "CardiacNumberOfImages") or 0) or None,
        pixels=None if pixels is None else _rescaled(pixels, header).T,
    )


def _floats(value):
    return tuple(float(part) for part in (value.split("\\") if isinstance(value, str) else value))


def _one(header, name):
    value = header.get(name)
    return None if value is None or str(value).strip() == "" else float(value)


def _rescaled(pixels, header):
    slope, intercept = _one(header, "RescaleSlope"), _one(header, "RescaleIntercept")
    if slope in (None, 1.0) and intercept in (None, 0.0):
        return pixels
    return pixels.astype(np.float32) * np.float32(1 if slope is None else slope) + np.float32(intercept or 0)


def _plain(data):
    """(header by name, (rows, columns) pixels or None) of a plain file; ValueError or struct.error otherwise."""
    if data[128:132] != b"DICM" or data[132:136] != b"\x02\x00\x00\x00":
        raise ValueError
    start = 144 + struct.unpack_from("<I", data, 140)[0]
    if PLAIN not in (part.rstrip(b"\0") for part in _meta(data, 144, start)):
        raise ValueError
    header, at, size = {}, start, len(data)
    unpack = struct.Struct("<HH2sH").unpack_from
    while at < size:
        group, element, kind, length = unpack(data, at)
        tag, at = group << 16 | element, at + 8
        if kind in LONG:
            length = struct.unpack_from("<I", data, at)[0]
            at += 4
            if length == UNDEFINED:
                if kind != b"SQ":  # compressed pixels, or a sequence written as implicit VR
                    raise ValueError
                at = _end_of_sequence(data, at)
                continue
        if tag == PIXELS:
            return header, _as_array(header, data, at, length)
        if tag in TAGS:
            value = data[at : at + length]
            header[TAGS[tag]] = struct.unpack("<H", value)[0] if kind == b"US" else value.decode("ascii").strip(" \0")
        at += length
    return header, None


def _meta(data, at, end):
    """Values of the file's meta elements."""
    while at < end:
        kind, length = data[at + 4 : at + 6], struct.unpack_from("<H", data, at + 6)[0]
        at += 8
        if kind in LONG:
            length = struct.unpack_from("<I", data, at)[0]
            at += 4
        yield data[at : at + length]
        at += length


def _end_of_sequence(data, at):
    """Where a sequence (or an item) of undefined length ends; items may hold further ones."""
    while True:
        group, element, length = struct.unpack_from("<HHI", data, at)
        if group == 0xFFFE:
            at += 8
            if element == 0xE000:  # an item
                at = _end_of_sequence(data, at) if length == UNDEFINED else at + length
                continue
            return at
        kind, length, at = data[at + 4 : at + 6], struct.unpack_from("<H", data, at + 6)[0], at + 8
        if kind in LONG:
            length = struct.unpack_from("<I", data, at)[0]
            if length == UNDEFINED and kind != b"SQ":
                raise ValueError
            at = _end_of_sequence(data, at + 4) if length == UNDEFINED else at + 4 + length
        else:
            at += length


def _as_array(header, data, at, length):
    rows, columns = header["Rows"], header["Columns"]
    bits, signed = header["BitsAllocated"], header.get("PixelRepresentation", 0)
    if header.get("SamplesPerPixel", 1) != 1 or bits not in (8, 16) or length < rows * columns * bits // 8:
        raise ValueError
    if len(data) < at + rows * columns * bits // 8:
        return None  # cut short
    kind = np.dtype(f"<{'i' if signed else 'u'}{bits // 8}")
    return np.frombuffer(data, kind, rows * columns, at).reshape(rows, columns)


def _any(name, data):
    """The same by pydicom, whatever the encoding; pixels that it cannot decompress, by SimpleITK."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(BytesIO(data), force=True)
            header = {key: dataset[key].value for key in TAGS.values() if key in dataset}
    except Exception as error:  # pydicom raises whatever it likes; to the reader it is one damaged file
        raise ValueError(f"{name} is damaged or no DICOM file ({type(error).__name__})") from None
    for pixels in (lambda: dataset.pixel_array, lambda: _decompressed(data)):
        try:
            found = pixels().reshape(int(dataset.Rows), int(dataset.Columns))
        except Exception:  # decoders, too, raise whatever they like
            header |= {"RescaleSlope": None, "RescaleIntercept": None}  # the second applies them itself
            continue
        return header, found
    return header, None  # a picture without pixels is a frame that is missing


def _decompressed(data):
    """(rows, columns) by SimpleITK, which reads files only; it applies the rescaling itself."""
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(data)
        file.flush()
        return decompressed(file.name)[0]
