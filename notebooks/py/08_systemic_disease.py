# ---
# jupyter:
#   cinema:
#     needs: []
# ---

# %% [markdown]
# # Systemic disease: does the heart's picture say more than age, sex and BMI?
#
# **Question.** Can frozen features of cine images tell people with diabetes, hypertension or cancer from others, and
# how much of that is the heart rather than age, sex and body size?
#
# **You will learn**
#
# - why a score above chance proves little, and which difference to look at instead;
# - to compare people with their like: strata, matching, adjustment;
# - to tell an estimate from a test when a model is fitted in folds;
# - how many patients a question needs, and what a risk learned on many cases tells people among whom they are few.
#
# **Claim.** C16: the model "detects changes in diabetes, hypertension, cancer". No published number was found.
#
# **Time.** See README's table; most of it renders the cohort. `paper` needs the UK Biobank; it is refused
# below.
#
# A score that is above chance proves little here. People with diabetes are heavier, people with hypertension older,
# people with cancer more often women, and a picture of the chest shows age, weight and sex well. So the number that
# matters is the *difference* between what covariates and image say together and what covariates say alone. Everybody
# below is *virtual*: what each disease does to the heart was planted with published sizes where there are any, so the
# best that anybody could reach is known, and one more "exposure" was planted that does nothing at all.

# %% tags=["parameters"]
profile = "laptop"
data = "virtual"
data_root = "../data"
seed = 0
out = "../figures"

# %% [markdown]
# Libraries come first, and after them the parts of the project that this page is about.

# %%
import inspect
import json
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from IPython.display import Code, Markdown, display
from joblib import Parallel, delayed
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV

# %%
from cinema import runner
from cinema.analysis import features as features_module
from cinema.analysis import systemic
from cinema.data.study import study_table
from cinema.phantom import cohort, outcomes
from cinema.plots import distributions, forest
from cinema.stats import classification, power
from cinema.stats.estimates import bca, corrected, holm, proportion

# %% [markdown]
# One call opens the page; it also says why patients cannot be asked here. Then come the sizes of its experiments.

# %%
needs = "exposures come from the UK Biobank, after an application; run this page with ci or laptop on virtual data"
page = runner.start("08_systemic_disease", profile, data, data_root, seed, out, paper=needs, virtual_only=True)
record, rng = partial(page.record, claim="C16"), page.rng
n, n_shuffled, n_strata = (200, 20, 5) if page.small else (2000, 200, 20)
NAMES = {"diabetes": "diabetes", "hypertension": "hypertension", "cancer": "cancer", "null_exposure": "null exposure"}

# %% [markdown]
# ## The cohort
#
# *Who is scanned?* A general population in one scanner. In truth a few percent have diabetes or cancer; a cohort of
# this size would hold some dozens of them and settle nothing. Both are therefore *enriched* to about a third, by
# raising the intercept of the planted log odds and nothing else. What that means for power and for predicted risks
# comes at the end.
#
# Features are computed here. What the project's readers *measure* in these people takes longer and is the same at every
# run; it was done once (`python3 -m cinema experiment measures`). Of its table the people of this page are read, twenty
# are measured again, and the page stops if they differ.

# %%
folder = cohort.write("population", n, seed, page.work / f"cohort_population_seed{seed}", jobs=page.jobs)
features = features_module.features(folder, page.jobs)
people = study_table(folder).set_index("id").loc[features.index]
measures = features_module.measures_on_record(folder, page.jobs).loc[people.index]
measures = measures[[name for name in measures if not name.startswith("dice")]]  # Dice needs masks to compare with
ceilings = json.loads((folder / cohort.TRUTH).read_bytes())["ceilings"]["exposures"]
covariates = np.column_stack([people["age_years"], people["sex"] == "M", people["bmi_kg_m2"]]).astype(float)

# %% [markdown]
# The table shows the true share of each exposure, its share among these people, and how many that is.

# %%
true = {name: people[name].to_numpy(int) for name in NAMES}
shares = {
    words: (outcomes.EXPOSURES[name].prevalence, true[name].mean(), true[name].sum()) for name, words in NAMES.items()
}
pd.DataFrame(shares, index=["true share", "share here", "cases"]).T.round(3)

# %% [markdown]
# *What differs between those who have it and those who have not?* In standard deviations (SD), from the true hearts:
# first as they are, then among people alike in age, sex and BMI, by linear regression.

