"""What the paper printed beside what was found, and the differences that decide. Tables come from cinema.ledger."""

import numpy as np

from cinema.plots.style import GREY, SERIES

SHADES = {"agrees": "#d9ecd9", "differs": "#f6d9d0", "fixed": "#d9ecd9", "option": "#eeeeee"}  # of cells, by first word


def beside(ax, rows, topics):
    """Published and own errors of both methods, a group of four marks a claim, with 95 % intervals where there are any.

    rows: of cinema.ledger.relative. topics: claim -> words. Published: filled; own: open, of virtual patients.
    """
    claims, drawn = list(dict.fromkeys(rows["claim"])), set()
    for row in rows.itertuples():
        place, published = "CineMA" not in row.who, row.who.startswith("published")
        colour, _, marker = SERIES[place]
        y = claims.index(row.claim) + (-0.27, -0.09, 0.09, 0.27)[2 * (not published) + place]
        words = f"{'published' if published else 'ours, virtual'}: {'CNN' if place else 'CineMA'}"
        ax.plot([row.lower, row.upper], [y, y], color=colour, lw=1.2)
        ax.plot(row.value, y, marker, color=colour, mfc=colour if published else "white", ms=4.5,
                label=None if words in drawn else words)
        drawn.add(words)
    about = [f"{claim} {topics[claim]}\n{of['quantity'].iloc[0]}, n = {_counts(of['n'])}"
             for claim, of in rows.groupby("claim", sort=False)]
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
    ax.set(xlabel="Difference of methods / half its 95 % interval (right: favours the claim)",
           ylim=(len(rows) - 0.5, -0.5))


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
    cell = {"text-align": "left", "vertical-align": "top", "overflow-wrap": "anywhere",
            "font-size": "90%"}
    return table.style.set_uuid(name).hide(axis="index").set_properties(**cell).map(
        lambda text: f"background-color: {SHADES.get(str(text).split(' ')[0], 'inherit')}", subset=[column])
