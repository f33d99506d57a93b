"""What goes into a statistic, checked at its door: refused in one line with the remedy, never taken for something else.

Text, infinite and missing values are no numbers, 2 and "dead" are no yes, a missing label is no group of its own, and
a model without a single finite estimate has none to print.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import linprog

COLLINEAR = 1e-7  # smallest over largest singular value at which columns follow from each other, but for rounding
REMEDY = "drop those patients and report how many"


def numbers(values: object, what: str = "values", missing: bool = False) -> np.ndarray:
    """values as floats, of any shape; ValueError for text, dates, infinite and, unless allowed, missing values."""
    try:
        if np.asarray(values).dtype.kind in "mMc":
            raise TypeError
        found = np.asarray(values, float)
    except (TypeError, ValueError):
        raise ValueError(f"{what} hold something that is no number; correct it, or {REMEDY}") from None
    bad = int((np.isinf(found) if missing else ~np.isfinite(found)).sum())
    if bad:
        raise ValueError(f"{bad} of {found.size} {what} are not finite; {REMEDY}")
    return found


def shares(values: object, what: str = "probabilities", missing: bool = False) -> np.ndarray:
    """`numbers` that lie in 0..1, or ValueError."""
    found = numbers(values, what, missing)
    if found.size and not (np.nanmin(found, initial=0.0) >= 0 and np.nanmax(found, initial=0.0) <= 1):
        ends = f"{np.nanmin(found):.3g} to {np.nanmax(found):.3g}"
        raise ValueError(f"{what} from {ends}; they must lie in 0..1 (are they percent?)")
    return found


def yes_no(values: object, what: str) -> np.ndarray:
    """values as booleans, of any shape; ValueError for whatever else than 0 or 1 (False or True), and missing ones."""
    given = np.asarray(values)
    if given.dtype.kind in "biuf":
        odd = (given != 0) & (given != 1)
    else:
        odd = ~pd.Series(given.ravel()).isin((0, 1)).to_numpy().reshape(given.shape)  # not "0", not None
    if odd.any():
        some = ", ".join(map(repr, pd.unique(pd.Series(given[odd]).astype(object))[:3]))
        raise ValueError(
            f"{what} holds {some} for {odd.sum()} of {given.size}; it must be 0 (no) or 1 (yes): translate what "
            f"it says, and where it is missing {REMEDY}"
        )
    return given.astype(bool)


def group_numbers(labels: object, what: str = "strata") -> np.ndarray:
    """(n,) number 0, 1 .. of each patient's label; ValueError where a label is missing."""
    found = pd.factorize(pd.Series(labels))[0]  # not of an array: there a missing label among words is a word
    if (found < 0).any():
        raise ValueError(f"{what} of {(found < 0).sum()} of {len(found)} patients are missing; {REMEDY}")
    return found


def columns_differ(gains: np.ndarray, model: str, names: Sequence) -> None:
    """ValueError, naming columns, where some are constant or follow from each other: a model has no single estimate.

    gains: (m, p): by how much each comparison in the likelihood (one who died less one still watched; a case's
           columns, a control's with the sign turned) grows with each coefficient.
    """
    if not len(names):
        return
    size = np.abs(gains).max(axis=0, initial=0.0)
    _, spread, mixes = np.linalg.svd(gains / np.where(size > 0, size, 1.0), full_matrices=False)
    if len(spread) < len(size) or spread[-1] <= COLLINEAR * spread[0]:
        guilty = size == 0 if (size == 0).any() or len(spread) < len(size) else np.abs(mixes[-1]) > 1e-4
        listed = (
            ", ".join(str(name) for name, one in zip(names, guilty, strict=True) if one)
            or "more of them than comparisons"
        )
        raise ValueError(f"no finite {model} estimate: columns constant or collinear: {listed}; drop one")


def outcomes_overlap(gains: np.ndarray, model: str, names: Sequence) -> None:
    """ValueError where some mix of columns lowers no comparison (`columns_differ`) and raises one: the likelihood then
    grows for ever. Source: Albert and Anderson 1984; Bryson and Johnson 1981."""
    if not len(names):
        return
    scaled = gains / np.abs(gains).max(axis=0)
    climb = linprog(-scaled.sum(axis=0), A_ub=-scaled, b_ub=np.zeros(len(scaled)), bounds=(-1, 1)).x
    if np.abs(climb).max() > 0.5:  # with one such mix all its multiples are, so that a bound is reached; else 0
        alone = [name for name, one in zip(names, scaled.T, strict=True) if (one >= 0).all() or (one <= 0).all()]
        listed = ", ".join(map(str, alone)) or f"a mix of {', '.join(map(str, names))}"
        why = "separates the outcomes, or a group has none"
        raise ValueError(f"no finite {model} estimate: {listed} {why}; merge groups, penalise or drop columns")
