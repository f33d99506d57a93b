"""Fairness: known results, and simulated studies whose gaps, case mix and power are known."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.ndimage import gaussian_filter
from scipy.stats import fisher_exact, permutation_test, ttest_ind
from simulations import COVERAGE, LEVEL, N_STUDIES, within
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from cinema.analysis import fairness, mitigation
from cinema.stats import estimates


def people(rng, n=400):
    """Two attributes without meaning and four metrics that know nothing of them."""
    table = pd.DataFrame(rng.normal(size=(n, 4)), columns=list("abcd"))
    return table.assign(sex=rng.choice(["F", "M"], n), field=rng.choice(["1.5 T", "3 T"], n))


def coverage(draw, truth, n_studies=N_STUDIES):
    """Share of simulated studies whose gap's interval holds the truth; draw(rng) -> values, member, strata."""
    found = [fairness.gap(*draw(np.random.default_rng([1, study]))) for study in range(n_studies)]
    return np.mean([estimate.lower <= truth <= estimate.upper for estimate in found])


def flagged(key, draw, n_studies=N_STUDIES):
    """Share of simulated studies in which the permutation test finds a gap; draw(rng) -> values, member, strata."""
    p = []
    for study in range(n_studies):
        rng = np.random.default_rng([key, study])
        values, member, strata = draw(rng)
        p.append(fairness.permutation_p(values[:, None], member[:, None], rng, strata, 199)[0, 0])
    return np.mean(np.array(p) <= 0.05)


def test_bands_have_names_in_order_and_hold_their_lower_edge():
    banded = fairness.bands(np.array([49.9, 50, 64.9, 65]), (50, 65), "years")
    assert list(banded.categories) == ["< 50 years", "50 to < 65 years", "65 years or more"]
    assert list(banded.codes) == [0, 1, 1, 2]
    assert fairness.groups_of(pd.Series(banded[:3])) == ["< 50 years", "50 to < 65 years"]


def test_rates_have_newcombes_interval_and_means_without_case_mix_welchs():
    values, member = np.repeat([1, 0, 1, 0], [56, 14, 48, 32]), np.repeat([True, False], [70, 80])
    ours = fairness.gap(values, member)
    expected = confint_proportions_2indep(56, 70, 48, 80, method="newcomb")
    assert ours == pytest.approx((0.2, *expected, 150), abs=1e-6)
    assert ours[1:3] == pytest.approx((0.0524, 0.3339), abs=1e-4)  # Newcombe 1998, table II, example (a)
    values, member = np.random.default_rng(0).normal(size=50), np.arange(50) < 17
    assert fairness.gap(values, member) == pytest.approx(estimates.mean_difference(values[member], values[~member]))


def test_case_mix_is_least_squares_with_robust_errors():
    rng = np.random.default_rng(1)
    strata, member = rng.integers(0, 5, 200), rng.random(200) < 0.2
    values = strata + 0.4 * member + rng.normal(size=200) * (1 + member)
    ours = fairness.gap(values, member, strata)
    dummies = np.eye(5)[strata]
    fit = sm.OLS(values, np.column_stack([member, dummies])).fit(cov_type="HC2")
    assert ours.value == pytest.approx(fit.params[0])
    assert (ours.upper - ours.value) / fit.bse[0] == pytest.approx(2.0, abs=0.05)  # Student's t, 40 members or so


def test_a_stratum_without_others_tells_nothing():
    values, member = np.array([1.0, 2, 3, 4, 100, 101]), np.array([1, 1, 0, 0, 1, 1], bool)
    ours = fairness.gap(values, member, [0, 0, 0, 0, 1, 1])
    assert ours.value == pytest.approx(-2.0)
    with pytest.raises(ValueError, match="no stratum holds both"):
        fairness.gap(values, member, [0, 0, 1, 1, 0, 0])


@pytest.mark.parametrize("metric", ("mean", "rate"))
def test_permutation_agrees_with_welch_and_fisher(metric):
    """Enough patients for the t distribution; for rates Fisher's exact test is the permutation test itself."""
    rng = np.random.default_rng(3)
    member = np.arange(120) < 40
    values = rng.normal(size=120) + 0.35 * member if metric == "mean" else (rng.random(120) < 0.7 + 0.15 * member) * 1.0
    ours = fairness.permutation_p(values[:, None], member[:, None], rng, n_permutations=9999)[0, 0]
    table = [[np.sum(values[side] == k) for k in (0, 1)] for side in (member, ~member)]
    welch = ttest_ind(values[member], values[~member], equal_var=False)
    other = (welch if metric == "mean" else fisher_exact(table)).pvalue
    assert ours == pytest.approx(other, abs=0.02)


