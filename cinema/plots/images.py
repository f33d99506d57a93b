"""Pictures of views: grey image, outlines of the structures, landmarks, where slices cut."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

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
    handles = [Line2D([], [], color=ALL_COLOURS[name], ls=ALL_STYLES[name], label=words.get(name, name))
               for name in names]
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
