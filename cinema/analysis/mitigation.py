"""What may be done about a gap without training a network again, and image quality as the pixels tell it.

Detection by a cross-fitted probe on frozen features; a threshold for each group; a head in which groups count the same.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from cinema.stats import checks, classification

N_FOLDS, N_INNER, N_COMPONENTS, PENALTY = 5, 3, 64, 0.1


class Detection(NamedTuple):
    """Cross-fitted probabilities: each patient's from the other folds; `inner` row f: of all outside fold f,
    cross-fitted among themselves (NaN in fold f), from which fold f's threshold may be chosen."""

    probability: np.ndarray
    fold: np.ndarray
    inner: np.ndarray


def detect(features, ill, weights=None, seed=0):
    """Illness told from frozen features by logistic regression on principal components, as a Detection.
    features: (n, d); ill: (n,) booleans; weights: (n,) of patients in the fits, or None."""
    features, ill = np.asarray(features), checks.yes_no(ill, "ill").astype(int)
    checks.numbers(features, "features")
    if min(np.bincount(ill, minlength=2)) < N_INNER:
        raise ValueError(f"{ill.sum()} ill of {len(ill)}; a probe in folds needs {N_INNER} ill and as many healthy")
    weights = np.ones(len(ill)) if weights is None else checks.numbers(weights, "weights")

    def cross_fit(chosen, k):
        found, fold = np.full((2, len(ill)), np.nan)
        splits = StratifiedKFold(k, shuffle=True, random_state=seed).split(chosen, ill[chosen])
        for number, (fit, told) in enumerate((chosen[fit], chosen[told]) for fit, told in splits):
            size = min(N_COMPONENTS, len(fit) // 2, features.shape[1])
            components = PCA(size, whiten=True, svd_solver="randomized", random_state=seed)
            probe = make_pipeline(StandardScaler(), components, LogisticRegression(C=PENALTY, max_iter=1000))
            probe.fit(features[fit], ill[fit], logisticregression__sample_weight=weights[fit])
            found[told], fold[told] = probe.predict_proba(features[told])[:, 1], number
        return found, fold

    everyone = np.arange(len(ill))
    probability, fold = cross_fit(everyone, N_FOLDS)
    return Detection(probability, fold, np.stack([cross_fit(everyone[fold != f], N_INNER)[0] for f in range(N_FOLDS)]))


def thresholds(detection, ill, sensitivity, groups=None):
    """(n,) threshold for each patient, chosen in the other folds: the highest to find that share of the ill there.
    groups: (n,) labels: a threshold for each group, from its own patients (a mitigation); None: one for all.
    ValueError where a group has nobody ill or nobody healthy to choose by."""
    ill, chosen = checks.yes_no(ill, "ill"), np.full(len(ill), np.nan)
    groups = np.zeros(len(ill), int) if groups is None else checks.group_numbers(groups, "groups")
    for f, inner in enumerate(detection.inner):
        for group in np.unique(groups):
            fit = ~np.isnan(inner) & (groups == group)
            limit = classification.threshold_for_sensitivity(ill[fit], inner[fit], sensitivity)
            chosen[(detection.fold == f) & (groups == group)] = limit
    return chosen


def balanced_weights(groups, ill):
    """(n,) weights with mean 1 under which every group counts the same, and within it the ill as much as the healthy
    (a mitigation: a head refitted with these cannot buy accuracy for most with errors in few)."""
    cell = pd.factorize(2 * checks.group_numbers(groups, "groups") + checks.yes_no(ill, "ill"))[0]
    return len(cell) / len(np.unique(cell)) / np.bincount(cell)[cell]


def signal_to_noise(image):
    """Signal over noise of an (x, y, z, t) image from its pixels alone: the 95th percentile over the spread of the
    difference between first and last frame, of which most is noise, since most of a chest does not move."""
    return float(np.percentile(image[..., [0, -1]], 95) / max(_noise(image), 0.3))  # 0.3: of rounding to whole greys


def _noise(image):
    """Standard deviation of the noise in an (x, y, z, t) image, from the difference of first and last frame."""
    difference = image[..., -1].astype(float) - image[..., 0]
    return 1.4826 * np.median(np.abs(difference - np.median(difference))) / np.sqrt(2)  # MAD as SD; two frames


def sharpness_per_mm(image, spacing_mm):
    """Steepness of the sharpest edges of an (x, y, z, t) image: the 99th percentile of the in-plane gradient, as a
    share of the range of grey values, per mm. Noise adds a little to it, blur takes away."""
    frames = image.astype(float)
    across = np.hypot(*np.gradient(frames, *spacing_mm[:2], axis=(0, 1)))
    return float(np.percentile(across, 99) / np.ptp(np.percentile(frames, (1, 99))))


def denoised(image, reach=4):
    """(x, y, z, t) image with each pixel replaced by a mean over pixels whose surroundings look alike, in its slice.

    Non-local means: noise goes, edges stay. reach: pixels in each direction that are looked at. How alike is judged
    against the noise seen between first and last frame, as in `signal_to_noise`. uint8 in, uint8 out.
    Source: Buades 2005.
    """
    image = image.astype(np.float32)
    noise = max(_noise(image), 1.0)
    total, weight = np.zeros_like(image), np.zeros_like(image)
    for dx in range(-reach, reach + 1):
        for dy in range(-reach, reach + 1):
            other = np.roll(image, (dx, dy), (0, 1))
            unlike = uniform_filter((image - other) ** 2, (3, 3, 1, 1))
            alike = np.exp(-np.maximum(unlike - 2 * noise**2, 0) / (0.6 * noise) ** 2)
            total, weight = total + alike * other, weight + alike
    return np.clip(total / weight + 0.5, 0, 255).astype(np.uint8)


def corrected_by_quality(measured, column, truth, seed=0):
    """(n,) a number corrected by what else is known of a study: nobody's correction was fitted with them.

    measured: table of measures and image quality, one row a patient; column: the one to be corrected; truth: (n,).
    Ridge regression of the error on the table and its squares and products, N_FOLDS folds. No group label is used.
    """
    model = make_pipeline(StandardScaler(), PolynomialFeatures(2), StandardScaler(), RidgeCV(np.logspace(-1, 4, 11)))
    checks.numbers(measured, "measures")
    error = checks.numbers(truth, "true numbers") - measured[column].to_numpy()
    folds = KFold(N_FOLDS, shuffle=True, random_state=seed)
    return measured[column].to_numpy() + cross_val_predict(model, measured.to_numpy(), error, cv=folds)
