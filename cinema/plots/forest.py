"""Several models side by side: along conditions, and as paired differences."""

import math

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

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
        ax.errorbar(
            at, values, error, color=colour, ls=line if joined else "", marker=marker, ms=4, capsize=2, lw=1, label=name
        )
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
        ax.errorbar(
            x + (i - 1) * step,
            estimate.value,
            error,
            color=colour,
            marker=marker,
            ms=5,
            capsize=2,
            lw=1,
            ls="",
            label=name,
        )
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1.15 * max(x for x, _ in points.values())))
    _say_n(ax, [estimate for _, estimate in points.values()])


OFF, HELD = SERIES[3][0], SERIES[1][0]  # flagged after correction, and not


def groups(ax, rows, overall, label, named=True):
    """One dot and 95 % interval a group, attributes apart; line and band: the Estimate over everybody.

    rows: fairness.by_group of one metric. named: whether groups are named on the left, with n.
    """
    names, at = [], []
    for k, (attribute, part) in enumerate(rows.groupby("attribute", sort=False)):
        start = len(names) + 0.8 * k
        for i, row in enumerate(part.itertuples()):
            at.append(start + i)
            names.append(f"{attribute}: {row.group} (n = {row.n})" if named else f"n = {row.n}")
    ax.axvspan(overall.lower, overall.upper, color=GREY, alpha=0.15, lw=0)
    ax.axvline(overall.value, color=GREY, lw=0.8)
    error = np.clip([rows["value"] - rows["lower"], rows["upper"] - rows["value"]], 0, None)
    ax.errorbar(rows["value"], at, xerr=error, fmt="o", color=HELD, ms=3, lw=0.9, capsize=1.5)
    ax.set_yticks(at, names, fontsize=6.5 if named else 5)
    ax.set(xlabel=label, ylim=(max(at) + 0.6, -0.6))
    ax.set_title(f"all: n = {overall.n}; 95 % CI", fontsize=7, loc="left")


def family(ax, found, metrics, better):
    """All gaps in one table: colour is the gap in units of its smallest detectable one, red where the group is worse.

    found: fairness.with_detectable. metrics: column -> name, in order. better: column -> 1 where more is better, -1
    where less is, 0 where zero is best. Two stars: p <= 0.05 after Holm; one: after Benjamini-Hochberg only.
    """
    rows = found[["attribute", "group", "against"]].drop_duplicates()
    for y, key in enumerate(rows.itertuples(index=False)):
        mine = found[(found["attribute"] == key.attribute) & (found["group"] == key.group)].set_index("metric")
        for x, metric in enumerate(metrics):
            if metric in mine.index:
                cell = mine.loc[metric]
                size = cell["gap"] / cell["detectable"] if cell["detectable"] > 0 else 0.0
                worse = -better[metric] * size if better[metric] else abs(size)
                ax.add_patch(_tile(x, y, worse))
                stars = "**" if cell["p_holm"] <= 0.05 else "*" if cell["p_bh"] <= 0.05 else ""
                ax.text(
                    x,
                    y,
                    f"{cell['gap']:+.2g}{stars}",
                    ha="center",
                    va="center",
                    fontsize=6,
                    color="white" if abs(worse) > 1.6 else "black",
                )
    ax.set_xticks(range(len(metrics)), metrics.values(), rotation=35, ha="right")
    ax.set_yticks(range(len(rows)), [f"{r.group} − {r.against} ({r.attribute})" for r in rows.itertuples()])
    ax.set(xlim=(-0.5, len(metrics) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    ax.set_title(
        "gap; orange: worse, blue: better, full colour at twice the smallest gap that is found 8 times in 10\n"
        f"* p ≤ 0.05 after Benjamini-Hochberg, ** after Holm, over all {len(found)}",
        fontsize=7,
        loc="left",
    )


def _tile(x, y, worse):
    colour = "#D55E00" if worse > 0 else "#0072B2"
    return Rectangle((x - 0.48, y - 0.45), 0.96, 0.9, facecolor=colour, alpha=min(abs(worse) / 2, 1.0), lw=0)


def gaps(ax, rows, label):
    """Gaps with 95 % interval (thick) and that of the whole family (thin) on a bar of what could not have been found.

    rows: of fairness.with_detectable, one a line. Orange: p <= 0.05 after Holm.
    """
    for y, row in enumerate(rows.itertuples()):
        colour = OFF if row.p_holm <= 0.05 else HELD
        ax.barh(y, 2 * row.detectable, left=-row.detectable, height=0.75, color="#dddddd", lw=0)
        ax.plot([row.lower_all, row.upper_all], [y, y], color=colour, lw=0.8)
        ax.plot([row.lower, row.upper], [y, y], color=colour, lw=2.5, solid_capstyle="butt")
        ax.plot(row.gap, y, "o", color="white", mec=colour, ms=4)
    ax.axvline(0, color=GREY, ls=":", lw=0.8)
    ax.use_sticky_edges = False  # the grey bars keep clear of the frame
    ax.set_yticks(
        range(len(rows)),
        [f"{row.group} − {row.against}\n(n = {row.n}, {row.n_against})" for row in rows.itertuples()],
        fontsize=6.5,
    )
    ax.set(xlabel=label, ylim=(len(rows) - 0.5, -0.5))


def curves(ax, x, lines, xlabel, ylabel, marks=None):
    """Smallest detectable gap over the size of a study: name -> y, on log axes; marks: name -> x, as vertical lines."""
    for (name, y), (colour, line, _) in zip(lines.items(), SERIES, strict=False):
        ax.plot(x, y, color=colour, ls=line, label=name)
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    for name, at in (marks or {}).items():
        ax.axvline(at, color=GREY, lw=0.6, ls=":")
        ax.text(at, 1.01, name, transform=ax.get_xaxis_transform(), fontsize=6, color=GREY, ha="center")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))  # beside the plot, in the order of the lines from the top


