"""Do results hold for everybody? Groups with n and interval, gaps tested as one family, and what could have been seen.

Every metric is a mean over patients: a column of a table with one row a patient, NaN where a patient does not count
(sensitivity: 1 or 0 in the ill, NaN in the healthy). So one set of methods serves Dice, errors, rates and calibration.
"""

import numpy as np
import pandas as pd
from scipy.stats import t as student

from cinema.stats import checks, estimates, power
from cinema.stats.estimates import ALPHA

N_PERMUTATIONS = 4999
CHUNK = 250  # permutations at a time
LEAST = 10  # patients on either side of a gap; smaller groups are shown but not tested


def bands(values, edges, unit=""):
    """Names of bands, in order: "< 50 years", "50 to < 65 years", "65 years or more" for edges (50, 65), or NaN."""
    values = checks.numbers(values, missing=True)
    unit = f" {unit}" if unit else ""
    middle = [f"{low:g} to < {high:g}{unit}" for low, high in zip(edges, edges[1:])]
    names = [f"< {edges[0]:g}{unit}", *middle, f"{edges[-1]:g}{unit} or more"]
    codes = np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="right"))
    return pd.Categorical.from_codes(codes, names, ordered=True)


def detection_metrics(ill, positive, probability):
    """Columns for a table: sensitivity, specificity, excess, brier; each a number a patient whose mean is the metric.
    excess: ill - probability; its mean is calibration in the large: above zero where risks are told too low."""
    ill, positive = checks.yes_no(ill, "ill"), checks.yes_no(positive, "positive").astype(float)
    probability = checks.shares(probability)
    found, spared = np.where(ill, positive, np.nan), np.where(ill, np.nan, 1 - positive)
    excess = ill - probability
    return pd.DataFrame({"sensitivity": found, "specificity": spared, "excess": excess, "brier": excess**2})


def is_rate(values):
    """Whether a column holds nothing but 0, 1 and NaN."""
    return bool(np.isin(values[~np.isnan(values)], (0, 1)).all())


def mean(values, rng, level=estimates.LEVEL):
    """Estimate of a metric over the patients that count: Wilson for rates, BCa for means."""
    values = checks.numbers(values, missing=True)
    values = values[~np.isnan(values)]
    if is_rate(values):
        return estimates.proportion(int(values.sum()), len(values), level)
    return estimates.bca(values, np.mean, rng, level=level)


def by_group(table, attributes, metrics, rng, level=estimates.LEVEL):
    """Tidy rows attribute, group, metric, value, lower, upper, n of groups with at least two patients that count."""
    rows = []
    for attribute in attributes:
        for group in groups_of(table[attribute]):
            for metric in metrics:
                values = table.loc[table[attribute] == group, metric].dropna()
                if len(values) > 1:
                    estimate = mean(values, rng, level)
                    rows.append({"attribute": attribute, "group": group, "metric": metric} | estimate._asdict())
    return pd.DataFrame(rows)


def groups_of(values):
    """Names of the groups that occur: in the order of a categorical, otherwise sorted."""
    present = set(values.dropna())
    order = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else sorted(present)
    return [name for name in order if name in present]


def gap(values, member, strata=None, level=estimates.LEVEL):
    """Estimate of the mean of members minus that of the others; n counts both.

    values: (n,) without NaN; member: (n,) booleans; strata: (n,) labels of case mix, or None.
    Rates without strata: Newcombe's hybrid score interval. Means without strata: Welch. With strata members are
    compared with others of the same stratum only: least squares with one constant a stratum, errors of White's form
    HC2 and Satterthwaite's degrees of freedom, which is Welch's interval where there is a single stratum.
    Sources: Newcombe 1998, method 10; MacKinnon and White 1985; Bell and McCaffrey 2002.
    """
    values, member = checks.numbers(values), checks.yes_no(member, "member")
    if strata is None and is_rate(values):
        sides = (estimates.proportion(int(v.sum()), len(v), level) for v in (values[member], values[~member]))
        return estimates.independent_difference(*sides)
    if min(member.sum(), (~member).sum()) < 2:
        raise ValueError(f"{member.sum()} members and {(~member).sum()} others; a gap of means needs two of each")
    code = np.zeros(len(values), int) if strata is None else checks.group_numbers(strata)
    x, y = _within(member.astype(float), code), _within(values, code)
    spread = x @ x
    if spread == 0:
        raise ValueError("no stratum holds both members and others; use fewer or coarser strata")
    slope = x @ y / spread
    leverage = (1 / np.bincount(code))[code] + x**2 / spread
    share = x**2 * (y - slope * x) ** 2 / np.maximum(1 - leverage, 1e-9) / spread**2
    parts, counts = np.array([share[member].sum(), share[~member].sum()]), np.array([member.sum(), (~member).sum()])
    freedom = parts.sum() ** 2 / max(np.sum(parts**2 / np.maximum(counts - 1, 1)), 1e-300)
    reach = student.ppf((1 + level) / 2, max(freedom, 1)) * np.sqrt(parts.sum())
    return estimates.around(slope, reach, len(values))