# %%
TRUE = {"LV EDV": "lv_edv_ml", "LV EF": "lv_ef_percent", "LV mass": "lv_mass_g", "shortening": "shortening_percent"}
hearts = {words: people[f"true_{key}"].to_numpy() for words, key in TRUE.items()}
everything = hearts | dict(zip(("age", "men", "BMI"), covariates.T))
raw = {name: {what: systemic.difference_sd(y, v) for what, v in everything.items()} for name, y in true.items()}
adjusted = {
    name: {what: systemic.difference_sd(y, v, covariates) for what, v in hearts.items()} for name, y in true.items()
}

# %% [markdown]
# One panel an exposure; the null exposure, which does nothing, shows what chance looks like.

# %%
fig, axes = page.figure(columns=2, height=3.0, cols=4, sharey=True, sharex=True)
for ax, (name, words) in zip(axes, NAMES.items()):
    rows = {"as they are": raw[name], "at equal age, sex, BMI": adjusted[name]}
    forest.rows(ax, rows, "Cases − controls (SD)", 0)
    ax.set_title(f"{words}, n = {n}", fontsize=7, loc="left")
axes[0].set_xticks([-0.5, 0, 0.5])
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
page.save(fig, "08_differences")

# %% [markdown]
# The table has the differences among people alike, in SD, with their intervals.

# %%
largest = {name: max(rows, key=lambda w: abs(rows[w].value)) for name, rows in adjusted.items()}
for name, w in largest.items():
    record(f"08_largest_difference_{name}", adjusted[name][w], unit="SD")
alike = {words: {what: e.text(2) for what, e in adjusted[name].items()} for name, words in NAMES.items()}
display(pd.DataFrame(alike))
null_gap = adjusted["null_exposure"][largest["null_exposure"]].value
Markdown(f"""*Reading.* Among people alike no measure differs by much more than a few tenths of an SD: real physiology
and a poor detector at the same time. Whoever picks the largest of four must not forget that the null exposure has a
largest, too: {null_gap:+.2f} SD.""")

# %% [markdown]
# ## The best that is possible
#
# *How well could a perfect reader do?* A score is judged by its AUC, the area under the ROC curve: the chance that
# somebody with the disease scores higher than somebody without, 0.5 for a score that knows nothing. The planted model
# gives three scores for every person: the log odds from the covariates (the logarithm of p / (1 − p)), the log
# likelihood ratio from the exact heart given the covariates (how much likelier this heart is with the disease than
# without), and the sum of the two, which no other score can beat. Where the heart's measures are shifted by d standard
# deviations along the best direction, the second one's AUC is also known in closed form, Φ(d/√2). The `truth.json` of
# the cohort has all of them, from thousands of *other* people with the same planted effects, so they too carry a little
# sampling error.

# %%
KINDS = {"covariates": "age, sex, BMI", "heart": "heart, beyond them", "both": "both"}
KINDS |= {"heart_closed_form": "heart, closed form"}
for name, kind in product(NAMES, KINDS):
    record(f"08_ceiling_{kind}_{name}", ceilings[name][kind], n=cohort.N_CEILING)
assert abs(ceilings["null_exposure"]["heart_closed_form"] - 0.5) < 1e-9
pd.DataFrame({words: ceilings[name] for name, words in NAMES.items()}).T[list(KINDS)].rename(columns=KINDS).round(3)

# %% [markdown]
# An AUC near the last column is all that physiology offers. Whoever reports much more for a heart "beyond age and
# sex" has found a leak.
#
# ## Scores of people whom the model has not seen
#
# Three sources: the covariates; what the project's readers *measure* in the images (volumes, ejection fractions,
# mass, long-axis motion); and the *features* of the small pretrained encoder, frozen, which never saw a label. Each
# source alone, and each image source together with the covariates, is the input of one logistic regression.
# Covariates are free, image columns penalised. The lines that matter are those that say who may see what: means,
# deviations, principal components and the penalty come from training rows alone.

# %%
Code("\n\n".join(inspect.getsource(f) for f in (systemic._design_matrix, systemic.scores)), language="python")

# %% [markdown]
# There are two ways to go through the folds, and the difference is easily overlooked. *Cross-fitted*: each fold is
# scored by a model of all others. All people are used, which makes the best estimate. *Forward-fitted*: each fold is
# scored by a model of the folds before it, so that no label is used before its owner is scored. It costs the first
# fold, and earlier models are weaker, but a test of it keeps its level. Why that is needed is shown under "Controls"
# below. So here is the rule of this page: **estimates are cross-fitted, tests are forward-fitted.**

