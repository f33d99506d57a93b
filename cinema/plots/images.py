"""Pictures of views: grey image, outlines of the structures, landmarks, where slices cut."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from cinema.plots.style import GREY, SERIES
from cinema.terms import COLOURS, LABELS, LINE_STYLES, TISSUE_COLOURS, TISSUE_LABELS, TISSUE_LINE_STYLES

LANDMARK = "#D55E00"
ALL_COLOURS, ALL_STYLES = COLOURS | TISSUE_COLOURS, LINE_STYLES | TISSUE_LINE_STYLES


def panel(ax, view, frame=0, z=None, title=""):
    """One slice of a View at one frame, x to the right and y downward, with a 50 mm bar.

    z: slice index; None takes the middle one.
    """
    pixels = view.image[:, :, view.image.shape[2] // 2 if z is None else z, frame]
    show(ax, pixels, view.spacing_mm, limits=np.percentile(view.image, (0.5, 99)))
    ax.set_title(title)
    length, (width, height) = 50 / view.spacing_mm[0], pixels.shape
    ax.plot([0.05 * width, 0.05 * width + length], [0.95 * height] * 2, color="white", lw=1.5, solid_capstyle="butt")


def show(ax, pixels, spacing_mm=(1.0, 1.0), limits=(0.0, 1.0)):
    """An (x, y) array in grey, without axes."""
    ax.imshow(pixels.T, vmin=limits[0], vmax=limits[1], aspect=spacing_mm[1] / spacing_mm[0])
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def outlines(ax, label, width=1.2):
    """Outlines of the structures of an (x, y) label array: the epicardium for MYO, the cavities for LV and RV.

    Tissue that is ill has outlines of its own and counts as myocardium.
    """
    masks = {name: label == value for name, value in {**LABELS, **TISSUE_LABELS}.items() if value}
    masks["MYO"] = np.logical_or.reduce([masks[name] for name in ("MYO", "LV", *TISSUE_LABELS)])
    for name, mask in masks.items():
        if mask.any():
            line = ax.contour(mask.T, [0.5], colors=ALL_COLOURS[name], linestyles=[ALL_STYLES[name]], linewidths=width)
            line.set_path_effects([withStroke(linewidth=1.7 * width, foreground="white", alpha=0.35)])  # on any grey


def labelled(ax, view, frame=0, z=None, title=""):
    """A panel with the outlines of its labels."""
    z = view.image.shape[2] // 2 if z is None else z
    panel(ax, view, frame, z, title)
    outlines(ax, view.label_at(frame)[:, :, z])


def stack(axes, view, frame, label):
    """All slices of a stack in the order of the axes, with the outlines of an (x, y, z) label array."""
    for z, ax in enumerate(np.ravel(axes)):
        panel(ax, view, frame, z)
        outlines(ax, label[:, :, z], width=0.8)


def landmarks(ax, points):
    """Valve hinges (crosses) and apex (plus) of a (3, 2) array of pixel positions."""
    for point, marker in zip(points, "xx+", strict=True):
        ax.plot(*point, marker, color=LANDMARK, ms=6, mew=1.5)


def structure_legend(fig, names=("LV", "MYO", "RV")):
    """Legend of the structures' outlines below the figure. names: of structures and of ill tissue."""
    words = {"LV": "LV cavity", "MYO": "myocardium (outer border)", "RV": "RV cavity"}
    handles = [
        Line2D([], [], color=ALL_COLOURS[name], ls=ALL_STYLES[name], label=words.get(name, name)) for name in names
    ]
    fig.legend(handles=handles, loc="outside lower left", ncols=min(3, len(names)))


def cuts(ax, view, others, z=0, frame_colour=None):
    """Lines along which other views cut slice z of `view`, as on a scanner's planning screen.

    others: list of (View, colour, line style). frame_colour: of a border that says which line this picture is.
    """
    to_pixels = np.linalg.inv(view.affine)
    for other, colour, line in others:
        nx, ny, nz, _ = other.image.shape
        for k in range(nz):
            corners = [[0, 0, k, 1], [nx - 1, 0, k, 1], [nx - 1, ny - 1, k, 1], [0, ny - 1, k, 1], [0, 0, k, 1]]
            loop = (to_pixels @ other.affine @ np.transpose(corners))[:3].T - [0, 0, z]
            pairs = zip(loop[:-1], loop[1:], strict=True)
            crossings = [(a + (b - a) * a[2] / (a[2] - b[2]))[:2] for a, b in pairs if a[2] * b[2] < 0]
            if len(crossings) == 2:
                ax.plot(*np.transpose(crossings), color=colour, ls=line, lw=1)
    ax.set(xlim=(-0.5, view.image.shape[0] - 0.5), ylim=(view.image.shape[1] - 0.5, -0.5))
    if frame_colour:
        ax.spines[:].set(visible=True, color=frame_colour, linewidth=1.5)


MARGIN_MM = 28.0


def marked(ax, view, frame, true, found, title=""):
    """A frame of a long-axis view cut to the heart: true points as open circles, those found as crosses.

    true: (3, 2) pixels. found: name -> (3, 2) pixels, in the colours of SERIES.
    """
    panel(ax, view, frame, title=title)
    ax.plot(*np.transpose(true), "o", mfc="none", mec="#F0E442", mew=1.1, ms=8, ls="", label="true")
    for (name, points), (colour, _, _), marker in zip(found.items(), SERIES[::2], "x+", strict=False):
        ax.plot(*np.transpose(points), marker, color=colour, ms=6, mew=1.4, ls="", label=name)
    middle, half = np.mean(true, axis=0), np.ptp(true, axis=0).max() / 2 + MARGIN_MM / view.spacing_mm[0]
    ax.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] + half, middle[1] - half))


