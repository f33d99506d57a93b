"""The masked autoencoder in pictures."""

import numpy as np

from cinema.plots import images

HIDDEN = "#9db4c8"  # hidden patches: a colour no image has


def game(axes, image, hidden):
    """Down a column of three axes: the image, what the model is given, what it has to paint.

    image: (x, y) in 0..1. hidden: (x, y) boolean, True where the model sees nothing.
    """
    for ax, absent in zip(axes, (np.zeros_like(hidden), hidden, ~hidden), strict=True):
        given(ax, image, absent)


def reconstruction(axes, image, hidden, painted):
    """Down a column of three axes: the image, what the model was given, and that filled in with what it painted."""
    for ax, picture, absent in zip(axes, (image, image, np.where(hidden, painted, image)),
                                   (np.zeros_like(hidden), hidden, np.zeros_like(hidden)), strict=True):
        given(ax, picture, absent)


def given(ax, image, absent):
    """An (x, y) image without the pixels where `absent` is True."""
    ax.set_facecolor(HIDDEN)
    images.show(ax, np.where(absent, np.nan, image))


def name_rows(axes, names):
    """Row names at the left of the first column of axes."""
    for ax, name in zip(axes, names, strict=True):
        ax.set_ylabel(name)
