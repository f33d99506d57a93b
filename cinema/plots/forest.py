"""Estimates with their 95 % intervals: in rows, as differences, group by group, claim by claim, along conditions;
and the curves that comparisons need beside them: training, and the smallest gap that a study can find.

An estimate is a stats.Estimate, or whatever else has value, lower, upper (and n, where n is shown); lower and upper
are NaN where n is too small for an interval. Rows are named in order from the top.
"""

import math

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from cinema.plots.curves import lines
from cinema.plots.style import ABOVE, DOT, FLAG, GREY, NOTE, at_height, looks, mark_places

HELD, ALONE = "black", ("black", "--", "s")  # not flagged after correction; a series that stands alone
SHADES = {"agrees": "#d9ecd9", "differs": "#f6d9d0", "fixed": "#d9ecd9"}  # of cells, by first word
SHADES |= dict.fromkeys(("option", "counted"), "#eeeeee")


def intervals(ax, at, estimates, look, across=False, **options):
    """Dots with bars. at: places along x, or of rows if `across`. look: of style.looks; ls: joins the dots."""
    values = [e.value for e in estimates]
    reach = np.clip([[e.value - e.lower for e in estimates], [e.upper - e.value for e in estimates]], 0, None)
    places = {"x": values, "y": at, "xerr": reach} if across else {"x": at, "y": values, "yerr": reach}
    usual = {"color": look[0], "marker": look[2], "ls": "", "ms": 4, "capsize": 2, "lw": 1}
    ax.errorbar(**places, **usual | options)


def _series(ax, series, label, step, names=None, look=None, **options):
    """Rows, series `step` apart in each: series -> {name: estimate}. names: of the rows, in order. look: of all."""
    names = names or list(dict.fromkeys(name for row in series.values() for name in row))
    for k, ((words, row), own) in enumerate(zip(series.items(), looks(series))):
        at = [names.index(name) + (k - (len(series) - 1) / 2) * step for name in row]
        intervals(ax, at, row.values(), look or own, across=True, label=words if step else None, **options)
    _name_rows(ax, names, label)


def _bar(ax, y, estimate, colour, lw=1.2, thin=None, marker="o", **dot):
    """One row: the interval as a line `lw` thick below its dot; thin: ends of a wider interval."""
    if thin is not None:
        ax.plot(thin, [y, y], color=colour, lw=0.8)
    end = "projecting" if thin is None else "butt"
    ax.plot([estimate.lower, estimate.upper], [y, y], color=colour, lw=lw, solid_capstyle=end)
    ax.plot(estimate.value, y, marker, color=colour, **{"ms": 4.5} | dot)


def _name_rows(ax, names, label, zero=None, **text):
    if zero is not None:
        ax.axvline(zero, color=GREY, ls=":", lw=0.8, zorder=0)
    ax.set_yticks(range(len(names)), list(names), **text)
    ax.set(xlabel=label, ylim=(len(names) - 0.5, -0.5))


def interval_words(estimates):
    """What the bars of some estimates are; there are none where n is too small for intervals."""
    return "no CI, n too small" if all(math.isnan(estimate.lower) for estimate in estimates) else "95 % CI"


def _say_n(ax, series, what="mean, ", who=""):
    """Above the axes: what is shown, and of how many patients where all estimates agree on that."""
    estimates = [estimate for row in series.values() for estimate in row.values()]
    counts = {estimate.n for estimate in estimates}
    words = f", n = {counts.pop()}{who}" if len(counts) == 1 else ""
    ax.set_title(f"{what}{interval_words(estimates)}{words}", **NOTE)


def rows(ax, estimates, label, reference=None, marks=None, mark_name="", log=False):
    """A row a name: name -> estimate, or series -> {name: estimate} for several dots a row. reference: value of a
    dotted line. marks: name -> known value (tick), called mark_name in the legend."""
    alone = not isinstance(next(iter(estimates.values())), dict)
    series = {"": estimates} if alone else estimates
    names = list(next(iter(series.values())))
    _series(ax, series, label, 0.32, names, ALONE if alone else None)
    for i, (name, value) in enumerate((marks or {}).items()):
        tick = {"color": FLAG, "ls": "", "marker": "|", "ms": 11, "mew": 1.6}
        ax.plot(value, names.index(name), **tick, label=mark_name if i == 0 else None)
    if reference is not None:
        ax.axvline(reference, color=GREY, ls=":", lw=0.8)
    ax.set_ylim(len(names) - 0.4, -0.6)
    if log:
        low, high = ax.get_xlim()
        ticks = [t for t in (0.25, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 4) if low <= t <= high]
        ax.set(xscale="log", xticks=ticks, xticklabels=[f"{t:g}" for t in ticks])
        ax.minorticks_off()
    else:
        ax.locator_params(axis="x", nbins=6)