def test_labels_are_dealt_within_strata_only():
    """Case mix alone makes the difference: within strata all are equal, so that no dealing is more extreme."""
    strata = np.repeat([0, 1], 50)
    member = np.r_[np.arange(50) < 5, np.arange(50) < 45]
    values = strata[:, None] * 10.0 + np.random.default_rng(0).normal(size=(100, 1))
    dealt = partial(fairness.permutation_p, values, member[:, None], n_permutations=999)
    crude, adjusted = (dealt(rng=np.random.default_rng(1), strata=mix)[0, 0] for mix in (None, strata))
    assert crude == 0.001 and adjusted > 0.05


def test_corrections_are_over_the_whole_family():
    rng = np.random.default_rng(5)
    found = fairness.gaps(people(rng), ["sex", "field"], list("abcd"), rng, n_permutations=199)
    assert len(found) == 8 and list(found["against"].unique()) == ["M", "3 T"]
    for column, method in (("p_holm", "holm"), ("p_bh", "fdr_bh")):
        assert found[column].to_numpy() == pytest.approx(multipletests(found["p"], method=method)[1])
    assert (found["lower_all"] < found["lower"]).all() and (found["upper"] < found["upper_all"]).all()


def test_small_groups_are_shown_but_not_tested():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=100), "group": ["x"] * 60 + ["y"] * 35 + ["z"] * 5})
    found = fairness.gaps(table, ["group"], ["a"], rng, n_permutations=19)
    assert list(found["group"]) == ["x", "y"]
    assert list(fairness.by_group(table, ["group"], ["a"], rng)["n"]) == [60, 35, 5]


def test_metrics_of_detection_are_means():
    ill, positive = np.array([1, 1, 1, 0, 0], bool), np.array([1, 1, 0, 1, 0])
    means = fairness.detection_metrics(ill, positive, np.full(5, 0.5)).mean()
    assert means.to_dict() == pytest.approx({"sensitivity": 2 / 3, "specificity": 0.5, "excess": 0.1, "brier": 0.25})


def test_nobody_is_told_by_a_probe_that_saw_them():
    """Features are noise: cross-fitted probabilities know nothing, although a fit to the same patients is perfect."""
    rng = np.random.default_rng(0)
    features, ill = rng.normal(size=(200, 300)), np.arange(200) % 2 == 0
    detection = mitigation.detect(features, ill)
    assert abs(np.mean(detection.probability[ill]) - np.mean(detection.probability[~ill])) < 0.1
    assert all(np.isnan(detection.inner[f, detection.fold == f]).all() for f in range(mitigation.N_FOLDS))


def test_thresholds_come_from_the_other_folds_and_keep_the_sensitivity():
    rng = np.random.default_rng(1)
    ill, groups = rng.random(600) < 0.5, np.repeat(["a", "b"], 300)
    features = np.c_[rng.normal(size=600) + 1.5 * ill * np.where(groups == "a", 1, 0.3), rng.normal(size=600)]
    detection = mitigation.detect(features, ill)
    for chosen in (None, groups):
        limit = mitigation.thresholds(detection, ill, 0.9, chosen)
        found = (detection.probability >= limit)[ill]
        assert abs(found.mean() - 0.9) < 0.05
    assert all(abs(found[groups[ill] == name].mean() - 0.9) < 0.07 for name in "ab")  # a threshold for each


def test_balanced_weights_count_every_cell_the_same():
    groups, ill = np.array(["a"] * 6 + ["b"] * 3), np.array([1, 1, 1, 1, 0, 0, 1, 0, 0])
    weights = mitigation.balanced_weights(groups, ill)
    cells = pd.Series(weights).groupby([groups, ill]).sum()
    assert weights.mean() == pytest.approx(1) and cells.to_numpy() == pytest.approx(np.full(4, 9 / 4))