# %%
COV, MEAS, FEAT = "age, sex, BMI", "measures", "features"
SOURCES = {COV: (covariates, None), MEAS: (None, measures), FEAT: (None, features)}
SOURCES |= {f"{MEAS} + {COV}": (covariates, measures), f"{FEAT} + {COV}": (covariates, features)}
fold = systemic.folds(n, rng)
WAYS = {"cross": systemic.cross_parts, "forward": systemic.forward_parts}
parts = {(way, source): make(fold, *SOURCES[source]) for (way, make), source in product(WAYS.items(), SOURCES)}
keys = [(way, source, name) for (way, source), name in product(parts, NAMES)]
found = Parallel(page.jobs)(delayed(systemic.scores)(true[name], parts[way, source]) for way, source, name in keys)
scored = dict(zip(keys, found))

# %% [markdown]
# *How far from the best that is possible do the scores end, and what does the picture alone say?* Every score's AUC is
# recorded, with DeLong's interval, and drawn beside the ceilings.

# %%
SHORT = dict(zip(SOURCES, ("covariates", "measures", "features", "measures_covariates", "features_covariates")))
auc = {}
for source, name in product(SOURCES, NAMES):
    auc[source, name] = classification.auc(true[name], scored["cross", source, name].score)
    record(f"08_auc_{SHORT[source]}_{name}", auc[source, name])

# %% [markdown]
# Dots are what was reached; orange is the best that anybody could reach, the dotted line is chance.

# %%
fig, axes = page.figure(columns=2, height=2.8, cols=4, sharey=True, sharex=True)
for ax, (name, words) in zip(axes, NAMES.items()):
    best = ceilings[name]
    marks = {COV: best["covariates"], f"{MEAS} + {COV}": best["both"], f"{FEAT} + {COV}": best["both"]}
    rows = {source: auc[source, name] for source in SOURCES}
    forest.rows(ax, rows, "AUC, 95 % CI", 0.5, marks, "the best possible with what the row knows")
    forest.ceiling(ax, best["heart_closed_form"], "the best possible from the heart beyond age, sex, BMI")
    ax.set_title(f"{words}\n{true[name].sum()} cases of {n}", fontsize=7, loc="left")
axes[0].set_xticks([0.5, 0.6, 0.7])
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
page.save(fig, "08_auc")

# %% [markdown]
# How far is that from a reader who knows the planted rule, on the same people?

# %%
joint, lost = f"{FEAT} + {COV}", {}
for name in list(NAMES)[:3]:
    oracle = (people[f"true_covariate_score_{name}"] + people[f"true_heart_score_{name}"]).to_numpy()
    lost[name], _ = classification.auc_difference(true[name], scored["cross", joint, name].score, oracle)
    record(f"08_auc_minus_oracle_{name}", lost[name])
reached = {source: {words: auc[source, name].text() for name, words in NAMES.items()} for source in (FEAT, joint)}
display(pd.DataFrame(reached | {"both − oracle's": {NAMES[name]: e.text() for name, e in lost.items()}}).fillna(""))
Markdown(f"""*Reading.* The last column is the AUC of features and covariates minus that of the oracle's score *on the
same people*. Below 0 is the cost of learning from few people and of seeing the heart in pixels; above 0 could only be
chance. The null exposure's AUC is {auc[FEAT, "null_exposure"].value:.2f} from features, where 0.5 is the truth.""")

# %% [markdown]
# ## Does the heart add anything?
#
# *For which disease do the picture's columns add anything to age, sex and BMI?* Two answers, on the same forward-fitted
# models. The first is the paired difference of two AUCs with DeLong's test. It asks for a practical gain, pays for
# every column that had to be learnt, and is known to be blunt when one model contains the other. The second asks in the
# way of an epidemiologist: take from the joint model what the image columns say at equal covariates; with the
# covariates beside it, what does one SD of it do to the odds? There are eight tests of each kind (four exposures, two
# sources), and Holm's procedure keeps the chance of *any* false alarm among the eight at 5 %. The null exposure is one
# of the family: it must stay null.

