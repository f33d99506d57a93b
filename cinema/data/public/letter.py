"""The authors' processing to the letter, on SimpleITK images: what `prepare --like-release` writes.

Every rule and worked number is in data.md section 1; tests/test_letter.py has them by name. Where the release errs, it
errs here too: the default (cinema.data.public.published_grid) does better. Sizes, spacings and points are in SimpleITK's order
(x, y, z) and its LPS coordinates.
"""

import math

import numpy as np
import SimpleITK as sitk

SAX_SPACING, SAX_SIZE = (1.0, 1.0, 10.0), (192, 192)
LAX_SPACING, LAX_SIZE = (1.0, 1.0, None), (256, 256)  # None: the slice spacing stays
PERCENTILES = (0.95, 99.5)  # as the release has it: 0.95, not 0.5


def read(path):
    """The SimpleITK image of a file; ValueError in one line if there is none."""
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[-100:]
        raise ValueError(f"{path} is no readable image ({reason})") from None


def from_array(array, affine):
    """SimpleITK image of an (x, y, z) or (x, y, z, t) array with an RAS+ affine in mm."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(affine, float)  # RAS+ to LPS
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    frames = [array] if array.ndim == 3 else [array[..., t] for t in range(array.shape[3])]
    images = [sitk.GetImageFromArray(np.ascontiguousarray(each.T)) for each in frames]
    for image in images:
        image.SetSpacing(edges.tolist())
        image.SetOrigin(affine[:3, 3].tolist())
        image.SetDirection((affine[:3, :3] / edges).ravel().tolist())
    return images[0] if array.ndim == 3 else join(images)


def to_array(image):
    """(x, y, z) or (x, y, z, t) array of an image."""
    return sitk.GetArrayFromImage(image).T


def frame(image, t):
    """The 3D image of one frame of a 4D image."""
    return image[:, :, :, t]


def join(frames):
    """The 4D image of 3D frames."""
    return sitk.JoinSeries(list(frames))


def _per_frame(function, image):
    """`function` of a 3D image, or of every frame of a 4D one, joined again."""
    if image.GetDimension() == 3:
        return function(image)
    return join(function(frame(image, t)) for t in range(image.GetSize()[3]))


def translated(image, mapping):
    """Label image with values exchanged by {raw: new}, all at once; other values and the pixel type stay."""
    array = sitk.GetArrayFromImage(image)
    result = array.copy()
    for raw, new in mapping.items():
        result[array == raw] = new
    new_image = sitk.GetImageFromArray(result, isVector=False)
    new_image.CopyInformation(image)
    return new_image


def resampled(image, spacing_mm, label=False):
    """The image on voxels of `spacing_mm` (None in a place: that spacing stays); linear, for labels nearest.

    The origin moves by half the change of spacing along the WORLD's axes, whatever the direction: right only where the
    image's axes run along them. 0 outside; integer pixels are truncated, not rounded.
    """
    return _per_frame(lambda volume: _resampled(volume, spacing_mm, label), image)


def _resampled(image, spacing_mm, label):
    old = image.GetSpacing()
    new = [own if wanted is None else float(wanted) for own, wanted in zip(old, spacing_mm, strict=True)]
    size = [int(np.round(n * own / wanted)) for n, own, wanted in zip(image.GetSize(), old, new, strict=True)]
    if min(size) < 1:
        raise ValueError(f"an image of size {image.GetSize()} and spacing {old} mm has no voxel left at {new} mm")
    origin = [o + 0.5 * (wanted - own) for o, own, wanted in zip(image.GetOrigin(), old, new, strict=True)]
    interpolator = sitk.sitkNearestNeighbor if label else sitk.sitkLinear
    return sitk.Resample(
        image, size, sitk.Transform(), interpolator, origin, new, image.GetDirection(), 0, image.GetPixelID()
    )


def bounds(low, high, length, target):
    """(lower, upper) voxels to cut off one axis so that `target` are left about the box [low, high)."""
    if length <= target:
        return 0, 0
    lower = min(max(math.ceil((high - 1 + low) / 2 - target / 2), 0), length - target)
    return lower, length - target - lower


def label_crop(image, value, size=SAX_SIZE):
    """(lower, upper): voxels to cut off x and y of a 3D label image so that `size` are left about label `value`.

    z is never cropped; smaller images stay small. ValueError if the label is absent where something has to be cut.
    """
    array = to_array(image) == value
    cuts = []
    for axis, target in enumerate(size):
        here = np.flatnonzero(array.any(axis=tuple({0, 1, 2} - {axis})))
        if not len(here) and array.shape[axis] > target:
            raise ValueError(f"label {value} does not occur at end diastole; the image cannot be cropped about it")
        low, high = (here[0], here[-1] + 1) if len(here) else (-1, -1)
        cuts.append(bounds(int(low), int(high), array.shape[axis], target))
    return tuple(zip(*cuts, strict=True))


def cropped(image, lower, upper):
    """A 3D or 4D image without the first `lower` and last `upper` voxels of x and y."""
    lower, upper = [*map(int, lower), 0], [*map(int, upper), 0]
    return _per_frame(lambda volume: sitk.Crop(volume, lower, upper), image)  # SimpleITK crops no 4D images


def _plane(image):
    """(origin, unit normal) of an image's first slice; the (3, 3) direction."""
    n = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(n, n)[:3, :3]
    return np.array(image.GetOrigin()[:3]), direction


