"""Rescan's pickles, read as data: plain values and NumPy arrays come out, and nothing in a file is ever run.

A pickle is a program. The reader hands it nothing of the outside but the names in ALLOWED, which stand for NumPy's own
words for arrays, old and new: each checks what it is given and makes numbers of it, and cannot be changed by a file.
NumPy's own functions would do more: they allocate what a file claims, and believe its flags.
"""

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cinema.data.labels import label_map, translated
from cinema.data.public.cards import card

MAX_BYTES = 2 << 30  # a stack of 20 slices and 50 frames of doubles has a third of this
MAX_DEPTH = 32
PLAIN = (str, bytes, int, float, bool, type(None))
NUMBERS = re.compile(r"[<>|=]?(b1|\?|[iu][1248]|f[248]|[SU]\d{1,6})")
OUTSIDE = {"EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "NEXT_BUFFER"}
EVEN = 0.02  # relative: steps between slices, right angles, unit lengths
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Refused(ValueError):
    """What a file asked for and does not get."""


def read(path: str | Path) -> object:
    """The value in a pickle: dict, list, tuple, str, bytes, int, float, bool, None, arrays and scalars of NumPy.

    Arrays hold booleans, integers, floats or text of fixed length, and are read-only. Raises FileNotFoundError, or
    ValueError in one line: larger than MAX_BYTES, damaged, or asking for anything else, which is named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; unpack the data set again")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path} has {size} bytes; at most {MAX_BYTES} are read")
    try:
        data = path.read_bytes()
        for step, argument, _ in pickletools.genops(data):  # every length in the file is true, if this gets to the end
            if step.name in OUTSIDE:
                raise Refused(f"asks for {step.name.lower()} {'' if argument is None else argument}".rstrip())
            if step.name in ("PUT", "LONG_BINPUT") and (argument or 0) > len(data):
                raise Refused(f"asks for place {argument} in memory")
        return _plain(_Reader(data).load(), {})
    except Exception as error:  # a damaged pickle fails in many ways, none of which gets beyond this line
        said = "".join(mark if mark.isprintable() else "?" for mark in str(error)[:200]) or type(error).__name__
        if isinstance(error, Refused):
            said = f"{path} {said}; only arrays and plain values are read: convert it if you trust it"
        else:
            said = f"{path} is not a whole pickle ({said}); unpack the data set again"
        raise ValueError(said) from None


class _Dtype:
    """Type of plain numbers or text: its code, then the byte order in the state that a file gives it."""

    __slots__ = ("dtype",)
    kind = "dtype"

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if type(code) is not str or not NUMBERS.fullmatch(code):
            raise Refused(f"has an array of dtype {str(code)[:20]}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if len(state) < 5 or state[1] not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise Refused(f"has an array of dtype {self.dtype} with fields")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array before and after it is given its state: (version,) shape, type, Fortran's order or not, bytes."""

    __slots__ = ("array",)
    kind = "ndarray"

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        shape, dtype, fortran, content = state[-4:]
        self.array = _filled(content, dtype, shape, {False: "C", True: "F"}[fortran])


class _Function:
    """A function for the reader, without the attributes that a file could set on one."""

    __slots__ = ("call",)
    kind = "function"

    def __init__(self, call: Callable) -> None:
        self.call = call

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise Refused("changes a function")


def _filled(content: Any, dtype: Any, shape: Any = (), order: Any = "C") -> np.ndarray:
    content = content.encode("latin1") if type(content) is str else content  # Python 2 wrote bytes as text
    if type(dtype) is not _Dtype or type(content) not in (bytes, bytearray):
        raise Refused(f"fills an array from a {type(content).__name__}, as arrays of objects do")
    if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape) or len(shape) > MAX_DEPTH:
        raise Refused(f"has an array of shape {str(shape)[:40]}")
    if order not in ("C", "F"):
        raise Refused(f"has an array in the order {str(order)[:20]}")
    dtype = dtype.dtype
    if dtype.itemsize == 0 or math.prod(shape) * dtype.itemsize != len(content):
        raise Refused(f"has an array of {dtype} and shape {shape} with {len(content)} bytes")
    return np.frombuffer(bytes(content), dtype).reshape(shape, order=order)


