"""One dot a patient, with the mean and its interval, or against published ranges."""

import numpy as np

from cinema.plots.forest import interval_words
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
        ax.errorbar(
            table["predicted"],
            table["observed"],
            np.clip(error, 0, None),
            color=colour,
            ls=line,
            marker=marker,
            ms=3.5,
            capsize=2,
            lw=0.9,
            label=f"{name} (n = {table['n'].sum()})",
        )
    ax.set(xlabel="Predicted risk", ylabel="Observed share", xlim=(0, top), ylim=(0, None))
    ax.set_title(words, fontsize=7, loc="left")
