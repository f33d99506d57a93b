"""A virtual study -> a folder of DICOM files as a scanner exports them: the way into `dicom.py`, without a patient.

The files tell a view by its place in the body and by nothing else: series come in random order, their descriptions
are all the same, file names say nothing. Scouts and a spoiled first attempt lie among them, as in any examination.
"""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from cinema.terms import LAX_VIEWS

MAKERS = {"Siemens": "SIEMENS", "Philips": "Philips Medical Systems", "GE": "GE MEDICAL SYSTEMS", "Canon": "CANON_MEC"}
TOP = 4095  # 12 bits, as scanners store
SMEAR_PIXELS = 6  # of the spoiled attempt
EVERY_FILE = dict(SOPClassUID=MRImageStorage, Modality="MR", ImageType=["ORIGINAL", "PRIMARY", "M"], EchoTime="1.5")
EVERY_FILE |= dict(SeriesDescription="cine", PatientName="Virtual", PatientID="virtual")
EVERY_FILE |= dict(SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", PixelRepresentation=0)
EVERY_FILE |= dict(BitsAllocated=16, BitsStored=12, HighBit=11)


def write_dicom(study, folder, rng, slice_thickness_mm=8.0):
    """Write all frames of a study as classic MR images, one file each; return how many.

    Every short-axis slice and every long-axis view is a series of its own. Before them: a scout (one picture) of each
    long-axis plane, and a first attempt at the middle short-axis slice, smeared by breathing.
    study: whole-number images from 0 to 4095 with frame times, else ValueError. folder: made if need be; must be empty.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; name a new folder, so that examinations do not mix")
    for name, view in study.views.items():
        if view.image.dtype.kind not in "iu" or view.image.min() < 0 or view.image.max() > TOP:
            raise ValueError(f"{study.id}: {name} is {view.image.dtype}; DICOM takes whole numbers from 0 to {TOP}")
        if view.frame_times_ms is None or view.n_frames < 2:
            raise ValueError(f"{study.id}: {name} has no frame times; a cine needs one for each frame")
    folder.mkdir(parents=True, exist_ok=True)
    about = EVERY_FILE | _about(study) | {"SliceThickness": f"{slice_thickness_mm:.3f}"}
    slices = [(view, z, view.image[:, :, z]) for view in study.views.values() for z in range(view.image.shape[2])]
    order = [*_planning(study), *(slices[i] for i in rng.permutation(len(slices)))]
    n_files = sum(pixels.shape[2] for _, _, pixels in order)
    names = iter(rng.permutation(10**6)[:n_files])
    for number, (view, z, pixels) in enumerate(order, start=1):
        times = np.asarray(view.frame_times_ms, float)
        series = about | _place(view, z) | {"NominalInterval": round(np.mean(np.diff(times)) * len(times))}
        for t in range(pixels.shape[2]):
            own = {"TriggerTime": f"{times[t]:.2f}", "SeriesNumber": number, "InstanceNumber": t + 1}
            if pixels.shape[2] > 1:
                own["CardiacNumberOfImages"] = view.n_frames
            for tag, part in (("StudyInstance", ()), ("SeriesInstance", (number,)), ("SOPInstance", (number, t))):
                own[f"{tag}UID"] = generate_uid(entropy_srcs=["cinema", study.id, *map(str, part)])
            own["FrameOfReferenceUID"] = own["StudyInstanceUID"]
            _save(series | own, pixels[..., t], folder / f"IM{next(names):06d}.dcm")
    return n_files


def _planning(study):
    """[(view, slice, (x, y, t) pixels)] of what was scanned before the examination, in vain or for orientation."""
    scouts = [(view, 0, view.image[:, :, 0, :1]) for name, view in study.views.items() if name in LAX_VIEWS]
    if "sax" not in study.views:
        return scouts
    view = study.views["sax"]
    z = view.image.shape[2] // 2
    steps = range(-SMEAR_PIXELS, SMEAR_PIXELS + 1, 2)
    smeared = np.mean([np.roll(view.image[:, :, z], step, axis=1) for step in steps], axis=0)
    return [*scouts, (view, z, smeared.astype(np.uint16))]


def _about(study):
    """Of the person and the scanner, what a header has a place for."""
    written = {
        "vendor": ("Manufacturer", lambda vendor: MAKERS.get(vendor, vendor)),
        "field_t": ("MagneticFieldStrength", "{:.1f}".format),
        "sex": ("PatientSex", str),
        "age_years": ("PatientAge", "{:03.0f}Y".format),
        "height_cm": ("PatientSize", lambda cm: f"{cm / 100:.2f}"),
        "weight_kg": ("PatientWeight", "{:.1f}".format),
    }
    return {tag: text(study.attributes[name]) for name, (tag, text) in written.items() if name in study.attributes}


def _place(view, z):
    """Position of the first pixel, directions of rows and columns, pixel spacing. DICOM's patient axes are LPS."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ view.affine
    across, down = (lps[:3, axis] / np.linalg.norm(lps[:3, axis]) for axis in (0, 1))
    return {
        "ImagePositionPatient": [f"{value:.5f}" for value in (lps @ [0, 0, z, 1])[:3]],
        "ImageOrientationPatient": [f"{value:.8f}" for value in (*across, *down)],
        "PixelSpacing": [f"{view.spacing_mm[axis]:.6f}" for axis in (1, 0)],
    }  # between rows first


def _save(header, pixels, path):
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    rows = np.ascontiguousarray(pixels.T, "<u2")  # a DICOM picture is stored row by row
    for name, value in (header | {"Rows": rows.shape[0], "Columns": rows.shape[1]}).items():
        setattr(data, name, value)
    data.PixelData = rows.tobytes()
    pydicom.dcmwrite(path, data, enforce_file_format=True)
