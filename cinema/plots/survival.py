"""Lives and follow-up, survival curves with numbers at risk, calibration and AUC over time, what a study must have."""

import numpy as np

from cinema.plots.classification import bins
from cinema.plots.forest import intervals
from cinema.plots.style import ABOVE, FLAG, GREY, SERIES, looks
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


def lives(ax, start, years, dead, xlabel, end=None):
    """A life a line, the first at the top: a cross is a death, a circle where someone was last seen alive.

    start: where each line begins on the x axis; years: Series, how long each was watched; its index names the lives.
    end: a dashed line where watching stops for everybody.
    """
    for y, (x, length, event) in enumerate(zip(start, years, dead, strict=True)):
        colour = FLAG if event else SERIES[1][0]
        ax.plot([x, x + length], [y, y], color=colour, lw=1.5, zorder=1)
        marker = {"marker": "X", "color": colour} if event else {"marker": "o", "mfc": "white", "mec": colour}
        words = "dead" if event else "last seen alive"
        known = ax.get_legend_handles_labels()[1]
        ax.plot(x + length, y, ls="", ms=6, **marker, label=None if words in known else words)
    if end is not None:
        ax.axvline(end, color=GREY, ls="--", lw=0.8, zorder=0, label="the study ends")
    ax.set_yticks(range(len(years)), list(years.index))
    ax.set(xlabel=xlabel, ylim=(len(years) - 0.5, -0.5), xlim=(0, None))
    ax.legend(**ABOVE, ncols=3, handletextpad=0.3, columnspacing=1)


def deaths_needed(ax, ratios, alone, planted):
    """Deaths that find a hazard ratio, both axes logarithmic. ratios, alone: a curve, of a score that nothing else
    explains; planted: name -> (hazard ratio, deaths), dots; a ratio below 1 is drawn as its inverse."""
    ax.plot(ratios, alone, color=SERIES[1][0], label="a score that nothing else explains")
    for (name, (ratio, deaths)), (colour, _, marker) in zip(planted.items(), (SERIES[0], *SERIES[2:]), strict=False):
        ax.plot(max(ratio, 1 / ratio), deaths, marker, color=colour, ls="", ms=5, label=f"{name} ({ratio:g})")
    ticks = [tick for tick in (1.1, 1.2, 1.3, 1.5, 2) if min(ratios) <= tick <= max(ratios)]
    ax.set(xscale="log", yscale="log", xlabel="Hazard ratio per SD, or its inverse", ylabel="Deaths needed, power 80 %")
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.legend()


def people_needed(ax, people, n):
    """People needed, a row a measure: series -> {name: number}. n: of this study, a line."""
    names = list(next(iter(people.values())))
    for k, ((words, row), (colour, _, marker)) in enumerate(zip(people.items(), SERIES, strict=False)):
        at = [names.index(name) + 0.3 * (k - (len(people) - 1) / 2) for name in row]
        ax.plot(list(row.values()), at, marker, color=colour, ls="", ms=5, label=words)
        for y, number in zip(at, row.values(), strict=True):
            where = {"textcoords": "offset points", "va": "center", "bbox": {"fc": "white", "ec": "none", "pad": 1}}
            ax.annotate(f"{number:,}", (number, y), (6, 0), fontsize=7, **where)
    ax.axvline(n, color=GREY, lw=0.8, ls="--", zorder=0, label=f"this cohort (n = {n:,})")
    most = max(max(row.values()) for row in people.values())
    ax.set(xscale="log", xlabel="People needed", ylim=(len(names) - 0.5, -0.5), xlim=(min(n, 1000) / 2, 5 * most))
    ax.set_yticks(range(len(names)), names)
    ax.legend(**ABOVE, ncols=2)
