"""Measured against true, and their differences."""

import numpy as np

from cinema import stats
from cinema.plots.style import GREY, SERIES


def bland_altman(ax, truth, measured, quantity="LVEF", unit="points"):
    """Differences measured - truth over truth, with bias and 95 % limits and the 95 % interval of each as a band.

    Over truth rather than over the mean of both: a reference without error of its own belongs on the axis.
    """
    truth, measured = np.asarray(truth, float), np.asarray(measured, float)
    result = stats.bland_altman(measured, truth)
    for estimate, line in zip(result, ("-", "--", "--"), strict=True):
        ax.axhspan(estimate.lower, estimate.upper, color=GREY, alpha=0.15, lw=0)
        ax.axhline(estimate.value, color=GREY, ls=line, lw=1)
        ax.annotate(f"{estimate.value:+.1f}", (1.01, estimate.value), xycoords=("axes fraction", "data"), va="center",
                    fontsize=7)
    ax.axhline(0, color="black", lw=0.5, ls=":")
    ax.plot(truth, measured - truth, "o", color=SERIES[2][0], ms=3, mew=0)
    ax.set(xlabel=f"True {quantity} (%)" if unit == "points" else f"True {quantity} ({unit})",
           ylabel=f"Measured − true {quantity} ({unit})")
    _corner(ax, f"n = {len(truth)}; bias and 95 % limits, bands: 95 % CI")


def scatter(ax, truth, measured, quantity="LVEF", unit="%"):
    """Measured over truth with the line of identity, n and the mean absolute error."""
    truth, measured = np.asarray(truth, float), np.asarray(measured, float)
    low, high = min(truth.min(), measured.min()), max(truth.max(), measured.max())
    ax.plot([low, high], [low, high], color=GREY, lw=0.8, ls="--")
    ax.plot(truth, measured, "o", color=SERIES[2][0], ms=3, mew=0)
    ax.set(xlabel=f"True {quantity} ({unit})", ylabel=f"Measured {quantity} ({unit})", aspect="equal")
    _corner(ax, f"n = {len(truth)}, mean |error| {np.abs(measured - truth).mean():.1f}, dashed: identity")


def _corner(ax, words):
    ax.set_title(words, fontsize=7, loc="left")