def several(ax, rows, label, zero=True):
    """Estimates by name, a line each, in series: words -> {series: Estimate}; n of each at the right edge."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    for y, row in enumerate(rows.values()):
        for name, estimate in row.items():
            k = names.index(name)
            colour, _, marker = SERIES[k]
            at = y + (k - (len(names) - 1) / 2) * 0.6 / len(names)
            error = [[max(estimate.value - estimate.lower, 0)], [max(estimate.upper - estimate.value, 0)]]
            ax.errorbar(
                estimate.value,
                at,
                xerr=error,
                fmt=marker,
                color=colour,
                ms=3.5,
                lw=1,
                capsize=2,
                label=name if y == 0 or name not in list(rows.values())[0] else None,
            )
            ax.text(1.01, at, f"n = {estimate.n}", transform=ax.get_yaxis_transform(), fontsize=5.5, va="center")
    if zero:
        ax.axvline(0, color=GREY, ls=":", lw=0.8)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(xlabel=label, ylim=(len(rows) - 0.5, -0.5))
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)


def pairs(ax, first, second, ticks, label):
    """The same patients twice: a faint line each, and the mean of both with the line between."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    ax.plot([0, 1], np.stack([first, second]), color=SERIES[2][0], lw=0.4, alpha=0.5)
    ax.plot([0, 1], [first.mean(), second.mean()], "o-", color="black", ms=4)
    ax.set_xticks([0, 1], ticks)
    ax.set(ylabel=label, xlim=(-0.3, 1.3))
    ax.set_title(f"n = {len(first)}; black: mean", fontsize=7, loc="left")


SHADES = {"agrees": "#d9ecd9", "differs": "#f6d9d0", "fixed": "#d9ecd9", "option": "#eeeeee"}  # of cells, by first word


def beside(ax, rows, topics):
    """Published and own errors of both methods, a group of four marks a claim, with 95 % intervals where there are any.

    rows: of cinema.runner.ledger.relative. topics: claim -> words. Published: filled; own: open, of virtual patients.
    """
    claims, drawn = list(dict.fromkeys(rows["claim"])), set()
    for row in rows.itertuples():
        place, published = "CineMA" not in row.who, row.who.startswith("published")
        colour, _, marker = SERIES[place]
        y = claims.index(row.claim) + (-0.27, -0.09, 0.09, 0.27)[2 * (not published) + place]
        words = f"{'published' if published else 'ours, virtual'}: {'CNN' if place else 'CineMA'}"
        ax.plot([row.lower, row.upper], [y, y], color=colour, lw=1.2)
        ax.plot(
            row.value,
            y,
            marker,
            color=colour,
            mfc=colour if published else "white",
            ms=4.5,
            label=None if words in drawn else words,
        )
        drawn.add(words)
    about = [
        f"{claim} {topics[claim]}\n{of['quantity'].iloc[0]}, n = {_counts(of['n'])}"
        for claim, of in rows.groupby("claim", sort=False)
    ]
    ax.axvline(1, color=GREY, ls=":", lw=0.8, zorder=0)
    ax.set_yticks(range(len(claims)), about)
    ax.set_xscale("log")
    ax.set_xticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    ax.minorticks_off()
    ax.set(xlabel="Error / error of the published CNN (left is better)", ylim=(len(claims) - 0.5, -0.5))