# %%
tests, bars, log_odds, level = [], {}, {}, corrected(0.95, 8)
for source, name in product((MEAS, FEAT), NAMES):
    alone, both = (scored["forward", columns, name] for columns in (COV, f"{source} + {COV}"))
    known = np.isfinite(both.score)
    against = true[name][known], both.score[known], alone.score[known]
    (gain, p_gain), (wide, _) = (classification.auc_difference(*against, one) for one in (0.95, level))
    (odds, p_odds), (wider, _) = (systemic.added(true[name], both.wide, covariates, one) for one in (0.95, level))
    bars[f"{NAMES[name]}, {source}"] = gain, wide
    logs = [e._replace(**dict(zip(e._fields, np.log(e[:3])))) for e in (odds, wider)]
    log_odds[f"{NAMES[name]}, {source}"] = logs
    tests.append((name, source, gain, p_gain, odds, p_odds))
tests = pd.DataFrame(tests, columns=["exposure", "source", "gain", "p_gain", "odds", "p_odds"])

# %% [markdown]
# Each family of eight is corrected for its number by Holm's procedure, and everything is recorded.

# %%
tests["holm_gain"], tests["holm_odds"] = holm(tests["p_gain"]), holm(tests["p_odds"])
for row in tests.itertuples():
    which = f"{row.source}_{row.exposure}"
    record(f"08_gain_{which}", row.gain)
    record(f"08_odds_ratio_{which}", row.odds, unit="per SD")
    record(f"08_holm_p_gain_{which}", row.holm_gain, n=row.gain.n)
    record(f"08_holm_p_odds_{which}", row.holm_odds, n=row.odds.n)

# %% [markdown]
# In the figure thick bars are 95 % intervals, thin ones are widened so that all eight of a side hold together (many
# tests find something by chance: **multiplicity**).

# %%
fig, axes = page.figure(columns=2, height=2.8, cols=2, sharey=True)
forest.differences(axes[0], bars, "AUC with image − AUC of age, sex, BMI alone")
forest.differences(axes[1], log_odds, "Log odds ratio per SD of the image's part")
page.save(fig, "08_added")

# %% [markdown]
# The same as a table; a p value after Holm below 0.05 counts as shown.

# %%
shown = pd.DataFrame({"exposure": tests["exposure"].map(NAMES), "source": tests["source"]})
shown["ΔAUC"], shown["p (Holm)"] = [e.text(3) for e in tests["gain"]], tests["holm_gain"].map("{:.2g}".format)
shown["odds ratio per SD"] = [e.text() for e in tests["odds"]]
shown["p (Holm) "] = tests["holm_odds"].map("{:.2g}".format)
shown


# %% [markdown]
# Which of them are shown, in words:


# %%
def named(rows):
    return ", ".join(f"{NAMES[row.exposure]} ({row.source})" for row in rows.itertuples()) or "none"


gains = tests[tests["holm_gain"] < 0.05]
rises = gains["gain"].map(lambda e: e.value > 0).astype(bool)
linked = tests[(tests["holm_odds"] < 0.05) & tests["odds"].map(lambda e: e.value > 1)]
null = int((tests.loc[tests["exposure"] == "null_exposure", ["holm_gain", "holm_odds"]] < 0.05).sum().sum())
for key, count in (("gains", rises.sum()), ("odds", len(linked))):
    record(f"08_{key}_shown", int(count), n=n)
record("08_null_flagged", null, n=n)

# %% [markdown]
# And this is what may be said of them:

# %%
Markdown(f"""*Reading.* A higher AUC than that of age, sex and BMI is shown, corrected, for: {named(gains[rises])}; a
lower one for: {named(gains[~rises])}. That the image carries something beyond them is shown, corrected, for:
{named(linked)}. What is in no list is open at this size, not absent: all effects but the last are there. Of the four
tests of the null exposure {null} flagged it.""")

# %% [markdown]
# ## What an unadjusted AUC would have claimed
#
# *How well can age, BMI and the heart itself be read off the features?* If the picture knows age, sex and BMI, its
# score for a disease is in part a score for these. The same components of the features that went into the scores are
# asked for age, BMI and sex, and, for comparison, for what the heart does: each is fitted on four folds and read in the
# fifth, and compared with the truth by correlation.


# %%
def read(column):
    """A number read off the features by ridge regression on the other folds' people, as correlation with the truth."""
    y, found = people[column].to_numpy(float), np.zeros(n)
    for train, test, seen, new, _ in parts["cross", FEAT]:
        found[test] = RidgeCV(features_module.PENALTIES).fit(seen, y[train]).predict(new)
    return bca((y, found), correlation, rng, 500)


