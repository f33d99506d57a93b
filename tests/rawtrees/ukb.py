"""UK Biobank's fields 20208 and 20209 as delivered: zip archives with a manifest, and what is wrong with some."""

import zipfile

import numpy as np

from rawtrees.hearts import hearts
from rawtrees.pictures import picture_bytes, slice_bytes

FIRST_EID = 1000001
CUT, LOST, SWAPPED = 4, 3, 5  # subjects with a damaged and a missing file; without 3C; with slices out of order
HEAD = ("filename", "patientid", "date", "series number", "series discription")


def build(folder, n=6, seed=0, frames=10, grid=None):
    """Write n visits (and one second visit), the kinds of `BAD` beside them; returns {"ids", "bad", "studies"}.

    ids: of those that can be read, sorted. bad: id -> word that the reason for skipping must hold.
    studies: id -> the virtual study whose pixels, times pictures.SCALE, are in the files.
    """
    studies = {f"{FIRST_EID + k}_2": study for k, study in enumerate(hearts("pretraining", n, seed, frames, grid))}
    for k, (name, study) in enumerate(list(studies.items())):
        eid, suffix = name.split("_")[0], "" if k == 2 else ".zip"
        for field, files in deliveries(study, k).items():
            write(folder / f"{eid}_{field}_2_0{suffix}", files, k)
        if k == 1:  # this person came again
            studies[f"{eid}_3"] = study
            for field, files in deliveries(study, 0).items():
                write(folder / f"{eid}_{field}_3_0.zip", files, 0)
    view, bad = studies[f"{FIRST_EID}_2"].views["sax"], {}
    for k, (word, spoil) in enumerate(BAD.items()):
        eid = 2000001 + k
        bad[f"{eid}_2"] = word
        files = {"a.dcm": (picture_bytes(view, 0, 0, 1), "CINE_segmented_LAX_2Ch")}
        write(folder / f"{eid}_20208_2_0.zip", files, 0)
        spoil(folder / f"{eid}_20209_2_0.zip", files)
    return {"ids": sorted(studies), "bad": bad, "studies": studies}


def deliveries(study, k):
    """Field -> {file name: (bytes, series description)} with the quirks of subject k."""
    number, lax, sax = 1, {}, {}
    for view in ("lax_2c", "lax_3c", "lax_4c"):
        if not (k == LOST and view == "lax_3c"):
            series(lax, study.views[view], 0, number, f"CINE_segmented_LAX_{view[-2]}Ch")
        number += 1
    stack = study.views["sax"]
    order = list(range(stack.image.shape[2]))
    if k == SWAPPED:
        order[1], order[2] = order[2], order[1]
    for b, z in enumerate(order, start=1):
        name = f"CINE_segmented_SAX_b{b}" + ("_again" if k == LOST and b == 2 else "")
        if k == SWAPPED and b == 4:  # a first attempt, broken off, whose UID sorts last
            for t in range(3):
                data = picture_bytes(stack, z, t, number, uid="9.9")
                sax[f"{number:03d}-x{t:03d}.dcm"] = data, name
            number += 1
        series(sax, stack, z, number, name)
        number += 1
    if k == CUT:
        names = sorted(sax)
        frames = stack.image.shape[3]
        del sax[names[2 * frames + 3]]  # slice 3, frame 4
        data, text = sax[names[4 * frames + 5]]
        sax[names[4 * frames + 5]] = data[:-500], text
    if k == 1:
        for files, view in ((lax, "lax_2c"), (sax, "sax")):
            files["drawing.dcm"] = picture_bytes(study.views[view], 0, 0, 90), "CINE_segmented_LAX_2Ch_InlineVF"
            files["results.dcm"] = b"no image", "Inline_VF_Results"
    return {"20208": lax, "20209": sax}


def series(files, view, z, number, description):
    for t, data in slice_bytes(view, z, number, SeriesDescription=description).items():
        files[f"{number:03d}-{t:03d}.dcm"] = data, description


def manifest(files):
    """As it comes: dates whose comma no quotes protect."""
    rows = [",".join(HEAD)] + [
        f"{name},4711,Aug {1 + i % 30}, 2015,{i},{text}" for i, (name, (_, text)) in enumerate(sorted(files.items()))
    ]
    return "\n".join(rows) + "\n"


def write(path, files, k):
    contents = {name: data for name, (data, _) in files.items()}
    contents["manifest.cvs" if k == 1 else "manifest.csv"] = manifest(files).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".zip":
        path.mkdir()
        for name, data in contents.items():
            (path / name).write_bytes(data)
        return
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)


def _plus(name, data=b"x", mode=0):
    """The archive with one more entry."""

    def spoil(path, files):
        write(path, files, 0)
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)

    return spoil


def _bytes(change):
    """The archive with its bytes changed by `change`."""

    def spoil(path, files):
        write(path, files, 0)
        raw = bytearray(path.read_bytes())
        path.write_bytes(change(raw) or raw)

    return spoil


def _encrypt(raw):
    raw[6] |= 1  # of the first file's own header
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # and of its entry in the directory


def _flip(raw):
    raw[500:520] = bytes(byte ^ 255 for byte in raw[500:520])


def _no_column(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.csv", "filename,series\na.dcm,b\n")


BAD = {  # word in the reason -> how the short-axis archive is spoilt
    "points outside": _plus("../../outside.dcm"),
    "points outside its folder": _plus("/etc/outside"),
    "'C:": _plus("C:\\outside.dcm"),
    "is a link": _plus("link.dcm", b"/etc/passwd", 0o120777),
    "archive inside": _plus("inner.zip"),
    "times its size": _plus("zeros.dcm", bytes(np.zeros(40_000_000, np.uint8))),
    "encrypted": _bytes(_encrypt),
    "is damaged": _bytes(_flip),
    "no readable zip": _bytes(lambda raw: raw[:-40]),
    "series discription": _no_column,
    "is missing": lambda path, files: None,
    "at least 3": lambda path, files: write(path, {}, 0),
}
