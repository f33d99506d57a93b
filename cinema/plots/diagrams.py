"""Drawings of an idea: boxes with words, arrows between them. Units are those of the canvas, y upward."""

from matplotlib.patches import FancyBboxPatch

from cinema.plots.style import GREY, SERIES

COLOURS = tuple(colour for colour, _, _ in SERIES)  # of boxes, where nothing else gives one


def canvas(ax, width, height):
    """Empty axes from (0, 0) to (width, height) without ticks and frame; one unit is as long as the other."""
    ax.set(xlim=(-0.1, width + 0.1), ylim=(-0.1, height + 0.1), aspect="equal")  # room for the borders
    ax.axis("off")


def box(ax, x, y, w, h, text="", colour=GREY, **words):
    """A box with its lower left corner at (x, y): pale inside, its border of the colour, the text in its middle."""
    shape = {"boxstyle": "round,pad=0,rounding_size=0.08", "linewidth": 1.0}
    ax.add_patch(FancyBboxPatch((x, y), w, h, facecolor=(colour, 0.13), edgecolor=colour, **shape))
    ax.text(x + w / 2, y + h / 2, text, **{"ha": "center", "va": "center", "fontsize": 7} | words)


def arrow(ax, start, end, text="", colour=GREY, **words):
    """An arrow from start to end, both (x, y), with the text above its middle."""
    ax.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.0, "shrinkA": 2, "shrinkB": 2}
    )
    middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    usual = {"ha": "center", "va": "bottom", "fontsize": 7, "xytext": (0, 2), "textcoords": "offset points"}
    ax.annotate(text, middle, **usual | words)


def u_shape(ax, levels, turn, coloured=()):
    """Encoder down the left and decoder up the right, finest level first; `turn`: words of the box they meet in.

    levels: (left, skip, right), the words of a level's boxes and of the arrow from one to the other; "" for no box and
    no arrow. coloured: words of the boxes that stand out.
    """
    width, w, h, step, low = 12.0, 4.3, 1.5, 2.3, 0.1
    canvas(ax, width, step * len(levels) + h + 2 * low)
    colour_of = lambda words: COLOURS[0] if words in coloured else GREY
    box(ax, (width - w - 0.8) / 2, low, w + 0.8, h, turn, colour_of(turn))
    left, right = [], []  # middles of the boxes
    for k, (down, skip, up) in enumerate(levels):
        y, x = step * (len(levels) - k) + low, 0.4 * k + low
        for words, corner, side in ((down, x, left), (up, width - w - x, right)):
            if words:
                box(ax, corner, y, w, h, words, colour_of(words))
                side.append((corner + w / 2, y))
        if skip:
            arrow(ax, (x + w, y + h / 2), (width - w - x, y + h / 2), skip)
    for (x, y), (below, at) in zip(left, [*left[1:], ((width - w) / 2, low)], strict=True):
        arrow(ax, (x, y), (below, at + h))
    for (x, y), (above, at) in zip([((width + w) / 2, low), *right[:0:-1]], right[::-1], strict=True):
        arrow(ax, (x, y + h), (above, at))
