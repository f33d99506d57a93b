"""How every figure looks, and the only place that writes one."""

import base64
import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from scipy import ndimage

from cinema import results
from cinema.files import whole_or_not
from cinema.terms import COLOURS, LABELS

WIDTH_INCHES = {1: 3.35, 2: 7.0}  # one and two columns of a journal page
GREY = "#555555"
# For lines and dots that are not a structure (models, cohorts): Okabe-Ito without the structures' three colours,
# each with its own line style and marker, so that print and colour-blind readers lose nothing.
SERIES = (("#CC79A7", "-", "o"), ("#000000", "--", "s"), ("#56B4E9", "-.", "^"), ("#D55E00", ":", "D"))

RC = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "figure.dpi": 150,
    "savefig.dpi": 300,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.06,
    "pdf.fonttype": 42,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
}


def figure(columns=1, height=None, rows=1, cols=1, **kwargs):
    """Figure of one or two journal columns' width with a grid of axes, as plt.subplots returns them.

    height: inches; None gives 0.72 of the width.
    """
    if columns not in WIDTH_INCHES:
        raise ValueError(f"columns={columns}; a figure is 1 or 2 columns wide")
    plt.rcParams.update(RC)
    width = WIDTH_INCHES[columns]
    return plt.subplots(rows, cols, figsize=(width, height or 0.72 * width), **kwargs)


def save(fig, name, out, seed, cohort=None):
    """Write out/name.png and out/name.pdf: same figure, same bytes. The cohort is printed on the figure.

    cohort: whose patients are shown, by default those of results.begin (of a dataset with its licence).
    The notebook (the name up to its number) and the seed go into the files' metadata.
    """
    cohort = cohort or results.stamp()
    fig.supxlabel(f"{cohort} cohort" if cohort == "virtual" else cohort, x=1, ha="right", fontsize=6, color=GREY)
    about = f"notebook {name.split('_')[0]}, seed {seed}, data: {cohort}"
    metadata = {
        "png": {"Title": name, "Description": about, "Software": None},
        "pdf": {"Title": name, "Subject": about, "CreationDate": None, "Producer": None, "Creator": None},
    }
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for kind, fields in metadata.items():
        with whole_or_not(out / f"{name}.{kind}") as temporary:
            fig.savefig(temporary, format=kind, metadata=fields)


def cine(images, labels=None, height=220, cycle_ms=1000, limit_bytes=130_000):
    """Moving pictures side by side as one `<img>` with its data inside: it plays in a saved web page.

    images: name -> (x, y, t) array; all with the same number of frames.
    labels: name -> (x, y, t) label values, drawn as outlines; or None.
    height: pixels. cycle_ms: duration of one loop.
    The quality is lowered until the data fits limit_bytes (at the lowest quality it may not).
    """
    counts = {np.shape(image)[-1] for image in images.values()}
    if len(counts) != 1:
        raise ValueError(f"cine of {sorted(counts)} frames; give every view the same number")
    films = [_film(image, None if labels is None else labels.get(name), height) for name, image in images.items()]
    frames = [Image.fromarray(np.concatenate(parts, axis=1)) for parts in zip(*films, strict=True)]
    for quality in (80, 60, 45, 30, 15):
        data = io.BytesIO()
        frames[0].save(
            data,
            "WEBP",
            save_all=True,
            append_images=frames[1:],
            quality=quality,
            method=4,
            loop=0,
            duration=round(cycle_ms / len(frames)),
        )
        if data.tell() <= limit_bytes:
            break
    text = base64.b64encode(data.getvalue()).decode()
    return f'<img alt="Cine, left to right: {", ".join(images)}" src="data:image/webp;base64,{text}">'


def _film(image, label, height):
    """t frames (height, width, 3) uint8 of an (x, y, t) image, with one grey scale for all frames."""
    low, high = np.percentile(image, (0.5, 99))
    grey = np.uint8(255 * np.clip((image - low) / max(high - low, 1e-9), 0, 1))
    size = (round(height * image.shape[0] / image.shape[1]), height)
    frames = []
    for t in range(image.shape[2]):
        frame = np.array(_enlarge(grey[..., t], size).convert("RGB"))
        for name, colour in COLOURS.items() if label is not None else ():
            mask = np.array(_enlarge(np.uint8(255 * (label[..., t] == LABELS[name])), size)) > 127
            frame[mask & ~ndimage.binary_erosion(mask)] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        frames.append(frame)
    return frames


def _enlarge(pixels, size):
    return Image.fromarray(pixels.T).resize(size, Image.Resampling.BICUBIC)