def _counts(n):
    """Numbers of our patients, as words."""
    return " or ".join(dict.fromkeys(f"{count:.0f}" for count in n.dropna()))


def decisive(ax, rows):
    """Deciding differences in half-widths of their own interval: what lies beyond 1 excludes zero.

    rows: columns claim, topic, needs, margin, value, lower, upper, n; positive favours the claim. Claims of equality
    are open diamonds between ticks at their margin.
    """
    for y, row in enumerate(rows.itertuples()):
        half = max((row.upper - row.lower) / 2, 1e-12)
        equal = row.needs == "within"
        colour = SERIES[2 if equal else 0][0]
        ax.plot(np.array([row.lower, row.upper]) / half, [y, y], color=colour, lw=1.5)
        ax.plot(row.value / half, y, "D" if equal else "o", color=colour, mfc="white" if equal else colour, ms=4.5)
        if equal:
            ax.plot(np.array([-row.margin, row.margin]) / half, [y, y], "|", color=GREY, ms=9)
    ax.axvline(0, color=GREY, ls=":", lw=0.8, zorder=0)
    ax.set_yticks(range(len(rows)), [f"{row.claim} {row.topic} (n = {row.n})" for row in rows.itertuples()])
    ax.set_xscale("symlog", linthresh=2)
    ax.set_xticks([-10, -2, -1, 0, 1, 2, 10], ["−10", "−2", "−1", "0", "1", "2", "10"])
    ax.set(
        xlabel="Difference of methods / half its 95 % interval (right: favours the claim)", ylim=(len(rows) - 0.5, -0.5)
    )


def shares(ax, values, label):
    """Shares of 1 with intervals, a row each: name -> stats.Estimate."""
    for y, estimate in enumerate(values.values()):
        ax.plot([estimate.lower, estimate.upper], [y, y], color=SERIES[1][0], lw=1.2)
        ax.plot(estimate.value, y, "o", color=SERIES[1][0], ms=4.5)
    names = [f"{name}\n(n = {estimate.n})" for name, estimate in values.items()]
    ax.set_yticks(range(len(values)), names)
    ax.set(xlabel=label, xlim=(-0.03, 1.03), ylim=(len(values) - 0.5, -0.5))


def shaded(table, column="verdict", name="ledger"):
    """A table for the page, each line's verdict shaded; the same bytes every time."""
    cell = {"text-align": "left", "vertical-align": "top", "overflow-wrap": "anywhere", "font-size": "90%"}
    return (
        table.style.set_uuid(name)
        .hide(axis="index")
        .set_properties(**cell)
        .map(lambda text: f"background-color: {SHADES.get(str(text).split(' ')[0], 'inherit')}", subset=[column])
    )


def learning(ax, histories, reference, held="val_loss", x="samples"):
    """Error of hidden patches over training: training dashed, held-out people solid, a line for the reference.

    histories: words -> table with columns x, loss and `held`; reference: (words, value).
    """
    for (words, table), (colour, _, marker) in zip(histories.items(), SERIES, strict=False):
        ax.plot(table[x], table["loss"], color=colour, ls="--", lw=0.8)
        ax.plot(table[x], table[held], color=colour, marker=marker, ms=3, label=words)
    words, value = reference
    ax.axhline(value, color=GREY, ls=":", lw=1)
    ax.annotate(
        words, (0.98, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7, color=GREY
    )
    ax.set(xlabel="Frames seen", ylabel="Error of hidden patches", ylim=(0, None))
    ax.legend(title="solid: held out, dashed: training", title_fontsize=7)


def knowledge(ax, estimates, label, chance=None):
    """One row an encoder, from top to bottom: estimate with its 95 % interval.

    estimates: words -> stats.Estimate; chance: value reached without looking at the image, as a dotted line.
    """
    for y, (estimate, (colour, _, marker)) in enumerate(zip(estimates.values(), SERIES, strict=False)):
        error = [[estimate.value - estimate.lower], [estimate.upper - estimate.value]]
        ax.errorbar(estimate.value, y, xerr=error, color=colour, marker=marker, ms=4, capsize=2, lw=1)
    if chance is not None:
        ax.axvline(chance, color=GREY, ls=":", lw=1)
    ax.set_yticks(range(len(estimates)), list(estimates))
    ax.set(xlabel=label, ylim=(len(estimates) - 0.5, -0.5))
