"""Synthetic DICOM studies for tests: a beating ellipsoid in any plane, with the quirks of real exports."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

AXIS = np.array([0.55, -0.6, -0.58]) / np.linalg.norm([0.55, -0.6, -0.58])  # LPS, base to apex
CENTRE = np.array([20.0, -30.0, -40.0])
GREY = {"outside": 100, "RV": 300, "MYO": 200, "LV": 400}
NAME, PATIENT_ID, ACCESSION = "Doe^Jane", "HOSP-4711", "ACC99"


def frame_vectors(axis=AXIS):
    """Towards the lateral and the anterior wall, across the axis (LPS)."""
    lateral = np.array([1.0, 0, 0]) - axis * axis[0]
    lateral /= np.linalg.norm(lateral)
    return lateral, np.cross(axis, lateral)


def long_axis_plane(angle_deg, axis=AXIS):
    """(row, column) directions of the plane at an angle about the axis; 4C 10, 2C 70, 3C 130."""
    lateral, anterior = frame_vectors(axis)
    angle = np.radians(angle_deg)
    return axis, np.cos(angle) * lateral + np.sin(angle) * anterior


def affine(row, column, centre, lengths=(1, 1, 1), middle=(0, 0, 0)):
    """RAS affine of a picture or stack with edges of `lengths` whose voxel `middle` shows the point `centre` (LPS)."""
    matrix, flip = np.eye(4), np.diag([-1.0, -1, 1])
    matrix[:3, :3] = flip @ np.stack([row, column, np.cross(row, column)], axis=1) * lengths
    matrix[:3, 3] = flip @ centre - matrix[:3, :3] @ middle
    return matrix


def heart(points, phase):
    """Grey values at LPS points (..., 3): ellipsoidal LV in its wall, RV beside it; smallest at phase 0.4."""
    lateral, anterior = frame_vectors()
    squeeze = 1 - 0.25 * np.sin(np.pi * min(phase / 0.4, (1 - phase) / 0.6) / 2) ** 2
    away = points - CENTRE
    along, side, up = away @ AXIS, away @ lateral, away @ anterior
    rv = ((along / 35) ** 2 + ((side + 38) / 22) ** 2 + (up / 28) ** 2) < squeeze**2
    wall = (along / 52) ** 2 + (side / 34) ** 2 + (up / 34) ** 2 < 1
    cavity = (along / 44) ** 2 + (side / 25) ** 2 + (up / 25) ** 2 < squeeze**2
    grey = np.where(rv, GREY["RV"], GREY["outside"])
    return np.where(cavity, GREY["LV"], np.where(wall, GREY["MYO"], grey))


def image(position, row, column, spacing, shape, phase):
    """(rows, columns) uint16 picture of the heart in a plane; shape: columns, rows."""
    x, y = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]))
    points = position + x[..., None] * row * spacing[0] + y[..., None] * column * spacing[1]
    return heart(points, phase).astype(np.uint16)


def dataset(number, position, row, column, instance, pixels, spacing, study="1.2.3", patient=PATIENT_ID, **fields):
    """One classic MR image with everything that identifies a patient in it."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID, data.file_meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, MRImageStorage
    data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, generate_uid()
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = study, f"{study}.{number}"
    data.PatientName, data.PatientID, data.AccessionNumber, data.PatientBirthDate = NAME, patient, ACCESSION, "19600101"
    data.StudyDate, data.Modality, data.Manufacturer, data.MagneticFieldStrength = "20240229", "MR", "SIEMENS", "1.5"
    data.SeriesNumber, data.InstanceNumber, data.SeriesDescription = number, instance, "misleading 4CH"
    data.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    data.Rows, data.Columns = pixels.shape
    data.ImagePositionPatient = [f"{value:.6g}" for value in position]
    data.ImageOrientationPatient = [f"{value:.6g}" for value in [*row, *column]]
    data.PixelSpacing, data.SliceThickness, data.EchoTime = [spacing[1], spacing[0]], 8, "1.5"
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelData = pixels.tobytes()
    for name, value in fields.items():
        if value is not None:
            setattr(data, name, value)
    return data


