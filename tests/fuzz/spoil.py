"""Ways to spoil a folder, a file, a field or an argument; each says what it did."""

import gzip
import json
import os
import pickle
import shutil
import zipfile
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pydicom
from nibabel.nifti1 import header_dtype
from pydicom.dataelem import RawDataElement

TEXTS = (
    " ,0,-1,NaN,inf,1e400,99999999999999999999,12.7,abc,20241399,1\\2\\3,ä漢😀,None,2,1e9,25:61,alive,0.1,007,".split(
        ","
    )
)
TEXTS += ["a" * 300, "1,5", '"', "\t"]
NUMBERS = (0, -1, 1, 2, 7, 300, 2**15, 2**31 - 1, -(2**31), np.nan, np.inf, -np.inf, 1e38, 1e-38, 0.5, 1e9)
VALUES = (
    None,
    True,
    [],
    {},
    b"x",
    np.zeros(0),
    np.zeros((2, 3)),
    np.full(3, np.nan),
    [[1, [2]]],
    10**30,
    *TEXTS,
    *NUMBERS,
)
FOREIGN = (b"<html>log in first</html>", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04" + bytes(40), bytes(300), b"")
NAMES = (".DS_Store", "notes.txt", "._copy.dcm", "DICOMDIR", "x.nii.gz", "x.h5", "ä 漢 😀.dcm", "a\n2.dcm", "a" * 200)
CHANGES = ("gone", "named", "folder", "link", "pipe", "locked", "copy", "swap", "added", "home")
BINARY = {"US", "SS", "UL", "SL", "FL", "FD"}
LONG = {"OB", "OW", "OF", "OD", "SQ", "UN", "UT", "UC", "UR"}  # whose length has four bytes


def pick(rng, choices):
    return choices[int(rng.integers(len(choices)))]


def raw(data, rng):
    """Bytes as disks, networks and careless copies leave them."""
    at = int(rng.integers(min(len(data), 600) if rng.random() < 0.6 else len(data)))
    size = int(rng.integers(1, 400))
    head, block, rest = data[:at], data[at : at + size], data[at + size :]
    many, flips = np.frombuffer(data, np.uint8).copy(), rng.integers(at, at + len(block), pick(rng, (1, 1, 8, 64)))
    many[flips] ^= rng.integers(1, 256, len(flips), np.uint8)
    ways = {"cut": head, "block twice": head + block + block + rest, "block out": head + rest}
    ways |= {"swapped": rest + block + head, "zeroed": head + bytes(len(block)) + rest, "foreign": pick(rng, FOREIGN)}
    way = pick(rng, ["flipped"] * 3 + [*ways])
    return (ways | {"flipped": many.tobytes()})[way], f"{way} at {at}"


def dicom_field(data, rng):
    found = pydicom.dcmread(BytesIO(data))
    fields = [*found._dict.values(), *found.file_meta._dict.values()]
    one = pick(rng, [field for field in fields if isinstance(field, RawDataElement) and field.VR not in LONG])
    start, end = one.value_tell - 8, one.value_tell + one.length
    value = rng.bytes(one.length) if one.VR in BINARY else pick(rng, TEXTS).encode()
    value += b" " * (len(value) % 2)
    whole = data[start : start + 6] + len(value).to_bytes(2, "little") + value
    new = pick(rng, (whole, whole, b"", data[start:end] + whole))
    return data[:start] + new + data[end:], f"{pydicom.datadict.keyword_for_tag(one.tag)} {new[8:30]!r}"


def nifti_field(data, rng):
    name, value = pick(rng, header_dtype.names), pick(rng, NUMBERS)
    kind, at = header_dtype.fields[name][:2]
    base, shape = kind.subdtype or (kind, ())
    at += int(rng.integers(np.prod(shape, dtype=int))) * base.itemsize
    with np.errstate(all="ignore"):
        new = rng.bytes(base.itemsize) if base.kind == "S" else np.array([value]).astype(base).tobytes()
    return data[:at] + new + data[at + base.itemsize :], f"{name} {value}"


def hdf5_field(data, rng):
    image, names = BytesIO(data), [""]
    with h5py.File(image, "r+") as file:
        file.visit(names.append)
        places = [(file, name) for name in names[1:]] + [
            (one.attrs, key) for one in map(file.get, names[1:]) for key in one.attrs
        ]
        home, name = pick(rng, places + [(file.attrs, key) for key in file.attrs])
        new = pick(rng, (*VALUES, h5py.SoftLink("/nowhere"), h5py.ExternalLink("x.h5", "/x"), h5py.Empty("f8")))
        del home[name]
        try:
            home[name] = new
        except (TypeError, ValueError, OverflowError):
            new = "gone"
    return image.getvalue(), f"{name} {str(new)[:30]!r}"


def leaf(value, rng):
    """(a nested value with one of its ends replaced, where)."""
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.1:
        return pick(rng, VALUES), ""
    key = pick(rng, list(value) if isinstance(value, dict) else range(len(value)))
    new, where = leaf(value[key], rng)
    copy = value.copy()
    copy[key] = new
    return copy, f"{key} {where}"


def weights_field(data, rng):
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    about = header.get("__metadata__", {})
    if "cinema" in about and rng.random() < 0.6:
        inner, where = leaf(json.loads(about["cinema"]), rng)
        about["cinema"] = json.dumps(inner, default=str)
    else:
        header, where = leaf(header, rng)
    text = json.dumps(header, default=str).encode()
    return len(text).to_bytes(8, "little") + text + data[end:], where


def pickle_field(data, rng):
    value, where = leaf(pickle.loads(data), rng)
    return pickle.dumps(value, int(rng.integers(2, 6))), where


def cell(data, rng):
    """Text in lines and columns: a cell, a line, a column, the separator or the encoding is another."""
    mark = "," if b"," in data else ":"
    rows = [line.split(mark) for line in data.decode("latin-1").splitlines()]
    at, text = int(rng.integers(len(rows))), pick(rng, TEXTS)
    column, way = (
        int(rng.integers(len(rows[at]))),
        pick(rng, ("cell", "cell", "cell", "out", "twice", "column", "mark", "utf-16")),
    )
    if way == "cell":
        rows[at][column] = text
    elif way == "column":
        rows = [row[:column] + row[column + 1 :] for row in rows]
    elif way in ("out", "twice"):
        rows[at : at + 1] = rows[at : at + 1] * (2 * (way == "twice"))
    whole = "\n".join((";" if way == "mark" else mark).join(row) for row in rows) + "\n"
    return whole.encode("utf-16" if way == "utf-16" else "utf-8"), f"line {at} column {column} {way} {text[:20]!r}"


def member(data, rng):
    image = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as old, zipfile.ZipFile(image, "w", zipfile.ZIP_DEFLATED) as new:
        files = {name: old.read(name) for name in old.namelist()}
        name = pick(rng, list(files))
        files[name], words = content(name, files[name], rng)
        for each, inner in files.items():
            new.writestr(pick(rng, NAMES) if each == name and rng.random() < 0.1 else each, inner)
    return image.getvalue(), f"{name} {words}"


def unpacked(data, rng):
    inner, words = content("x.nii", gzip.decompress(data), rng)
    return gzip.compress(inner, 1), words


FIELDS = {".dcm": dicom_field, ".nii": nifti_field, ".h5": hdf5_field, ".safetensors": weights_field, ".gz": unpacked}
FIELDS |= {".pickle": pickle_field, ".zip": member, **dict.fromkeys((".csv", ".cfg", ".txt", ".yaml", ".json"), cell)}


def content(name, data, rng):
    """(bytes, words) of a file: mostly a field as its format has it, else any bytes."""
    if not data:
        return b"x", "a byte in an empty file"
    try:
        return FIELDS.get(Path(name).suffix.lower(), raw)(data, rng) if rng.random() < 0.6 else raw(data, rng)
    except Exception:  # it is not of that format
        return raw(data, rng)


def folder(home, rng, wanted=lambda path: True):
    """Spoil one file below `home` whose path is wanted: its bytes, its name, its place, or what lies beside it."""
    files = sorted(path for path in home.rglob("*") if path.is_file() and wanted(path.relative_to(home).as_posix()))
    path, way, words = pick(rng, files), pick(rng, ["content"] * 14 + [*CHANGES]), pick(rng, NAMES)
    if way == "content":
        new, words = content(path.name, path.read_bytes(), rng)
        path.write_bytes(new)
    elif way in ("gone", "folder", "link", "pipe"):
        path.unlink()
        make = {"folder": path.mkdir, "link": lambda: path.symlink_to("nowhere"), "pipe": lambda: os.mkfifo(path)}
        make.get(way, str)()
    elif way == "named":
        path.rename(path.with_name(words))
    elif way == "locked":
        path.chmod(0)
    elif way in ("copy", "added"):
        path.with_name(words).write_bytes(path.read_bytes() if way == "copy" else pick(rng, FOREIGN))
    elif way == "swap":
        other = pick(rng, files)
        one, two = path.read_bytes(), other.read_bytes()
        path.write_bytes(two), other.write_bytes(one)
    elif path.parent != home:
        shutil.rmtree(path.parent)
    return f"{path.relative_to(home)}: {way} {words}".replace("\n", "\\n")


def arguments(given, rng):
    """A command line with words spoilt, left out, said twice or misspelt."""
    words = list(given)
    for _ in range(pick(rng, (1, 1, 2))):
        at = int(rng.integers(len(words)))
        word, text = words[at], [pick(rng, TEXTS)]
        words[at : at + 1] = pick(
            rng, (text, text, text, [], [word, word], [f"{word}x"], ["--sed", "1"], [word.upper()])
        )
    return words or ["info"]