def test_quality_is_read_from_pixels():
    rng = np.random.default_rng(0)
    still = np.kron(rng.integers(40, 200, (8, 8, 2, 1)), np.ones((8, 8, 1, 2)))
    told = [mitigation.signal_to_noise(still + rng.normal(0, sd, still.shape)) for sd in (4.0, 12.0)]
    expected = np.percentile(still, 95) / 4.0
    assert told[0] == pytest.approx(expected, rel=0.15) and told[1] == pytest.approx(expected / 3, rel=0.2)
    soft = gaussian_filter(still, (1, 1, 0, 0))
    assert mitigation.sharpness_per_mm(soft, (2.0, 2.0)) < 0.9 * mitigation.sharpness_per_mm(still, (2.0, 2.0))


def test_denoising_takes_noise_and_leaves_edges():
    rng = np.random.default_rng(0)
    still = np.kron(rng.integers(40, 200, (4, 4, 2, 1)), np.ones((16, 16, 1, 2)))
    noisy = np.clip(still + rng.normal(0, 10, still.shape), 0, 255).astype(np.uint8)
    before, after = (np.abs(image.astype(float) - still).mean() for image in (noisy, mitigation.denoised(noisy)))
    assert after < 0.5 * before


def test_a_second_reading_corrects_with_others_patients_only():
    rng = np.random.default_rng(0)
    quality, truth = rng.normal(size=400), rng.normal(60, 10, 400)
    table = pd.DataFrame({"ef": truth - 5 * quality + rng.normal(size=400), "snr": quality})
    corrected = mitigation.corrected_by_quality(table, "ef", truth)
    assert np.abs(corrected - truth).mean() < 0.3 * np.abs(table["ef"] - truth).mean()
    noise = pd.DataFrame({"ef": truth, **{str(k): rng.normal(size=400) for k in range(5)}})
    wrong = truth + rng.normal(size=400)  # errors that nothing tells: a fit to the same patients would shrink them
    corrected = mitigation.corrected_by_quality(noise, "ef", wrong)
    assert np.abs(corrected - wrong).mean() > 0.97 * np.abs(truth - wrong).mean()


def test_the_worst_of_equal_groups_is_bad_by_chance():
    rng = np.random.default_rng(2)
    values, groups = rng.normal(size=400), np.repeat(list("wxyz"), 100)
    name, estimate, expected = fairness.worst_group(values, groups, rng)
    means = {g: values[groups == g].mean() for g in "wxyz"}
    assert name == min(means, key=means.get) and estimate.value == pytest.approx(means[name])
    assert expected == pytest.approx(values.mean() - 1.03 * 0.1, abs=0.02)  # least of four normals, SE 0.1


# Sizes: 1600 patients, a group of 18 %; the smallest group 60; rates in the ill, which are half of them.
SIZES = [(288, 1312), (288, 736), (60, 1540)]


@pytest.mark.parametrize("n, others", SIZES)
def test_intervals_of_gaps_in_means_cover(n, others):
    """Dice-like: skewed, more so in the group, and lower by 0.02."""

    def draw(rng):
        return np.r_[rng.beta(22, 3, n) - 0.02, rng.beta(44, 6, others)], np.arange(n + others) < n, None

    assert within(coverage(draw, -0.02), COVERAGE)


