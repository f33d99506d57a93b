"""Virtual people: published reference ranges, planted effects, class rules, variety within classes."""

import numpy as np
import pandas as pd
import pytest

from cinema.phantom import cohort, diseases, people, shape
from cinema.phantom.heart import Heart, Infarct
from cinema.phantom.roles import ROLES

N = 2000


def table(role, n=N, seed=0):
    people_ = (cohort.person(role, i, seed) for i in range(n))
    found = pd.DataFrame([vars(p.heart) | p.attributes | diseases.numbers(p.heart, p.attributes) for p in people_])
    return found.assign(lv_sv_ml=found["lv_edv_ml"] - found["lv_esv_ml"])


@pytest.fixture(scope="module")
def population():
    return table("population")


@pytest.fixture(scope="module")
def healthy(population):
    """The published reference sample's filter, as far as it applies here."""
    ill = population["diabetes"] | population["hypertension"] | population["cancer"]
    return population[~ill & (population["bmi_kg_m2"] < 30)]


# Petersen 2017 (paper_facts 4c), women then men; RV of men: a generator assumption, tested as such.
REFERENCE = {
    "lv_edv_ml": ((124, 21), (166, 32)),
    "lv_esv_ml": ((49, 11), (69, 16)),
    "lv_sv_ml": ((75, 14), (96, 20)),
    "lv_ef": ((61, 5), (58, 5)),
    "mass_index": ((42, 7), (53, 9)),
    "rv_edv_ml": ((125.5, 22), (182, 36)),
    "rv_ef": ((57.5, 5.4), (54, 6)),
    "mean_wall_mm": ((5.3, 0.9), (6.3, 1.1)),  # MESA
}


@pytest.mark.parametrize("measure", REFERENCE)
@pytest.mark.parametrize("sex", ["F", "M"])
def test_healthy_people_have_published_means_and_spreads(healthy, measure, sex):
    mean, sd = REFERENCE[measure][sex == "M"]
    found = healthy.loc[healthy["sex"] == sex, measure]
    assert len(found) > 150
    assert abs(found.mean() - mean) < 0.05 * mean
    # MESA's spread of the wall contains its readers' error, ours does not
    assert (0.6 if measure == "mean_wall_mm" else 0.8) * sd < found.std() < 1.2 * sd


def test_published_ranges_of_women_hold_95_percent(healthy):
    women = healthy[healthy["sex"] == "F"]
    ranges = {"lv_edv_ml": (88, 161), "lv_esv_ml": (31, 68), "lv_ef": (51, 70), "rv_ef": (47, 68)}
    for measure, limits in ranges.items():
        assert 0.90 < women[measure].between(*limits).mean() < 0.99, measure


def test_mapse_is_published_in_size_and_falls_with_age(population):
    assert 13.5 < population["mapse_mm"].mean() < 19
    shortening = population["mapse_mm"] / population["lv_length_mm"]
    assert shortening[population["sex"] == "F"].mean() > shortening[population["sex"] == "M"].mean()
    assert np.corrcoef(population["age_years"], shortening)[0, 1] < -0.1


def test_atria_are_four_fifths_of_the_published_ones(healthy):
    """Hudsmith 2005: largest LA volume 103 +- 30 / 89 +- 21 ml (men, women), with the appendage that ours lacks."""
    for sex, mean, sd in (("M", 103, 30), ("F", 89, 21)):
        found = healthy.loc[healthy["sex"] == sex, "la_volume_ml"]
        assert found.mean() == pytest.approx(0.8 * mean, rel=0.06)
        assert 0.7 * sd < found.std() / 0.8 < 1.3 * sd
    larger = healthy["ra_volume_ml"].mean() / healthy["la_volume_ml"].mean()
    assert 1.0 < larger < 1.15  # the right atrium is the larger one, by a little


def test_failing_hearts_fail_together():
    """Size, EF, shortening and roundness of infarcted hearts go together as in a public table of 300 of them:
    correlation of EDV and EF -0.58; long-axis shortening 3.9 % at EF 20 to 30 %, 7.3 % at 30 to 40 %, with the power
    1.12 of EF; diameter over length with the power 0.27 of the EDV index."""
    people_ = [cohort.person("acdc", index, 1) for index in range(1500)]
    people_ = [p for p in people_ if p.attributes["disease"] == "MINF"]
    hearts = pd.DataFrame([shape.truth(p.heart, [0.0]) | diseases.numbers(p.heart, p.attributes) for p in people_])
    length_mm = np.array([p.heart.lv_length_mm for p in people_])
    roundness = np.sqrt(hearts["lv_edv_ml"] / length_mm**3)  # of any body of one form: proportional to its width
    shortening, power = hearts["shortening_percent"], lambda x, y: np.polyfit(np.log(x), np.log(y), 1)[0]
    assert len(hearts) > 250
    assert np.corrcoef(hearts["lv_edv_ml"], hearts["lv_ef"])[0, 1] == pytest.approx(-0.58, abs=0.15)
    for limits, percent in (((20, 30), 3.9), ((30, 40), 7.3)):
        assert shortening[hearts["lv_ef"].between(*limits)].mean() == pytest.approx(percent, abs=1.5)
    assert power(hearts["lv_ef"], shortening) == pytest.approx(1.12, abs=0.2)
    assert power(hearts["lv_edvi"], roundness) == pytest.approx(0.27, abs=0.1)


