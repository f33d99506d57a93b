"""The best anybody could do on a virtual cohort, from what was planted in it.

Scores are the true linear predictors (outcomes.py): a model that reads images can approach these
numbers and, but for chance, not pass them. More is a leak.
"""

from dataclasses import asdict

import numpy as np

from cinema.phantom import outcomes, people
from cinema.phantom.roles import RESCAN_SD
from cinema.stats.metrics import coefficient_of_variation_percent


def oracle_scores(person, heart):
    """True scores of one person by name: per exposure the log odds from covariates and the log likelihood ratio from
    the heart; the log hazard, and its part from age and sex."""
    exposed, scores = {name: person[name] for name in outcomes.EXPOSURES}, {}
    for name in exposed:
        scores[f"covariate_score_{name}"] = outcomes.exposure_logit(name, person)
        scores[f"heart_score_{name}"] = outcomes.heart_score(name, person, heart, exposed)
    scores["log_hazard"], scores["log_hazard_age_sex"] = outcomes.log_hazard(person, heart)
    return scores


def exposure_ceilings(people_with_scores):
    """Per exposure: AUC of covariates, of the heart beyond covariates, of both, and the heart's closed form.
    people_with_scores: dictionaries of attributes and oracle scores."""
    from sklearn.metrics import roc_auc_score

    found = {}
    for name in outcomes.EXPOSURES:
        truth, covariates, heart = _columns(people_with_scores, name, f"covariate_score_{name}", f"heart_score_{name}")
        closed = np.mean([outcomes.auc_of_separation(outcomes.separation(name, sex)) for sex in people.SEXES])
        found[name] = {"heart_closed_form": float(closed)}
        if 0 < truth.sum() < len(truth):
            scores = {"covariates": covariates, "heart": heart, "both": covariates + heart}
            found[name] |= {key: float(roc_auc_score(truth, score)) for key, score in scores.items()}
    return found


def survival_ceilings(people_with_scores):
    """C-index of the true log hazard, of its part from age and sex, and of its imaging part, as censored."""
    from lifelines.utils import concordance_index

    columns = _columns(people_with_scores, "followup_years", "death", "log_hazard", "log_hazard_age_sex")
    time, death, total, age_sex = columns
    found = {}
    for key, score in {"all": total, "age_sex": age_sex, "imaging": total - age_sex}.items():
        closed_form = outcomes.c_index_of_spread(float(score.std()))
        found[key] = {"c_index": float(concordance_index(time, -score, death)), "uncensored_closed_form": closed_form}
    return found


def regression_ceilings(hearts, attributes):
    """Mean absolute error of the best linear reading of age and BMI from the true heart (shape, fat, heart
    rate; sex known), and of guessing the mean."""

    def seen(heart, sex):
        rest = np.log(heart.chest_fat_mm), heart.epicardial_fat_mm, np.log(heart.body_scale), heart.heart_rate_bpm
        return [*people.log_measures(heart, sex), float(sex == "M"), *rest]

    table = np.array([seen(heart, who["sex"]) for heart, who in zip(hearts, attributes)])
    table = np.c_[np.ones(len(table)), (table - table.mean(axis=0)) / table.std(axis=0)]
    found = {}
    for target in ("age_years", "bmi_kg_m2"):
        (y,) = _columns(attributes, target)
        fitted = table @ np.linalg.lstsq(table, y, rcond=None)[0]
        found[target] = {"mae": float(np.abs(y - fitted).mean()), "mae_of_mean": float(np.abs(y - y.mean()).mean())}
    return found


def rescan_variation(persons):
    """Coefficient of variation (percent) between the true hearts of scan and rescan: what no reader can undo."""
    edv, esv = np.array([(p.heart.lv_edv_ml, p.heart.lv_esv_ml) for p in persons]).T
    values = {"lv_edv_ml": edv, "lv_esv_ml": esv, "lv_ef_percent": 100 * (1 - esv / edv)}
    return {name: coefficient_of_variation_percent(v[0::2], v[1::2]) for name, v in values.items()}


def planted(role, persons):
    """What is planted in a role and the ceilings that follow: the content of truth.json.
    persons: many people of the role, not those of the cohort itself."""
    rows = [p.attributes | p.truth for p in persons]
    found = {"imitates": role.imitates, "description": role.description, "n_simulated": len(rows)}
    found["ceilings"] = {"regression": regression_ceilings([p.heart for p in persons], rows)}
    if role.prevalence is not None:
        found |= {
            "exposures": {name: asdict(e) for name, e in outcomes.EXPOSURES.items()},
            "enriched_prevalence": dict(role.prevalence),
            "hazard_ratios": outcomes.HAZARD_RATIOS,
            "death_share": role.death_share,
        }
        found["ceilings"] |= {"exposures": exposure_ceilings(rows), "survival": survival_ceilings(rows)}
    if role.quality_gap is not None:
        found["quality_gap"] = asdict(role.quality_gap)
    if role.paired:
        found["rescan_sd_of_log_measures"] = RESCAN_SD
        found["rescan_cv_percent"] = rescan_variation(persons)
    return found


def _columns(rows, *keys):
    return [np.array([row[key] for row in rows], float) for key in keys]