def correlation(a, b, axis=-1):
    a, b = a - a.mean(axis, keepdims=True), b - b.mean(axis, keepdims=True)
    return (a * b).sum(axis) / np.sqrt((a**2).sum(axis) * (b**2).sum(axis))


# %% [markdown]
# A correlation of 1 would be a perfect reading, 0 none.

# %%
known_of = {words: read(f"true_{key}") for words, key in TRUE.items()}
known_of |= {"age": read("age_years"), "BMI": read("bmi_kg_m2")}
for words, estimate in known_of.items():
    record(f"08_features_know_{words.lower().replace(' ', '_')}", estimate, unit="correlation")
fig, ax = page.figure(height=2.2)
forest.rows(ax, known_of, "Correlation of read and true, 95 % CI", 0)
ax.set_title(f"read off the features, n = {n}", fontsize=7, loc="left")
page.save(fig, "08_leak")

# %% [markdown]
# Sex is read as a yes or no, and each score for a disease is held against that of the covariates alone.

# %%
men = (people["sex"] == "M").to_numpy()
sex = classification.auc(men.astype(int), systemic.scores(men, parts["cross", FEAT]).score)
record("08_features_know_sex", sex, unit="AUC")
pairs = {name: [scored["cross", source, name].score for source in (FEAT, COV)] for name in NAMES}
shared = {NAMES[name]: round(spearmanr(*pair)[0], 2) for name, pair in pairs.items()}
display(pd.Series(shared, name="rank correlation, features' score with covariates' score").to_frame())
Markdown(f"""*Reading.* Features tell age with a correlation of {known_of["age"].value:.2f}, BMI with
{known_of["BMI"].value:.2f}, and sex with an AUC of {sex.value:.2f}. The table says how much of this is in their scores
for a disease.""")

# %% [markdown]
# *What is left of the picture's AUC when people are compared with their like?* Three routes. **Strata**: a case is
# compared only with controls of about the same covariate score. **Matching**: each case gets one control of the same
# sex whose age and BMI are within a quarter of a standard deviation, and the AUC is that of the matched people. Both
# keep the image score as it is; what the score knows of the covariates no longer helps it. Beside them the heart's
# ceiling in closed form.

