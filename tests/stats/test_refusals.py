"""What cannot be computed is refused in one line that says what is wrong; nothing is taken for what it is not."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cinema import results
from cinema.analysis import attributes, cox, disease, ejection, fairness, features, mitigation, survival, systemic
from cinema.plots import classification as curves
from cinema.plots import survival as plots
from cinema.runner import ledger
from cinema.stats import classification, estimates, metrics, power

RNG = np.random.default_rng(0)
NONE = np.zeros((4, 4), bool)
REFUSED = [  # function, arguments, words
    (estimates.bca, (np.array([1.0]), np.mean, RNG), "at least 2"),
    (estimates.bca, (np.array([1.0, np.nan, 2.0]), np.mean, RNG), "1 of 3 values are not finite"),
    (estimates.bca, (np.array(["a", "b"]), np.mean, RNG), "no number"),
    (estimates.mean, ([1.0, np.inf, np.nan], RNG), "1 of 3 values are not finite"),
    (estimates.paired_difference, ([1.0, 2.0], [1.0, 2.0, 3.0], RNG), "same patients"),
    (estimates.paired_difference, ([1.0, None], [1.0, 2.0], RNG), "1 of 2 values are not finite"),
    (estimates.bland_altman, (["60", "50 %", "40"], [60, 50, 40]), "no number"),
    (estimates.proportion, (5, 4), "5 successes of 4"),
    (estimates.holm, ([0.2, 1.2],), "between 0 and 1"),
    (estimates.benjamini_hochberg, ([np.nan],), "between 0 and 1"),
    (estimates.mean_difference, ([1.0, np.inf], [1.0, 2.0]), "1 of 2 values are not finite"),
    (estimates.corrected, (0.95, 0), "0 comparisons"),
    (classification.auc, ([1, 1, 1], [1.0, 2.0, 3.0]), "3 cases and 0 controls"),
    (classification.auc, ([1, 0, 1, 0], [1.0, 2.0]), "2, 4. patients"),
    (classification.auc, ([1, 0, 1, 0], [1.0, np.nan, 0.0, 0.0]), "1 of 4 values are not finite"),
    (classification.auc, ([1, 0, 1, 0], ["high", 1, 2, 3]), "no number"),
    (classification.calibration, ([1, 0, 1, 0], [0.1, 0.2, 1.3, 0.4], RNG), "0..1"),
    (classification.macro_auc, ([0, 0, 1, 1], np.full((4, 3), 1 / 3)), "every class 0..2"),
    (classification.macro_auc, ([0, 0, 1, 1], np.full((4, 2), np.nan)), "8 of 8 probabilities are not finite"),
    (classification.mcc, ([0, 1], [0, 1, 1], RNG), "2 true and 3 predicted"),
    (
        classification.mcc,
        (["NOR", np.nan, "DCM"], ["NOR", "NOR", "DCM"], RNG),
        "classes of 1 of 6 patients are missing",
    ),
    (classification.sensitivity, ([1, 0, 1], [0.2, 0.4, 0.9]), "positive holds 0.2, 0.4, 0.9"),
    (classification.threshold_for_sensitivity, ([1, 0], [0.3, 0.2], 1.5), "sensitivity 1.5"),
    (classification.sensitivity, ([0, 0], [1, 0]), "0 successes of 0"),
    (power.power_of_means, (1.0, 0.0, 10, 10), "sd is 0.0"),
    (power.power_of_means, (np.nan, 1.0, 10, 10), "delta is nan"),
    (power.power_of_means, (1.0, 1.0, np.nan, 10), "groups of nan and 10"),
    (power.detectable_mean_gap, (1.0, 1, 10), "groups of 1 and 10"),
    (power.detectable_proportion_gap, (1.0, 10, 10), "proportion 1.0"),
    (power.power_of_auc, (1.2, 10, 10), "AUC 1.2"),
    (power.power_of_hazard_ratio, (-1.0, 10), "hazard ratio is -1.0"),
    (power.detectable_hazard_ratio, (0,), "events is 0"),
    (power.events_needed, (1.0,), "hazard ratio 1.0"),
    (power.events_needed, (np.nan,), "hazard ratio is nan"),
    (metrics.volume_ml, (np.ones((2, 2), bool), (1, 1, 1)), "mask has 2 axes and spacing_mm 3 entries"),
    (metrics.ejection_fraction_percent, (-1, 2), "cannot be negative"),
    (metrics.regression_metrics, (["M", "F"], [1.0, 2.0]), "something that is no number"),
    (metrics.ef_band, ([60.0, np.nan],), "1 of 2 ejection fractions are not finite"),
    (metrics.classification_metrics, ([[np.nan, 1.0], [0.5, 0.5]], [0, 1]), "1 of 4 probabilities are not finite"),
    (metrics.dice, (NONE, np.zeros((3, 3), bool)), "same grid"),
]

# Follow-up and groups of 40 patients; what is wrong with each replaces one column.
N = 40
time, risk = RNG.exponential(5, N) + 0.1, RNG.uniform(0.1, 0.9, N)
dead, case = np.arange(N) % 2 == 0, np.arange(N) % 3 == 0
x = RNG.normal(size=(N, 2))
detection = SimpleNamespace(inner=np.tile(risk, (2, 1)), fold=np.arange(N) % 2)
strange = {  # what is no yes or no: 1 and 2, words, missing, text digits
    "1, 2": np.where(dead, 1, 2),
    "'alive', 'dead'": np.where(dead, "dead", "alive"),
    "nan": np.where(np.arange(N) == 3, np.nan, dead),
    "None": np.where(np.arange(N) == 3, None, dead),
    "'0', '1'": np.where(dead, "1", "0"),
    "-1": np.where(dead, 1, -1),
}
TAKES_YES_OR_NO = {
    "cox.fit": lambda y: cox.fit(time, y, x),
    "cox.hazard_ratios": lambda y: cox.hazard_ratios(time, y, pd.DataFrame(x)),
    "cox.added_value": lambda y: cox.added_value(time, y, x[:, :1], x[:, 1]),
    "cox.cross_fitted": lambda y: cox.cross_fitted(time, y, x, None, 4.0, RNG),
    "cox.log_likelihood": lambda y: cox.log_likelihood(time, y, x[:, 0]),
    "cox.folds": lambda y: cox.folds(y, 5, RNG),
    "survival.c_index": lambda y: survival.c_index(time, y, x[:, 0]),
    "survival.c_index_difference": lambda y: survival.c_index_difference(time, y, *x.T),
    "survival.auc_at": lambda y: survival.auc_at(time, y, x[:, 0], 4.0),
    "survival.kaplan_meier": lambda y: survival.kaplan_meier(time, y, [1.0]),
    "survival.log_rank": lambda y: survival.log_rank(time, y, case),
    "survival.calibration_table": lambda y: survival.calibration_table(time, y, risk, 4.0),
    "survival.calibration": lambda y: survival.calibration(time, y, risk, 4.0),
    "survival.proportional_hazards": lambda y: survival.proportional_hazards(time, y, pd.DataFrame(x)),
    "systemic.fit": lambda y: systemic.fit(y, x),
    "systemic.scores": lambda y: systemic.scores(y, systemic.cross_parts(np.arange(N) % 4, x)),
    "systemic.added": lambda y: systemic.added(y, x[:, 0], x[:, 1:]),
    "systemic.auc_within": lambda y: systemic.auc_within(y, risk, np.zeros(N)),
    "systemic.matched": lambda y: systemic.matched(y, case, x, RNG),
    "systemic.difference_sd": lambda y: systemic.difference_sd(y, risk),
    "classification.auc": lambda y: classification.auc(y, risk),
    "classification.calibration": lambda y: classification.calibration(y, risk, RNG),
    "classification.specificity": lambda y: classification.specificity(case, y),
    "fairness.detection_metrics, ill": lambda y: fairness.detection_metrics(y, case, risk),
    "fairness.detection_metrics, positive": lambda y: fairness.detection_metrics(case, y, risk),
    "fairness.gap": lambda y: fairness.gap(risk, y),
    "fairness.permutation_p": lambda y: fairness.permutation_p(risk[:, None], np.asarray(y)[:, None], RNG),
    "mitigation.detect": lambda y: mitigation.detect(x, y),
    "mitigation.thresholds": lambda y: mitigation.thresholds(detection, y, 0.9),
    "mitigation.balanced_weights": lambda y: mitigation.balanced_weights(case, y),
    "disease.detection_threshold": lambda y: disease.detection_threshold(y, risk),
    "plots.roc": lambda y: curves.roc(None, y, {"score": risk}),
    "plots.follow_up": lambda y: plots.follow_up(None, time, y),
}


@pytest.mark.parametrize("words", strange)
@pytest.mark.parametrize("name", TAKES_YES_OR_NO)
def test_only_zero_and_one_are_an_outcome(name, words):
    some = [word for word in words.replace("'", "").split(", ") if word not in ("1", "-1")]
    refused(lambda: TAKES_YES_OR_NO[name](strange[words]), rf"{some[0] if some else '-1'}.*it must be 0 \(no\) or 1")


@pytest.mark.parametrize("name", ["cox.hazard_ratios", "systemic.difference_sd", "fairness.gap", "survival.c_index"])
def test_all_ways_to_write_zero_and_one_say_the_same(name):
    said = [TAKES_YES_OR_NO[name](y) for y in (dead, dead * 1, dead * 1.0, dead.astype(object), pd.Series(dead * 1))]
    assert all(one == said[0] for one in said)


def with_one(values, odd):
    """A copy whose fourth number is odd."""
    changed = np.array(values, float)
    changed[3] = odd
    return changed


def table_of(**columns):
    return pd.DataFrame({"sex": np.where(case, "F", "M"), "clinic": np.where(dead, "A", "B"), "dice": risk} | columns)


TAKES_NUMBERS = {  # all refuse an infinite value; those marked do so with a missing one, the others leave it out
    "c_index": (lambda v: survival.c_index(time, dead, v), True),
    "auc_at": (lambda v: survival.auc_at(time, dead, v, 4.0), True),
    "time": (lambda v: survival.kaplan_meier(np.abs(v), dead, [1.0]), True),
    "horizon": (lambda v: survival.kaplan_meier(time, dead, np.abs(v)), True),
    "calibration": (lambda v: survival.calibration(time, dead, v, 4.0), True),
    "cox.fit": (lambda v: cox.fit(time, dead, np.c_[v, x]), True),
    "added_value": (lambda v: cox.added_value(time, dead, x, v), True),
    "proportional_hazards": (lambda v: survival.proportional_hazards(time, dead, pd.DataFrame({"a": v})), True),
    "cross_fitted": (lambda v: cox.cross_fitted(time, dead, np.c_[v, x], None, 4.0, RNG), False),
    "cross_parts": (lambda v: systemic.cross_parts(np.arange(N) % 4, np.c_[v, x]), False),
    "added": (lambda v: systemic.added(case, v, x), False),
    "added, covariates": (lambda v: systemic.added(case, risk, np.c_[v, x]), True),
    "strata": (systemic.strata, True),
    "auc_within": (lambda v: systemic.auc_within(case, v, np.zeros(N)), True),
    "matched": (lambda v: systemic.matched(case, dead, v[:, None], RNG), True),
    "difference_sd": (lambda v: systemic.difference_sd(case, v, x), True),
    "at_prevalence": (lambda v: systemic.at_prevalence(v, 0.3, 0.1), False),
    "bands": (lambda v: fairness.bands(v, (0.3, 0.6)), False),
    "detection_metrics": (lambda v: fairness.detection_metrics(case, dead, v), True),
    "fairness.mean": (lambda v: fairness.mean(v, RNG), False),
    "gap": (lambda v: fairness.gap(v, case), True),
    "permutation_p": (lambda v: fairness.permutation_p(v[:, None], case[:, None], RNG), True),
    "gaps": (lambda v: fairness.gaps(table_of(dice=v), ["sex"], ["dice"], RNG, n_permutations=19), False),
    "worst_group": (lambda v: fairness.worst_group(v, case, RNG, n_permutations=19), False),
    "detect": (lambda v: mitigation.detect(np.c_[v, x], case), True),
    "corrected_by_quality": (lambda v: mitigation.corrected_by_quality(pd.DataFrame({"a": v}), "a", risk), True),
    "detection_threshold": (lambda v: disease.detection_threshold(case, v), True),
    "predicted_number": (lambda v: features.predicted_number(x, v), True),
    "attribute": (lambda v: attributes.known(pd.DataFrame({"age_years": v}), "age"), False),
    "bands of EF": (lambda v: ejection.bands(v, risk, RNG), True),
}


@pytest.mark.parametrize("name", TAKES_NUMBERS)
def test_an_infinite_value_is_refused_and_a_missing_one_is_never_a_number(name):
    function, refuses_missing = TAKES_NUMBERS[name]
    refused(lambda: function(with_one(risk, np.inf)), "1 of .* not finite")
    if refuses_missing:
        refused(lambda: function(with_one(risk, np.nan)), "1 of .* not finite")
    else:
        function(with_one(risk, np.nan))


def test_a_missing_number_is_in_no_band_and_in_no_group():
    banded = fairness.bands([40.0, np.nan, 70.0], (50, 65), "years")
    assert list(banded.codes) == [0, -1, 2]
    age = fairness.bands(with_one(50 + 20 * risk, np.nan), (60,))
    left = table_of(age=age).drop(index=3)
    with_missing, without = (
        fairness.by_group(t, ["age"], ["dice"], np.random.default_rng(1)) for t in (table_of(age=age), left)
    )
    assert with_missing["n"].sum() == N - 1
    pd.testing.assert_frame_equal(with_missing, without)


SITUATIONS = [  # what else has no answer: call, words
    (lambda: survival.c_index(time, dead, x[:, 0], ["a", None] * 20), "strata of 20 of 40 patients are missing"),
    (lambda: survival.c_index(time, dead, x[:, 0], ["a", np.nan] * 20), "strata of 20 of 40 patients are missing"),
    (lambda: survival.log_rank(time, dead, ["a", None] * 20), "groups of 20 of 40 patients are missing"),
    (lambda: survival.log_rank(time, dead, np.zeros(N)), "40 patients in 1 groups"),
    (lambda: survival.kaplan_meier(time, dead, [-1.0]), "years from 0"),
    (lambda: survival.kaplan_meier([], [], [1.0]), "0 patients"),
    (lambda: survival.kaplan_meier(pd.to_timedelta(time, "D"), dead, [1.0]), "times hold something that is no number"),
    (lambda: survival.calibration_table(time, dead, 100 * risk, 4.0), "percent"),
    (lambda: survival.calibration_table(time[:4], dead[:4], risk[:4], 4.0), "0 patients, .* give patients"),
    (lambda: cox.cross_fitted(time, dead, x[:9], None, 4.0, RNG), "9, 40. patients"),
    (lambda: fairness.gap(risk, np.arange(N) == 0), "1 members and 39 others"),
    (lambda: fairness.permutation_p(risk[:, None], (np.arange(N) == 0)[:, None], RNG), "a group of one"),
    (lambda: fairness.permutation_p(1e200 * risk[:, None], case[:, None], RNG), "squares overflow"),
    (lambda: fairness.gap(risk, case, ["a", None] * 20), "strata of 20 of 40 patients are missing"),
    (lambda: fairness.gaps(table_of(clinic=["A", None] * 20), ["sex"], ["dice"], RNG, strata=["clinic"]), "strata of"),
    (lambda: mitigation.detect(x, np.arange(N) < 2), "2 ill of 40"),
    (lambda: mitigation.thresholds(detection, case, 0.9, case), "at least 1 of each"),
    (lambda: mitigation.balanced_weights(["a", None] * 20, case), "groups of 20 of 40 patients are missing"),
    (lambda: disease.detection_threshold(np.zeros(N), risk), "nobody here is ill"),
    (lambda: disease.fitted_temperature(np.full((2, 2), np.nan), np.array([0, 1])), "4 of 4 probabilities"),
    (lambda: disease.logistic_head(with_one(risk, np.nan)[:, None], case * 1, dead, ~dead, 2), "1 of 40 features"),
    (lambda: systemic.difference_sd(case, 2.0 * case), "have no SD"),
    (lambda: estimates.best_rates(pd.DataFrame({"arm": ["a"], "validation": [np.nan]})), "no validation score"),
    (lambda: estimates.difference(pd.DataFrame({"study": [1], "arm": "a", "dice": 0.9}), "a", "b", RNG), "per_patient"),
    (lambda: systemic.at_prevalence(risk, 0.3, 30), "between 0 and 1"),
    (lambda: attributes.known(pd.DataFrame({"age_years": ["60", "unknown"]}), "age"), "age_years hold something"),
    (lambda: features.predicted_class(x, ["a", None] * 20), "classes of 20 of 40"),
]


@pytest.mark.parametrize("function, given, words", REFUSED)
def test_refusals_are_one_line(function, given, words):
    refused(lambda: function(*given), words)


@pytest.mark.parametrize("call, words", SITUATIONS)
def test_what_has_no_answer_is_refused_in_one_line(call, words):
    refused(call, words)


def refused(call, words, kind=ValueError):
    with pytest.raises(kind, match=words) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


# Tables


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


CSV = {
    "empty": b"",
    "binary": bytes(range(256)) * 4,
    "foreign": "name,born\nx,1\n",
    "header alone": None,
    "words": None,
}
READERS = {  # name of the file, its header, a row with words for numbers (None: all are words), what reads it
    "expected": (
        "figures/expected.csv",
        "key,value,tolerance,profile",
        "a,b,c,ci",
        lambda root: results.main(False, root),
    ),
    "ledger": ("data/ledger.csv", ",".join(ledger.LINE), ",".join(ledger.LINE), ledger.read_ledger),
    "oddities": ("data/oddities.csv", ",".join(ledger.ODDITY), None, lambda root: ledger.oddities([], root)),
    "measures": ("m.csv", "study," + ",".join(features.COLUMNS), "a" + 7 * ",b", None),
}


@pytest.mark.parametrize(
    "name, kind", [(name, kind) for name in READERS for kind in CSV if READERS[name][2] or kind != "words"]
)
def test_a_table_that_is_none_is_named_with_its_remedy(name, kind, tmp_path, monkeypatch):
    file, header, words, read = READERS[name]
    content = {"header alone": f"{header}\n", "words": f"{header}\n{words}\n"}.get(kind, CSV[kind])
    path = write(tmp_path / file, content)
    if name == "measures":
        monkeypatch.setattr(features, "study_paths", lambda folder: [])
        read = lambda root: features.measures_on_record(root, record=path)
    elif name == "expected":
        write(tmp_path / "figures" / "results.json", json.dumps([RECORD]))
    said = refused(lambda: read(tmp_path), r"restore|run python3|--update|give")
    assert path.name in said or kind == "words"


RECORD = dict.fromkeys(results.FIELDS) | {"key": "00_a", "value": 1.0, "cohort": "virtual"}
RECORD |= {"notebook": "00", "profile": "ci", "data": "virtual", "seed": 0}
JSON = ["", "[", "{}", "[1]", '[{"key": "a"}]', b"\xff\xfe", "[" * 100_000, json.dumps([RECORD | {"lower": "low"}])]


@pytest.mark.parametrize("content", JSON, ids=lambda content: repr(content[:12]))
def test_damaged_or_foreign_records_are_named_with_their_remedy(content, tmp_path):
    path = write(tmp_path / "figures" / "results.json", content)
    assert str(path) in refused(lambda: results.main(False, tmp_path), "reproduce again")


def test_sound_records_are_read_as_they_are(tmp_path):
    path = write(tmp_path / "results.json", json.dumps([RECORD]))
    assert results.read_json(path) == [RECORD] and results.read_json(tmp_path / "none.json", {}) == {}
    refused(
        lambda: results.read_table(tmp_path / "none.csv", [], "make it"),
        "none.csv is missing; make it",
        FileNotFoundError,
    )
