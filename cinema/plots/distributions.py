"""One dot a patient, with the mean and its interval or against published ranges; what a number of patients can show."""

import numpy as np

from cinema.plots.classification import bins
from cinema.plots.forest import interval_words, intervals
from cinema.plots.style import ABOVE, DOT, GREY, NOTE, at_height, looks, mark_places


def sideways(n, width=0.16):
    """n offsets within -+ width that fill evenly and look irregular (golden-ratio sequence)."""
    return width * (2 * np.mod(np.arange(n) * 0.6180339887, 1) - 1)


def scores(ax, table, estimates, value="dice", group="structure", series="model", label="Dice"):
    """A strip of patients and mean with interval for every group, series side by side. table: a row a patient, group
    and series, with column `value`; its VALUE_left_out (stats.per_patient) is said. estimates: (group, series) ->
    stats.Estimate."""
    groups, names = (list(dict.fromkeys(words)) for words in zip(*estimates))
    look_of = dict(zip(names, looks(names)))
    for (g, s), estimate in estimates.items():
        look = look_of[s]
        at = groups.index(g) + (names.index(s) - (len(names) - 1) / 2) * 0.8 / len(names)
        dots = table.loc[(table[group] == g) & (table[series] == s), value].to_numpy()
        ax.plot(at + sideways(len(dots), 0.3 / len(names)), dots, ".", color=look[0], ms=3.5, alpha=0.4, mew=0)
        words = f"{s} (n = {estimate.n}; mean, {interval_words([estimate])})" if g == groups[0] else None
        intervals(ax, [at], [estimate], look, label=words)
    ax.set(xticks=range(len(groups)), xticklabels=groups, ylabel=label, xlim=(-0.5, len(groups) - 0.5))
    if f"{value}_left_out" in table:
        ax.set_title(f"left out, not found: {table[f'{value}_left_out'].sum():.0f}", **NOTE)
    ax.legend(**ABOVE)


def pairs(ax, first, second, ticks, label):
    """The same patients twice: a faint line each, and the mean of both with the line between."""
    both = np.array([first, second], float)
    ax.plot([0, 1], both, color=DOT, lw=0.4, alpha=0.5)
    ax.plot([0, 1], both.mean(axis=1), "o-", color="black", ms=4)
    ax.set(xticks=[0, 1], xticklabels=ticks, ylabel=label, xlim=(-0.3, 1.3))
    ax.set_title(f"n = {len(first)}; black: mean", **NOTE)


def reference(ax, values, published, label):
    """Virtual people, group -> one number a person, against published group -> (mean, SD): means -+ 1.96 SD."""
    for i, (group, numbers) in enumerate(values.items()):
        mean, sd = published[group]
        low, high = mean - 1.96 * sd, mean + 1.96 * sd
        words = ("published 95 % range", "published mean", "virtual mean, 95 % range") if i == 0 else (None,) * 3
        ax.fill_between([i - 0.4, i + 0.4], low, high, color="#dddddd", lw=0, label=words[0])
        ax.plot([i - 0.4, i + 0.4], [mean, mean], color=GREY, label=words[1])
        ax.plot(i - 0.12 + sideways(len(numbers)), numbers, ".", color=DOT, ms=2.5, mew=0)
        ours = 1.96 * np.std(numbers, ddof=1)
        ax.errorbar(i + 0.25, np.mean(numbers), ours, fmt="ks", ms=3, capsize=2, lw=1, label=words[2])
    names = [f"{group}\n(n = {len(numbers)})" for group, numbers in values.items()]
    ax.set(xticks=range(len(names)), xticklabels=names, ylabel=label, xlim=(-0.6, len(names) - 0.4))


def splits(ax, table):
    """Studies of data sets: columns dataset, train, val, test; NaN: unknown. Dots, since bars need a zero."""
    y, counts = np.arange(len(table))[::-1], table[["train", "val", "test"]]
    for k, (name, (colour, _, marker)) in enumerate(zip(counts, looks(counts), strict=True)):
        ax.plot(counts[name], y + 0.22 * (1 - k), marker, color=colour, ms=4, label=name)
    ax.hlines(y - 0.5, *ax.get_xlim(), color="#dddddd", lw=0.5)
    for at in y[counts.isna().all(axis=1).to_numpy()]:
        at_height(ax, at, "not stated", 0.02, color=GREY)
    ax.set_yticks(y, table["dataset"])
    ax.set(xlabel="Studies (log scale)", xscale="log", ylim=(-0.5, len(table) - 0.5))
    ax.legend(**ABOVE, ncols=3)


def shuffled(ax, found):
    """AUCs that a procedure finds where labels mean nothing: name -> Estimates; filled where 0.5 is not inside."""
    for i, ((name, estimates), (colour, _, marker)) in enumerate(zip(found.items(), looks(found))):
        values = np.array([estimate.value for estimate in estimates])
        out = np.array([not e.lower <= 0.5 <= e.upper for e in estimates])
        at = i + sideways(len(values), 0.3)
        ax.plot(at[~out], values[~out], marker, mfc="none", mec=colour, ms=3, mew=0.6)
        ax.plot(at[out], values[out], marker, color=colour, ms=4.5, label=f"{name}: {out.sum()} of {len(out)} flagged")
    ax.axhline(0.5, color=GREY, ls=":", lw=0.8)
    ax.set(xticks=range(len(found)), xticklabels=list(found), xlim=(-0.6, len(found) - 0.4))
    ax.set_ylabel("AUC, labels shuffled")
    ax.legend(**ABOVE)


def power(ax, n, curves, marks):
    """Power over the number of patients. marks: words -> n, as vertical lines. curves: (name, line) -> power at each n;
    "-" for cases enriched as in the cohort, "--" for their true share."""
    names = list(dict.fromkeys(name for name, _ in curves))
    look_of = dict(zip(names, looks(names)))
    for (name, line), values in curves.items():
        ax.plot(n, values, color=look_of[name][0], ls=line, label=name if line == "-" else None)
    aside = {"xytext": (2, 0), "textcoords": "offset points", "rotation": 90}
    mark_places(ax, marks, 0.42, 0.8, **aside, fontsize=6.5, ha="left", color=GREY)
    ax.axhline(0.8, color=GREY, lw=0.5)
    ax.set(xscale="log", xlabel="Patients", ylabel="Power", ylim=(0, 1.02), xlim=(n[0], n[-1]))
    ax.plot([], [], color=GREY, label="cases enriched as here")
    ax.plot([], [], color=GREY, ls="--", label="true share of cases")
    ax.legend(loc="lower left", bbox_to_anchor=(-0.1, 1), ncols=2)


def risks(ax, tables, words=""):
    """Observed share of cases over predicted risk, no legend: name -> stats' calibration_table."""
    top = 1.1 * max(table["predicted"].max() for table in tables.values())
    ax.axline((0, 0), slope=1, color=GREY, ls=":", lw=0.8, label="identity")
    bins(ax, {f"{name} (n = {table['n'].sum()})": table for name, table in tables.items()})
    ax.set(xlabel="Predicted risk", ylabel="Observed share", xlim=(0, top), ylim=(0, None))
    ax.set_title(words, **NOTE)
