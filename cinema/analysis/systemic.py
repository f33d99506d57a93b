"""Does a score tell the exposed from the others, and does it say more than age, sex and BMI already do?

Scores are logistic regressions of a few free columns (covariates) and of many penalised ones (measures, features of
images). Whatever is estimated, standardisation, components and penalty included, is estimated without the patients who
are then scored.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.utils.extmath import randomized_svd

from cinema.analysis.cox import Z, standardised
from cinema.stats import checks
from cinema.stats.estimates import LEVEL, around

PENALTIES = tuple(10.0 ** np.arange(6, -1, -1))  # of |beta|^2 / 2 against the summed log loss
SLIGHT = 1e-3  # penalty of free columns: keeps a small cohort's estimate finite
N_COMPONENTS, N_FOLDS = 100, 5


class Scores(NamedTuple):
    """What models say of patients they have not seen; (n,) arrays, nan for patients whom no model scores.

    score: log odds relative to the average training patient. wide: what of it comes from the penalised columns, at the
    free columns held constant. risk: probability at the cohort's own share of cases.
    """

    score: np.ndarray
    wide: np.ndarray
    risk: np.ndarray


def folds(n, rng, n_folds=N_FOLDS):
    """(n,) fold numbers of equal size, at random."""
    return rng.permutation(np.arange(n) % n_folds)


def cross_parts(fold, free=None, wide=None, n_components=N_COMPONENTS):
    """Every fold scored by a model of all other folds. For estimates: all patients are scored, by models of many.

    fold: (n,) numbers. free: (n, p) or None. wide: (n, d), of which principal components are kept, or None. Means, SDs
    and components are those of the training rows; missing values become the training mean. No label is used here.
    Not for tests of "no effect": two folds are each other's training data, so that agreement by chance counts twice and
    true nulls are flagged too often (tests/analysis/test_systemic.py). Use forward_parts.
    """
    return [_design_matrix(fold != k, fold == k, free, wide, n_components) for k in np.unique(fold)]


def forward_parts(fold, free=None, wide=None, n_components=N_COMPONENTS):
    """Every fold but the first scored by a model of the folds before it. For tests: no label is used before the patient
    is scored, so that errors of folds are uncorrelated. The price is fewer patients, and models of fewer."""
    return [_design_matrix(fold < k, fold == k, free, wide, n_components) for k in np.unique(fold)[1:]]


def scores(true, parts):
    """Scores of the patients in `parts`; true: (n,) 0 or 1. Each penalty is chosen on the model's training rows."""
    true = checks.yes_no(true, "true").astype(float)
    score, wide, risk = np.full((3, len(true)), np.nan)
    for train, test, seen, new, n_free in parts:
        beta = choose(true[train], seen, n_free)
        odds = beta[0] + new @ beta[1:]  # columns are centred: beta[0] is the average patient
        score[test], risk[test] = odds - beta[0], expit(odds)
        wide[test] = new[:, n_free:] @ beta[n_free + 1 :]
    return Scores(score, wide, risk)


def choose(true, columns, n_free=0):
    """Coefficients, intercept first, at the penalty with the smallest leave-one-out log loss (one Newton step each)."""
    best, kept, beta = np.inf, None, None
    x = np.column_stack([np.ones(len(true)), columns])
    for penalty in PENALTIES if columns.shape[1] > n_free else (SLIGHT,):
        each = np.full(columns.shape[1] + 1, penalty)
        each[: n_free + 1] = SLIGHT
        beta, covariance = fit(true, columns, each, beta)
        odds, reach = x @ beta, np.einsum("ij,jk,ik->i", x, covariance, x, optimize=True)
        p = expit(odds)
        without = odds - reach / np.maximum(1 - p * (1 - p) * reach, 1e-3) * (true - p)
        loss = np.logaddexp(0, np.where(true > 0, -without, without)).mean()
        if loss < best:
            best, kept = loss, beta
    return kept


