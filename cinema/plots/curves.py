"""Quantities along time, training or the heart's axis."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from cinema.plots.style import GREY, SERIES
from cinema.terms import COLOURS, LINE_STYLES, TISSUE_COLOURS, TISSUE_LINE_STYLES


def volumes(ax, time_ms, volumes_ml):
    """Volume curves. volumes_ml: structure (LV, RV) -> (t,) array. Dots mark the largest and smallest volume."""
    for name, volume in volumes_ml.items():
        volume = np.asarray(volume)
        ax.plot(time_ms, volume, color=COLOURS[name], ls=LINE_STYLES[name], label=name)
        extremes = [int(volume.argmax()), int(volume.argmin())]
        ax.plot(np.asarray(time_ms)[extremes], volume[extremes], "o", color=COLOURS[name], ms=4)
    ax.set(xlabel="Time after the R wave (ms)", ylabel="Volume (ml)", ylim=(0, None))
    ax.legend()


def losses(ax, history, columns, x="step", ylabel="Loss"):
    """Loss over training. history: table with a column x; columns: column name -> words in the legend."""
    for (column, words), (colour, line, _) in zip(columns.items(), SERIES, strict=False):
        known = history[[x, column]].dropna()
        ax.plot(known[x], known[column], color=colour, ls=line, label=words)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel=x.capitalize(), ylabel=ylabel)
    ax.legend()


def dice(ax, table, structure):
    """Dice along the heart's axis: each patient thin, median with quartiles thick.

    table: rows study, structure, slice (0 = base), dice.
    """
    rows = table[table["structure"] == structure]
    colour, line = (COLOURS | TISSUE_COLOURS)[structure], (LINE_STYLES | TISSUE_LINE_STYLES)[structure]
    for _, patient in rows.groupby("study"):
        ax.plot(patient["slice"], patient["dice"], color=GREY, lw=0.3, alpha=0.4)
    quartiles = rows.groupby("slice")["dice"].quantile([0.25, 0.5, 0.75]).unstack()
    ax.fill_between(quartiles.index, quartiles[0.25], quartiles[0.75], color=colour, alpha=0.3, lw=0)
    label = f"{structure}: median, quartiles (n = {rows['study'].nunique()})"
    ax.plot(quartiles.index, quartiles[0.5], color=colour, ls=line, label=label)
    ax.set(xlabel="Slice (0 = base)", ylabel="Dice", ylim=(0, 1))
    ax.legend(loc="lower center")