def _within(values, code):
    """Values less the mean of their stratum."""
    return values - (np.bincount(code, values) / np.bincount(code))[code]


def permutation_p(values, members, rng, strata=None, n_permutations=N_PERMUTATIONS):
    """(k, m) two-sided p values: could groupings so different arise if labels were dealt at random within strata?

    values: (n, m) metrics without NaN; members: (n, k) booleans. All k x m tests use the same permutations. What strata
    explain is taken out first. Statistic: Welch's t, so that a group that merely scatters more is not called different
    (Janssen 1997; Chung and Romano 2013); for rates, whose spread follows from their mean, the plain difference.
    """
    values, members = checks.numbers(values), checks.yes_no(members, "members")
    rates = np.array([is_rate(column) for column in values.T])
    code = np.zeros(len(values), int) if strata is None else checks.group_numbers(strata)
    rest = np.stack([_within(column, code) for column in values.T], axis=1)
    blocks = [np.flatnonzero(code == k) for k in range(code.max() + 1)]
    rest, members = rest[np.concatenate(blocks)], members[np.concatenate(blocks)]
    places = np.split(np.arange(len(values)), np.cumsum([*map(len, blocks)])[:-1])
    observed, extreme = _distance(members.T[None], rest, rates), np.ones((members.shape[1], values.shape[1]))
    if not np.isfinite(observed).all():
        raise ValueError(
            "a group of one, or values whose squares overflow, have no statistic; merge, or change the unit"
        )
    for done in range(0, n_permutations, CHUNK):
        size = min(CHUNK, n_permutations - done)
        dealt = np.hstack([rng.permuted(np.tile(block, (size, 1)), axis=1) for block in places])
        drawn = _distance(np.stack([column[dealt] for column in members.T], axis=1), rest, rates)
        extreme += np.sum(drawn >= observed - 1e-9, axis=0)
    return extreme / (n_permutations + 1)


def _distance(member, rest, rates):
    """(b, k, m) size of the difference between members (b, k, n) and others in rest (n, m), in standard errors."""
    member = member.astype(np.float64)
    inside = member.sum(axis=-1, keepdims=True)
    outside = len(rest) - inside
    total, square = member @ rest, member @ rest**2
    first, second = total / inside, (rest.sum(axis=0) - total) / outside
    squares = (rest**2).sum(axis=0)
    of_each = (square / inside - first**2) / (inside - 1) + ((squares - square) / outside - second**2) / (outside - 1)
    pooled = squares / len(rest) * (1 / inside + 1 / outside)
    return np.abs(first - second) / np.sqrt(np.maximum(np.where(rates, pooled, of_each), 1e-30))


def comparisons(table, attributes, metrics, references=None):
    """Gaps to be tested: every group against its reference or, without one, against all others (of two groups the first
    against the second), for every metric; left out where a side has fewer than LEAST patients.

    Columns: attribute, group, against, metric; booleans of all patients: those that count (use), the group (member).
    """
    found = []
    for attribute in attributes:
        groups, of = groups_of(table[attribute]), table[attribute].to_numpy()
        reference = (references or {}).get(attribute, groups[-1] if len(groups) == 2 else None)
        for group in [name for name in groups if name != reference]:
            member = of == group
            other = of == reference if reference is not None else ~member & table[attribute].notna().to_numpy()
            for metric in metrics:
                use = (member | other) & table[metric].notna().to_numpy()
                if min((member & use).sum(), (other & use).sum()) >= LEAST:
                    against = "all others" if reference is None else reference
                    found.append((attribute, group, against, metric, use, member))
    return pd.DataFrame(found, columns=["attribute", "group", "against", "metric", "use", "member"])


