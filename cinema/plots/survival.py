"""Follow-up, survival curves with numbers at risk, calibration and AUC over time, what a study can find."""

import numpy as np

from cinema.plots.classification import bins
from cinema.plots.curves import lines
from cinema.plots.forest import intervals
from cinema.plots.style import ABOVE, FLAG, GREY, at_height, looks
from cinema.stats import checks


def follow_up(ax, time, event):
    """How long patients were followed, in half years, stacked: lost or still alive at the end, and dead."""
    time, event = checks.numbers(time, "times"), checks.yes_no(event, "event")
    edges = np.arange(0, time.max() + 0.5, 0.5)
    words = [f"alive when last seen (n = {np.sum(~event)})", f"dead (n = {event.sum()})"]
    ax.hist([time[~event], time[event]], edges, stacked=True, color=["#cccccc", FLAG], label=words)
    ax.set(xlabel="Follow-up (years)", ylabel="Patients")
    ax.legend(**ABOVE)


def kaplan_meier(ax, curves, at):
    """Survival over time with 95 % bands, and below the axis how many are at risk `at` some times (years). curves: name
    -> survival.kaplan_meier table on a fine grid that holds those times."""
    below = {"textcoords": "offset points", "fontsize": 6.5, "annotation_clip": False}
    for i, ((name, curve), (colour, line, _)) in enumerate(zip(curves.items(), looks(curves))):
        ax.step(curve["time"], curve["survival"], where="post", color=colour, ls=line, label=name)
        ax.fill_between(curve["time"], curve["lower"], curve["upper"], step="post", color=colour, alpha=0.15, lw=0)
        for moment in at:
            number, place = curve["at_risk"].iloc[int(np.abs(curve["time"] - moment).argmin())], (0, -36 - 9 * i)
            where = {"xycoords": ("data", "axes fraction"), "ha": "center", "color": colour}
            ax.annotate(f"{number}", (moment, 0), place, **where, **below)
    ax.annotate("at risk", (0, 0), (-10, -36), xycoords="axes fraction", ha="right", color=GREY, **below)
    ax.set(xlabel="Years after the scan", ylabel="Alive (share)", xticks=at, xlim=(0, max(at)))


def calibration(ax, tables, horizon):
    """Observed against predicted risk of death by `horizon` (years); tables: name -> survival.calibration_table."""
    ax.axline((0, 0), slope=1, color=GREY, lw=0.8, ls="--", label="perfect")
    named = {f"{name} (groups of {table['n'].iloc[0]})": table for name, table in tables.items()}
    bins(ax, named, 100, ms=4, lw=0.8)
    ax.set(xlabel=f"Predicted risk by {horizon:g} years (%)", ylabel="Observed risk (%, 95 % CI)")
    ax.legend(**ABOVE)


def auc_over_time(ax, aucs):
    """AUC between dead and alive at each horizon; aucs: name -> {years: Estimate}. Dots are moved apart sideways."""
    for k, ((name, row), look) in enumerate(zip(aucs.items(), looks(aucs))):
        years = np.array(list(row)) + 0.07 * (k - (len(aucs) - 1) / 2)
        intervals(ax, years, row.values(), look, ls=look[1], ms=3.5, lw=0.9, label=name)
    ax.axhline(0.5, color=GREY, ls=":", lw=0.8)
    ax.set(xlabel="Horizon (years after the scan)", ylabel="AUC, dead against alive then (95 % CI)")
    ax.legend(**ABOVE, ncols=2)


def detectable(ax, patients, ratios, planted, n):
    """Smallest hazard ratio per SD that is found over the number of patients; the axis is logarithmic in ratio - 1.

    ratios: name -> (len(patients),). planted: name -> hazard ratio, drawn as levels (inverted below 1). n: this study.
    """
    above_one = {name: np.array(ratio) - 1 for name, ratio in ratios.items()}
    lines(ax, patients, above_one, "Patients", "Detectable hazard ratio per SD")
    for name, ratio in planted.items():
        level = max(ratio, 1 / ratio) - 1
        ax.axhline(level, color=GREY, lw=0.6, ls=":")
        at_height(ax, level, name, fontsize=6.5)
    ax.axvline(n, color=GREY, lw=0.8, label=f"this cohort (n = {n})")
    ticks = np.array([1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5])
    ax.set(xscale="log", yscale="log", xlim=(min(patients), max(patients)))
    ax.set_yticks(ticks - 1, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.legend(**ABOVE, ncols=3)
