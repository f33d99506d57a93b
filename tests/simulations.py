"""Simulated studies with a known truth, for every interval and every test of stats.

INTERVALS: name -> (interval of a generator, truth). NULLS: name -> p of a generator, nothing being there.
Sizes are those of the notebooks. Bootstraps take few resamples here; `python3 tests/bench/validity.py` takes as many
studies and resamples as asked for.
"""

from functools import cache, partial

import numpy as np
from scipy import special
from scipy import stats as distributions

from cinema.analysis import ejection
from cinema.stats import classification, estimates

N_STUDIES = 1000
COVERAGE, LEVEL = (0.93, 0.97), (0.03, 0.07)  # what intervals and tests must keep in as many studies
N_RESAMPLES = 500


def covered(interval, truth, n_studies=N_STUDIES):
    """Share of simulated studies whose interval holds the truth, and shares that lie above and below it."""
    ends = np.array([interval(np.random.default_rng([7, study]))[1:3] for study in range(n_studies)])
    above, below = np.mean(ends[:, 0] > truth), np.mean(ends[:, 1] < truth)
    return float(1 - above - below), float(above), float(below)


def within(share, band):
    return band[0] <= share <= band[1]


def false_findings(p_of, n_studies=N_STUDIES, alpha=0.05):
    """Share of simulated studies with p <= alpha."""
    return float(np.mean([p_of(np.random.default_rng([8, study])) <= alpha for study in range(n_studies)]))


def pair(rng, n, gap=0.0, own=10.0, noise=3.0):
    """Two measurements of n patients who differ among themselves by `own`."""
    patient = own * rng.normal(size=n)
    return patient + gap + noise * rng.normal(size=n), patient + noise * rng.normal(size=n)


def scores(rng, n_cases, n_controls, aucs, shared=0.6):
    """true and one normal score for each AUC; the scores correlate by `shared`."""
    true = np.repeat([1, 0], [n_cases, n_controls])
    common = rng.normal(size=len(true))
    shift = np.sqrt(2) * distributions.norm.ppf(aucs)
    noise = np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.normal(size=(len(aucs), len(true)))
    return true, noise + shift[:, None] * true


def paired_gap(rng, n):
    return estimates.paired_difference(*pair(rng, n, 1.0), rng, N_RESAMPLES)


def absolute_error(rng, n):
    return estimates.bca(np.abs(rng.normal(0, 4, n)), np.mean, rng, N_RESAMPLES)


def mean_of_rows(rng, n):
    """Mean of all rows of patients who have several: whole patients are resampled, by their sums and counts."""
    counts = rng.integers(4, 13, n)
    sums = counts * rng.normal(size=n) + np.sqrt(counts) * 0.5 * rng.normal(size=n)
    return estimates.bca((sums, counts), lambda s, c, axis=-1: s.sum(axis) / c.sum(axis), rng, N_RESAMPLES)


def mean_square(rng, n, tails=None):
    """Of differences of standard deviation 4, or of 4 times a t distribution of `tails` degrees of freedom."""
    difference = rng.normal(0, 4, n) if tails is None else 4 * rng.standard_t(tails, n)
    return estimates.bca(difference**2, np.mean, rng, N_RESAMPLES)


def repeatability(rng, n):
    true = rng.normal(60, 6, n)
    first, second = true * (1 + 0.05 * rng.normal(size=(2, n)))
    return ejection.variation(ejection.pair_terms(first, second), rng, N_RESAMPLES)


def agreement(part, rng, n):
    reference = rng.normal(60, 8, n)
    return getattr(estimates.bland_altman(reference + rng.normal(1.5, 4.0, n), reference), part)


def two_means(rng, n1, n2):
    return estimates.mean_difference(rng.normal(1.0, 1.0, n1), rng.normal(0.0, 3.0, n2))


def one_auc(rng, n_cases, n_controls, auc):
    true, (score,) = scores(rng, n_cases, n_controls, [auc])
    return classification.auc(true, score)


def two_aucs(rng, n_cases, n_controls, aucs):
    true, both = scores(rng, n_cases, n_controls, aucs)
    return classification.auc_difference(true, *both)


def classes(rng, n, n_classes, hit):
    """MCC of n patients, whose class is guessed right with chance `hit`, else any other."""
    true = rng.integers(0, n_classes, n)
    wrong = (true + rng.integers(1, n_classes, n)) % n_classes
    return classification.mcc(true, np.where(rng.random(n) < hit, true, wrong), rng, N_RESAMPLES)


def many_aucs(rng, sizes, auc):
    true = np.repeat(range(len(sizes)), sizes)
    score = rng.normal(size=(len(true), len(sizes)))
    score[np.arange(len(true)), true] += np.sqrt(2) * distributions.norm.ppf(auc)
    return classification.macro_auc(true, score)


def two_macro_aucs(rng, sizes, aucs):
    true = np.repeat(range(len(sizes)), sizes)
    shared = rng.normal(size=(len(true), len(sizes)))
    both = [0.7 * shared + np.sqrt(1 - 0.7**2) * rng.normal(size=shared.shape) for _ in aucs]
    for score, auc in zip(both, aucs):
        score[np.arange(len(true)), true] += np.sqrt(2) * distributions.norm.ppf(auc)
    return classification.macro_auc_difference(true, *both)