def centre(lax_2c, lax_4c, sax):
    """The point (LPS, mm) common to the planes of 2C, 4C and the first SAX slice, of resampled images.

    ValueError if the line of the long-axis planes runs along the short-axis slice.
    """
    planes = [_plane(image) for image in (lax_2c, lax_4c, sax)]
    normals = np.array([direction[:, 2] for _, direction in planes])
    line = np.cross(normals[0], normals[1])
    length = np.linalg.norm(line)
    if length < 1e-6 or abs(normals[2] @ line / length) < 1e-6:
        raise ValueError("the planes of 2C, 4C and SAX have no single common point; the subject is left out")
    return np.linalg.solve(normals, [normal @ origin for normal, (origin, _) in zip(normals, planes, strict=True)])


def crop_at(image, point_mm, size):
    """`size` (x, y) voxels of a 3D or 4D image about a point in LPS mm; zeros where the image ends.

    The start index is cut toward zero, so that it lies a voxel further up where it is negative.
    """
    origin, direction = _plane(image)
    index = np.linalg.solve(direction, np.asarray(point_mm, float) - origin)[:2] / image.GetSpacing()[:2]
    start = [int(i) for i in index - (np.array(size) - 1) / 2]  # int() cuts toward zero
    before = [max(-s, 0) for s in start]
    after = [max(s + n - length, 0) for s, n, length in zip(start, size, image.GetSize(), strict=False)]
    padded = _per_frame(lambda volume: sitk.ConstantPad(volume, [*before, 0], [*after, 0], 0), image)
    lower = [max(s, 0) for s in start]
    upper = [length - low - n for length, low, n in zip(padded.GetSize(), lower, size, strict=False)]
    return cropped(padded, lower, upper)


def to_unit(image):
    """Grey values from 0 to 1: clamped to percentiles 0.95 and 99.5 in the image's own pixel type, then its extremes.

    Per 3D volume; a 4D image frame by frame. A constant volume becomes NaN.
    """
    return _per_frame(_to_unit, image)


def _to_unit(image):
    low, high = (float(p) for p in np.percentile(sitk.GetArrayViewFromImage(image), PERCENTILES))
    clamped = sitk.Clamp(image, image.GetPixelID(), low, high)
    return sitk.RescaleIntensity(sitk.Normalize(clamped), 0.0, 1.0)


def to_uint8(image):
    """`to_unit` times 255, truncated to uint8; a constant volume becomes 0."""

    def bytes_of(volume):
        unit = _to_unit(volume)
        if np.isnan(sitk.GetArrayViewFromImage(unit)).any():
            return sitk.Cast(volume * 0, sitk.sitkUInt8)  # casting NaN is left to the machine otherwise
        return sitk.Cast(unit * 255, sitk.sitkUInt8)

    return _per_frame(bytes_of, image)


def volumes(ed, es, rv=1, lv=3):
    """lv_edv, lv_esv, lv_ef, rv_edv, rv_esv, rv_ef of cropped label images: ml and percent, as the tables have them."""
    found = {}
    for name, value in (("lv", lv), ("rv", rv)):
        edv, esv = (
            float(np.count_nonzero(to_array(image) == value) * np.prod(image.GetSpacing()) / 1000.0)
            for image in (ed, es)
        )
        found |= {f"{name}_edv": edv, f"{name}_esv": esv, f"{name}_ef": (edv - esv) / edv * 100 if edv else math.nan}
    return found
