"""What is planted in a virtual cohort, how strong it is, and the best that anybody could do with it.

Exposures (diabetes, hypertension, cancer, and one without any effect) depend on age, sex and BMI, and shift the log
measures of the heart. Death follows a proportional hazard in age, sex and three imaging measures. Because all of it is
linear, the ceilings of every analysis are known: from the true linear predictor by simulation, and in closed form (AUC
= Phi(d / sqrt 2) for a heart whose measures are shifted by d standard deviations along the best direction).

Sources: paper_facts 4f, 4g. Assumptions, not to be cited: slopes of exposures on age and sex, how the published effects
of diabetes and hypertension divide between measures, the hazards of age and sex, the baseline hazard's shape, loss to
follow-up, and every enriched share.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from cinema.phantom import people
from cinema.terms import MYOCARDIUM_DENSITY_G_PER_ML

AGE = (63.9, 7.7)  # UK Biobank's CMR cohort: where standardised age is 0, and its unit


@dataclass(frozen=True)
class Exposure:
    """One planted exposure: who has it (log odds per standardised age and BMI, and for men) and what it does."""

    prevalence: float
    log_odds: dict = field(default_factory=dict)  # age, bmi, male
    effect: dict = field(default_factory=dict)  # change of log measures (people.MEASURES)
    sbp_mmhg: float = 0.0
    heart_rate_bpm: float = 0.0
    source: str = ""


EXPOSURES = {
    "diabetes": Exposure(
        0.036,
        {"age": 0.15, "bmi": 0.65, "male": 0.3},
        {"lv_edv": -0.065, "lv_esv_share": 0.024, "lv_mass": -0.01},
        4.0,
        5.0,
        "3.6 %; BMI 28.5 vs 25.7, SBP 139.7 vs 135.7; stroke volume -8 %, wall +3 %, heart rate +5",
    ),
    "hypertension": Exposure(
        0.386,
        {"age": 0.35, "bmi": 0.45, "male": 0.3},
        {"lv_mass": 0.02, "la": 0.04, "shortening": -0.02, "lv_esv_share": -0.005},
        8.0,
        0.0,
        "38.6 %; more mass, larger LA, worse long-axis function, slightly higher EF (sizes assumed, part through SBP)",
    ),
    "cancer": Exposure(
        0.035,
        {"male": -0.65},
        {"lv_esv_share": 0.015},
        source="1,354 of 39,095, 67 % women; EF -0.6 points, about 0.1 SD",
    ),
    "null_exposure": Exposure(0.30, source="no effect on anything, by construction"),
}

# Hazard ratios per standard deviation: published for imaging (mutually adjusted), assumed for age and sex
# (together they give a C-index near 0.70).
HAZARD_RATIOS = {"age": 1.95, "male": 1.6, "low_shortening": 1.14, "lvgfi": 0.85, "lavi": 1.11}
# Mean and SD in the general population of this generator, for standardising.
SCALE = {"shortening": (0.1505, 0.0245), "lvgfi": (45.4, 6.2), "lavi": (43.0, 11.1)}
WEIBULL_SHAPE = 1.3
FOLLOW_UP_YEARS = ((0, 0.25, 0.5, 0.75, 1), (2.0, 3.6, 4.4, 5.9, 8.0))  # published median and quartiles; ends assumed
LOSS_PER_YEAR = 0.004
DEATH_SHARE = 0.02  # dead after the median follow-up; 1 to 3 % in such a cohort
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(41)  # the standard normal distribution as 41 weighted points
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def standardised(person):
    """Covariates of the exposure and hazard models: age, bmi in SD, male 0 or 1."""
    age, bmi = (person["age_years"] - AGE[0]) / AGE[1], (person["bmi_kg_m2"] - 26.6) / people.BMI_SD
    return {"age": age, "bmi": bmi, "male": float(person["sex"] == "M")}


def exposure_logit(name, person, prevalence=None):
    """True log odds of an exposure given age, sex and BMI."""
    exposure, z = EXPOSURES[name], standardised(person)
    start = _intercept(exposure.prevalence if prevalence is None else prevalence, tuple(exposure.log_odds.items()))
    return start + sum(slope * z[key] for key, slope in exposure.log_odds.items())


@lru_cache
def _intercept(prevalence, slopes):
    """Where the logistic model starts so that, over standard covariates, `prevalence` results."""
    slopes = dict(slopes)
    spread = math.hypot(slopes.get("age", 0.0), slopes.get("bmi", 0.0)) * NODES
    male = slopes.get("male", 0.0)

    def excess(start):
        women, men = (WEIGHTS @ (1 / (1 + np.exp(-(start + shift + spread)))) for shift in (0.0, male))
        return 0.515 * women + 0.485 * men - prevalence

    return brentq(excess, -30, 30)


def expose(rng, person, prevalence=()):
    """Draw the exposures of a person, name -> bool. `prevalence` holds (name, share) of enriched ones."""
    shares, u = dict(prevalence), rng.random(len(EXPOSURES))
    logits = [exposure_logit(name, person, shares.get(name)) for name in EXPOSURES]
    return {name: bool(x < 1 / (1 + math.exp(-logit))) for name, logit, x in zip(EXPOSURES, logits, u)}


def total_shift(exposed):
    """(shift of log measures (8,), of SBP in mmHg, of heart rate) from a name -> bool dictionary. SBP is shifted about
    the published mean of the whole population, which contains the exposed."""
    active = [EXPOSURES[name] for name in EXPOSURES if exposed[name]]
    shift = sum((people.vector(e.effect) for e in active), np.zeros(len(people.MEASURES)))
    sbp = sum(e.sbp_mmhg * (exposed[name] - e.prevalence) for name, e in EXPOSURES.items())
    return shift, sbp, sum(e.heart_rate_bpm for e in active)


def total_effect(name):
    """(8,) shift of log measures by an exposure, with what it does through blood pressure."""
    exposure = EXPOSURES[name]
    return people.vector(exposure.effect) + people.vector(people.EFFECTS["sbp"]) * exposure.sbp_mmhg / people.SBP_SD


def covariance_given_covariates(sex):
    """(8, 8) covariance of log measures given age, sex, height and BMI; blood pressure not known."""
    sbp = people.vector(people.EFFECTS["sbp"]) * people.SBP_MMHG[sex][1] / people.SBP_SD
    return people.residual(sex)[1] + np.outer(sbp, sbp)


def separation(name, sex):
    """d of an exposure: distance of the two groups' hearts in SD along the best direction, covariates known."""
    delta = total_effect(name)
    return math.sqrt(delta @ np.linalg.solve(covariance_given_covariates(sex), delta))


