"""Answers yes or no, or one class of several: how well they rank, what probabilities mean, who is taken for whom."""

import numpy as np
from sklearn.metrics import confusion_matrix, roc_curve

from cinema.plots.style import GREY, SERIES
from cinema.stats import classification

LINES = (*SERIES, (GREY, (0, (6, 1, 1, 1, 1, 1)), "v"), ("#999933", (0, (2, 2)), "P"))  # for more than four


def roc(ax, true, scores):
    """One curve a score, with area and DeLong's 95 % interval in the legend.

    true: 0/1, one a patient. scores: name -> higher where the answer is rather yes.
    """
    true = np.asarray(true).astype(int)
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.6)
    for (name, score), (colour, line, _) in zip(scores.items(), LINES, strict=False):
        false_rate, true_rate, _ = roc_curve(true, score, drop_intermediate=False)
        area = classification.auc(true, score)
        words = f"{name}: {area.value:.2f} ({area.lower:.2f}–{area.upper:.2f})"
        ax.plot(false_rate, true_rate, color=colour, ls=line, label=words)
    ax.set(xlabel="1 − specificity", ylabel="Sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set_title(f"n = {true.sum()} yes, {(1 - true).sum()} no; AUC (95 % CI)", fontsize=7, loc="left")
    ax.legend(loc="lower right", fontsize=6)


def calibration(ax, tables):
    """Observed share over predicted probability, with 95 % intervals and the line of identity.

    tables: name -> diagnosis.calibration_table (columns predicted, observed, lower, upper, n).
    """
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.6)
    for (name, table), (colour, line, marker) in zip(tables.items(), LINES, strict=False):
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
            label=name,
        )
    ax.set(
        xlabel="Predicted probability", ylabel="Observed share", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal"
    )
    counts = sorted({int(table["n"].sum()) for table in tables.values()})
    ax.set_title(f"n = {' and '.join(map(str, counts))}; bars: 95 % CI", fontsize=7, loc="left")
    ax.legend(loc="upper left")


def confusion(ax, true, predicted, names):
    """Rows are true classes and add up to one; a cell says its share and, small, how many patients it is.

    true, predicted: class numbers, or names. names: of the classes, in order.
    """
    numbers = [
        np.array([list(names).index(v) if isinstance(v, str) else int(v) for v in values])
        for values in (true, predicted)
    ]
    counts = confusion_matrix(*numbers, labels=range(len(names)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Greys", vmin=0, vmax=1.25)
    for (i, j), share in np.ndenumerate(shares):
        if counts[i, j]:
            ax.text(
                j,
                i,
                f"{share:.2f}\n({counts[i, j]})",
                ha="center",
                va="center",
                fontsize=6,
                color="white" if share > 0.65 else "black",
                linespacing=0.9,
            )
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), [f"{name} (n = {n})" for name, n in zip(names, counts.sum(axis=1))])
    ax.set(xlabel="Predicted class", ylabel="True class")
    ax.set_title(f"n = {counts.sum()}; share of row (count)", fontsize=7, loc="left")
