"""DICOM files of virtual hearts in memory, one picture each, with everything in them that identifies a patient."""

from io import BytesIO

import numpy as np
import pydicom
from dicom_writer import dataset
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

SCALE = 9  # 8 bits of the phantom to the scanner's 12
RR_MS = 900.0


def picture_bytes(view, z, t, number, uid=None, cut=0, **fields):
    """The file of frame t of slice z. number: of the series. uid: of the series, if it is not to be made of number.
    cut: bytes missing at the end. fields: of the header, to be changed."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ view.affine
    row, column = (lps[:3, axis] / np.linalg.norm(lps[:3, axis]) for axis in (0, 1))
    count = view.image.shape[3]
    pixels = np.ascontiguousarray(view.image[:, :, z, t].T.astype(np.uint16) * SCALE)
    timing = {
        "TriggerTime": f"{RR_MS * t / count:.4f}",
        "NominalInterval": round(RR_MS),
        "CardiacNumberOfImages": count,
        "AcquisitionTime": f"10{number // 60:02d}{number % 60:02d}",
    }
    fields = timing | {"PatientAge": "058Y", "PatientSex": "F"} | fields
    data = dataset(number, (lps @ [0, 0, z, 1])[:3], row, column, t + 1, pixels, view.spacing_mm[:2], **fields)
    if uid:
        data.SeriesInstanceUID = uid
    reference = Dataset()
    reference.ReferencedSOPInstanceUID = "1.2.3.4"
    data.ReferencedImageSequence = Sequence([reference])  # deliveries hold sequences, of undefined length
    data["ReferencedImageSequence"].is_undefined_length = bool(number % 2)
    file = BytesIO()
    pydicom.dcmwrite(file, data, enforce_file_format=True)
    return file.getvalue()[: -cut or None]


def slice_bytes(view, z, number, **options):
    """Frame -> file of one slice."""
    return {t: picture_bytes(view, z, t, number, **options) for t in range(view.image.shape[3])}
