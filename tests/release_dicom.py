"""What the release makes of a cine's DICOM files, from data.md section 10's words: pydicom and NumPy alone."""

from io import BytesIO

import numpy as np
import pydicom
from release_numpy import resample, to_uint8

SIZES = {"sax": (192, 192)}  # others 256
TARGETS = {"sax": (1.0, 1.0, 10.0)}


def arrays(series):
    """view -> uint8 (x, y, z, t) of {view: list of slices, each {file name: bytes}}; lax_2c, lax_4c, sax among them."""
    placed = {
        view: _resampled(*volume(folders), TARGETS.get(view, (1.0, 1.0, None))) for view, folders in series.items()
    }
    normals = np.array([placed[view][2][:, 2] for view in ("lax_2c", "lax_4c", "sax")])
    origins = [placed[view][3] for view in ("lax_2c", "lax_4c", "sax")]
    centre = np.linalg.solve(normals, [n @ o for n, o in zip(normals, origins, strict=True)])
    return {view: _cut(*parts, centre, SIZES.get(view, (256, 256))) for view, parts in placed.items()}


def volume(folders):
    """(array, spacing, LPS direction, LPS origin), the last three through float32."""
    read = [{name: pydicom.dcmread(BytesIO(data)) for name, data in sorted(files.items())} for files in folders]
    heads = []
    for files in read:
        last = sorted({data.SeriesInstanceUID for data in files.values()})[-1]
        heads.append(next(data for data in files.values() if data.SeriesInstanceUID == last))
    first = heads[0]
    positions = [np.array(head.ImagePositionPatient, float) for head in heads]
    row, column = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    across, edge = np.cross(row, column), float(first.SliceThickness)
    if len(folders) > 1:
        across = positions[1] - positions[0]
        edge = np.linalg.norm(across)
        across = across / edge
    spacing = np.array([first.PixelSpacing[1], first.PixelSpacing[0], first.get("SpacingBetweenSlices", edge)], float)
    array = np.zeros((first.Columns, first.Rows, len(folders), first.CardiacNumberOfImages), np.float32)
    for z, files in enumerate(read):
        ordered = [files[name] for name in sorted(files, key=lambda name: (float(files[name].TriggerTime), name))]
        for t in range(array.shape[3]):
            try:
                array[:, :, z, t] = ordered[t].pixel_array.T
            except (IndexError, ValueError):
                array[:, :, z, t] = array[:, :, z, t - 1]
    direction = np.stack([row, column, across], axis=1)
    rounded = [np.float32(part).astype(float) for part in (spacing, direction, positions[0])]
    return array, *rounded


def _resampled(array, spacing, direction, origin, target):
    target = np.array([own if wanted is None else wanted for own, wanted in zip(spacing, target, strict=True)])
    frames = [resample(array[..., t], spacing, direction, target, False) for t in range(array.shape[3])]
    return np.stack(frames, axis=-1), target, direction, origin + 0.5 * (target - spacing)


def _cut(array, spacing, direction, origin, centre, size):
    index = (np.linalg.solve(direction, centre - origin) / spacing)[:2]
    result = np.zeros((*size, *array.shape[2:]), array.dtype)
    inside, outside = [], []
    for axis in (0, 1):
        start = int(index[axis] - (size[axis] - 1) / 2)  # toward zero
        low, high = max(start, 0), min(start + size[axis], array.shape[axis])
        inside.append(slice(low, high))
        outside.append(slice(low - start, high - start))
    result[tuple(outside)] = array[tuple(inside)]
    return np.stack([to_uint8(result[..., t]) for t in range(array.shape[3])], axis=-1)
