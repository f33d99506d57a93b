"""Chance results of shuffled labels, power over the number of patients, and risks in a population."""

import numpy as np

from cinema.plots.distributions import spread
from cinema.plots.style import GREY, SERIES


def shuffled(ax, found, label="AUC, labels shuffled"):
    """What a procedure makes of labels that mean nothing: name -> list of Estimates; filled where 0.5 is not inside."""
    for i, (name, estimates) in enumerate(found.items()):
        colour, _, marker = SERIES[i]
        values = np.array([estimate.value for estimate in estimates])
        out = np.array([not e.lower <= 0.5 <= e.upper for e in estimates])
        at = i + spread(len(values), 0.3)
        ax.plot(at[~out], values[~out], marker, mfc="none", mec=colour, ms=3, mew=0.6)
        ax.plot(at[out], values[out], marker, color=colour, ms=4.5, label=f"{name}: {out.sum()} of {len(out)} flagged")
    ax.axhline(0.5, color=GREY, ls=":", lw=0.8)
    ax.set_xticks(range(len(found)), list(found))
    ax.set(ylabel=label, xlim=(-0.6, len(found) - 0.4))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1))


def power(ax, n, curves, marks):
    """Power over the number of patients.

    curves: (name, line) -> power at each n; "-" for cases enriched as in the cohort, "--" for their true share.
    marks: words -> n, as vertical lines.
    """
    names = list(dict.fromkeys(name for name, _ in curves))
    for (name, line), values in curves.items():
        ax.plot(n, values, color=SERIES[names.index(name)][0], ls=line, label=name if line == "-" else None)
    for words, count in marks.items():
        ax.axvline(count, color=GREY, ls=":", lw=0.8)
        ax.annotate(words, (count, 0.02), (2, 0), textcoords="offset points", rotation=90, fontsize=6, color=GREY)
    ax.axhline(0.8, color=GREY, lw=0.5)
    ax.set(xscale="log", xlabel="Patients", ylabel="Power", ylim=(0, 1.02), xlim=(n[0], n[-1]))
    ax.plot([], [], color=GREY, label="cases enriched as here")
    ax.plot([], [], color=GREY, ls="--", label="true share of cases")
    ax.legend(loc="lower left", bbox_to_anchor=(-0.1, 1), ncols=2)


def risks(ax, tables, words=""):
    """Observed share of cases over predicted risk, no legend: name -> diagnosis.calibration_table."""
    top = 1.1 * max(table["predicted"].max() for table in tables.values())
    ax.axline((0, 0), slope=1, color=GREY, ls=":", lw=0.8, label="identity")
    for i, (name, table) in enumerate(tables.items()):
        colour, line, marker = SERIES[i]
        error = [table["observed"] - table["lower"], table["upper"] - table["observed"]]
        ax.errorbar(table["predicted"], table["observed"], np.clip(error, 0, None), color=colour, ls=line,
                    marker=marker, ms=3.5, capsize=2, lw=0.9, label=f"{name} (n = {table['n'].sum()})")
    ax.set(xlabel="Predicted risk", ylabel="Observed share", xlim=(0, top), ylim=(0, None))
    ax.set_title(words, fontsize=7, loc="left")