def risks(part, rng, n, intercept=0.0, slope=1.0):
    logit = rng.normal(-0.5, 1.0, n)
    true = rng.random(n) < special.expit(intercept + slope * logit)
    return classification.calibration(true, special.expit(logit), rng, N_RESAMPLES if part == "brier" else 10)[part]


def right_brier():
    """Expected Brier score of right probabilities, by quadrature over the logit of `risks`."""
    x, weight = np.polynomial.hermite_e.hermegauss(80)
    p = special.expit(x - 0.5)
    return float(np.sum(weight * p * (1 - p)) / weight.sum())


def table():
    """INTERVALS; see the head of the file."""
    cases = {f"paired difference, n {n}": (partial(paired_gap, n=n), 1.0) for n in (20, 40, 80)}
    cases |= {f"MAE, n {n}": (partial(absolute_error, n=n), 4 * np.sqrt(2 / np.pi)) for n in (60, 120, 300)}
    cases |= {f"rows of {n} patients": (partial(mean_of_rows, n=n), 0.0) for n in (15, 30)}
    limits = {"bias": 1.5, "lower_limit": 1.5 - 4 * 1.959964, "upper_limit": 1.5 + 4 * 1.959964}
    cases |= {f"Bland-Altman {part}, n 60": (partial(agreement, part, n=60), truth) for part, truth in limits.items()}
    cases["mean square of 110 differences"] = partial(mean_square, n=110), 16.0
    cases["CV of 110 pairs"] = partial(repeatability, n=110), true_variation()
    cases |= {f"Welch, n {n1} and {n2}": (partial(two_means, n1=n1, n2=n2), 1.0) for n1, n2 in ((20, 60), (60, 20))}
    for n_cases, n_controls in ((100, 100), (60, 240)):
        sizes, words = {"n_cases": n_cases, "n_controls": n_controls}, f"n {n_cases}/{n_controls}"
        cases |= {f"AUC {auc}, {words}": (partial(one_auc, auc=auc, **sizes), auc) for auc in (0.6, 0.75, 0.9, 0.97)}
        for aucs in ((0.8, 0.7), (0.95, 0.9)):
            gap = partial(two_aucs, aucs=aucs, **sizes)
            cases[f"AUC {aucs[0]} - {aucs[1]}, {words}"] = (lambda rng, gap=gap: gap(rng)[0]), aucs[0] - aucs[1]
    cases["MCC, 5 classes, n 150"] = partial(classes, n=150, n_classes=5, hit=0.7), (0.7 - 0.2) / 0.8
    cases["MCC, 2 classes, n 150"] = partial(classes, n=150, n_classes=2, hit=0.85), 0.7
    cases["macro AUC, 5 x 30"] = partial(many_aucs, sizes=(30,) * 5, auc=0.85), 0.85
    cases["macro AUC, 60 40 30 10 10"] = partial(many_aucs, sizes=(60, 40, 30, 10, 10), auc=0.85), 0.85
    uneven = partial(two_macro_aucs, sizes=(60, 40, 30, 10, 10), aucs=(0.85, 0.75))
    cases["macro AUC 0.85 - 0.75, 60 40 30 10 10"] = uneven, 0.85 - 0.75
    cases["calibration intercept, n 100"] = partial(risks, "intercept", n=100, intercept=0.5), 0.5
    cases["calibration slope, n 100"] = partial(risks, "slope", n=100, slope=0.7), 0.7
    cases["Brier, n 200"] = partial(risks, "brier", n=200), right_brier()
    return cases


def true_variation():
    """CV of `repeatability` in percent, by quadrature over both errors."""
    x, weight = np.polynomial.hermite_e.hermegauss(60)
    first, second = 1 + 0.05 * x[:, None], 1 + 0.05 * x
    squares = 2 * ((first - second) / (first + second)) ** 2
    return float(100 * np.sqrt(np.average(squares, weights=np.outer(weight, weight))))


def holm_of_correlated(rng):
    return estimates.holm(distributions.norm.sf(np.sqrt(0.3) * rng.normal() + np.sqrt(0.7) * rng.normal(size=8))).min()


def excludes(interval, truth, rng):
    """p of the test that an interval makes: 0 where it excludes the truth, else 1."""
    lower, upper = interval(rng)[1:3]
    return float(lower <= truth <= upper)


@cache
def wilson_ends(n):
    return np.array([estimates.proportion(k, n)[1:3] for k in range(n + 1)])


def wilson(n, p):
    """Coverage of Wilson's interval, not simulated but summed over all outcomes."""
    outcomes, ends = np.arange(n + 1), wilson_ends(n)
    inside = (ends[:, 0] <= p) & (p <= ends[:, 1])
    return float(distributions.binom.pmf(outcomes[inside], n, p).sum())


INTERVALS = table()
NULLS = {
    "AUC difference, n 100/100": lambda rng: two_aucs(rng, 100, 100, (0.75, 0.75))[1],
    "AUC difference, n 60/240": lambda rng: two_aucs(rng, 60, 240, (0.85, 0.85))[1],
    "Welch, n 20 and 60": partial(excludes, partial(two_means, n1=20, n2=60), 1.0),
    "paired difference, n 40": partial(excludes, partial(paired_gap, n=40), 1.0),
    "Holm, 8 independent": lambda rng: estimates.holm(rng.random(8)).min(),
    "Benjamini-Hochberg, 8 independent, none true": lambda rng: estimates.benjamini_hochberg(rng.random(8)).min(),
}