def test_population_looks_like_uk_biobank():
    found = table("pretraining")
    assert abs((found["sex"] == "F").mean() - 0.515) < 0.04
    assert abs(found["age_years"].mean() - 63.9) < 0.7 and abs(found["age_years"].std() - 7.7) < 0.6
    for sex, bmi, sbp, height in (("F", (26.2, 4.6), (133, 19), 163), ("M", (27.1, 3.9), (141, 16), 176)):
        group = found[found["sex"] == sex]
        assert abs(group["bmi_kg_m2"].mean() - bmi[0]) < 0.5 and abs(group["bmi_kg_m2"].std() - bmi[1]) < 0.6
        assert abs(group["sbp_mmhg"].mean() - sbp[0]) < 2 and abs(group["sbp_mmhg"].std() - sbp[1]) < 2
        assert abs(group["height_cm"].mean() - height) < 1
    assert abs((found["ethnicity"] == "White").mean() - 0.944) < 0.02


@pytest.mark.parametrize("covariate, unit", [("bmi", people.BMI_SD), ("sbp", people.SBP_SD)])
def test_planted_effects_are_recovered(population, covariate, unit):
    import statsmodels.api as sm

    t = population
    covariates = t[["bmi_kg_m2", "sbp_mmhg", "age_years", "diabetes", "hypertension", "cancer"]]
    male = t["sex"] == "M"
    covariates = covariates.assign(male=male, age_male=t["age_years"] * male, height=np.log(t["height_cm"]))
    design = sm.add_constant(covariates.astype(float).rename(columns={"bmi_kg_m2": "bmi", "sbp_mmhg": "sbp"}))
    for measure, y in {"lv_edv": t["lv_edv_ml"], "lv_mass": t["lv_mass_g"]}.items():
        low, high = sm.OLS(np.log(y), design).fit().conf_int(0.01).loc[covariate] * unit
        assert low < people.EFFECTS[covariate][measure] < high, measure


def person(rng):
    who = people.demographics(rng, people.CLINIC)
    return who | people.circulation(rng, who)


def test_rv_follows_the_published_effect_of_bmi():
    who = people.demographics(np.random.default_rng(0)) | {"sbp_mmhg": 130.0}
    heavy = who | {"bmi_kg_m2": who["bmi_kg_m2"] + people.BMI_SD}
    a, b = (people.natural(people.expected(p), p) for p in (who, heavy))
    ratios = [b[name] / a[name] for name in ("rv_edv_ml", "rv_esv_ml")]
    assert ratios == pytest.approx([1.053, 1.054], abs=0.005)


def test_log_measures_invert_natural():
    rng = np.random.default_rng(3)
    who = person(rng)
    y = people.draw(rng, who)
    heart = Heart(**people.natural(y, who), **people.detail(rng, who))
    np.testing.assert_allclose(people.log_measures(heart, who["sex"]), y, rtol=1e-9)


def test_unknown_measure_is_named():
    with pytest.raises(ValueError, match="unknown measure 'lv_edvv'"):
        people.vector({"lv_edvv": 1.0})


def test_wall_estimate_agrees_with_the_surfaces():
    for heart in (cohort.person("training", index, 5).heart for index in range(24)):
        (mean, largest), truth = people.wall_mm(heart), shape.truth(heart, [0.0])
        assert abs(mean - truth["mean_wall_mm"]) < 0.8
        assert abs(largest - truth["max_wall_mm"]) < 2.2  # most where scars thin a thick wall


CLASSES = [(rules, name) for rules in ("acdc", "mnms", "mnms2") for name in diseases.RULES[rules]]


def patients(rules, disease, n, seed=0):
    for rng in (np.random.default_rng([seed, i]) for i in range(n)):
        who = person(rng)
        yield diseases.patient(rng, disease, rules, who), who


@pytest.mark.parametrize("rules, disease", CLASSES)
def test_every_patient_keeps_the_rule_and_is_feasible(rules, disease):
    for heart, who in patients(rules, disease, 100):
        assert diseases.satisfies(disease, heart, who, rules) and diseases.feasible(heart)


