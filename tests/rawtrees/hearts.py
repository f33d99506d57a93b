"""Virtual studies that the builders of raw folders share: made once per test run."""

from functools import lru_cache

from cinema.phantom import cohort
from cinema.terms import LAX_VIEWS

# As a scanner writes them, but coarse: 17 cm around the heart.
GRID = {"sax": ((96, 96, 8), (1.8, 1.8, 10.0)), **{view: ((96, 96), (1.8, 1.8)) for view in LAX_VIEWS}}
SMALL = {"sax": ((64, 56, 6), (2.5, 2.5, 10.0)), **{view: ((64, 56), (2.5, 2.5)) for view in LAX_VIEWS}}


def hearts(role, n=6, seed=0, phases=("ED", "ES"), grid=None):
    """The first n studies of a virtual sub-cohort: uint8 images, labels of terms.LABELS, attributes, truth.

    phases: ("ED", "ES") or a number of frames. grid: as terms.PUBLISHED_GRID; None takes GRID.
    Cached: do not write into the arrays, copy them first.
    """
    phases = phases if isinstance(phases, int) else tuple(phases)
    return _hearts(role, n, seed, phases, tuple((view, *map(tuple, part)) for view, part in (grid or GRID).items()))


@lru_cache(maxsize=32)
def _hearts(role, n, seed, phases, grid):
    grid = {view: (size, spacing) for view, size, spacing in grid}
    return tuple(cohort.study(cohort.person(role, index, seed), phases, grid) for index in range(n))