def _encoded(text: Any = "", encoding: Any = "latin1") -> bytes:
    """How old protocols write bytes: encode("..", "latin1"), and bytes() for none."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise Refused("calls encode in an unusual way")
    return text.encode("latin1")


FUNCTIONS = {"_reconstruct": _Array, "scalar": _Function(lambda dtype, content: _filled(content, dtype)[()])}
ALLOWED = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    **{(f"numpy.{core}.multiarray", name): each for core in ("core", "_core") for name, each in FUNCTIONS.items()},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _Function(_filled) for core in ("core", "_core")},
    **{name: _Function(_encoded) for name in (("_codecs", "encode"), ("builtins", "bytes"), ("__builtin__", "bytes"))},
}


class _Reader(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise Refused(f"asks for {module}.{name}")
        return ALLOWED[module, name]


def _plain(value: Any, known: dict[int, Any], depth: int = 0) -> Any:
    """`value` with arrays for the reader's; Refused for what is neither plain nor of arrays, nested deep or in itself.

    known: id -> what became of it; shared parts are gone through once.
    """
    if type(value) in PLAIN or isinstance(value, (np.ndarray, np.generic)):
        return value
    if type(value) is _Array and hasattr(value, "array"):
        return value.array
    if depth > MAX_DEPTH:
        raise Refused(f"nests deeper than {MAX_DEPTH} or contains itself")
    if id(value) not in known:
        if type(value) in (list, tuple):
            known[id(value)] = type(value)(_plain(each, known, depth + 1) for each in value)
        elif type(value) is dict and all(type(key) in PLAIN for key in value):
            known[id(value)] = {key: _plain(each, known, depth + 1) for key, each in value.items()}
        else:
            what = "dict whose keys are no plain values" if type(value) is dict else type(value).__name__
            raise Refused(f"holds a {getattr(value, 'kind', what)}")
    return known[id(value)]


def sax(path: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """((x, y, z, t) pixels, affine, SliceSpacing in mm) of SAX.pickle, slices from last to first in the file."""
    content, pixels = _content(path, "image_voxels", 4)
    positions = _numbers(content, "ImagePositionPatient", (len(pixels), 3), path)[::-1]
    row, column, spacing = _orientation(content, path)
    between = float(_numbers(content, "SliceSpacing", (), path))
    if not between > 0:
        raise ValueError(f"{path}: SliceSpacing is {between} mm; it must be positive")
    steps = np.diff(positions, axis=0)
    step = steps.mean(axis=0) if len(steps) else np.cross(row, column) * between
    length = np.linalg.norm(step)
    if length == 0 or np.abs(steps - step).max(initial=0) > EVEN * length:
        raise ValueError(f"{path}: the slices are not evenly spaced; mixed spacing has no grid")
    if abs(step @ np.cross(row, column)) < 0.5 * length:
        raise ValueError(f"{path}: the slices are not stacked across their plane; positions or orientation are wrong")
    return pixels[::-1].transpose(3, 2, 0, 1), _ras(positions[0], row, column, step, spacing), between


def lax(path: Path, between: float) -> tuple[np.ndarray, np.ndarray]:
    """(pixels, affine) of one plane; between: SliceSpacing of SAX, which stands for the thickness of the plane."""
    content, pixels = _content(path, "image_voxels", 3)
    position = np.ravel(_numbers(content, "ImagePositionPatient", None, path))
    if position.shape != (3,):
        raise ValueError(f"{path}: ImagePositionPatient has {position.size} numbers; a plane has 3")
    row, column, spacing = _orientation(content, path)
    affine = _ras(position, row, column, np.cross(row, column) * between, spacing)
    return pixels.transpose(2, 1, 0)[:, :, None], affine


def masks(path: Path, shape: tuple) -> np.ndarray:
    """(x, y, z, t) labels of terms.LABELS on the grid of SAX."""
    labels = _content(path, "image_segmentation", 4)[1][::-1].transpose(3, 2, 0, 1)
    if labels.shape != shape:
        raise ValueError(f"{path} has shape {labels.shape}, its image {shape} (x, y, z, t); they must agree")
    return translated(labels, label_map(card("rescan")), str(path))


def _content(path: Path, key: str, n_dims: int) -> tuple[dict, np.ndarray]:
    """The dictionary in a pickle, and its entry `key`, an array of numbers."""
    content = read(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; it must be a dictionary")
    if key not in content:
        raise ValueError(f"{path} lacks {key}; it has {', '.join(map(repr, content))[:200]}: unpack it again")
    array = content[key]
    if not isinstance(array, np.ndarray) or array.ndim != n_dims or array.size == 0 or array.dtype.kind not in "biuf":
        axes = f"({'z, ' * (n_dims - 3)}t, y, x)"
        raise ValueError(f"{path}: {key} must be an array of {n_dims} axes and numbers, {axes}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{path}: {key} holds values that are not numbers (NaN or infinity)")
    kind = np.uint8 if array.dtype.kind == "b" else array.dtype.newbyteorder("=")
    return content, array.astype(kind, copy=False)


def _numbers(content: dict, key: str, shape: tuple | None, path: Path) -> np.ndarray:
    """float64 array of an entry; ValueError unless it is finite and of this shape (None: any)."""
    try:
        values = np.asarray(content[key], float)
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path}: {key} is missing or holds no numbers; unpack it again") from None
    if (shape is not None and values.shape != shape) or not np.isfinite(values).all():
        raise ValueError(f"{path}: {key} has shape {values.shape}; it must be {shape}, all of it finite")
    return values


def _orientation(content: dict, path: Path) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Unit vectors along x and y in LPS, and the spacing (x, y) in mm."""
    row, column = _numbers(content, "ImageOrientationPatient", (6,), path).reshape(2, 3)
    spacing = _numbers(content, "PixelSpacing", (2,), path)
    if min(spacing) <= 0 or abs(row @ column) > EVEN or max(abs(np.linalg.norm(v) - 1) for v in (row, column)) > EVEN:
        rule = "ImageOrientationPatient must be two unit vectors at right angles, and PixelSpacing positive"
        raise ValueError(f"{path}: {rule}")
    return row, column, (float(spacing[1]), float(spacing[0]))  # DICOM: between rows, which is y, comes first


def _ras(position: np.ndarray, row: np.ndarray, column: np.ndarray, step: np.ndarray, spacing: tuple) -> np.ndarray:
    """RAS+ affine of what the headers say in LPS, slices where their positions are."""
    affine = np.eye(4)
    affine[:3] = np.stack([row * spacing[0], column * spacing[1], step, position], axis=1)
    return LPS_TO_RAS @ affine