@pytest.mark.parametrize("role", [name for name, role in ROLES.items() if not role.paired])
def test_every_person_of_a_role_keeps_the_rule(role):
    """Not the paired role: a second day may carry a patient across a threshold."""
    for p in (cohort.person(role, index, 7) for index in range(150)):
        disease = p.attributes["disease"]
        assert disease in ("none", "ANY") or diseases.satisfies(disease, p.heart, p.attributes, ROLES[role].rules)


@pytest.mark.parametrize("rules, disease", [("acdc", "NOR"), ("acdc", "DCM"), ("acdc", "HCM"), ("mnms", "HCM")])
def test_walls_of_the_true_surfaces_keep_the_rule(rules, disease):
    for heart, _ in patients(rules, disease, 6, seed=2):
        largest = shape.truth(heart, [0.0])["max_wall_mm"]
        assert largest > 15 if disease == "HCM" else largest < 12


def test_rules_at_their_thresholds():
    man = {"sex": "M", "bsa_m2": 2.0}
    heart = dict(lv_edv_ml=150, lv_esv_ml=60, rv_edv_ml=160, rv_esv_ml=70, lv_mass_g=105, lv_length_mm=96, mapse_mm=14)

    def rule(disease, rules="acdc", who=man, **changes):
        return diseases.satisfies(disease, Heart(**heart | changes), who, rules)

    assert rule("NOR") and not rule("NOR", lv_esv_ml=76) and not rule("NOR", lv_edv_ml=181)
    assert not rule("NOR", rv_edv_ml=201) and not rule("NOR", rv_esv_ml=90)  # RVEF 44 %: borderline
    assert not rule("NOR", who={"sex": "F", "bsa_m2": 1.85})  # 81 ml/m2 is dilated in a woman
    assert rule("DCM", lv_edv_ml=210, lv_esv_ml=130) and not rule("DCM", lv_edv_ml=210, lv_esv_ml=120)
    assert not rule("MINF", lv_esv_ml=100) and rule("MINF", lv_esv_ml=100, infarcts=(Infarct(65, 0.6),))
    assert rule("HCM", lv_mass_g=230, septal_bulge=0.8) and not rule("HCM", lv_mass_g=215, septal_bulge=0.8)
    assert rule("HCM", "mnms", lv_mass_g=215, septal_bulge=0.8)
    assert rule("ARV", rv_edv_ml=221, rv_esv_ml=100) and not rule("ARV", rv_edv_ml=221, rv_esv_ml=127)
    assert rule("LV", "mnms2", lv_edv_ml=215) and not rule("LV", "mnms2", lv_edv_ml=213)
    assert rule("RV", "mnms2", rv_edv_ml=251) and not rule("RV", "mnms2", rv_edv_ml=249)
    with pytest.raises(ValueError, match="no rule for 'AHS'"):
        rule("AHS")


def test_ejection_fractions_resemble_the_audit_of_public_data():
    """MINF 30.8 +- 8.1, NOR 60.2 +- 6.8, HCM 63.1 +- 9.4 (means of many sets, some labels against the rules)."""
    for disease, expected in {"MINF": 30.8, "NOR": 60.2, "HCM": 63.1}.items():
        found = [100 * (1 - h.lv_esv_ml / h.lv_edv_ml) for h, _ in patients("mnms", disease, 200)]
        assert abs(np.mean(found) - expected) < 3.0, disease


def noisy_reading(heart, who, rng):
    """What an ideal reader would note: published reader errors; walls and regional motion by assumption."""
    n, bsa = diseases.numbers(heart, who), who["bsa_m2"]
    regional = max((i.akinesia * i.half_width_deg / 60 * i.half_width_level / 0.4 for i in heart.infarcts), default=0)
    true = [n["lv_edvi"], n["lv_ef"], n["mass_index"], n["max_wall_mm"], n["rv_edvi"], n["rv_ef"], regional]
    return np.array(true) + rng.normal(0, [15 / bsa, 4.2, 17.5 / bsa, 1.5, 30 / bsa, 8, 0.2])


def test_classes_overlap_for_a_reader_with_published_errors():
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import cross_val_score

    rng, y = np.random.default_rng(0), np.repeat(list(diseases.ACDC), 160)
    x = [noisy_reading(*patient, rng) for disease in diseases.ACDC for patient in patients("acdc", disease, 160)]
    forest = RandomForestClassifier(150, min_samples_leaf=3, random_state=0)
    assert 0.80 < cross_val_score(forest, np.array(x), y, cv=5).mean() < 0.93
