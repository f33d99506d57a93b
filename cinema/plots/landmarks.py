"""Landmarks on pictures, their errors, and what rules make of them."""

import numpy as np

from cinema.plots import images
from cinema.plots.style import GREY, SERIES

MARGIN_MM = 28.0


def marked(ax, view, frame, true, found, title=""):
    """A frame of a long-axis view cut to the heart: true points as open circles, those found as crosses.

    true: (3, 2) pixels. found: name -> (3, 2) pixels, in the colours of SERIES.
    """
    images.panel(ax, view, frame, title=title)
    ax.plot(*np.transpose(true), "o", mfc="none", mec="#F0E442", mew=1.1, ms=8, ls="", label="true")
    for (name, points), (colour, _, _), marker in zip(found.items(), SERIES[::2], "x+", strict=False):
        ax.plot(*np.transpose(points), marker, color=colour, ms=6, mew=1.4, ls="", label=name)
    middle, half = np.mean(true, axis=0), np.ptp(true, axis=0).max() / 2 + MARGIN_MM / view.spacing_mm[0]
    ax.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] + half, middle[1] - half))


def offsets(ax, offset_mm, label="offset"):
    """Where points are read relative to their true place: (n, 2) offsets in mm as dots, their mean as a cross."""
    ax.axhline(0, color=GREY, lw=0.5, ls=":")
    ax.axvline(0, color=GREY, lw=0.5, ls=":")
    ax.plot(*offset_mm.T, ".", color=SERIES[2][0], ms=2, alpha=0.4, mew=0)
    ax.plot(*offset_mm.mean(0), "+", color=SERIES[3][0], ms=9, mew=1.6, label="mean")
    ax.set(xlabel="Along x (mm)", ylabel="Along y (mm)", aspect="equal")
    ax.set_title(f"{label} (n = {len(offset_mm)} points)", fontsize=7)


def lengths(ax, part, true, found, frames=None):
    """LV length over the cycle: truth as a line, readings as dots; marks where each reading is longest and shortest."""
    ax.plot(part, true, color=GREY, lw=1.0, label="exact landmarks")
    for (name, values), (colour, _, marker) in zip(found.items(), SERIES, strict=False):
        ax.plot(part, values, color=colour, marker=marker, ms=2.5, lw=0.5, label=name)
        ends = [int(np.argmax(values)), int(np.argmin(values))]
        ax.plot(part[ends], np.asarray(values)[ends], "o", mfc="none", mec=colour, ms=8, mew=0.9)
    ax.set(xlabel="Part of the cycle", ylabel="Length of the LV (mm)")


def formula(ax, x, lines, dots, xlabel, ylabel):
    """A formula as lines and draws as dots: name -> values over x, in the same colours."""
    for (name, values), (colour, line, marker) in zip(lines.items(), SERIES, strict=False):
        ax.plot(x, values, color=colour, ls=line, label=f"{name}, formula")
        if name in dots:
            ax.plot(x, dots[name], marker, color=colour, ms=4, mew=0.8, mfc="none", label=f"{name}, drawn")
    ax.axhline(0, color=GREY, lw=0.5, ls=":")
    ax.set(xlabel=xlabel, ylabel=ylabel)


def rules(ax, estimates, label, margin=None):
    """Estimates with their 95 % intervals, a row for each rule, series one below the other within it.

    estimates: series -> {rule: stats.Estimate}. margin: shades -margin to margin.
    """
    names = list(next(iter(estimates.values())))
    if margin is not None:
        ax.axvspan(-margin, margin, color=GREY, alpha=0.12, lw=0)
    for i, ((series, row), (colour, _, marker)) in enumerate(zip(estimates.items(), SERIES, strict=False)):
        for name, e in row.items():
            y = names.index(name) + (i - (len(estimates) - 1) / 2) * 0.7 / len(estimates)
            ax.errorbar(e.value, y, xerr=[[e.value - e.lower], [e.upper - e.value]], color=colour, marker=marker,
                        ms=3.5, capsize=2, lw=1, ls="", label=series if name == names[0] else None)
    ax.axvline(0, color=GREY, ls=":", lw=0.8, zorder=0)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel=label, ylim=(len(names) - 0.5, -0.5))
    counts = {e.n for row in estimates.values() for e in row.values()}
    ax.set_title(f"95 % CI{f', n = {counts.pop()} people' if len(counts) == 1 else ''}", fontsize=7, loc="left")


def spread(ax, spreads, label):
    """Plain numbers in the rows and series of `rules`: series -> {rule: number}."""
    names = list(next(iter(spreads.values())))
    for i, ((series, row), (colour, _, marker)) in enumerate(zip(spreads.items(), SERIES, strict=False)):
        y = np.arange(len(names)) + (i - (len(spreads) - 1) / 2) * 0.7 / len(spreads)
        ax.plot(list(row.values()), y, marker, color=colour, ms=3.5, label=series)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel=label, ylim=(len(names) - 0.5, -0.5), xlim=(0, None))
