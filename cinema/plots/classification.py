"""Answers yes or no, or one class of several: how well they rank, what probabilities mean, who is taken for whom."""

import numpy as np
from sklearn.metrics import confusion_matrix, roc_curve

from cinema.plots.forest import intervals
from cinema.plots.style import GREY, NOTE, looks
from cinema.stats import checks, classification


def roc(ax, true, scores):
    """Curves with area and DeLong's 95 % interval. true: 0/1 a patient. scores: name -> higher where it is rather 1."""
    true = checks.yes_no(true, "true").astype(int)
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.6)
    for (name, score), (colour, line, _) in zip(scores.items(), looks(scores), strict=True):
        false_rate, true_rate, _ = roc_curve(true, score, drop_intermediate=False)
        area = classification.auc(true, score)
        words = f"{name}: {area.value:.2f} ({area.lower:.2f}–{area.upper:.2f})"
        ax.plot(false_rate, true_rate, color=colour, ls=line, label=words)
    ax.set(xlabel="1 − specificity", ylabel="Sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set_title(f"n = {true.sum()} yes, {(1 - true).sum()} no; AUC (95 % CI)", **NOTE)
    ax.set(xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6))
    ax.legend(loc="lower right", fontsize=6, handlelength=1.8)


def bins(ax, tables, scale=1, **options):
    """Observed over predicted share of each bin, with its interval: name -> predicted, observed, lower, upper, n."""
    for (name, table), look in zip(tables.items(), looks(tables), strict=True):
        scaled = scale * table.rename(columns={"observed": "value"})
        style = {"ms": 3.5, "lw": 0.9, "ls": look[1], "label": name} | options
        intervals(ax, scaled["predicted"], list(scaled.itertuples()), look, **style)


def calibration(ax, tables):
    """Observed share over predicted probability and the line of identity: name -> stats' calibration_table."""
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.6)
    bins(ax, tables)
    ax.set(xlabel="Predicted probability", ylabel="Observed share", aspect="equal")
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    counts = sorted({int(table["n"].sum()) for table in tables.values()})
    ax.set_title(f"n = {' and '.join(map(str, counts))}; bars: 95 % CI", **NOTE)
    ax.legend(loc="upper left")


def confusion(ax, true, predicted, names):
    """Rows are true classes and add up to one; cells say their share and how many patients it is. true, predicted:
    class numbers, or `names` of classes."""
    number = lambda named: list(names).index(named) if isinstance(named, str) else int(named)
    counts = confusion_matrix([*map(number, true)], [*map(number, predicted)], labels=range(len(names)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Greys", vmin=0, vmax=1.25)
    centred = {"ha": "center", "va": "center", "fontsize": 6, "linespacing": 0.9}
    for i, j in np.argwhere(counts):
        colour = "white" if shares[i, j] > 0.65 else "black"
        ax.text(j, i, f"{shares[i, j]:.2f}\n({counts[i, j]})", color=colour, **centred)
    rows = [f"{name} (n = {n})" for name, n in zip(names, counts.sum(axis=1))]
    ax.set(xticks=range(len(names)), xticklabels=names, yticks=range(len(names)), yticklabels=rows)
    ax.set(xlabel="Predicted class", ylabel="True class")
    ax.set_title(f"n = {counts.sum()}; share of row (count)", **NOTE)
