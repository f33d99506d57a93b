"""The short axis's masks as DICOM segmentations (SEG), one file for ED and one for ES.

A file stands alone: identifiers are new in each run and shared within it, the patient is anonymous, there is no date
and no reference to the images, so nothing leads back to them. It lies right beside them by its coordinates only.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinema.terms import COLOURS, LABELS

FILES = {"ed_frame": "sax_ed.seg.dcm", "es_frame": "sax_es.seg.dcm"}
SEGMENTS = (  # structure, label, code and meaning in SNOMED CT, of DICOM's context groups 7152 and 7151
    ("LV", "LV cavity", "87878005", "Left ventricle"),
    ("MYO", "LV myocardium", "49848007", "Left Ventricle Myocardium"),
    ("RV", "RV cavity", "53085002", "Right ventricle"),
)
NO_DATE, NO_TIME = "19000101", "000000"  # the standard wants some; a run's may be that of the examination
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
HOW_TO_LOAD = (
    "short axis at ED and ES. Load it beside the images in a viewer that goes by coordinates, such as 3D Slicer (DICOM "
    "module: import the folder of images and this file, load both). It names no series, so viewers that open a "
    "segmentation from its series do not find it; its patient is anonymous, so do not file it under the patient unseen."
)
SQUARE = 1e-3  # cosine of the angle between rows and columns, at most


def need() -> None:
    """ValueError in one line where highdicom cannot be imported."""
    try:
        import highdicom  # noqa: F401
    except ImportError:
        remedy = 'install it: pip install "highdicom>=0.28,<1" (in a clone: pip install -e .[dicom] -c constraints.txt)'
        raise ValueError(f"--dicom-seg needs the package highdicom, which is not there; {remedy}") from None


def write(folder: Path, labels: NDArray, affine: NDArray, metrics: Mapping[str, Any]) -> list[str]:
    """Write FILES into `folder` as far as phases are known; returns their names.

    labels:  (x, y, z, t) of the short-axis stack; empty slices are written too, so that the grid is the NIfTI file's.
    affine:  (4, 4) voxel index -> RAS+ mm.
    metrics: of `segment`: ed_frame, es_frame, made.
    ValueError if rows and columns are not at right angles: DICOM cannot say that.
    """
    from pydicom.uid import generate_uid

    study, place = generate_uid(None), generate_uid(None)
    written: dict[int, str] = {}  # a study of one frame has one phase
    for number, (phase, name) in enumerate(FILES.items(), start=1):
        frame = metrics[phase]
        if frame is not None and frame not in written:
            about = f"{phase[:2].upper()} (frame {frame})"
            _segmentation(labels[..., frame], affine, (study, place), about, number, metrics["made"]).save_as(
                folder / name
            )
            written[frame] = name
    return list(written.values())


def _segmentation(mask: NDArray, affine: NDArray, uids: tuple, about: str, number: int, made: Mapping[str, Any]) -> Any:
    """highdicom's Segmentation of (x, y, z) labels. uids: of the study and of the frame of reference."""
    import highdicom as hd
    from pydicom.sr.codedict import codes
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    lps = RAS_TO_LPS @ affine[:3]
    lengths = np.linalg.norm(lps[:, :3], axis=0)
    row, column = (lps[:, axis] / lengths[axis] for axis in (0, 1))
    if abs(row @ column) > SQUARE:
        raise ValueError("rows and columns of the short axis are not at right angles, which DICOM-SEG cannot hold")
    weights = "; ".join(f"{name} SHA-256 {checksum}" for name, checksum in made["weights"].items())
    algorithm = hd.AlgorithmIdentificationSequence(
        name="cinema segment",
        family=codes.DCM.ArtificialIntelligence,
        version=made["version"],
        parameters={"weights": weights or "readers handed over by a program"},
    )
    described = [
        hd.seg.SegmentDescription(
            segment_number=place,
            segment_label=label,
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=hd.sr.CodedConcept(code, "SCT", meaning),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            display_color=hd.color.CIELabColor.from_string(COLOURS[structure]),
        )
        for place, (structure, label, code, meaning) in enumerate(SEGMENTS, start=1)
    ]
    planes = np.moveaxis(mask, (0, 1, 2), (2, 1, 0))  # z, y (rows), x (columns)
    numbered = np.zeros(planes.shape, np.uint8)
    for place, (structure, *_) in enumerate(SEGMENTS, start=1):
        numbered[planes == LABELS[structure]] = place
    positions = [lps[:, 3] + z * lps[:, 2] for z in range(mask.shape[2])]
    found = hd.seg.Segmentation(
        source_images=[_nobody(planes.shape[1:], positions[0], (*row, *column), lengths, uids)],
        pixel_array=numbered,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        series_instance_uid=generate_uid(None),
        series_number=number,
        sop_instance_uid=generate_uid(None),
        instance_number=1,
        manufacturer="cinema",
        manufacturer_model_name="cinema segment",
        software_versions=made["version"],
        device_serial_number="none",
        content_label="HEART",
        content_description=f"LV, myocardium, RV at {about}; not for clinical use",
        series_description=f"Short axis at {about}: LV, myocardium, RV"[:64],
        content_date=NO_DATE,
        content_time=NO_TIME,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=False,
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", [*row, *column]),
        plane_positions=[hd.PlanePositionSequence("PATIENT", position) for position in positions],
        # a slice counts for the distance to the next, as in the NIfTI mask; how thick it was imaged is not known here
        pixel_measures=hd.PixelMeasuresSequence([lengths[1], lengths[0]], lengths[2], lengths[2]),
    )
    return _alone(found)


def _nobody(shape: tuple, position: Any, directions: Any, lengths: Any, uids: tuple) -> Any:
    """What highdicom takes patient, study and frame of reference from: an image that does not exist."""
    from pydicom.dataset import Dataset
    from pydicom.uid import MRImageStorage, generate_uid

    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID, image.Modality = MRImageStorage, generate_uid(None), "MR"
    image.StudyInstanceUID, image.FrameOfReferenceUID = uids
    image.SeriesInstanceUID = generate_uid(None)
    image.PatientName, image.PatientID = "Anonymous^", f"ANONYMOUS-{uids[0][-8:]}"  # else all would be one patient
    for empty in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
        setattr(image, empty, None)
    image.Rows, image.Columns = shape
    image.ImagePositionPatient, image.ImageOrientationPatient = list(position), list(directions)
    image.PixelSpacing, image.SliceThickness = [lengths[1], lengths[0]], lengths[2]
    return image


def _alone(found: Any) -> Any:
    """`found` without references to the image that does not exist, and without the time at which it was made."""
    found.PatientIdentityRemoved, found.DeidentificationMethod = "YES", "written without any identifier of the input"
    for keyword in (
        "InstanceCreationDate",
        "InstanceCreationTime",
        "ReferencedSeriesSequence",
        "ContributingEquipmentSequence",
        "SourceImageSequence",
    ):
        if keyword in found:
            delattr(found, keyword)
    for groups in (*found.SharedFunctionalGroupsSequence, *found.PerFrameFunctionalGroupsSequence):
        if "DerivationImageSequence" in groups:
            del groups.DerivationImageSequence
    return found
