"""One examination read by a model: where it looked, what it outlined, how its curves compare with the truth."""

import numpy as np

from cinema.plots import images
from cinema.plots.report import window
from cinema.plots.style import GREY, SERIES
from cinema.terms import COLOURS, LINE_STYLES


def search(ax, view, found, window_mm, true=None, z=None, title=""):
    """The whole picture with the square that the reader cut out. found, true: (x, y) pixel of the heart's centre."""
    images.panel(ax, view, 0, z, title)
    half = np.full(2, window_mm / 2) / view.spacing_mm[:2]
    (left, top), (right, bottom) = found - half, found + half
    ax.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=SERIES[2][0], lw=1)
    ax.plot(*found, "+", color=SERIES[2][0], ms=8, mew=1.2, label="found")
    if true is not None:
        ax.plot(*true, "x", color=SERIES[3][0], ms=6, mew=1.2, label="true")
    ax.set(xlim=(-0.5, view.image.shape[0] - 0.5), ylim=(view.image.shape[1] - 0.5, -0.5))


def slices(axes, image, labels, spacing_mm, order, around=None, width=1.2):
    """Slices of one frame in the given order, one an axes, outlined and cut to what is labelled in any of them.

    axes: any array of at least as many; those left over stay empty. around: label map to cut to instead.
    width: of the lines.
    """
    cut = window(labels if around is None else around, spacing_mm)
    limits = np.percentile(image[cut], (0.5, 99.5))
    for ax in axes.flat[len(order):]:
        ax.set_axis_off()
    for ax, z in zip(axes.flat, order, strict=False):
        images.show(ax, image[cut][:, :, z], spacing_mm, limits)
        images.outlines(ax, labels[cut][:, :, z], width)


def against_truth(ax, x, measured, true=None, ylabel="", xlabel="Time after the R wave (ms)"):
    """Curves over x: measured thick with dots, the truth (where known) thin and without dots, in one colour each.

    measured, true: name -> (n,) values; LV and RV have their own colours, other names those of SERIES.
    """
    for (name, values), series in zip(measured.items(), SERIES, strict=False):
        colour, line = (COLOURS[name], LINE_STYLES[name]) if name in COLOURS else series[:2]
        ax.plot(x, values, color=colour, ls=line, marker="o", ms=2.5, label=name)
        if true is not None and name in true:
            ax.plot(x, true[name], color=colour, lw=0.7, alpha=0.8, label=f"{name}, true")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend()


def mark_frames(ax, times):
    """Dotted lines at named times. times: name -> place on the x axis."""
    for name, time in times.items():
        ax.axvline(time, color=GREY, lw=0.6, ls=":")
        ax.annotate(name, (time, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=7)


def by_distance(ax, table, value, ylabel, reference=None, series="masks"):
    """Values over the distance between slices: a dot for each place of the first slice, a line over their range.

    table: columns distance_mm, `value` and `series`. reference: the true value.
    """
    groups = list(table.groupby(series, sort=False))
    step = table["distance_mm"].min() * 0.12
    for k, ((name, rows), (colour, line, marker)) in enumerate(zip(groups, SERIES, strict=False)):
        at = rows["distance_mm"] + (k - (len(groups) - 1) / 2) * step
        ax.plot(at, rows[value], marker, color=colour, ms=3.5, mew=0, label=name)
        ends = rows.assign(at=at).groupby("at")[value].agg(["min", "max"])
        ax.vlines(ends.index, ends["min"], ends["max"], color=colour, ls=line, lw=0.8)
    if reference is not None:
        ax.axhline(reference, color=GREY, lw=0.8, ls="--", label="true")
    ax.set(xlabel="Distance between slices (mm)", ylabel=ylabel, xticks=sorted(table["distance_mm"].unique()))
    ax.margins(x=0.15)