def ceiling(ax, value, label):
    """A dashed line at the best that anybody could reach."""
    ax.axvline(value, color=FLAG, ls="--", lw=0.8, label=label)
    ax.margins(x=0.1)


def methods(ax, series, label, lines=None):
    """A row a method: series -> {method: estimate}, some may be missing; a single series has each row in its method's
    look. lines: words -> value across all rows."""
    alone = {name: {name: e} for row in series.values() for name, e in row.items()} if len(series) == 1 else {}
    _series(ax, alone or series, label, 0 if alone else 0.22)
    for k, (words, value) in enumerate((lines or {}).items()):
        ax.axvline(value, color=GREY, ls=(":", "--", "-.", (0, (1, 4)))[k % 4], lw=0.9, label=words, zorder=0)
    counts = sorted({estimate.n for row in series.values() for estimate in row.values()})
    ax.set_title(f"n = {' or '.join(map(str, counts))}; 95 % CI", **NOTE)


def rules(ax, series, label):
    """Errors, a row a rule, beside zero: series -> {rule: estimate}."""
    ax.axvline(0, color=GREY, ls=":", lw=0.8, zorder=0)
    _series(ax, series, label, 0.7 / len(series), ms=3.5)
    _say_n(ax, series, "", " people")


def spread(ax, spreads, label):
    """Plain numbers in the rows and series of `rules`: series -> {rule: number}."""
    for i, ((series, row), (colour, _, marker)) in enumerate(zip(spreads.items(), looks(spreads))):
        y = np.arange(len(row)) + (i - (len(spreads) - 1) / 2) * 0.7 / len(spreads)
        ax.plot(list(row.values()), y, marker, color=colour, ms=3.5, label=series)
    _name_rows(ax, row, label)
    ax.set_xlim(0, None)


def knowledge(ax, estimates, label, chance=None):
    """A row an encoder: words -> estimate. chance: value reached without looking at the image, a dotted line."""
    _series(ax, {name: {name: estimate} for name, estimate in estimates.items()}, label, 0)
    if chance is not None:
        ax.axvline(chance, color=GREY, ls=":", lw=1)


