"""The masked autoencoder in pictures."""

import numpy as np

from cinema.plots import images


def reconstruction(axes, image, hidden, rebuilt=None):
    """Down a column of axes: input, what the model sees, and (with three axes) what it makes of it.

    image, rebuilt: (x, y) in 0..1. hidden: (x, y) boolean, True where the model sees nothing.
    In the third picture the visible parts are the input's, the rest is the model's.
    """
    pictures = [image, np.where(hidden, np.nan, image)]
    if rebuilt is not None:
        pictures.append(np.where(hidden, rebuilt, image))
    for ax, picture in zip(axes, pictures, strict=True):
        ax.set_facecolor("#9db4c8")  # hidden patches: no grey value an image could have
        images.show(ax, picture)


def name_rows(axes, names=("input", "visible", "rebuilt")):
    """Row names at the left of the first column of axes."""
    for ax, name in zip(axes, names, strict=False):
        ax.set_ylabel(name)
