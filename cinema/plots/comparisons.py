"""Several models side by side: along conditions, and as paired differences."""

import math

from cinema.plots.style import GREY, SERIES


def interval_words(estimates):
    """What the bars of some estimates are; there are none where n is too small for intervals."""
    return "no CI, n too small" if all(math.isnan(estimate.lower) for estimate in estimates) else "95 % CI"


def trends(ax, estimates, xlabel, ylabel, single=None, joined=True):
    """One line per series over conditions, evenly spaced, with 95 % intervals.

    estimates: series -> {condition: stats.Estimate}; the first series' conditions give order and tick labels.
    single:    series -> [(condition, value)]: single trainings, as small open dots beside the line.
    joined:    False leaves the line between conditions away, where their order means nothing.
    """
    conditions = list(next(iter(estimates.values())))
    for i, (name, row) in enumerate(estimates.items()):
        colour, line, marker = SERIES[i]
        shift = (i - (len(estimates) - 1) / 2) * 0.16
        at = [conditions.index(condition) + shift for condition in row]
        values = [estimate.value for estimate in row.values()]
        error = [[e.value - e.lower for e in row.values()], [e.upper - e.value for e in row.values()]]
        ax.errorbar(at, values, error, color=colour, ls=line if joined else "", marker=marker, ms=4, capsize=2, lw=1,
                    label=name)
        for condition, value in (single or {}).get(name, ()):
            ax.plot(conditions.index(condition) + shift + 0.07, value, "o", mfc="none", mec=colour, mew=0.6, ms=2.5)
    ax.set_xticks(range(len(conditions)), conditions)
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(-0.5, len(conditions) - 0.5))
    _say_n(ax, [estimate for row in estimates.values() for estimate in row.values()])


def _say_n(ax, estimates):
    """Above the axes: what is shown, and of how many patients where all estimates agree on that."""
    counts = {estimate.n for estimate in estimates}
    words = f", n = {counts.pop()}" if len(counts) == 1 else ""
    ax.set_title(f"mean, {interval_words(estimates)}{words}", fontsize=7, loc="left")


def differences(ax, rows, label):
    """Paired differences, one row each from top to bottom, beside a line at zero.

    rows: words -> (Estimate, Estimate with the interval corrected for the number of comparisons): thick and thin bar.
    """
    for y, (nominal, corrected) in enumerate(rows.values()):
        ax.plot([corrected.lower, corrected.upper], [y, y], color=SERIES[1][0], lw=0.8)
        ax.plot([nominal.lower, nominal.upper], [y, y], color=SERIES[1][0], lw=2.5, solid_capstyle="butt")
        ax.plot(nominal.value, y, "o", color="white", mec=SERIES[1][0], ms=4.5)
    ax.axvline(0, color=GREY, ls=":", lw=0.8, zorder=0)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(xlabel=label, ylim=(len(rows) - 0.5, -0.5))
    bars = interval_words([nominal for nominal, _ in rows.values()])
    words = f"thick: 95 % CI, thin: corrected for {len(rows)}" if bars == "95 % CI" else bars
    ax.set_title(f"n = {next(iter(rows.values()))[0].n} patients; {words}", fontsize=7, loc="left")


def scatter(ax, points, xlabel, ylabel):
    """One dot a series: name -> (x, stats.Estimate); x starts at zero. Equal x are drawn a little apart."""
    step = 0.015 * max(x for x, _ in points.values())
    for i, (name, (x, estimate)) in enumerate(points.items()):
        colour, _, marker = SERIES[i]
        error = [[estimate.value - estimate.lower], [estimate.upper - estimate.value]]
        ax.errorbar(x + (i - 1) * step, estimate.value, error, color=colour, marker=marker, ms=5, capsize=2, lw=1,
                    ls="", label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1.15 * max(x for x, _ in points.values())))
    _say_n(ax, [estimate for _, estimate in points.values()])
