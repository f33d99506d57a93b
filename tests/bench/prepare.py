"""Throughput of `prepare` on UK Biobank's archives, beside the floor: the same pixels read and resampled, no more.

    python tests/bench/prepare.py [--studies 6] [--slices 11] [--frames 50]

Writes archives with pictures of the real size, then goes through them study by study, on one core, both ways in turn:
prepare's own work (archive checks, headers, order, geometry, standard grid, HDF5 file) and the floor (pydicom for
headers and pixels straight from the zip, SimpleITK for resampling to 1 x 1 (x 10) mm, cut in the middle; nothing
checked, sorted by place, scaled or written). Prints studies a second of both, their ratio, n and the processor.
"""

import argparse
import platform
import re
import sys
import tempfile
import time
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from rawtrees import ukb as builder  # noqa: E402

from cinema.data.public import ukb
from cinema.data.public.published_grid import standardised
from cinema.data.study import save_study
from cinema.terms import LAX_VIEWS, PUBLISHED_GRID  # noqa: E402

SIZE, SPACING_MM = (208, 187), 1.8269


def floor(paths):
    """view -> float32 (t, z, y, x) of a visit's archives, by pydicom alone; slices in order of their numbers."""
    series = {}
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            manifest = next(name for name in archive.namelist() if name.startswith("manifest"))
            for line in archive.read(manifest).decode().splitlines()[1:]:
                name, text = line.split(",")[0], line.split(",")[-1]
                if "segmented" in text and "VF" not in text:
                    data = pydicom.dcmread(BytesIO(archive.read(name)))
                    series.setdefault(text, []).append((float(data.TriggerTime), data.pixel_array))
    volumes = {}
    for text, frames in sorted(series.items(), key=lambda item: (len(item[0]), item[0])):
        pixels = np.stack([pixels for _, pixels in sorted(frames, key=lambda frame: frame[0])]).astype(np.float32)
        volumes.setdefault("sax" if "SAX" in text else f"lax_{text[-3]}c", []).append(pixels)
    return {view: np.stack(slices, axis=1) for view, slices in volumes.items()}


def resampled(volumes):
    """The floor's second half: every frame by SimpleITK's linear interpolation, no more of it than prepare keeps."""
    resample, done = sitk.ResampleImageFilter(), {}
    resample.SetOutputSpacing((1.0, 1.0, 10.0))
    for view, volume in volumes.items():
        full = [round(n * SPACING_MM) for n in volume.shape[:1:-1]]
        size = [min(n, most) for n, most in zip(full, PUBLISHED_GRID[view][0], strict=False)]
        resample.SetSize([*size, volume.shape[1]])
        resample.SetOutputOrigin([*((n - kept) / 2 for n, kept in zip(full, size, strict=True)), 0.0])
        images = [sitk.GetImageFromArray(frame) for frame in volume]
        for image in images:
            image.SetSpacing((SPACING_MM, SPACING_MM, 10.0))
        done[view] = np.stack([sitk.GetArrayFromImage(resample.Execute(image)) for image in images])
    return done


def tree(folder, n, slices, frames):
    """Archives of n visits; returns their subjects."""
    flat, spacing = dict.fromkeys(LAX_VIEWS, (SIZE, (SPACING_MM, SPACING_MM))), (SPACING_MM, SPACING_MM, 10.0)
    grid = {"sax": ((*SIZE, slices), spacing), **flat}
    for k in range(n):
        study = builder.hearts("pretraining", 1, k, frames, grid)[0]
        for field, files in builder.deliveries(study, 0).items():
            builder.write(folder / f"{builder.FIRST_EID + k}_{field}_2_0.zip", files, 0)
    return ukb.subjects(folder)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("--studies", 6), ("--slices", 11), ("--frames", 50)):
        parser.add_argument(name, type=int, default=default)
    options = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    spent = {"read": [], "standard grid": [], "write": [], "floor: read": [], "floor: resample": []}

    def timed(part, function, *arguments):
        start = time.perf_counter()
        result = function(*arguments)
        spent[part].append(time.perf_counter() - start)
        return result

    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        raw, out = Path(folder) / "raw", Path(folder) / "out"
        for subject in tree(raw, options.studies, options.slices, options.frames):
            study = timed("read", ukb.read, subject)
            timed("write", save_study, timed("standard grid", standardised, study), out)
            timed("floor: resample", resampled, timed("floor: read", floor, subject.files))
        megabytes = sum(path.stat().st_size for path in raw.iterdir()) / 1e6 / options.studies
    totals = {"prepare": 0.0, "floor": 0.0}
    for part, seconds in spent.items():
        totals["floor" if part.startswith("floor") else "prepare"] += np.median(seconds)
        print(f"{part:16s} {np.median(seconds):6.3f} s a study ({min(seconds):.3f} to {max(seconds):.3f})")
    rates = ", ".join(f"{name} {1 / total:.2f} studies a second" for name, total in totals.items())
    print(f"{rates}; prepare takes {totals['prepare'] / totals['floor']:.2f} times the floor")
    shape = f"{options.slices} SAX slices and 3 LAX of {options.frames} frames, {SIZE[0]} x {SIZE[1]}"
    print(f"one core of {_processor()}; n {options.studies}, {shape}, {megabytes:.0f} MB of archives a study")


def _processor():
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    named = re.search(r"^model name\s*: (.*)", text, re.MULTILINE)
    return named[1] if named else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
