"""Groups with their intervals, all gaps at once, what could have been found, before and after a mitigation."""

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from cinema.plots.style import GREY, SERIES

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
                ax.text(x, y, f"{cell['gap']:+.2g}{stars}", ha="center", va="center", fontsize=6,
                        color="white" if abs(worse) > 1.6 else "black")
    ax.set_xticks(range(len(metrics)), metrics.values(), rotation=35, ha="right")
    ax.set_yticks(range(len(rows)), [f"{r.group} − {r.against} ({r.attribute})" for r in rows.itertuples()])
    ax.set(xlim=(-0.5, len(metrics) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    ax.set_title("gap; orange: worse, blue: better, full colour at twice the smallest gap that is found 8 times in 10\n"
                 f"* p ≤ 0.05 after Benjamini-Hochberg, ** after Holm, over all {len(found)}", fontsize=7, loc="left")


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
    ax.set_yticks(range(len(rows)), [f"{row.group} − {row.against}\n(n = {row.n}, {row.n_against})"
                                     for row in rows.itertuples()], fontsize=6.5)
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
            ax.errorbar(estimate.value, at, xerr=error, fmt=marker, color=colour, ms=3.5, lw=1, capsize=2,
                        label=name if y == 0 or name not in list(rows.values())[0] else None)
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
