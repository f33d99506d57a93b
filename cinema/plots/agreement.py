"""Measured against true, and their differences."""

import numpy as np

from cinema.plots.style import GREY, SERIES
from cinema.stats import estimates


def bland_altman(ax, truth, measured, quantity="LVEF", unit="points"):
    """Differences measured - truth over truth, with bias and 95 % limits and the 95 % interval of each as a band.

    Over truth rather than over the mean of both: a reference without error of its own belongs on the axis.
    """
    truth, measured = np.asarray(truth, float), np.asarray(measured, float)
    result = estimates.bland_altman(measured, truth)
    for estimate, line in zip(result, ("-", "--", "--"), strict=True):
        ax.axhspan(estimate.lower, estimate.upper, color=GREY, alpha=0.15, lw=0)
        ax.axhline(estimate.value, color=GREY, ls=line, lw=1)
        ax.annotate(
            f"{estimate.value:+.1f}",
            (1.01, estimate.value),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=7,
        )
    ax.axhline(0, color="black", lw=0.5, ls=":")
    ax.plot(truth, measured - truth, "o", color=SERIES[2][0], ms=3, mew=0)
    ax.set(
        xlabel=f"True {quantity} (%)" if unit == "points" else f"True {quantity} ({unit})",
        ylabel=f"Measured − true {quantity} ({unit})",
    )
    _corner(ax, f"n = {len(truth)}; bias and 95 % limits, bands: 95 % CI")


def scatter(ax, truth, measured, quantity="LVEF", unit="%"):
    """Measured over truth with the line of identity, n and the mean absolute error."""
    truth, measured = np.asarray(truth, float), np.asarray(measured, float)
    low, high = min(truth.min(), measured.min()), max(truth.max(), measured.max())
    ax.plot([low, high], [low, high], color=GREY, lw=0.8, ls="--")
    ax.plot(truth, measured, "o", color=SERIES[2][0], ms=3, mew=0)
    ax.set(xlabel=f"True {quantity} ({unit})", ylabel=f"Measured {quantity} ({unit})", aspect="equal")
    _corner(ax, f"n = {len(truth)}, mean |error| {np.abs(measured - truth).mean():.1f}, dashed: identity")


def methods(ax, series, label, lines=None):
    """Estimates of several methods, one row each from top to bottom, series side by side.

    series: name -> {method: stats.Estimate}; a series may lack methods. lines: words -> value drawn across all rows.
    """
    rows = list(dict.fromkeys(name for row in series.values() for name in row))
    for k, (words, row) in enumerate(series.items()):
        colour, _, marker = SERIES[k]
        y = [rows.index(name) + (k - (len(series) - 1) / 2) * 0.22 for name in row]
        values = [estimate.value for estimate in row.values()]
        reach = [[e.value - e.lower for e in row.values()], [e.upper - e.value for e in row.values()]]
        ax.errorbar(values, y, xerr=reach, color=colour, marker=marker, ls="", ms=4, capsize=2, lw=1, label=words)
    for k, (words, value) in enumerate((lines or {}).items()):
        ax.axvline(value, color=GREY, ls=(":", "--", "-.", (0, (1, 4)))[k % 4], lw=0.9, label=words, zorder=0)
    ax.set_yticks(range(len(rows)), rows)
    ax.set(xlabel=label, ylim=(len(rows) - 0.5, -0.5))
    counts = sorted({estimate.n for row in series.values() for estimate in row.values()})
    _corner(ax, f"n = {' or '.join(map(str, counts))}; 95 % CI")


def rescans(ax, first, second, quantity="LVEF", unit="points"):
    """Difference of two scans of a patient over their mean, with 95 % limits for a pair without change between them.

    Limits: 1.96 times the root mean squared difference, about zero.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    limit = 1.96 * np.sqrt(np.mean((first - second) ** 2))
    ax.axhline(0, color="black", lw=0.5, ls=":")
    for sign in (-1, 1):
        ax.axhline(sign * limit, color=GREY, ls="--", lw=1)
    ax.plot((first + second) / 2, second - first, "o", color=SERIES[2][0], ms=3, mew=0)
    ax.set(xlabel=f"Mean of both, {quantity} (%)", ylabel=f"Rescan − scan ({unit})")
    _corner(ax, f"n = {len(first)} pairs; 95 % within ±{limit:.1f}")


def trade_off(ax, points, path, xlabel, ylabel):
    """Methods as dots with two intervals each, and a path of (x, y) from one of them.

    points: name -> (x Estimate, y Estimate). path: (k, 2) array, drawn with small dots.
    """
    ax.plot(*np.asarray(path).T, ".-", color=GREY, lw=0.8, ms=3, zorder=0)
    for k, (name, (x, y)) in enumerate(points.items()):
        colour, _, marker = SERIES[k % len(SERIES)]
        face = colour if k < len(SERIES) else "white"
        ax.errorbar(
            x.value,
            y.value,
            [[y.value - y.lower], [y.upper - y.value]],
            [[x.value - x.lower], [x.upper - x.value]],
            color=colour,
            mfc=face,
            marker=marker,
            ms=5,
            capsize=2,
            lw=0.8,
            ls="",
            label=name,
        )
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(-0.3, None), ylim=(0, None))


def _corner(ax, words):
    ax.set_title(words, fontsize=7, loc="left")


def bland_altman_with_reference(ax, true, found):
    """plots.agreement.bland_altman with the reference on the axis, or the reason why there is none."""
    if len(true) < estimates.FEW:
        ax.text(0.5, 0.5, f"n = {len(true)},\ntoo small for limits", ha="center", va="center", transform=ax.transAxes)
        ax.set_axis_off()
        return
    bland_altman(ax, true, found)
    ax.set(xlabel="Reference LVEF (%)", ylabel="Measured − reference")
    ax.set_title("points; bias, 95 % limits, CI", fontsize=6, loc="left")
