"""Quantities along time, training or the heart's axis."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from cinema.plots.style import GREY, looks
from cinema.terms import ALL_COLOURS, ALL_LINE_STYLES, COLOURS, LINE_STYLES


def lines(ax, x, series, xlabel, ylabel):
    """A line a name, each in its own look (style.looks). series: name -> values over x, or Series if x is None."""
    for (name, values), (colour, line, _) in zip(series.items(), looks(series), strict=True):
        ax.plot(values.index if x is None else x, values, color=colour, ls=line, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel)


def volumes(ax, time_ms, volumes_ml):
    """Volume curves. volumes_ml: structure (LV, RV) -> (t,) array. Dots mark the largest and smallest volume."""
    for name, volume in volumes_ml.items():
        ax.plot(time_ms, volume, color=COLOURS[name], ls=LINE_STYLES[name], label=name)
        extremes = [np.argmax(volume), np.argmin(volume)]
        ax.plot(np.asarray(time_ms)[extremes], np.asarray(volume)[extremes], "o", color=COLOURS[name], ms=4)
    ax.set(xlabel="Time after the R wave (ms)", ylabel="Volume (ml)", ylim=(0, None))
    ax.legend()


def lengths(ax, part, true, found):
    """LV length over the cycle: truth as a line, readings as dots; marks where each reading is longest and shortest."""
    ax.plot(part, true, color=GREY, lw=1.0, label="exact landmarks")
    for (name, values), (colour, _, marker) in zip(found.items(), looks(found), strict=True):
        ax.plot(part, values, color=colour, marker=marker, ms=2.5, lw=0.5, label=name)
        extremes = [np.argmax(values), np.argmin(values)]
        ax.plot(part[extremes], np.asarray(values)[extremes], "o", mfc="none", mec=colour, ms=8, mew=0.9)
    ax.plot([], [], "o", mfc="none", mec=GREY, ms=8, mew=0.9, label="longest and shortest")
    ax.set(xlabel="Part of the cycle", ylabel="Length of the LV (mm)")


def losses(ax, history, columns, x="step", ylabel="Loss"):
    """Loss over training. history: table with a column x; columns: column name -> words in the legend."""
    table = history.set_index(x)
    lines(ax, None, {words: table[column].dropna() for column, words in columns.items()}, x.capitalize(), ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()


def dice(ax, table, structure):
    """Dice along the heart's axis, patients thin, quartiles thick. table: study, structure, slice (0 = base), dice."""
    rows, colour = table[table["structure"] == structure], ALL_COLOURS[structure]
    for _, patient in rows.groupby("study"):
        ax.plot(patient["slice"], patient["dice"], color=GREY, lw=0.3, alpha=0.4)
    quartiles = rows.groupby("slice")["dice"].quantile([0.25, 0.5, 0.75]).unstack()
    ax.fill_between(quartiles.index, quartiles[0.25], quartiles[0.75], color=colour, alpha=0.3, lw=0)
    label = f"{structure}: median, quartiles (n = {rows['study'].nunique()})"
    ax.plot(quartiles.index, quartiles[0.5], color=colour, ls=ALL_LINE_STYLES[structure], label=label)
    ax.set(xlabel="Slice (0 = base)", ylabel="Dice", ylim=(0, 1))
    ax.legend(loc="lower center")


def formula(ax, x, calculated, drawn, xlabel, ylabel):
    """A formula as lines and draws as dots: name -> values over x, in the same colours."""
    for (name, values), (colour, line, marker) in zip(calculated.items(), looks(calculated), strict=True):
        ax.plot(x, values, color=colour, ls=line, label=f"{name}, formula")
        if name in drawn:
            ax.plot(x, drawn[name], marker, color=colour, ms=4, mew=0.8, mfc="none", label=f"{name}, drawn")
    ax.axhline(0, color=GREY, lw=0.5, ls=":")
    ax.set(xlabel=xlabel, ylabel=ylabel)
