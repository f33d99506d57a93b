"""How every figure looks, and the only place that writes one."""

import base64
import io
import re
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from scipy import ndimage

from cinema import results
from cinema.files import whole_or_not
from cinema.terms import COLOURS, LABELS, LINE_STYLES

WIDTH_INCHES = {1: 3.35, 2: 7.0}  # one and two columns of a journal page
GREY = "#555555"
DOT, FLAG = "#56B4E9", "#D55E00"  # of one patient; of what stands out
# For what is neither a structure nor a method, in the order it comes; each with its own line style and marker, so that
# print and colour-blind readers lose nothing.
SERIES = ((DOT, "-", "o"), ("#2F4F4F", "--", "s"), ("#C8A951", "-.", "^"), ("#CC6677", ":", "D"))
SERIES += (("#8DA0CB", (0, (6, 1, 1, 1, 1, 1)), "v"), ("#A6761D", (0, (2, 2)), "P"))
# A method has one colour, line style and marker on all pages: look -> the names that pages and tables call it by. Kinds
# of pretrained CineMA are pink to purple, those of random weights olive.
METHODS = {
    ("#CC79A7", "-", "o"): ("CineMA", "CineMA, pretrained", "pretrained", "CineMA, masks", "shipped", "cinema"),
    ("#CC79A7", (0, (1, 1)), "d"): ("CineMA, direct",),
    ("#882255", "-.", "^"): ("frozen", "frozen pretrained", "frozen features", "image features"),
    ("#AA4499", (0, (5, 1)), "h"): ("brief",),
    ("#999933", (0, (2, 2)), "P"): ("CineMA, scratch", "scratch"),
    ("#6B6B1F", (0, (3, 1, 1, 1)), "X"): ("frozen random", "random weights"),
    ("#000000", "--", "s"): ("UNet", "CNN"),
    ("#D55E00", ":", "D"): ("ResNet", "resnet"),
    ("#661100", (0, (4, 2, 1, 2)), "<"): ("nnU-Net",),
    ("#B8860B", (0, (7, 2)), "*"): ("published",),
    ("#332288", (0, (6, 1, 1, 1, 1, 1)), "v"): ("own reader", "reader", "this reader", "network"),
    ("#999999", (0, (1, 2)), "x"): ("guess", "no image", "mean image", "mean position", "atlas", "guessing the mean"),
    (GREY, "-", "p"): ("labels", "as drawn", "exact landmarks", "oracle", "truth", "true hearts", "reference"),
    (COLOURS["LV"], LINE_STYLES["LV"], "o"): ("LVEF",),
    (COLOURS["RV"], LINE_STYLES["RV"], "s"): ("RVEF",),
}
LOOKS = {name: look for look, names in METHODS.items() for name in names}
WAYS = re.compile(
    r"^(heatmap|coordinates) |, (masks|direct)$| \(.*|(?<=^published) .*"
)  # ways, n, data set: not the method

RC = {
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), 8),
    **dict.fromkeys(("legend.fontsize", "xtick.labelsize", "ytick.labelsize"), 7),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), 0.6),
    "lines.linewidth": 1.2,
    "figure.dpi": 150,
    "savefig.dpi": 300,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.06,
    "pdf.fonttype": 42,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
}
NOTE = {"fontsize": 7, "loc": "left"}  # of titles: small words on what is drawn, and of how many
ABOVE = {"loc": "lower left", "bbox_to_anchor": (0, 1)}  # of legends: above the axes


def looks(names):
    """(colour, line style, marker) of each name: a method's own, whatever stands beside it ("UNet, masks" has
    that of "UNet"); all other names get those of SERIES in order."""
    others = cycle(SERIES)
    return [LOOKS.get(name) or LOOKS.get(WAYS.sub("", name)) or next(others) for name in map(str, names)]


