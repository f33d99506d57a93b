"""Pictures of views: grey image, outlines of the structures, landmarks, where slices cut."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from cinema.terms import COLOURS, LABELS, LINE_STYLES

LANDMARK = "#D55E00"


def panel(ax, view, frame=0, z=None, title=""):
    """One slice of a View at one frame, x to the right and y downward, with a 50 mm bar.

    z: slice index; None takes the middle one.
    """
    pixels = view.image[:, :, view.image.shape[2] // 2 if z is None else z, frame]
    show(ax, pixels, view.spacing_mm, limits=np.percentile(view.image, (0.5, 99.5)))
    ax.set_title(title)
    length, (width, height) = 50 / view.spacing_mm[0], pixels.shape
    ax.plot([0.05 * width, 0.05 * width + length], [0.95 * height] * 2, color="white", lw=1.5, solid_capstyle="butt")


def show(ax, pixels, spacing_mm=(1.0, 1.0), limits=(0.0, 1.0)):
    """An (x, y) array in grey, without axes."""
    ax.imshow(pixels.T, vmin=limits[0], vmax=limits[1], aspect=spacing_mm[1] / spacing_mm[0])
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def outlines(ax, label, alpha=1.0):
    """Outlines of the structures of an (x, y) label array: the epicardium for MYO, the cavities for LV and RV."""
    masks = {"RV": label == LABELS["RV"], "MYO": (label == LABELS["MYO"]) | (label == LABELS["LV"]), "LV": label == LABELS["LV"]}
    for name, mask in masks.items():
        if mask.any():
            ax.contour(mask.T, levels=[0.5], colors=COLOURS[name], linestyles=LINE_STYLES[name], linewidths=1, alpha=alpha)


def labelled(ax, view, frame=0, z=None, title=""):
    """A panel with the outlines of its labels."""
    z = view.image.shape[2] // 2 if z is None else z
    panel(ax, view, frame, z, title)
    outlines(ax, view.label_at(frame)[:, :, z])


def stack(axes, view, frame=0, slices=None):
    """Short-axis slices in the order of the axes, with outlines; the number is the slice index."""
    slices = range(view.image.shape[2]) if slices is None else slices
    for ax, z in zip(np.ravel(axes), slices, strict=True):
        labelled(ax, view, frame, z, title=f"slice {z}")


def landmarks(ax, points):
    """Valve hinges (crosses) and apex (plus) of a (3, 2) array of pixel positions."""
    for point, marker in zip(points, "xx+", strict=True):
        ax.plot(*point, marker, color=LANDMARK, ms=6, mew=1.5)


def structure_legend(fig, names=("LV", "MYO", "RV")):
    """Legend of the structures' outlines below the figure."""
    words = {"LV": "LV cavity", "MYO": "myocardium (outer border)", "RV": "RV cavity"}
    handles = [Line2D([], [], color=COLOURS[name], ls=LINE_STYLES[name], label=words[name]) for name in names]
    fig.legend(handles=handles, loc="outside lower left", ncols=len(names))


def cuts(ax, view, other, colour="white"):
    """Lines along which the slices of `other` cut the plane of `view` (z = 1), as on a scanner's planning screen."""
    to_pixels = np.linalg.inv(view.affine)
    x, y, z, _ = other.image.shape
    for k in range(z):
        corners = np.array([[0, 0, k, 1], [x - 1, 0, k, 1], [x - 1, y - 1, k, 1], [0, y - 1, k, 1]], float)
        loop = (to_pixels @ other.affine @ np.vstack([corners, corners[:1]]).T)[:3].T
        crossings = [_at_plane(a, b) for a, b in zip(loop[:-1], loop[1:], strict=True) if a[2] * b[2] < 0]
        if len(crossings) == 2:
            ax.plot(*np.transpose(crossings), color=colour, lw=0.6, alpha=0.8)
    ax.set_xlim(-0.5, view.image.shape[0] - 0.5)
    ax.set_ylim(view.image.shape[1] - 0.5, -0.5)


def _at_plane(a, b):
    """(x, y) where the segment from a to b meets z = 0."""
    return (a + (b - a) * a[2] / (a[2] - b[2]))[:2]


def planes(ax, views, colours, slices=None, step=1):
    """Views as pictures in space, on 3D axes, in patient mm (RAS). step: every how many pixels one is drawn.

    slices: name -> slice index of a stack; other views show slice 0.
    """
    for name, view in views.items():
        z = (slices or {}).get(name, 0)
        pixels = view.image[::step, ::step, z, 0]
        i, j = np.meshgrid(*(step * np.arange(n + 1) - 0.5 for n in pixels.shape), indexing="ij")
        at = np.einsum("rc,cij->rij", view.affine, np.stack([i, j, np.full_like(i, z), np.ones_like(i)]))[:3]
        low, high = np.percentile(view.image, (0.5, 99.5))
        faces = plt.get_cmap("gray")(np.clip((pixels - low) / (high - low), 0, 1))
        ax.plot_surface(*at, rstride=1, cstride=1, facecolors=faces, shade=False, linewidth=0, antialiased=False)
        edge = np.concatenate([at[:, 0, :], at[:, :, -1], at[:, -1, ::-1], at[:, ::-1, 0]], axis=1)
        ax.plot(*edge, color=colours[name], lw=1.5)
