"""DICOM files of one picture each: what a cine needs of the header, and the pixels, read at once."""

import tempfile
import warnings
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom

from cinema.data.headers import Frame, frames_of
from cinema.data.planes import decompressed


def picture(name: str, data: bytes) -> Frame:
    """The Frame in the bytes of a DICOM file of one image; ValueError in one line if its header cannot be used.

    Its pixels are (x, y), or None where they are damaged: a frame that is missing. Nothing that identifies a patient
    is kept, nor a date.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
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
        return replace(
            frame, path=None, contrast=((), None, 1), inversion_ms=None, place="", pixels=_pixels(dataset, data)
        )


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
            pixels = _decompressed(data).reshape(shape)
        except Exception:
            return None
    return pixels.T


def _decompressed(data: bytes) -> np.ndarray:
    """By SimpleITK, which reads files only; it applies the rescaling itself."""
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(data)
        file.flush()
        return decompressed(file.name)[0]