def several(ax, rows, label, zero=True):
    """Series in each row: words -> {series: estimate}; n of each at the right edge."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    series = {name: {words: row[name] for words, row in rows.items() if name in row} for name in names}
    step = 0.6 / len(names)
    _series(ax, series, label, step, list(rows), ms=3.5)
    for y, row in enumerate(rows.values()):
        for name, estimate in row.items():
            at_height(ax, y + (names.index(name) - (len(names) - 1) / 2) * step, f"n = {estimate.n}", fontsize=6.5)
    if zero:
        ax.axvline(0, color=GREY, ls=":", lw=0.8)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.legend(**ABOVE, ncols=2)


def shares(ax, values, label):
    """Shares of 1, a row each: name -> estimate."""
    for y, estimate in enumerate(values.values()):
        _bar(ax, y, estimate, HELD)
    _name_rows(ax, [f"{name}\n(n = {estimate.n})" for name, estimate in values.items()], label)
    ax.set_xlim(-0.03, 1.03)


def differences(ax, rows, label):
    """Paired differences beside zero: words -> (estimate, the same corrected for all comparisons), thick and thin."""
    for y, (nominal, corrected) in enumerate(rows.values()):
        _bar(ax, y, nominal, HELD, 2.5, (corrected.lower, corrected.upper), mfc="white")
    _name_rows(ax, rows, label, zero=0)
    words = interval_words([nominal for nominal, _ in rows.values()])
    words = f"thick: {words}, thin: corrected for {len(rows)}" if words == "95 % CI" else words
    ax.set_title(f"n = {next(iter(rows.values()))[0].n} patients; {words}", **NOTE)


def gaps(ax, rows, label):
    """Gaps with their interval (thick) and that of the whole family (thin) on a bar of what could not have been found.
    rows: of fairness.with_detectable, one a line. Orange: p <= 0.05 after Holm."""
    for y, row in enumerate(rows.rename(columns={"gap": "value"}).itertuples()):
        ax.barh(y, 2 * row.detectable, left=-row.detectable, height=0.75, color="#dddddd", lw=0)
        _bar(ax, y, row, FLAG if row.p_holm <= 0.05 else HELD, 2.5, (row.lower_all, row.upper_all), mfc="white", ms=4)
    ax.axvline(0, color=GREY, ls=":", lw=0.8)
    ax.use_sticky_edges = False  # the grey bars keep clear of the frame
    ax.xaxis.set_major_locator(MaxNLocator(3))
    names = [f"{row.group} − {row.against}\n(n = {row.n}, {row.n_against})" for row in rows.itertuples()]
    _name_rows(ax, names, label, fontsize=6.5)


def groups(ax, rows, overall, label, named=True):
    """A row a group, attributes apart; line and band: the estimate over everybody. rows: fairness.by_group of one
    metric. On the left their n and, if `named`, what they are."""
    at = np.arange(len(rows)) + 0.8 * rows["attribute"].factorize()[0]
    names = [f"{row.attribute}: {row.group} (n = {row.n})" if named else f"{row.n}" for row in rows.itertuples()]
    ax.axvspan(overall.lower, overall.upper, color=GREY, alpha=0.15, lw=0)
    ax.axvline(overall.value, color=GREY, lw=0.8)
    small = {"marker": "o", "ms": 3, "lw": 0.9, "capsize": 1.5}
    intervals(ax, at, list(rows.itertuples()), ALONE, across=True, **small)
    ax.set_yticks(at, names, fontsize=6.5)
    ax.set(xlabel=label, ylim=(max(at) + 0.6, -0.6))
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.set_title(f"n = {overall.n}; 95 % CI", **NOTE)


def family(ax, found, metrics, better):
    """All gaps in one table: colour is the gap in units of its smallest detectable one, red where the group is worse.

    found: fairness.with_detectable. metrics: column -> name, in order. better: column -> 1 where more is better, -1
    where less is, 0 where zero is best. Two stars: p <= 0.05 after Holm; one: after Benjamini-Hochberg only.
    """
    rows = list(dict.fromkeys(zip(found["group"], found["against"], found["attribute"])))
    for cell in found[found["metric"].isin(metrics)].itertuples():
        x, y = list(metrics).index(cell.metric), rows.index((cell.group, cell.against, cell.attribute))
        size = cell.gap / cell.detectable if cell.detectable > 0 else 0.0
        worse = -better[cell.metric] * size if better[cell.metric] else abs(size)
        fill = {"facecolor": "#D55E00" if worse > 0 else "#0072B2", "alpha": min(abs(worse) / 2, 1.0), "lw": 0}
        ax.add_patch(Rectangle((x - 0.48, y - 0.45), 0.96, 0.9, **fill))
        stars = "**" if cell.p_holm <= 0.05 else "*" if cell.p_bh <= 0.05 else ""
        colour = "white" if abs(worse) > 1.6 else "black"
        words = f"{cell.gap:+.2g}{stars}".replace("-", "−")
        ax.text(x, y, words, ha="center", va="center", fontsize=6, color=colour)
    ax.set_xticks(range(len(metrics)), metrics.values(), rotation=35, ha="right")
    _name_rows(ax, [f"{group} − {against} ({attribute})" for group, against, attribute in rows], "")
    ax.set_xlim(-0.5, len(metrics) - 0.5)
    words = "gap; orange: worse, blue: better, full colour at twice the smallest gap that is found 8 times in 10"
    ax.set_title(f"{words}\n* p ≤ 0.05 after Benjamini-Hochberg, ** after Holm, over all {len(found)}", **NOTE)


def beside(ax, rows, topics):
    """Published (filled) and own errors (open, of virtual patients) of both methods, four marks a claim. rows: of
    cinema.runner.ledger.relative. topics: claim -> words."""
    names, words = [], set()
    for y, (claim, of) in enumerate(rows.groupby("claim", sort=False)):
        counts = " or ".join(dict.fromkeys(f"{n:.0f}" for n in of["n"].dropna()))
        names.append(f"{claim} {topics[claim]}\n{of['quantity'].iloc[0]}, n = {counts}")
        for row in of.itertuples():
            cnn, own = "CineMA" not in row.who, not row.who.startswith("published")
            (colour, _, marker), at = looks(["CineMA", "CNN"])[cnn], y + (-0.27, -0.09, 0.09, 0.27)[2 * own + cnn]
            called = f"{'ours, virtual' if own else 'published'}: {'CNN' if cnn else 'CineMA'}"
            label = None if called in words else called
            _bar(ax, at, row, colour, marker=marker, mfc="white" if own else colour, label=label)
            words.add(called)
    _name_rows(ax, names, "Error / error of the published CNN (left is better)", zero=1)
    ax.set(xscale="log", xticks=[0.25, 0.5, 1, 2, 4], xticklabels=["¼", "½", "1", "2", "4"])
    ax.minorticks_off()


def decisive(ax, rows):
    """Deciding differences in half-widths of their own interval, so that all bars are about two wide; in their own unit
    at the right edge. rows: of cinema.runner.ledger.deciding. Claims of equality are open diamonds between ticks at
    their margin."""
    half = ((rows["upper"] - rows["lower"]) / 2).clip(lower=1e-12)
    scaled = rows.assign(**rows[["value", "lower", "upper", "margin"]].div(half, axis=0))
    for y, row in enumerate(scaled.itertuples()):
        equal = row.needs == "within"
        colour, marker = (DOT, "D") if equal else (looks(["CineMA"])[0][0], "o")
        _bar(ax, y, row, colour, 1.5, marker=marker, mfc="white" if equal else colour)
        if equal:
            ax.plot([-row.margin, row.margin], [y, y], "|", color=GREY, ms=9)
    for y, row in enumerate(rows.itertuples()):
        words = f"{row.value:+.2g} ({row.lower:+.2g} to {row.upper:+.2g}) {row.unit}"
        at_height(ax, y, words.replace("-", "−"), fontsize=6.5)
    names = [f"{row.claim} {row.topic} (n = {row.n})" for row in rows.itertuples()]
    _name_rows(ax, names, "Difference / half its 95 % interval\n(right: favours the claim)", zero=0)
    ax.set_title("bars: 95 % CI; diamonds: equality, ticks at its margin; at the right: in its own unit", **NOTE)


def shaded(table, column="verdict", name="ledger"):
    """A table for the page, each line's verdict shaded; the same bytes every time."""
    cell = {"text-align": "left", "vertical-align": "top", "overflow-wrap": "anywhere", "font-size": "90%"}
    shade = lambda text: f"background-color: {SHADES.get(str(text).split(' ')[0], 'inherit')}"
    return table.style.set_uuid(name).hide(axis="index").set_properties(**cell).map(shade, subset=[column])


