"""Pictures of views: grey image, outlines of the structures, landmarks, where slices cut, what a model is given."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from cinema.plots.style import looks
from cinema.terms import ALL_COLOURS, ALL_LINE_STYLES, LABELS, TISSUE_LABELS

LANDMARK = "#D55E00"
HIDDEN = "#9db4c8"  # hidden patches: a colour no image has
MARGIN_MM = 28.0  # around landmarks


def show(ax, pixels, spacing_mm=(1.0, 1.0), limits=(0.0, 1.0)):
    """An (x, y) array in grey, without axes."""
    ax.imshow(pixels.T, vmin=limits[0], vmax=limits[1], aspect=spacing_mm[1] / spacing_mm[0])
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def panel(ax, view, frame=0, z=None, title=""):
    """Slice z (None: the middle one) of a View at one frame, x to the right and y downward, with a 50 mm bar."""
    pixels = view.image[:, :, view.image.shape[2] // 2 if z is None else z, frame]
    show(ax, pixels, view.spacing_mm, limits=np.percentile(view.image, (0.5, 99)))
    ax.set_title(title)
    length, (width, height) = 50 / view.spacing_mm[0], pixels.shape
    ax.plot([0.05 * width, 0.05 * width + length], [0.95 * height] * 2, color="white", lw=1.5, solid_capstyle="butt")


def outlines(ax, label, width=1.2):
    """Outlines of an (x, y) label array: epicardium for MYO, the cavities, and ill tissue, which is MYO as well."""
    masks = {name: label == value for name, value in (LABELS | TISSUE_LABELS).items() if value}
    masks["MYO"] = np.logical_or.reduce([masks[name] for name in ("MYO", "LV", *TISSUE_LABELS)])
    for name, mask in masks.items():
        if mask.any():
            look = {"colors": ALL_COLOURS[name], "linestyles": [ALL_LINE_STYLES[name]], "linewidths": width}
            line = ax.contour(mask.T, [0.5], **look)
            line.set_path_effects([withStroke(linewidth=1.7 * width, foreground="white", alpha=0.35)])  # on any grey


def labelled(ax, view, frame=0, title=""):
    """The middle slice with the outlines of its labels."""
    panel(ax, view, frame, title=title)
    outlines(ax, view.label_at(frame)[:, :, view.image.shape[2] // 2])


def stack(axes, view, frame, label):
    """All slices of a stack in the order of the axes, with the outlines of an (x, y, z) label array."""
    for z, ax in enumerate(np.ravel(axes)):
        panel(ax, view, frame, z)
        outlines(ax, label[:, :, z], width=0.8)


def landmarks(ax, points):
    """Valve hinges (crosses) and apex (plus) of a (3, 2) array of pixel positions."""
    for point, marker in zip(points, "xx+", strict=True):
        ax.plot(*point, marker, color=LANDMARK, ms=6, mew=1.5)


def marked(ax, view, frame, true, found, title=""):
    """A frame of a long-axis view cut to the heart: (3, 2) true pixels as circles, name -> those found as crosses."""
    panel(ax, view, frame, title=title)
    ax.plot(*np.transpose(true), "o", mfc="none", mec="#F0E442", mew=1.1, ms=8, ls="", label="true")
    halo = [withStroke(linewidth=2.6, foreground="white")]  # so that black is seen on dark muscle
    for (name, points), (colour, _, _), marker in zip(found.items(), looks(found), "x+", strict=False):
        ax.plot(*np.transpose(points), marker, color=colour, ms=6, mew=1.4, ls="", label=name, path_effects=halo)
    middle, half = np.mean(true, axis=0), np.ptp(true, axis=0).max() / 2 + MARGIN_MM / view.spacing_mm[0]
    ax.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] + half, middle[1] - half))


def cuts(ax, view, others, z=0, frame_colour=None):
    """Lines along which other views cut slice z of `view`, as on a scanner's planning screen. others: list of (View,
    colour, line style). frame_colour: of a border that says which line this picture is."""
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


def given(ax, image, absent):
    """An (x, y) image without the pixels where `absent` is True."""
    ax.set_facecolor(HIDDEN)
    show(ax, np.where(absent, np.nan, image))


def game(axes, image, hidden):
    """Down three axes: an (x, y) image in 0..1, what the model is given, and what it has to paint, where `hidden`."""
    for ax, absent in zip(axes, (np.zeros_like(hidden), hidden, ~hidden), strict=True):
        given(ax, image, absent)


def reconstruction(axes, image, hidden, painted):
    """Down three axes: the image, what the model was given, and that filled in with what it painted."""
    filled, nothing = np.where(hidden, painted, image), np.zeros_like(hidden)
    for ax, picture, absent in zip(axes, (image, image, filled), (nothing, hidden, nothing), strict=True):
        given(ax, picture, absent)


def error_map(ax, image, painted, guess, hidden, most=0.3):
    """How far `painted` is from an (x, y) image where `hidden`, in grey values up to `most`, and its squared error as a
    share of that of `guess` there."""
    off, of_guess = ((other - image)[hidden] for other in (painted, guess))
    ax.set_facecolor(HIDDEN)
    shown = np.where(hidden, np.abs(painted - image), np.nan)
    ax.imshow(shown.T, cmap="inferno", vmin=0, vmax=most)
    ax.set(xticks=[], yticks=[], xlabel=f"{np.mean(off**2) / np.mean(of_guess**2):.2f} of the mean image's")
    ax.spines[:].set_visible(False)


def weighed(ax, image, weight):
    """An (x, y) image with a weight of 0 to 1 laid over it in orange."""
    show(ax, image)
    ax.imshow(np.ones_like(weight.T), cmap="Oranges", vmin=0, vmax=1.4, alpha=np.clip(weight.T, 0, 1) * 0.85)


def structure_legend(fig, names=("LV", "MYO", "RV")):
    """Legend of the structures' outlines below the figure. names: of structures and of ill tissue."""
    words = {"LV": "LV cavity", "MYO": "myocardium (outer border)", "RV": "RV cavity"}
    looks = [(name, ALL_COLOURS[name], ALL_LINE_STYLES[name]) for name in names]
    handles = [Line2D([], [], color=colour, ls=line, label=words.get(name, name)) for name, colour, line in looks]
    fig.legend(handles=handles, loc="outside lower left", ncols=min(3, len(names)))


def name_rows(axes, names):
    """Row names at the left of the first column of axes."""
    for ax, name in zip(axes, names, strict=True):
        ax.set_ylabel(name)