def fit(true, columns, penalty=0.0, start=None):
    """Logistic regression by Newton's method: (coefficients, covariance), intercept first.
    penalty: number or (p + 1,), of |beta|^2 / 2 against the summed log loss. ValueError where what is not penalised has
    no finite estimate: columns constant, collinear, or such that they separate cases from controls."""
    true = checks.yes_no(true, "true").astype(float)
    x = checks.numbers(np.column_stack([np.ones(len(true)), columns]), "columns")
    penalty = np.broadcast_to(np.asarray(penalty, float), x.shape[1])
    if (penalty == 0).any():
        _has_estimate(true, x, penalty == 0)
    beta, step, best = np.zeros(x.shape[1]) if start is None else start, 0.0, np.inf
    for _ in range(50):
        odds = x @ (beta + step)
        goal = np.logaddexp(0, odds).sum() - true @ odds + penalty @ (beta + step) ** 2 / 2
        if goal > best + 1e-9 * abs(best):
            step = step / 2  # overshot
            continue
        gained, best, beta, p = best - goal, goal, beta + step, expit(odds)
        information = (x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        if gained < 1e-7 * (1 + abs(best)):
            break
        step = np.linalg.solve(information, x.T @ (true - p) - penalty * beta)
    return beta, np.linalg.inv(information)


def added(true, score, covariates, level=LEVEL):
    """What a score says beyond covariates: odds ratio per SD of the score among people alike in them, (Estimate, p).

    Logistic regression of all of them, Wald's interval. Patients without a score are left out. Best given Scores.wide
    of a model with the covariates: a score learnt without them points where they point. As a test, from forward_parts.
    """
    known = np.isfinite(checks.numbers(score, "scores", missing=True))
    true, x = checks.yes_no(true, "true")[known], checks.numbers(np.column_stack([score, covariates])[known], "columns")
    z = (x - x.mean(0)) / np.maximum(x.std(0), 1e-12)
    _has_estimate(true, np.column_stack([np.ones(len(z)), z]))
    beta, covariance = fit(true, z, SLIGHT)
    se = np.sqrt(covariance[1, 1])
    ratio = around(beta[1], norm.ppf((1 + level) / 2) * se, known.sum(), np.exp)
    return ratio, float(2 * norm.sf(abs(beta[1]) / se))


def auc_within(true, score, strata):
    """AUC of pairs of a case and a control from the same stratum, DeLong's variance, logit interval.
    Strata weigh by their number of pairs; strata without both kinds are left out, and n counts the rest."""
    true, score, strata = checks.yes_no(true, "true"), checks.numbers(score, "scores"), np.asarray(strata)
    total = value = variance = n = 0.0
    for stratum in np.unique(strata):
        inside = strata == stratum
        cases, controls = score[inside & true], score[inside & ~true]
        if min(len(cases), len(controls)) < 2:
            continue
        won = (cases[:, None] > controls) + 0.5 * (cases[:, None] == controls)
        pairs = won.size
        spread = won.mean(1).var(ddof=1) / len(cases) + won.mean(0).var(ddof=1) / len(controls)
        total, n = total + pairs, n + len(cases) + len(controls)
        value, variance = value + pairs * won.mean(), variance + pairs**2 * spread
    if not total:
        raise ValueError("no stratum holds two cases and two controls; use wider strata")
    value, se = value / total, np.sqrt(variance) / total
    inside = np.clip(value, 1e-9, 1 - 1e-9)
    half = Z * se / (inside * (1 - inside))
    return around(logit(inside), half, n, expit)._replace(value=float(value))


def strata(covariate_score, n_strata=20):
    """(n,) stratum numbers of equal size, by rank of a score of the covariates."""
    rank = np.argsort(np.argsort(checks.numbers(covariate_score, "scores"), kind="stable"), kind="stable")
    return rank * n_strata // len(rank)


def matched(true, exact, close, rng, caliper=0.25):
    """(cases, controls) as indices: every case, in random order, takes the nearest control that is still free.

    exact: (n,) must be equal. close: (n, p); no column may differ by more than `caliper` SD. Cases without such a
    control are left out.
    """
    true, exact, close = checks.yes_no(true, "true"), np.asarray(exact), checks.numbers(close, "columns")
    z = (close - np.mean(close, axis=0)) / np.std(close, axis=0)
    free, pairs = ~true, []
    for case in rng.permutation(np.flatnonzero(true)):
        others = np.flatnonzero(free & (exact == exact[case]))
        gap = np.abs(z[others] - z[case])
        others, gap = others[(gap <= caliper).all(1)], gap[(gap <= caliper).all(1)]
        if len(others):
            nearest = others[np.argmin((gap**2).sum(1))]
            free[nearest] = False
            pairs.append((case, nearest))
    return tuple(np.array(pairs, int).reshape(-1, 2).T)


def difference_sd(true, values, covariates=None):
    """Mean of cases minus mean of controls in SD of the controls' kind of person, as Estimate.
    covariates: (n, p) held constant by linear regression (the SD is then that of what they leave), or None."""
    true, values = checks.yes_no(true, "true").astype(float), checks.numbers(values)
    x = np.column_stack([np.ones(len(true)), true] + ([] if covariates is None else [covariates]))
    checks.columns_differ(checks.numbers(x, "covariates"), "linear", ["constant", "exposure", *range(x.shape[1] - 2)])
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ x.T @ values
    sd = np.sqrt(((values - x @ beta) ** 2).sum() / max(len(true) - x.shape[1], 1))
    if sd <= 1e-9 * np.abs(values).max():
        raise ValueError("exposure and covariates tell the values exactly, so that they have no SD; give more patients")
    d = beta[1] / sd
    return around(d, Z * np.sqrt(inverse[1, 1] + d**2 / (2 * len(true))), len(true))


def at_prevalence(risk, sampled, wanted):
    """Risks in a population with a share `wanted` of cases, from a model of a sample with a share `sampled`.

    Right where cases and controls were drawn at different rates, each at random: only the intercept of the log odds
    moves. Patients without a risk stay NaN. Source: Prentice and Pyke 1979; King and Zeng 2001.
    """
    risk = checks.shares(risk, "risks", missing=True)
    if not (0 < sampled < 1 and 0 < wanted < 1):
        raise ValueError(f"shares of cases {sampled} sampled and {wanted} wanted; both must lie between 0 and 1")
    return expit(logit(risk) + logit(wanted) - logit(sampled))


def _has_estimate(true, x, free=slice(None)):
    """ValueError unless logistic regression of true (n,) on columns x (n, p), ones first, has one finite estimate.
    free: which columns are not penalised."""
    names = np.array(["constant", *(f"column {k}" for k in range(x.shape[1] - 1))], object)
    turned = np.where(true > 0, 1, -1)[:, None] * x
    checks.columns_differ(turned[:, free], "logistic", names[free])
    checks.outcomes_overlap(turned[:, free], "logistic", names[free])


def _design_matrix(train, test, free, wide, n_components):
    """One model's patients (indices) and columns: (who trains it, whom it scores, the columns of both, standardised by
    the training rows, and how many of these, the first, are free)."""
    train, test = np.flatnonzero(train), np.flatnonzero(test)
    free, wide = (None if columns is None else np.asarray(columns, float) for columns in (free, wide))
    blocks = [standardised(columns[train], columns) for columns in (free, wide) if columns is not None]
    if wide is not None and wide.shape[1] > n_components:
        z, kept = blocks[-1], min(n_components, len(train) // 2)
        blocks[-1] = z @ randomized_svd(z[train].astype(np.float32), kept, n_iter=4, random_state=0)[2].T
    z = np.column_stack(blocks)
    return train, test, z[train], z[test], 0 if free is None else free.shape[1]
