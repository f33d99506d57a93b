"""Pretraining in pictures: what is left to see, learning against a reference, what features know."""

from cinema.plots.style import GREY, SERIES


def learning(ax, histories, reference, held="val_loss", x="samples"):
    """Error of hidden patches over training: training dashed, held-out people solid, a line for the reference.

    histories: words -> table with columns x, loss and `held`; reference: (words, value).
    """
    for (words, table), (colour, _, marker) in zip(histories.items(), SERIES, strict=False):
        ax.plot(table[x], table["loss"], color=colour, ls="--", lw=0.8)
        ax.plot(table[x], table[held], color=colour, marker=marker, ms=3, label=words)
    words, value = reference
    ax.axhline(value, color=GREY, ls=":", lw=1)
    ax.annotate(words, (0.98, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7,
                color=GREY)
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
