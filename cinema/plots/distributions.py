"""One dot a patient, with the mean and its interval, or against published ranges."""

import numpy as np

from cinema.plots.comparisons import interval_words
from cinema.plots.style import GREY, SERIES


def spread(n, width=0.16):
    """n sideways offsets within -+ width that fill evenly and look irregular (golden-ratio sequence)."""
    return width * (2 * np.mod(np.arange(n) * 0.6180339887, 1) - 1)


def scores(ax, table, estimates, value="dice", group="structure", series="model", label="Dice"):
    """A strip of patients and mean with interval for every group, series side by side.

    table:     one row a patient, group and series, with a column `value`.
    estimates: (group, series) -> stats.Estimate.
    """
    groups, names = list(dict.fromkeys(g for g, _ in estimates)), list(dict.fromkeys(s for _, s in estimates))
    for (g, s), estimate in estimates.items():
        colour, _, marker = SERIES[names.index(s)]
        at = groups.index(g) + (names.index(s) - (len(names) - 1) / 2) * 0.8 / len(names)
        dots = table.loc[(table[group] == g) & (table[series] == s), value].to_numpy()
        ax.plot(at + spread(len(dots), 0.3 / len(names)), dots, ".", color=colour, ms=3.5, alpha=0.4, mew=0)
        error = [[estimate.value - estimate.lower], [estimate.upper - estimate.value]]
        words = f"{s} (n = {estimate.n}; mean, {interval_words([estimate])})" if g == groups[0] else None
        ax.errorbar(at, estimate.value, error, fmt=marker, color=colour, ms=4, capsize=2, lw=1, label=words)
    ax.set_xticks(range(len(groups)), groups)
    ax.set(ylabel=label, xlim=(-0.5, len(groups) - 0.5))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1))


def reference(ax, values, published, label):
    """Virtual people against published normal values.

    values:    group -> one number a person. published: group -> (mean, SD).
    The band is published mean -+ 1.96 SD with its mean; the dot with a bar is our mean -+ 1.96 SD.
    """
    for i, (group, numbers) in enumerate(values.items()):
        mean, sd = published[group]
        low, high = mean - 1.96 * sd, mean + 1.96 * sd
        words = ("published 95 % range", "published mean", "virtual mean, 95 % range") if i == 0 else (None,) * 3
        ax.fill_between([i - 0.4, i + 0.4], low, high, color="#dddddd", lw=0, label=words[0])
        ax.plot([i - 0.4, i + 0.4], [mean, mean], color=GREY, label=words[1])
        ax.plot(i - 0.12 + spread(len(numbers)), numbers, ".", color=SERIES[2][0], ms=2.5, mew=0)
        ours = 1.96 * np.std(numbers, ddof=1)
        ax.errorbar(i + 0.25, np.mean(numbers), ours, fmt="ks", ms=3, capsize=2, lw=1, label=words[2])
    ax.set_xticks(range(len(values)), [f"{group}\n(n = {len(numbers)})" for group, numbers in values.items()])
    ax.set(ylabel=label, xlim=(-0.6, len(values) - 0.4))


def splits(ax, table):
    """Studies for training, validation and test per data set: columns dataset, train, val, test; NaN where unknown.

    Dots on a log scale, since bars need a zero.
    """
    y = np.arange(len(table))[::-1]
    counts = table[["train", "val", "test"]]
    for k, (name, (colour, _, marker)) in enumerate(zip(counts, SERIES, strict=False)):
        ax.plot(counts[name], y + 0.22 * (1 - k), marker, color=colour, ms=4, label=name)
    ax.hlines(y - 0.5, *ax.get_xlim(), color="#dddddd", lw=0.5)
    for at in y[counts.isna().all(axis=1).to_numpy()]:
        ax.text(0.02, at, "not stated", transform=ax.get_yaxis_transform(), va="center", fontsize=7, color=GREY)
    ax.set_yticks(y, table["dataset"])
    ax.set(xlabel="Studies (log scale)", xscale="log", ylim=(-0.5, len(table) - 0.5))
    ax.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
