"""Examinations that come from outside: a DICOM folder, NIfTI files, a stored study; the public datasets."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cinema.data.reading import Reading, row
from cinema.data.study import load_study

# Name as given to --data and to prepare -> module of its adapter (see common.py); its card is shipped/cards/NAME.yaml.
DATASETS = {
    name: f"cinema.data.public.{name}"
    for name in ("acdc", "mnms", "mnms2", "kaggle", "rescan", "landmark", "emidec", "myops", "ukb")
}


def read_input(path: str | Path, view: str | None = None, likeness: Callable | None = None) -> Reading:
    """reading.Reading of whatever `path` holds: DICOM, NIfTI, or one study of the store (.h5).

    view: what an input of one plane (or one stack) shows, where it does not tell by itself.
    likeness: confirms by the picture what the geometry of DICOM makes likely (`stack.find`).
    Raises FileNotFoundError or ValueError in one line, whatever the names of files are made of.
    """
    try:
        return _read(Path(path), view, likeness)
    except (FileNotFoundError, ValueError) as error:
        if len(str(error).splitlines()) > 1:
            raise type(error)(" ".join(str(error).split())) from None
        raise


def _read(path: Path, view: str | None, likeness: Callable | None) -> Reading:
    from cinema.data.dicom import read_dicom
    from cinema.data.nifti import SUFFIXES, nifti_files
    from cinema.data.nifti_views import read_nifti

    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; name a DICOM folder or a NIfTI file")
    if path.is_dir():  # DICOM goes first: results of an earlier run may lie beside the scanner's files
        is_nifti = nifti_files(path) and not any(_has_dicom_mark(file) for file in path.rglob("*") if file.is_file())
    elif path.suffix == ".h5":
        return _read_stored(path, view)
    else:
        is_nifti = path.name.lower().endswith(SUFFIXES)
    return read_nifti(path, view) if is_nifti else read_dicom(path, view, likeness)


def _has_dicom_mark(file: Path) -> bool:
    with open(file, "rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _read_stored(path: Path, view: str | None) -> Reading:
    study = load_study(path, None if view is None else [view])
    held = enumerate(study.views.items(), start=1)
    table = [row(number, name, one.image.shape[2], one.n_frames, "stored so") for number, (name, one) in held]
    sax = study.views.get("sax")
    positions = None if sax is None else np.arange(sax.image.shape[2]) * sax.spacing_mm[2]
    return Reading(study, table, (), {}, positions)