def save(data, path):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, data, enforce_file_format=True)


def write_series(
    folder, number, row, column, centres, frames=10, rr_ms=900, spacing=(5, 5), shape=(48, 40), triggers=True, **fields
):
    """One cine series: planes through `centres` (LPS, the pictures' middles). Returns the paths written."""
    paths = []
    for z, centre in enumerate(centres):
        position = centre - row * spacing[0] * (shape[0] - 1) / 2 - column * spacing[1] * (shape[1] - 1) / 2
        for t in range(frames):
            instance = z * frames + t + 1
            pixels = image(position, row, column, spacing, shape, t / frames)
            timing = dict(TriggerTime=f"{rr_ms * t / frames:.3f}", NominalInterval=round(rr_ms)) if triggers else {}
            about = {"CardiacNumberOfImages": frames} | timing | fields
            paths.append(Path(folder) / f"{(instance * 7919) % 99991:05d}.dcm")  # names in no useful order
            save(dataset(number, position, row, column, instance, pixels, spacing, **about), paths[-1])
    return paths


def sax_centres(count=6, step=14.0, axis=AXIS):
    return [CENTRE + axis * step * (k - (count - 1) / 2) for k in range(count)]


def write_study(folder, slices=6, step=14.0, frames=10, rr_ms=(900.0,), angles=(10, 70, 130), **fields):
    """Series 1.. one short-axis slice each (base first), then one long-axis series per angle (2C, 3C, 4C order
    as in `angles`), each in its own folder."""
    folder = Path(folder)
    lateral, anterior = frame_vectors()
    for k, centre in enumerate(sax_centres(slices, step)):
        write_series(folder / f"a/{k}", k + 1, lateral, -anterior, [centre], frames, rr_ms[k % len(rr_ms)], **fields)
    for k, angle in enumerate(angles):
        write_series(folder / f"b/{k}", slices + k + 1, *long_axis_plane(angle), [CENTRE], frames, **fields)
    return folder


MACROS = {
    "PlanePosition": ["ImagePositionPatient"],
    "PlaneOrientation": ["ImageOrientationPatient"],
    "PixelMeasures": ["PixelSpacing", "SliceThickness"],
    "CardiacSynchronization": ["NominalCardiacTriggerDelayTime"],
    "FrameContent": ["TemporalPositionIndex", "DimensionIndexValues"],
    "PixelValueTransformation": ["RescaleSlope", "RescaleIntercept"],
}


def enhanced(images, **of_frame):
    """One enhanced multi-frame dataset of classic ones, in their order; of_frame: element -> its value for each frame,
    in the functional group that MACROS names."""
    multi = images[0].copy()
    multi.SOPClassUID = multi.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedMRImageStorage
    multi.PixelData, multi.NumberOfFrames = b"".join(data.PixelData for data in images), len(images)
    multi.PerFrameFunctionalGroupsSequence = []
    for index, data in enumerate(images):
        group = Dataset()
        for macro, names in MACROS.items():
            item = Dataset()
            for name in names:
                if name in data or name in of_frame:
                    setattr(item, name, of_frame[name][index] if name in of_frame else getattr(data, name))
            if len(item):
                setattr(group, f"{macro}Sequence", [item])
        multi.PerFrameFunctionalGroupsSequence.append(group)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "TriggerTime"):
        delattr(multi, name)
    return multi


class GreyReader:
    """Reads the synthetic heart of this file by its grey values; landmarks from where the LV ends."""

    def predict_sax(self, image, spacing_mm):
        values = {GREY["RV"]: 1, GREY["MYO"]: 2, GREY["LV"]: 3}
        return np.vectorize(lambda grey: values.get(int(grey), 0), otypes=[np.uint8])(image)

    def predict_lax(self, image, spacing_mm):
        labels = self.predict_sax(image, spacing_mm)
        marks = []
        for t in range(image.shape[3]):
            x, y = np.nonzero(labels[..., 0, t] == 3)
            marks.append([[x.min(), y.mean() - 3], [x.min(), y.mean() + 3], [x.max(), y.mean()]])
        return labels, np.array(marks, float)