@pytest.mark.parametrize("n, others", SIZES)
@pytest.mark.parametrize("rate, gap", [(0.9, -0.1), (0.9, 0.0), (0.6, 0.1)])
def test_intervals_of_gaps_in_rates_cover(n, others, rate, gap):
    def draw(rng):
        sides = rng.random(n // 2) < rate + gap, rng.random(others // 2) < rate
        return np.concatenate(sides) * 1.0, np.arange((n + others) // 2) < n // 2, None

    assert within(coverage(draw, gap), COVERAGE)


def mixed(rng, n, others, rates=False):
    """Group and others of unlike case mix: in the group half have the disease that is read worst, else a fifth."""
    member = np.arange(n + others) < n
    ill, well = (rng.choice(4, n + others, p=p) for p in ([0.2, 0.15, 0.15, 0.5], [0.5, 0.15, 0.15, 0.2]))
    disease = np.where(member, ill, well)
    strata = 3 * disease + rng.integers(0, 3, n + others)
    worse = np.array([0.0, 0.1, 0.2, 0.8])[disease]
    values = (rng.random(n + others) < 0.92 - 0.3 * worse) * 1.0 if rates else worse + rng.gumbel(size=n + others)
    return values, member, strata


@pytest.mark.parametrize("rates", (False, True))
@pytest.mark.parametrize("n, others", SIZES)
def test_adjusted_intervals_cover_nothing_where_case_mix_is_all(n, others, rates):
    def draw(rng):
        return mixed(rng, n, others, rates)

    assert within(coverage(draw, 0.0), COVERAGE)
    crude = coverage(lambda rng: (*draw(rng)[:2], None), 0.0, 200)
    assert crude < (0.6 if n > 100 else 0.85)  # without adjustment the gap is found, and it is none of fairness


def test_case_mix_is_called_a_gap_before_adjustment_and_not_after():
    """The type I error of the adjusted test is nominal, where the crude one nearly always finds something."""
    assert within(flagged(2, partial(mixed, n=60, others=240)), LEVEL)
    assert flagged(2, lambda rng: (*mixed(rng, 60, 240)[:2], None)) > 0.2


def test_a_group_that_only_scatters_more_is_not_called_different():
    """Equal means, three times the spread in the smaller group: a plain permutation of means errs far too often."""
    member = np.arange(300) < 60
    draw = lambda rng: (rng.normal(size=300) * np.where(member, 3, 1), member, None)
    gap = lambda a, b, axis: a.mean(axis) - b.mean(axis)
    plain = []
    for rng in (np.random.default_rng([3, study]) for study in range(200)):
        values, *_ = draw(rng)
        sides = values[member], values[~member]
        plain.append(permutation_test(sides, gap, n_resamples=199, batch=512, rng=rng).pvalue <= 0.05)
    assert within(flagged(3, draw), LEVEL) and np.mean(plain) > 0.15


@pytest.mark.slow
def test_the_whole_family_finds_something_in_five_of_hundred_studies_without_a_gap():
    """Eight independent tests; where tests are correlated, Holm errs less often than it may."""
    found = 0
    for study in range(N_STUDIES):
        rng = np.random.default_rng([4, study])
        family = fairness.gaps(people(rng, 200), ["sex", "field"], list("abcd"), rng, n_permutations=999)
        found += (family["p_holm"] <= 0.05).any()
    assert within(found / N_STUDIES, LEVEL)


@pytest.mark.parametrize("rates", (False, True))
def test_power_at_the_detectable_gap_is_what_it_says(rates):
    n, others = (120, 360) if rates else (60, 340)
    member = np.arange(n + others) < n
    gap = fairness.detectable({"n": n, "n_against": others, "sd": np.nan if rates else 2.0, "rate": 0.85})

    def draw(rng):
        hit, shifted = (rng.random(n + others) < 0.85 - gap * member), (rng.normal(size=n + others) * 2 + gap * member)
        return (hit * 1.0 if rates else shifted), member, None

    assert within(flagged(5, draw), (0.76, 0.84))


def planted(rng):
    """Four ethnic groups; Dice is lower in one of them, by ten times its standard error."""
    ethnicity = rng.choice(["White", "Asian", "Black", "Other"], 800, p=[0.46, 0.18, 0.18, 0.18])
    sex, dice = rng.choice(["F", "M"], 800), rng.beta(44, 6, 800) - 0.045 * (ethnicity == "Black")
    return pd.DataFrame({"ethnicity": ethnicity, "sex": sex, "dice": dice})


def test_a_planted_gap_is_found_and_nothing_else():
    """Against a named reference; against all others, the gap of one group makes the rest look better than they are."""
    flagged = {"reference": [], "all others": []}
    for study in range(100):
        rng = np.random.default_rng([6, study])
        table = planted(rng)
        for name, references in (("reference", {"ethnicity": "White"}), ("all others", None)):
            found = fairness.gaps(table, ["ethnicity", "sex"], ["dice"], rng, references, n_permutations=199)
            flagged[name].append(found.set_index("group")["p_holm"] <= 0.05)
    shares = {name: pd.DataFrame(rows).mean() for name, rows in flagged.items()}
    assert shares["reference"]["Black"] == 1
    assert shares["reference"][["Asian", "Other", "F"]].max() < 0.07
    assert shares["all others"]["White"] > 0.5  # whose images are like everybody's