def heart_score(name, person, heart, exposed):
    """Log likelihood ratio of an exposure from the true heart, given covariates and the other exposures."""
    shift, sbp_shift, _ = total_shift({**exposed, name: False})
    mu = people.expected(person, people.expected_sbp(person) + sbp_shift) + shift
    delta = total_effect(name)
    away = people.log_measures(heart, person["sex"]) - mu - delta / 2
    return float(away @ np.linalg.solve(covariance_given_covariates(person["sex"]), delta))


def imaging(heart, person):
    """The measures that carry risk: long-axis shortening (share), LVGFI (percent), LAVi (ml/m2)."""
    mean_volume = (heart.lv_edv_ml + heart.lv_esv_ml) / 2
    lvgfi = 100 * (heart.lv_edv_ml - heart.lv_esv_ml) / (mean_volume + heart.lv_mass_g / MYOCARDIUM_DENSITY_G_PER_ML)
    lavi = heart.la_volume_ml / person["bsa_m2"]
    return {"shortening": heart.mapse_mm / heart.lv_length_mm, "lvgfi": lvgfi, "lavi": lavi}


def log_hazard(person, heart):
    """(total, of it from age and sex) true log hazard relative to the average person."""
    z = {name: (value - SCALE[name][0]) / SCALE[name][1] for name, value in imaging(heart, person).items()}
    z = standardised(person) | {"low_shortening": -z["shortening"], "lvgfi": z["lvgfi"], "lavi": z["lavi"]}
    z["male"] -= 0.485
    terms = {name: math.log(ratio) * z[name] for name, ratio in HAZARD_RATIOS.items()}
    return sum(terms.values()), terms["age"] + terms["male"]


@lru_cache
def _weibull_scale(death_share):
    """Scale in years at which `death_share` of the population would be dead after the median follow-up."""
    risk = np.exp(0.84 * NODES)  # 0.84: SD of the log hazard in the population
    cumulative = brentq(lambda h: WEIGHTS @ (1 - np.exp(-h * risk)) - death_share, 1e-9, 1e3)
    return 4.4 / cumulative ** (1 / WEIBULL_SHAPE)


def survive(rng, hazard, death_share=DEATH_SHARE):
    """Follow-up and death from a log hazard: followup_years, death (False = censored)."""
    u = rng.random(3)
    death = _weibull_scale(death_share) * (-math.log(1 - u[0]) * math.exp(-hazard)) ** (1 / WEIBULL_SHAPE)
    end = min(float(np.interp(u[1], *FOLLOW_UP_YEARS)), -math.log(1 - u[2]) / LOSS_PER_YEAR)
    return {"followup_years": round(max(min(death, end), 1 / 365), 3), "death": bool(death <= end)}


def auc_of_separation(d):
    """AUC of one normal marker that is shifted by d standard deviations."""
    return float(ndtr(d / math.sqrt(2)))


def c_index_of_spread(spread):
    """C-index of a normal log hazard with SD `spread`, uncensored: E[1 / (1 + exp(-|difference|))]."""
    grid = np.abs(np.linspace(-8, 8, 4001))
    density = np.exp(-0.5 * grid**2)
    return float(density @ (1 / (1 + np.exp(-math.sqrt(2) * spread * grid))) / density.sum())
