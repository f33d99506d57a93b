"""One examination read by a model: where it looked, what it outlined, how its curves compare with the truth."""

import base64
import io

import numpy as np
from scipy import ndimage

from cinema.plots import images, style
from cinema.plots.style import DOT, FLAG, GREY, looks, mark_places
from cinema.terms import COLOURS, LINE_STYLES, VIEW_NAMES

MARGIN_MM = 25.0  # around what is labelled


def search(ax, view, found, window_mm, true=None, title=""):
    """The whole picture with the square that the reader cut out. found, true: (x, y) pixel of the heart's centre."""
    images.panel(ax, view, title=title)
    half = np.full(2, window_mm / 2) / view.spacing_mm[:2]
    (left, top), (right, bottom) = found - half, found + half
    ax.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=DOT, lw=1)
    ax.plot(*found, "+", color=DOT, ms=8, mew=1.2, label="found")
    if true is not None:
        ax.plot(*true, "x", color=FLAG, ms=6, mew=1.2, label="true")
    ax.set(xlim=(-0.5, view.image.shape[0] - 0.5), ylim=(view.image.shape[1] - 0.5, -0.5))


def window(labels, spacing_mm):
    """Slices along x and y that show all labelled pixels of (x, y, ...) with a margin; the whole if there are none."""
    boxes = ndimage.find_objects(np.any(labels, axis=tuple(range(2, labels.ndim))).astype(int))
    if not boxes:
        return tuple(slice(0, length) for length in labels.shape[:2])
    margins = [round(MARGIN_MM / length_mm) for length_mm in spacing_mm[:2]]
    return tuple(slice(max(box.start - m, 0), box.stop + m) for box, m in zip(boxes[0], margins))


def slices(axes, image, labels, spacing_mm, order, around=None, width=1.2, limits=None):
    """Slices of an (x, y, n) image in the given order, one an axes, outlined and cut to what is labelled in any. axes
    left over stay empty. around: label map to cut to instead. limits: black and white; by default of what is shown."""
    cut = window(labels if around is None else around, spacing_mm)
    limits = np.percentile(image[cut], (0.5, 99.5)) if limits is None else limits
    for ax in axes.flat[len(order) :]:
        ax.set_axis_off()
    for ax, z in zip(axes.flat, order, strict=False):
        images.show(ax, image[cut][:, :, z], spacing_mm, limits)
        images.outlines(ax, labels[cut][:, :, z], width)


def still(axes, image, labels, spacing_mm, frames, titles, landmarks=None):
    """One view at given frames, one axes each: outlines and landmarks on the middle labelled slice, cut to it."""
    (left, top), filled = window(labels, spacing_mm), np.flatnonzero(labels.any(axis=(0, 1, 3)))
    z = int(filled[len(filled) // 2]) if len(filled) else image.shape[2] // 2
    limits = np.percentile(image[left, top], (0.5, 99.5))
    slices(axes, image[:, :, z], labels[:, :, z], spacing_mm, frames, labels, limits=limits)
    for ax, frame, title in zip(axes, frames, titles, strict=False):
        if landmarks is not None:
            images.landmarks(ax, landmarks[frame] - [left.start, top.start])
        ax.set_title(title)


def stills(views, labels, landmarks, phases):
    """Figure of all views at ED and ES. views: name -> View; phases: name -> {"ED": frame, "ES": frame}."""
    fig, axes = style.figure(2, height=2.2 * len(labels) + 0.4, rows=len(labels), cols=2, squeeze=False)
    for row, (name, mask) in zip(axes, labels.items(), strict=True):
        titles = [f"{VIEW_NAMES[name]}, {phase} (frame {frame})" for phase, frame in phases[name].items()]
        view, frames = views[name], phases[name].values()
        still(row, view.image, mask, view.spacing_mm, frames, titles, landmarks.get(name))
    images.structure_legend(fig)
    return fig


def all_slices(image, labels, spacing_mm, order):
    """Figure of the slices of an (x, y, z) image in the given order, outlined, in rows of up to five."""
    rows = -(-len(order) // 5)
    columns = -(-len(order) // rows)
    fig, axes = style.figure(2, height=6.6 / columns * rows, rows=rows, cols=columns, squeeze=False)
    slices(axes, image, labels, spacing_mm, order, width=0.9)
    return fig


def png_uri(fig):
    """The figure as a data URI; closes it."""
    data = io.BytesIO()
    fig.savefig(data, format="png", dpi=130, metadata={"Software": None})
    style.plt.close(fig)
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


def against_truth(ax, x, measured, true=None, ylabel="", xlabel="Time after the R wave (ms)"):
    """Curves over x: measured thick with dots, the truth (where known) thin and without dots, in one colour each.
    measured, true: name -> (n,) values; LV and RV have their own colours, other names those of style.looks."""
    for (name, values), series in zip(measured.items(), looks(measured), strict=True):
        colour, line, marker = (COLOURS[name], LINE_STYLES[name], "o") if name in COLOURS else series
        ax.plot(x, values, color=colour, ls=line, lw=0.9, marker=marker, ms=2.5, label=name)
        if true is not None and name in true:
            ax.plot(x, true[name], color=colour, lw=0.7, alpha=0.8, label=f"{name}, true")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend()


def volume_curves(ax, lv_volumes, rv_volumes, ed_frame, es_frame, times_ms=None):
    """LV and RV volume over frames, or over time where it is known, with ED and ES marked."""
    x, xlabel = (range(len(lv_volumes)), "frame") if times_ms is None else (times_ms, "Time after the R wave (ms)")
    against_truth(ax, x, {"LV": lv_volumes, "RV": rv_volumes}, None, "volume (ml)", xlabel)
    known = {name: x[frame] for name, frame in (("ED", ed_frame), ("ES", es_frame)) if frame is not None}
    mark_places(ax, known, va="bottom")
    ax.set_ylim(0, None)


def by_distance(ax, table, value, ylabel, reference=None):
    """Values over the distance between slices: a dot for each place of the first slice, a line over their range. table:
    columns distance_mm, masks (whose) and `value`. reference: the true value."""
    groups, step = dict(list(table.groupby("masks", sort=False))), table["distance_mm"].min() * 0.12
    for k, ((name, rows), (colour, line, marker)) in enumerate(zip(groups.items(), looks(groups))):
        at = rows["distance_mm"] + (k - (len(groups) - 1) / 2) * step
        ax.plot(at, rows[value], marker, color=colour, ms=3.5, mew=0, label=name)
        ends = rows.assign(at=at).groupby("at")[value].agg(["min", "max"])
        ax.vlines(ends.index, ends["min"], ends["max"], color=colour, ls=line, lw=0.8)
    if reference is not None:
        ax.axhline(reference, color=GREY, lw=0.8, ls="--", label="true")
    ax.set(xlabel="Distance between slices (mm)", ylabel=ylabel, xticks=sorted(table["distance_mm"].unique()))
    ax.margins(x=0.15)