# %%
left, balance = {}, {}
for name, y in true.items():
    score, near = scored["cross", FEAT, name].score, systemic.strata(scored["cross", COV, name].score, n_strata)
    pairs = np.concatenate(systemic.matched(y, people["sex"], covariates[:, [0, 2]], rng))
    routes = {"unadjusted": auc[FEAT, name], "within strata": systemic.auc_within(y, score, near)}
    left[name] = routes | {"matched": classification.auc(y[pairs], score[pairs])}
    apart = {w: systemic.difference_sd(y[pairs], covariates[pairs, i]).value for w, i in (("age", 0), ("BMI", 2))}
    balance[NAMES[name]] = apart | {"pairs": len(pairs) // 2}
    for route, estimate in left[name].items():
        record(f"08_features_{route.replace(' ', '_')}_{name}", estimate)
pd.DataFrame(balance).T.round(2)

# %% [markdown]
# The table shows how well matching worked: what remains of the differences in age and BMI, in SD, and how many pairs.
# The figure has the three routes from the top: from "unadjusted" to "matched" an AUC that was the heart's stays, one
# that was age and size falls to the dotted line of chance.

# %%
fig, axes = page.figure(columns=2, height=2.2, cols=4, sharey=True, sharex=True)
for ax, (name, words) in zip(axes, NAMES.items()):
    forest.rows(ax, left[name], "AUC, 95 % CI", 0.5)
    forest.ceiling(
        ax, ceilings[name]["heart_closed_form"], "the best from the heart beyond age, sex, BMI; dotted: chance"
    )
    ax.set_title(f"{words}\nn = {n}, matched {left[name]['matched'].n}", fontsize=7, loc="left")
axes[0].set_xticks([0.4, 0.5, 0.6])
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left")
page.save(fig, "08_like_with_like")

# %% [markdown]
# In numbers, with intervals:

# %%
display(pd.DataFrame({words: {k: e.text() for k, e in left[name].items()} for name, words in NAMES.items()}))
first, _, matched = left["diabetes"].values()
Markdown(f"""*Reading.* The first row is what a table of results usually holds. For diabetes it says
{first.value:.2f}, and among matched people {matched.value:.2f} are left: the rest was age, sex and body size, read
off the picture. Below 0.5 is possible: learnt without covariates, a score can take what is common in women for what
is common in cancer.""")

# %% [markdown]
# ## Controls
#
# *How often does each way of going through the folds find something where there is nothing?* Labels are shuffled among
# people, so that every association is broken, and the pipeline is run on the leading components of the features, both
# ways, many times. Each result is flagged if 0.5 lies outside its 95 % interval, which should happen to one in twenty.

# %%
leading = {way: make(fold, None, features, n_components=20) for way, make in WAYS.items()}
labels = [rng.permutation(true["diabetes"]) for _ in range(n_shuffled)]
again = Parallel(page.jobs)(delayed(systemic.scores)(y, leading[way]) for way in WAYS for y in labels)
chance = {"cross-fitted": [], "forward-fitted": []}
for (way, y), scores in zip(product(chance, labels), again):
    known = np.isfinite(scores.score)
    chance[way].append(classification.auc(y[known], scores.score[known]))
fig, ax = page.figure(height=3.0)
distributions.shuffled(ax, chance)
page.save(fig, "08_shuffled")

# %% [markdown]
# Counted: how many intervals leave out the 0.5 that is the truth here?

# %%
missed = {way: sum(not e.lower <= 0.5 <= e.upper for e in rows) for way, rows in chance.items()}
flagged = {way: proportion(count, n_shuffled) for way, count in missed.items()}
for way, share in flagged.items():
    page.record(f"08_shuffled_flagged_{way.split('-')[0]}", share, unit="share of shuffles")
due, (cross, forward) = n_shuffled / 20, missed.values()
Markdown(f"""*Reading.* Of {n_shuffled} shuffles {cross} are flagged cross-fitted and {forward} forward-fitted, where
{due:.0f} are due. DeLong's interval takes a score as given. In cross-fitting it is not: if by
chance the cases of fold 1 resemble those of fold 2, each fold's model does well on the other, and the same coincidence
counts twice; the variance of the AUC about 0.5 is up to doubled. Where a signal is strong the models hardly change, and
the intervals hold. `tests/analysis/test_systemic.py` simulates a thousand cohorts.""")

# %% [markdown]
# ## Power
#
# *How many patients does it take to find each disease?* **Power** is the chance that a study finds an effect that is
# there. Suppose a perfect reader, whose score has the heart's ceiling as AUC
# among people alike. The power of a test of it against 0.5 depends on the number of *cases* more than on the number
# of people; solid lines have cases enriched as here, dashed lines at their true share.

# %%
sizes, curves, rows = np.geomspace(100, 100_000, 60), {}, {}
published = int(page.paper("C1").set_index("quantity")["value"]["studies"])
COLUMNS = ["here", "true share", f"true share, n = {published}", "smallest AUC found here"]


def chance_to_find(auc, n, share):
    """Power of a test of n people of whom a share are cases, two of each kind at least."""
    return power.power_of_auc(auc, max(n * share, 2), max(n * (1 - share), 2))


# %% [markdown]
# For each disease: the power here, at the true share of cases, with the paper's number of studies, and the smallest
# AUC that this cohort could find.

# %%
for name in list(NAMES)[:3]:
    find, n_cases = partial(chance_to_find, ceilings[name]["heart_closed_form"]), true[name].sum()
    share, rare = true[name].mean(), outcomes.EXPOSURES[name].prevalence
    curves |= {(NAMES[name], line): [find(size, p) for size in sizes] for line, p in (("-", share), ("--", rare))}
    least = power.detectable_auc(n_cases, n - n_cases)
    rows[NAMES[name]] = find(n, share), find(n, rare), find(published, rare), least
    record(f"08_power_{name}", find(n, share), n=n)
    record(f"08_power_true_share_{name}", find(n, rare), n=n)
    record(f"08_detectable_auc_{name}", least, n=n)

# %% [markdown]
# The marks stand at the size of this cohort and at the number of studies the paper was made with.

# %%
fig, ax = page.figure(height=3.0)
distributions.power(ax, sizes, curves, {f"here, n = {n}": n, f"the paper's studies, {published:,}": published})
page.save(fig, "08_power")
pd.DataFrame(rows, index=COLUMNS).T.round(3)

# %% [markdown]
# *Reading.* The last column of the table is the smallest AUC that a test finds with 80 % power. The paper's number of
# studies is that of its whole data set, not of this analysis, whose size was not found. Two cautions. A real reader
# is not perfect, so it needs more people than the curves say. And an ordinary test of many thousands finds any
# trifle: with such numbers an AUC of 0.51 is "significant", and says nothing about use for a patient.
#
# ## Risks where the disease is rare
#
# *How far below the line of identity do the dots lie, and does one number bring them back?* A model trained on an
# enriched cohort tells a member of the population a risk several times too high. AUCs do not see it, since they only
# order people. If cases and controls were sampled at different rates, one number repairs it: the intercept of the log
# odds moves by the difference of the two shares' log odds. **Calibration in the large** asks for just that: whether
# risks are right on average.

# %%
Code(inspect.getsource(systemic.at_prevalence), language="python")

# %% [markdown]
# Cases are thinned to their true share, and predicted risks are compared with what is found among the people kept,
# once as trained and once corrected.

# %%
tables, large = {"as trained": {}, "corrected": {}}, {}
for name in ("diabetes", "cancer"):
    y, risk, rare = true[name], scored["cross", joint, name].risk, outcomes.EXPOSURES[name].prevalence
    cases = rng.permutation(np.flatnonzero(y == 1))[: max(2, round((y == 0).sum() * rare / (1 - rare)))]
    kept = np.concatenate([np.flatnonzero(y == 0), cases])
    repaired = systemic.at_prevalence(risk[kept], y.mean(), y[kept].mean())
    for way, p in (("as trained", risk[kept]), ("corrected", repaired)):
        tables[way][NAMES[name]] = classification.calibration_table(y[kept], p, 2 if page.small else 5)
        large[name, way] = classification.calibration(y[kept], p, rng, 200)["intercept"]
        record(f"08_calibration_{way.replace(' ', '_')}_{name}", large[name, way], unit="log odds")

# %% [markdown]
# A dot on the line of identity is a risk that means what it says; the axes of the two panels differ.

# %%
fig, axes = page.figure(columns=2, height=2.8, cols=2)
for ax, (way, rows) in zip(axes, tables.items()):
    distributions.risks(ax, rows, f"{way}; 95 % CI, cases thinned to their true share")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
page.save(fig, "08_calibration")

# %% [markdown]
# By how much are risks wrong on average?

# %%
display(pd.Series({(NAMES[name], way): e.text() for (name, way), e in large.items()}).unstack())
Markdown(f"""*Reading.* The table has calibration in the large, as log odds by which risks are too low (below 0: too
high). For cancer it is {large["cancer", "as trained"].value:+.1f} as trained and
{large["cancer", "corrected"].value:+.1f} corrected. The correction needs the true share, which a hospital must know
for its own patients. It repairs the mean only: an uninformative model stays so.""")

# %% [markdown]
# ## What this page could not settle
#
# - **The published claim.** No number for C16 was found, and later versions of the paper say "potential". Here the
#   size of each effect was planted, so these results say what *could* be found if hearts differ as published, not
#   that they do.
# - **Other ways of the disease into the picture.** Real diabetes is treated, and drugs, heart rate, fat and kidneys
#   leave traces that this generator does not draw. Real images could hold more than this ceiling, or less.
# - **Other confounders.** Covariates here are complete by construction. Real ones (smoking, income, scanner, year)
#   are not, and "beyond age, sex and BMI" is never "because of the heart".
# - **A larger encoder.** Features are those of a network of a hundredth of the published size, and frozen. It was
#   pretrained on an earlier version of the virtual heart.
#
# ## Exercises
#
# 1. A measure is shifted by 0.4 SD in cases. Which AUC does it give? *(Check: `outcomes.auc_of_separation(0.4)`,
#    0.61.)*
# 2. Put the standardisation, the components *and a choice of the ten columns with the largest group difference*
#    before the folds and run the shuffled labels again. Which of the three does the damage? *(Check: the choice; the
#    other two never see a label.)*
# 3. Keep all cases of cancer but only every tenth control. Which of AUC, its interval and calibration change?
#    *(Check: the AUC does not, but for chance; the interval widens; the intercept moves by about log 10.)*
#
# ## Recorded numbers

# %%
page.table()
