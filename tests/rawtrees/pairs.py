"""What the raw trees of ACDC, M&Ms and M&Ms-2 share: frames of virtual hearts as files, and ways to damage them."""

import nibabel as nib
import numpy as np

# Wider than the published crop, sizes and slice distances that no rule of thumb fits.
GRID = {"sax": ((100, 92, 7), (2.3, 2.3, 9.2)), "lax_4c": ((116, 112), (2.4, 2.4))}
SWAPPED = np.array([0, 3, 2, 1], np.uint8)  # RV and LV change places in M&Ms and M&Ms-2


def scanner_grey(image, k):
    """int16 pixels of the size that scanners give, the slope differing by subject."""
    return (image.astype(np.int16) * (3 + k % 3) + 11).astype(np.int16)


def store(path, array, affine, unit_affine=False):
    """Write a NIfTI file. unit_affine: the sform lacks the voxel sizes, which only the header states."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    stated = affine.copy()
    if unit_affine:
        stated[:3, :3] /= sizes
    image = nib.Nifti1Image(array, stated)
    image.header.set_sform(stated, code=2 if unit_affine else 1)
    image.header.set_qform(None if unit_affine else stated, code=0 if unit_affine else 1)
    image.header["pixdim"][1:4] = sizes
    nib.save(image, path)


def damage(fault, image, mask):
    """Spoil a subject's first image or its mask in the way named `fault`."""
    if fault == "no image":
        image.unlink()
    elif fault == "no mask":
        mask.unlink()
    elif fault == "truncated":
        image.write_bytes(image.read_bytes()[:-200])
    elif fault == "truncated mask":
        mask.write_bytes(mask.read_bytes()[: mask.stat().st_size // 2])
    elif fault == "not an image":
        image.write_bytes(b"<html>log in first</html>")
    else:
        found = nib.load(mask)
        array, affine = np.asarray(found.dataobj), found.affine.copy()
        if fault == "label":
            array[2, 3, 0] = 7
        elif fault == "spacing":
            affine[:3, :2] *= 1.1
        elif fault == "shape":
            array = array[1:]
        elif fault == "shifted":
            affine[:3, 3] += 25
        elif fault == "no heart":
            array[:] = 0
        else:
            raise ValueError(f"unknown fault {fault!r}")
        nib.save(nib.Nifti1Image(array, affine), mask)
