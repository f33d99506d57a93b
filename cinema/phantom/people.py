"""Virtual people: who they are, and the heart that goes with it.

A heart is eight log measures. Given the person they are multivariate normal, and linear in age, height, BMI and blood
pressure, so that every effect is planted exactly and every ceiling can be written in closed form (outcomes.py).

Sources: paper_facts 4c (Petersen 2017, UK Biobank, papillary muscles inside the cavity), 4f, 4g. Assumptions of this
generator, not to be cited: RV values of men, LV length, long-axis shortening, atrial volumes (0.8 of Hudsmith's, the
model having no appendage), slopes with age and height, all residual correlations, and everything about the heart's
detail and the chest.
"""

from dataclasses import dataclass, fields
from functools import lru_cache
from math import exp, log, pi, sqrt

import numpy as np

from cinema.phantom.heart import Heart
from cinema.terms import MYOCARDIUM_DENSITY_G_PER_ML

SEXES = ("F", "M")
SIZES = [field.name for field in fields(Heart)][:9]  # volumes, mass, lengths: what log measures stand for
# Mean and coefficient of variation: healthy men, women. esv_share = ESV / EDV = 1 - EF; shortening = MAPSE / length.
_REFERENCE = {
    "lv_edv": ((166, 32 / 166), (124, 21 / 124)),
    "lv_esv_share": ((0.42, 0.05 / 0.42), (0.39, 0.05 / 0.39)),
    "lv_mass": ((105, 9 / 53), (73, 7 / 42)),
    "lv_length": ((98, 0.05), (89, 0.05)),
    "shortening": ((0.147, 0.14), (0.165, 0.14)),
    "rv_esv_share": ((0.46, 0.06 / 0.46), (0.425, 0.054 / 0.425)),
    "la": ((82, 0.28), (71, 0.24)),
    "ra": ((88, 0.28), (74, 0.26)),
}
MEASURES = tuple(_REFERENCE)
REFERENCE = {sex: {name: both[k] for name, both in _REFERENCE.items()} for k, sex in enumerate(("M", "F"))}
CENTRE = {"M": {"bmi": 25.6, "sbp": 137.0, "height": 176.0}, "F": {"bmi": 24.6, "sbp": 129.0, "height": 163.0}}
CENTRE_AGE = 62.0
SBP_MMHG = {"F": (132.5, 18.0), "M": (140.5, 14.8)}  # mean at CENTRE_AGE, SD beyond age and exposures
SBP_PER_DECADE = 4.0
DBP_MMHG = {"F": 77.0, "M": 81.0}

# Change of each log measure. BMI and blood pressure per published standard deviation [S]; RV volumes
# follow, because both ventricles pump the same stroke volume.
BMI_SD, SBP_SD = 4.3, 18.0
EFFECTS = {
    "bmi": {"lv_edv": log(1.048), "lv_esv_share": log(1.044 / 1.048), "lv_mass": log(1.083)}
    | dict.fromkeys(("la", "ra"), log(1.086)),
    "sbp": {"lv_edv": log(1.045), "lv_esv_share": log(1.020 / 1.045), "lv_mass": log(1.068), "shortening": -0.02},
    "age": {"lv_edv": -0.03, "shortening": -0.04, "la": 0.04, "ra": 0.03},  # per decade; directions are published
    "age_men": {"lv_mass": -0.025},
    "height": {"lv_edv": 1.5, "lv_mass": 1.5, "lv_length": 0.4, "la": 1.0, "ra": 1.0},  # per unit of log height
}
LENGTH_PER_EDV = 0.3  # a dilated ventricle grows rounder: its length with the power 0.3 of its volume
CORRELATIONS = {
    "lv_edv": {"lv_mass": 0.55, "la": 0.4, "ra": 0.4},
    "lv_esv_share": {"shortening": -0.4, "rv_esv_share": 0.6},
    "la": {"lv_mass": 0.3, "ra": 0.5},
}


@dataclass(frozen=True)
class Population:
    """Whom a sub-cohort is drawn from. Means and standard deviations; ages are cut at the limits."""

    share_female: float = 0.515
    age_years: tuple = (64.0, 8.3)  # 63.9 +- 7.7 once cut
    age_limits: tuple = (45.0, 82.0)
    bmi: tuple = ((26.2, 4.6), (27.1, 3.9))  # women, men; log-normal
    ethnicity: tuple = (("White", 0.944), ("Asian", 0.019), ("Black", 0.016), ("Other", 0.021))