def gaps(table, attributes, metrics, rng, references=None, strata=None, n_permutations=N_PERMUTATIONS):
    """The family of all gaps: one tidy row per attribute, group and metric.

    references: attribute -> group that the others are held against. Where one group differs, "all others" of another
                group contain it: name a reference to keep the gap of one from being told of all.
    strata:     columns of the table; comparisons are then made only within their combinations.
    Columns: attribute, group, against, metric; gap, lower, upper (95 %), lower_all, upper_all (the same for the
    whole family at once, Bonferroni); n, n_against; p (permutation), p_holm, p_bh (over the whole family); sd (within
    sides; NaN for rates), rate (of the others; NaN for means): what `with_detectable` needs.
    """
    for metric in metrics:
        checks.numbers(table[metric], metric, missing=True)
    tests = comparisons(table, attributes, metrics, references)
    if tests.empty:
        raise ValueError(f"no group of {', '.join(attributes)} has {LEAST} patients to compare; give more patients")
    mix = None if strata is None else table.groupby(list(strata), observed=True).ngroup().to_numpy()
    p = _all_p(table, tests, mix, rng, n_permutations)
    found = tests.drop(columns=["use", "member"])
    found = found.assign(p=p, p_holm=estimates.holm(p), p_bh=estimates.benjamini_hochberg(p))
    rows = []
    for test in tests.itertuples():
        values, member = table[test.metric].to_numpy(float)[test.use], test.member[test.use]
        inside, outside = values[member], values[~member]
        row = {"n": len(inside), "n_against": len(outside), "sd": np.nan, "rate": np.nan}
        if is_rate(values):
            row["rate"] = (outside.sum() + 1) / (len(outside) + 2)  # one at each end: 0 or 1 is not taken for certain
        else:
            squares = (len(inside) - 1) * inside.var(ddof=1) + (len(outside) - 1) * outside.var(ddof=1)
            row["sd"] = float(np.sqrt(squares / (len(values) - 2)))
        for ending, level in (("", 1 - ALPHA), ("_all", estimates.corrected(1 - ALPHA, len(tests)))):
            estimate = gap(values, member, None if mix is None else mix[test.use], level)
            row |= {"gap": estimate.value, f"lower{ending}": estimate.lower, f"upper{ending}": estimate.upper}
        rows.append(row)
    return pd.concat([found, pd.DataFrame(rows)], axis=1)


def _all_p(table, tests, mix, rng, n_permutations):
    """p of every comparison; those that concern the same patients share their permutations."""
    p = np.ones(len(tests))
    for _, some in tests.groupby([use.tobytes() for use in tests["use"]], sort=False):
        use, (column, metrics) = some["use"].iloc[0], pd.factorize(some["metric"])
        row = some.groupby(["attribute", "group"], sort=False).ngroup()
        values = table[list(metrics)].to_numpy(float)[use]
        members = np.stack(some.loc[~row.duplicated(), "member"].to_list(), axis=1)[use]
        found = permutation_p(values, members, rng, None if mix is None else mix[use], n_permutations)
        p[some.index] = found[row, column]
    return p


def detectable(row, alpha=ALPHA):
    """Smallest gap that a comparison (n, n_against, sd, rate: a row of `gaps`) finds 8 times in 10 at level alpha; NaN
    where none is. A fixed gap: for rates it lies towards one half."""
    if np.isnan(row["sd"]):
        return power.detectable_proportion_gap(row["rate"], row["n_against"], row["n"], alpha)
    return power.detectable_mean_gap(row["sd"], row["n"], row["n_against"], alpha) if row["sd"] > 0 else np.nan


def with_detectable(found):
    """`gaps` with columns detectable (at ALPHA) and detectable_all (at ALPHA over the size of the family)."""
    rows = found.to_dict("records")
    one, family = ([detectable(row, alpha) for row in rows] for alpha in (ALPHA, ALPHA / len(rows)))
    return found.assign(detectable=one, detectable_all=family)


def worst_group(values, groups, rng, higher_is_better=True, n_permutations=999):
    """(name, Estimate, expected): the group with the worst mean, and how bad the worst would be with no gap at all.

    The worst of several means is bad by chance too: `expected` is its average when patients are dealt to groups at
    random, and the interval is widened for the number of groups (Bonferroni). Who lacks a value or group is left out.
    """
    values, groups = checks.numbers(values, missing=True), np.asarray(groups)
    known = ~np.isnan(values) & ~pd.isna(groups)
    names, code = np.unique(groups[known], return_inverse=True)
    values = values[known]
    sizes, worst = np.bincount(code), min if higher_is_better else max
    means = np.bincount(code, values) / sizes
    at = list(means).index(worst(means))
    by_chance = [worst(np.bincount(rng.permutation(code), values) / sizes) for _ in range(n_permutations)]
    return names[at], mean(values[code == at], rng, 1 - ALPHA / len(names)), float(np.mean(by_chance))