def offsets(ax, offset_mm, label="offset"):
    """Where points are read relative to their true place: (n, 2) offsets in mm as dots, their mean as a cross."""
    ax.axhline(0, color=GREY, lw=0.5, ls=":")
    ax.axvline(0, color=GREY, lw=0.5, ls=":")
    ax.plot(*offset_mm.T, ".", color=SERIES[2][0], ms=2, alpha=0.4, mew=0)
    ax.plot(*offset_mm.mean(0), "+", color=SERIES[3][0], ms=9, mew=1.6, label="mean")
    ax.set(xlabel="Along x (mm)", ylabel="Along y (mm)", aspect="equal")
    ax.set_title(f"{label} (n = {len(offset_mm)} points)", fontsize=7)


def lengths(ax, part, true, found, frames=None):
    """LV length over the cycle: truth as a line, readings as dots; marks where each reading is longest and shortest."""
    ax.plot(part, true, color=GREY, lw=1.0, label="exact landmarks")
    for (name, values), (colour, _, marker) in zip(found.items(), SERIES, strict=False):
        ax.plot(part, values, color=colour, marker=marker, ms=2.5, lw=0.5, label=name)
        ends = [int(np.argmax(values)), int(np.argmin(values))]
        ax.plot(part[ends], np.asarray(values)[ends], "o", mfc="none", mec=colour, ms=8, mew=0.9)
    ax.set(xlabel="Part of the cycle", ylabel="Length of the LV (mm)")


def formula(ax, x, lines, dots, xlabel, ylabel):
    """A formula as lines and draws as dots: name -> values over x, in the same colours."""
    for (name, values), (colour, line, marker) in zip(lines.items(), SERIES, strict=False):
        ax.plot(x, values, color=colour, ls=line, label=f"{name}, formula")
        if name in dots:
            ax.plot(x, dots[name], marker, color=colour, ms=4, mew=0.8, mfc="none", label=f"{name}, drawn")
    ax.axhline(0, color=GREY, lw=0.5, ls=":")
    ax.set(xlabel=xlabel, ylabel=ylabel)


def rules(ax, estimates, label, margin=None):
    """Estimates with their 95 % intervals, a row for each rule, series one below the other within it.

    estimates: series -> {rule: stats.Estimate}. margin: shades -margin to margin.
    """
    names = list(next(iter(estimates.values())))
    if margin is not None:
        ax.axvspan(-margin, margin, color=GREY, alpha=0.12, lw=0)
    for i, ((series, row), (colour, _, marker)) in enumerate(zip(estimates.items(), SERIES, strict=False)):
        for name, e in row.items():
            y = names.index(name) + (i - (len(estimates) - 1) / 2) * 0.7 / len(estimates)
            ax.errorbar(
                e.value,
                y,
                xerr=[[e.value - e.lower], [e.upper - e.value]],
                color=colour,
                marker=marker,
                ms=3.5,
                capsize=2,
                lw=1,
                ls="",
                label=series if name == names[0] else None,
            )
    ax.axvline(0, color=GREY, ls=":", lw=0.8, zorder=0)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel=label, ylim=(len(names) - 0.5, -0.5))
    counts = {e.n for row in estimates.values() for e in row.values()}
    ax.set_title(f"95 % CI{f', n = {counts.pop()} people' if len(counts) == 1 else ''}", fontsize=7, loc="left")


def spread(ax, spreads, label):
    """Plain numbers in the rows and series of `rules`: series -> {rule: number}."""
    names = list(next(iter(spreads.values())))
    for i, ((series, row), (colour, _, marker)) in enumerate(zip(spreads.items(), SERIES, strict=False)):
        y = np.arange(len(names)) + (i - (len(spreads) - 1) / 2) * 0.7 / len(spreads)
        ax.plot(list(row.values()), y, marker, color=colour, ms=3.5, label=series)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel=label, ylim=(len(names) - 0.5, -0.5), xlim=(0, None))


HIDDEN = "#9db4c8"  # hidden patches: a colour no image has


def game(axes, image, hidden):
    """Down a column of three axes: the image, what the model is given, what it has to paint.

    image: (x, y) in 0..1. hidden: (x, y) boolean, True where the model sees nothing.
    """
    for ax, absent in zip(axes, (np.zeros_like(hidden), hidden, ~hidden), strict=True):
        given(ax, image, absent)


def reconstruction(axes, image, hidden, painted):
    """Down a column of three axes: the image, what the model was given, and that filled in with what it painted."""
    for ax, picture, absent in zip(
        axes,
        (image, image, np.where(hidden, painted, image)),
        (np.zeros_like(hidden), hidden, np.zeros_like(hidden)),
        strict=True,
    ):
        given(ax, picture, absent)


def given(ax, image, absent):
    """An (x, y) image without the pixels where `absent` is True."""
    ax.set_facecolor(HIDDEN)
    show(ax, np.where(absent, np.nan, image))


def name_rows(axes, names):
    """Row names at the left of the first column of axes."""
    for ax, name in zip(axes, names, strict=True):
        ax.set_ylabel(name)