UK_BIOBANK = Population()
# A hospital's patients: BMI as in ACDC, age as in M&Ms (constants of the release); the sex ratio is assumed.
CLINIC = Population(0.42, (52.0, 18.8), (18.0, 88.0), ((25.56, 4.73), (25.56, 4.73)))


def demographics(rng, population=UK_BIOBANK):
    """Who somebody is: sex, age, height, weight, BMI, BSA, ethnicity, as an attributes dictionary."""
    sex = SEXES[int(rng.random() >= population.share_female)]
    low, high = population.age_limits
    age = next(a for a in iter(lambda: rng.normal(*population.age_years), None) if low <= a <= high)
    height_cm = rng.normal(*((163.0, 6.0) if sex == "F" else (176.0, 7.0)))
    mean, deviation = population.bmi[SEXES.index(sex)]
    mu, sigma = _log_normal(mean, deviation / mean)
    bmi = min(max(rng.lognormal(mu, sigma), 16.0), 48.0)
    weight_kg = bmi * (height_cm / 100) ** 2
    groups, shares = zip(*population.ethnicity)
    return {
        "sex": sex,
        "age_years": round(age, 1),
        "height_cm": height_cm,
        "weight_kg": weight_kg,
        "bmi_kg_m2": bmi,
        "bsa_m2": sqrt(height_cm * weight_kg / 3600.0),  # body surface (Mosteller)
        "ethnicity": groups[int(np.searchsorted(np.cumsum(shares), rng.random() * sum(shares)))],
    }


def decades(person):
    return (person["age_years"] - CENTRE_AGE) / 10


def expected_sbp(person):
    """Systolic pressure (mmHg) expected from sex and age."""
    return SBP_MMHG[person["sex"]][0] + SBP_PER_DECADE * decades(person)


def circulation(rng, person, sbp_shift=0.0, heart_rate_shift=0.0):
    """Resting blood pressure (mmHg) and heart rate (per minute), shifted by what outcomes.py planted.

    Published: SBP 133 +- 19 / 141 +- 16, DBP 77 +- 10 / 81 +- 10 (women / men); 61 per minute.
    """
    z = rng.standard_normal(3).tolist()
    sbp = expected_sbp(person) + sbp_shift + SBP_MMHG[person["sex"]][1] * z[0]
    return {
        "sbp_mmhg": max(sbp, 85.0),
        "dbp_mmhg": max(DBP_MMHG[person["sex"]] + 6.0 * z[0] + 8.0 * z[1], 45.0),
        "heart_rate_bpm": min(max(61.0 + heart_rate_shift + 9.0 * z[2], 42.0), 115.0),
    }


def _log_normal(mean, cv):
    """Mean and standard deviation of the logarithm of a log-normal variable."""
    variance = log(1 + cv**2)
    return log(mean) - variance / 2, sqrt(variance)


def vector(effect):
    """A dictionary of changes in log measures as a (8,) vector in the order of MEASURES."""
    unknown = set(effect) - set(MEASURES)
    if unknown:
        raise ValueError(f"unknown measure {sorted(unknown)[0]!r}; choose among {', '.join(MEASURES)}")
    return np.array([effect.get(name, 0.0) for name in MEASURES])


_EFFECTS = {name: vector(effect) for name, effect in EFFECTS.items()}


@lru_cache
def residual(sex):
    """(mean (8,), covariance (8, 8), its Cholesky factor) of the log measures at the reference person."""
    mu, sigma = np.array([_log_normal(*REFERENCE[sex][name]) for name in MEASURES]).T
    # Published spreads contain height, BMI, pressure and age, which expected() adds: take them out here.
    sigma[MEASURES.index("lv_edv")] *= 0.86
    sigma[MEASURES.index("lv_mass")] *= 0.92
    correlation = np.eye(len(MEASURES))
    for a, others in CORRELATIONS.items():
        for b, value in others.items():
            i, j = MEASURES.index(a), MEASURES.index(b)
            correlation[i, j] = correlation[j, i] = value
    covariance = correlation * np.outer(sigma, sigma)
    return mu, covariance, np.linalg.cholesky(covariance)


def expected(person, sbp_mmhg=None):
    """(8,) expected log measures of a person; `sbp_mmhg` replaces the person's own pressure."""
    centre, sbp = CENTRE[person["sex"]], person["sbp_mmhg"] if sbp_mmhg is None else sbp_mmhg
    away = {
        "bmi": (person["bmi_kg_m2"] - centre["bmi"]) / BMI_SD,
        "sbp": (sbp - centre["sbp"]) / SBP_SD,
        "age": decades(person),
        "height": log(person["height_cm"] / centre["height"]),
        "age_men": decades(person) * (person["sex"] == "M"),
    }
    return sum((_EFFECTS[name] * z for name, z in away.items()), residual(person["sex"])[0])


