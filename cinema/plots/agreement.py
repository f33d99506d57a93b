"""Measured against true, scan against rescan: values over each other, and their differences."""

import numpy as np

from cinema.plots.style import DOT, FLAG, GREY, NOTE, at_height, looks
from cinema.stats import estimates

DOTS = {"marker": "o", "ls": "", "color": DOT, "ms": 3, "mew": 0}  # one a patient


def bland_altman(ax, truth, measured, quantity="LVEF", unit="points"):
    """Differences measured - truth over truth, with bias and 95 % limits and the 95 % interval of each as a band. Over
    truth rather than over the mean of both: a reference without error of its own belongs on the axis."""
    truth, measured = np.asarray(truth, float), np.asarray(measured, float)
    for estimate, line in zip(estimates.bland_altman(measured, truth), ("-", "--", "--"), strict=True):
        ax.axhspan(estimate.lower, estimate.upper, color=GREY, alpha=0.15, lw=0)
        ax.axhline(estimate.value, color=GREY, ls=line, lw=1)
        at_height(ax, estimate.value, f"{estimate.value:+.1f}".replace("-", "−"))
    ax.axhline(0, color="black", lw=0.5, ls=":")
    ax.plot(truth, measured - truth, **DOTS)
    along = "%" if unit == "points" else unit
    ax.set(xlabel=f"True {quantity} ({along})", ylabel=f"Measured − true {quantity} ({unit})")
    ax.set_title(f"n = {len(truth)}; bias and 95 % limits, bands: 95 % CI", **NOTE)


def bland_altman_with_reference(ax, reference, measured):
    """`bland_altman` of LVEF against what a reader of the data set said, or in words that n is too small for limits."""
    if len(reference) >= estimates.FEW:
        bland_altman(ax, reference, measured)
        ax.set(xlabel="Reference LVEF (%)", ylabel="Measured − reference")
        ax.set_title("points; bias, 95 % limits, CI", **NOTE | {"fontsize": 6})
    else:
        words = f"n = {len(reference)},\ntoo small for limits"
        ax.text(0.5, 0.5, words, ha="center", va="center", transform=ax.transAxes)
        ax.set_axis_off()


def rescans(ax, first, second):
    """LVEF of two scans: differences over their mean; limits about zero are 1.96 times their root mean square."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    limit = 1.96 * np.sqrt(np.mean((first - second) ** 2))
    for sign in (-1, 1):
        ax.axhline(sign * limit, color=GREY, ls="--", lw=1)
    ax.axhline(0, color="black", lw=0.5, ls=":")
    ax.plot((first + second) / 2, second - first, **DOTS)
    ax.set(xlabel="Mean of both, LVEF (%)", ylabel="Rescan − scan (points)")
    ax.set_title(f"n = {len(first)} pairs; 95 % within ±{limit:.1f}", **NOTE)


def scatter(ax, truth, measured, quantity="LVEF", unit="%"):
    """Measured over truth with the line of identity, n and the mean absolute error."""
    truth, measured = np.asarray(truth, float), np.asarray(measured, float)
    ax.axline((truth[0], truth[0]), slope=1, color=GREY, lw=0.8, ls="--")
    ax.plot(truth, measured, **DOTS)
    ax.set(xlabel=f"True {quantity} ({unit})", ylabel=f"Measured {quantity} ({unit})", aspect="equal")
    ax.set_title(f"n = {len(truth)}, mean |error| {np.abs(measured - truth).mean():.1f}, dashed: identity", **NOTE)


def offsets(ax, offset_mm, label="offset"):
    """Where points are read relative to their true place: (n, 2) offsets in mm as dots, their mean as a cross."""
    ax.axhline(0, color=GREY, lw=0.5, ls=":")
    ax.axvline(0, color=GREY, lw=0.5, ls=":")
    ax.plot(*offset_mm.T, ".", color=DOT, ms=2, alpha=0.4, mew=0)
    ax.plot(*offset_mm.mean(0), "+", color=FLAG, ms=9, mew=1.6, label="mean")
    ax.set(xlabel="Along x (mm)", ylabel="Along y (mm)", aspect="equal")
    ax.set_title(f"{label} (n = {len(offset_mm)} points)", fontsize=7)


def trade_off(ax, points, path, xlabel, ylabel):
    """Methods, name -> (x Estimate, y Estimate), and a path from one of them, (k, 2) places, with small dots."""
    ax.plot(*np.asarray(path).T, ".-", color=GREY, lw=0.8, ms=3, zorder=0)
    for (name, (x, y)), (colour, _, marker) in zip(points.items(), looks(points), strict=True):
        look = {"color": colour, "mfc": "white" if name.endswith("direct") else colour, "marker": marker, "label": name}
        reach = [[[e.value - e.lower], [e.upper - e.value]] for e in (y, x)]
        ax.errorbar(x.value, y.value, *reach, ls="", ms=5, capsize=2, lw=0.8, **look)
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(-0.3, None), ylim=(0, None))