def trends(ax, estimates, xlabel, ylabel, single=None, joined=True):
    """One line per series over conditions, evenly spaced: series -> {condition: estimate}, the first gives the order.

    single: series -> [(condition, value)], small open dots. joined: False where the order of conditions means nothing.
    """
    conditions = list(next(iter(estimates.values())))
    for i, ((name, row), look) in enumerate(zip(estimates.items(), looks(estimates))):
        colour, line, _ = look
        shift = (i - (len(estimates) - 1) / 2) * 0.16
        at = [conditions.index(condition) + shift for condition in row]
        intervals(ax, at, row.values(), look, ls=line if joined else "", label=name)
        for condition, value in (single or {}).get(name, ()):
            ax.plot(conditions.index(condition) + shift + 0.07, value, "o", mfc="none", mec=colour, mew=0.6, ms=2.5)
    ax.set(xticks=range(len(conditions)), xticklabels=conditions, xlim=(-0.5, len(conditions) - 0.5))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    _say_n(ax, estimates)


def scatter(ax, points, xlabel, ylabel):
    """One dot a series: name -> (x, estimate); x starts at zero. Equal x are drawn a little apart."""
    largest = max(x for x, _ in points.values())
    for i, ((name, (x, estimate)), look) in enumerate(zip(points.items(), looks(points))):
        intervals(ax, [x + (i - 1) * (0.015 * largest)], [estimate], look, ms=5, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1.15 * largest))
    _say_n(ax, {name: {"": estimate} for name, (_, estimate) in points.items()})


def learning(ax, histories, marks):
    """Error of hidden patches over training: words -> columns samples, loss, val_loss; marks: words -> value, lines."""
    for (words, table), (colour, _, marker) in zip(histories.items(), looks(histories), strict=True):
        ax.plot(table["samples"], table["loss"], color=colour, ls="--", lw=0.8)
        ax.plot(table["samples"], table["val_loss"], color=colour, marker=marker, ms=3, label=words)
    for words, value in marks.items():
        ax.axhline(value, color=GREY, ls=":", lw=1)
        at_height(ax, value, words, 0.98, ha="right", va="bottom", color=GREY)
    ax.set(xlabel="Frames seen", ylabel="Error of hidden patches", ylim=(0, None))
    ax.legend(title="solid: held out, dashed: training", title_fontsize=7)


def curves(ax, n, smallest, xlabel, ylabel, marks=None):
    """Smallest detectable gap over the size of a study, log axes: name -> gap; marks: name -> n, as vertical lines."""
    lines(ax, n, smallest, xlabel, ylabel)
    ax.set(xscale="log", yscale="log")
    mark_places(ax, marks or {}, 1.01, fontsize=6, color=GREY)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))  # beside the plot, in the order of the lines from the top