def figure(columns=1, height=None, rows=1, cols=1, **kwargs):
    """plt.subplots of one or two journal columns' width. height: inches, by default 0.72 of the width."""
    if columns not in WIDTH_INCHES:
        raise ValueError(f"columns={columns}; a figure is 1 or 2 columns wide")
    plt.rcParams.update(RC)
    width = WIDTH_INCHES[columns]
    return plt.subplots(rows, cols, figsize=(width, height or 0.72 * width), **kwargs)


def at_height(ax, y, words, x=1.01, **text):
    """Words at height y of the data; x in parts of the axes' width, by default right of them."""
    ax.annotate(words, (x, y), xycoords=("axes fraction", "data"), **{"va": "center", "fontsize": 7} | text)


def mark_places(ax, places, y=1.0, lw=0.6, **text):
    """Dotted lines at named places of the x axis, each with its name at the part y of the axes' height."""
    for name, x in places.items():
        ax.axvline(x, color=GREY, lw=lw, ls=":")
        ax.annotate(name, (x, y), xycoords=("data", "axes fraction"), **{"ha": "center", "fontsize": 7} | text)


def save(fig, name, out, seed, cohort=None):
    """Write out/name.png and out/name.pdf: same figure, same bytes. The cohort, by default that of results.begin, is
    printed on the figure; the notebook (what the name opens with) and the seed go into the files' metadata."""
    cohort = cohort or results.stamp()
    fig.supxlabel(f"{cohort} cohort" if cohort == "virtual" else cohort, x=1, ha="right", fontsize=6, color=GREY)
    about = f"notebook {name.split('_')[0]}, seed {seed}, data: {cohort}"
    metadata = {"png": {"Title": name, "Description": about, "Software": None}}
    metadata["pdf"] = {"Title": name, "Subject": about, "CreationDate": None, "Producer": None, "Creator": None}
    Path(out).mkdir(parents=True, exist_ok=True)
    for kind, fields in metadata.items():
        with whole_or_not(Path(out) / f"{name}.{kind}") as temporary:
            fig.savefig(temporary, format=kind, metadata=fields)


def cine(images, labels=None, height=220, cycle_ms=1000, limit_bytes=130_000):
    """Moving pictures side by side as one `<img>` with its data inside: it plays in a saved web page.

    images, labels: name -> (x, y, t) array, all with the same number of frames; labels are drawn as outlines.
    height: pixels. cycle_ms: duration of one loop. The quality is lowered until the data fits limit_bytes, if it can.
    """
    counts = sorted({np.shape(image)[-1] for image in images.values()})
    if len(counts) != 1:
        raise ValueError(f"cine of {counts} frames; give every view the same number")
    films = [_film(image, (labels or {}).get(name), height) for name, image in images.items()]
    frames = [Image.fromarray(np.concatenate(parts, axis=1)) for parts in zip(*films, strict=True)]
    loop = {"save_all": True, "append_images": frames[1:], "loop": 0, "duration": round(cycle_ms / len(frames))}
    for quality in (80, 60, 45, 30, 15):
        data = io.BytesIO()
        frames[0].save(data, "WEBP", quality=quality, method=4, **loop)
        if data.tell() <= limit_bytes:
            break
    text = base64.b64encode(data.getvalue()).decode()
    return f'<img alt="Cine, left to right: {", ".join(images)}" src="data:image/webp;base64,{text}">'


def _film(image, label, height):
    """t frames (height, width, 3) uint8 of an (x, y, t) image, with one grey scale for all frames."""
    low, high = np.percentile(image, (0.5, 99))
    grey = np.uint8(255 * np.clip((image - low) / max(high - low, 1e-9), 0, 1))
    size = (round(height * image.shape[0] / image.shape[1]), height)
    enlarge = lambda pixels: Image.fromarray(pixels.T).resize(size, Image.Resampling.BICUBIC)
    frames = []
    for t in range(image.shape[2]):
        frame = np.array(enlarge(grey[..., t]).convert("RGB"))
        for name, colour in COLOURS.items() if label is not None else ():
            mask = np.array(enlarge(np.uint8(255 * (label[..., t] == LABELS[name])))) > 127
            frame[mask & ~ndimage.binary_erosion(mask)] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        frames.append(frame)
    return frames