def draw(rng, person, shift=0.0):
    """(8,) log measures of one person; `shift` (8,) is what exposures add."""
    return expected(person) + shift + residual(person["sex"])[2] @ rng.standard_normal(len(MEASURES))


def natural(log_measures, person):
    """Log measures -> dictionary of the Heart fields they stand for (ml, g, mm)."""
    edv, esv_share, mass, length, shortening, rv_esv_share, la, ra = np.exp(log_measures).tolist()
    length *= (edv / REFERENCE[person["sex"]]["lv_edv"][0]) ** LENGTH_PER_EDV
    esv_share, rv_esv_share = min(esv_share, 0.95), min(rv_esv_share, 0.95)
    rv_edv = edv * (1 - esv_share) / (1 - rv_esv_share)  # equal stroke volumes
    sizes = (edv, edv * esv_share, rv_edv, rv_edv * rv_esv_share, mass, length, shortening * length, la, ra)
    return dict(zip(SIZES, sizes, strict=True))


def log_measures(heart, sex):
    """The inverse of `natural`: (8,) log measures of a heart."""
    length = heart.lv_length_mm / (heart.lv_edv_ml / REFERENCE[sex]["lv_edv"][0]) ** LENGTH_PER_EDV
    shares = heart.lv_esv_ml / heart.lv_edv_ml, heart.mapse_mm / heart.lv_length_mm, heart.rv_esv_ml / heart.rv_edv_ml
    sizes = heart.lv_edv_ml, shares[0], heart.lv_mass_g, length, *shares[1:], heart.la_volume_ml, heart.ra_volume_ml
    return np.log(sizes)


def detail(rng, person):
    """The Heart fields nobody publishes: trabeculae, papillary muscles, torsion, fat, timing. Assumptions."""
    u, z = rng.random(4).tolist(), rng.standard_normal(4).tolist()
    fat = 5.0 + 0.9 * (person["bmi_kg_m2"] - 17.0) + (3.0 if person["sex"] == "F" else 0.0)
    return {
        "septal_bulge": 0.25 * u[0],
        "bulge_angle_deg": 15.0 + 15.0 * z[0],
        "trabeculation": 0.15 + 0.75 * u[1],
        "papillary_size": 0.7 + 0.7 * u[2],
        "torsion_deg": max(8.0 + 3.0 * z[1], 0.0),
        "epicardial_fat_mm": max(1.0 + 0.2 * (person["bmi_kg_m2"] - 18.0) + 0.6 * decades(person) + 2.0 * u[3], 0.5),
        "chest_fat_mm": max(fat * exp(0.2 * z[2]), 4.0),
        "body_scale": (person["weight_kg"] / 75.0) ** (1 / 3),
        "heart_rate_bpm": person["heart_rate_bpm"],
        "es_fraction": min(max(0.355 + 0.02 * z[3], 0.30), 0.42),  # published: end systole at 35 to 36 %
        "detail_seed": int(rng.integers(2**31)),
    }


def wall_mm(heart):
    """(mean, largest) ED wall thickness in mm without building the surfaces, for sampling by rule.

    A half ellipsoid with the heart's volume and length and a shell of its mass; the largest from the bulges, fitted to
    shape.truth: mean within 0.8 mm, largest within about 1 mm, 2 mm where scars thin a thick wall (tested).
    """
    inner = heart.lv_edv_ml * 1000.0
    outer = inner + heart.lv_mass_g / MYOCARDIUM_DENSITY_G_PER_ML * 1000.0
    radius, t = sqrt(inner / (2 / 3 * pi * heart.lv_length_mm)), 8.0
    for _ in range(6):  # Newton
        f = 2 / 3 * pi * (radius + t) ** 2 * (heart.lv_length_mm + t) - outer
        t -= f / (2 / 3 * pi * (radius + t) * (2 * (heart.lv_length_mm + t) + radius + t))
    t *= 0.975
    share = 1 + 0.27 * heart.septal_bulge * heart.bulge_half_width_deg / 50 + 0.1 * heart.apical_bulge
    return t, t / share * max(1.1 + heart.septal_bulge, 1.1 + 0.47 * heart.apical_bulge)
