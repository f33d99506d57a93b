"""DICOM pictures of a cine -> the volume that the authors' release makes of them, to the letter (data.md section 10).

Nothing is sorted by position, checked or mended: the header of one file stands for all, a frame that is not there
repeats the one before it, and at the very beginning that is the still empty last one.
"""

import tempfile
from pathlib import Path

import numpy as np

from cinema.data.planes import LPS_TO_RAS


def processed(series):
    """(raw, processed) images of each view: read, resampled, cropped about the point where the views meet, to bytes.

    series: view -> folders as `video` takes them; lax_2c, lax_4c and sax must be there.
    """
    from cinema.data.public import letter

    raw = {view: video(folders) for view, folders in series.items()}
    images = {
        view: letter.resampled(image, letter.SAX_SPACING if view == "sax" else letter.LAX_SPACING)
        for view, image in raw.items()
    }
    point = letter.centre(images["lax_2c"], images["lax_4c"], images["sax"])
    sizes = {view: letter.SAX_SIZE if view == "sax" else letter.LAX_SIZE for view in images}
    return raw, {view: letter.to_uint8(letter.crop_at(image, point, sizes[view])) for view, image in images.items()}


def video(folders):
    """float32 SimpleITK image (x, y, z, t) of the folders' pictures, one slice each, in the order given.

    folders: list of lists of Pictures sorted by file name. A file whose header cannot be read is not among them.
    Raises ValueError in one line where the release fails: no frame count or trigger time, slices of unequal size.
    """
    heads = [_head(pictures) for pictures in folders]
    first = heads[0]
    if not first.declared:
        raise ValueError(f"{first.name} does not say how many frames the beat has (CardiacNumberOfImages)")
    volume = np.zeros((*first.shape, len(folders), first.declared), np.float32)
    for z, pictures in enumerate(folders):
        for t, picture in enumerate(_padded(_ordered(pictures), first.declared)):
            if picture is None or picture.pixels is None:
                volume[:, :, z, t] = volume[:, :, z, t - 1]
            elif picture.shape != first.shape:
                raise ValueError(
                    f"{picture.name} has {picture.shape} pixels, the first slice {first.shape}; "
                    "the release joins slices of one size only"
                )
            else:
                volume[:, :, z, t] = picture.pixels
    times = [picture.trigger_ms for picture in _ordered(folders[0])]
    return _image(volume, _affine(heads), (times[1] - times[0]) * 0.001 if len(times) > 1 else 1.0)


def _head(pictures):
    """The first file, by name, of the series whose UID is last in sort order."""
    if not pictures:
        raise ValueError("a series without a readable file")
    last = max(picture.series for picture in pictures)
    return next(picture for picture in pictures if picture.series == last)


def _ordered(pictures):
    if any(picture.trigger_ms is None for picture in pictures):
        raise ValueError(f"{pictures[0].name} or a picture beside it has no trigger time, by which the release sorts")
    return sorted(pictures, key=lambda picture: (picture.trigger_ms, picture.name))


def _padded(pictures, count):
    return [*pictures, *[None] * count][:count]


def _affine(heads):
    first, positions = heads[0], [np.asarray(head.position) for head in heads]
    row, column = np.asarray(first.row), np.asarray(first.column)
    step = positions[1] - positions[0] if len(heads) > 1 else np.zeros(3)
    apart = float(np.linalg.norm(step))
    across = step / apart if apart else np.cross(row, column)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * first.spacing[0], column * first.spacing[1]
    affine[:3, 2] = across * (first.between_mm or apart or first.thickness_mm or 1.0)
    affine[:3, 3] = positions[0]
    return LPS_TO_RAS @ affine


def _image(volume, affine, seconds):
    """As nibabel writes it and SimpleITK reads it: through a NIfTI header of float32, here of a file of two voxels."""
    import nibabel as nib
    import SimpleITK as sitk

    carrier = nib.Nifti1Image(np.zeros((1, 1, 1, 2), np.float32), affine)
    carrier.set_sform(affine, code=1)
    carrier.header["pixdim"][4] = seconds or 1.0
    with tempfile.TemporaryDirectory() as folder:
        nib.save(carrier, Path(folder) / "carrier.nii")
        try:
            frame = sitk.ReadImage(str(Path(folder) / "carrier.nii"))
        except RuntimeError:
            raise ValueError(
                "the second slice does not lie straight behind the first; SimpleITK refuses the release's image"
            ) from None
    image = sitk.GetImageFromArray(volume.transpose(3, 2, 1, 0), isVector=False)
    image.SetSpacing(frame.GetSpacing())
    image.SetOrigin(frame.GetOrigin())
    image.SetDirection(frame.GetDirection())
    return image
