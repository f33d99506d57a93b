# ---
# jupyter:
#   cinema:
#     needs: [08_systemic_disease]
# ---

# %% [markdown]
# # Survival: does the image know more about death than age and sex do?
#
# **Question.** Do features of a pretrained encoder tell who dies sooner, and how much of that is age and sex seen in
# the picture?
#
# **Claim.** C17: the paper says that the model's features predict mortality; the journal version speaks of potential.
#
# **Time.** Under a minute in the `ci` and in the `laptop` profile on two cores, once notebook 08 has made the cohort
# with its features and measures. The profile `paper` needs UK Biobank with its death register; it is refused below.
#
# No number of the paper for this claim could be found, so there is nothing to reproduce to a decimal. What can be done
# is to show how such a claim has to be examined. That is harder than it looks, for three reasons:
#
# - most people are still alive when the study ends, so that their survival is known only in part;
# - in a general population age and sex alone order deaths well, and any picture of a heart gives some of both away;
# - a model that is fitted and judged on the same patients always looks as if it knew something.
#
# **After this page you can**
#
# - say what censoring is, and draw a Kaplan–Meier curve of a few people by hand;
# - write down Cox's partial likelihood, and say what a hazard ratio is and what it assumes;
# - count a C-index in pairs, and say why age alone makes it high;
# - recognise a model that was judged on the people it was fitted to;
# - say how many deaths, not people, a study needs.
#
# The first part is a lesson on eight people with four exercises (a fifth stands at the end); the second is the study.
# Its people are *virtual*. How long they live was drawn from a hazard that is known, and so is the best that any
# reader of images could do with it.

# %% tags=["parameters"]
profile = "laptop"
data = "virtual"
data_root = "../data"
seed = 0
out = "../figures"

# %%
import inspect
import json
import math
from functools import partial

import numpy as np
import pandas as pd
from IPython.display import Code, Markdown, display
from lifelines import CoxPHFitter, KaplanMeierFitter

# %%
from cinema import runner
from cinema.analysis import cox, survival
from cinema.analysis import features as features_module
from cinema.data.study import study_table
from cinema.phantom import cohort, outcomes
from cinema.plots import forest
from cinema.plots import survival as plots
from cinema.stats import estimates, power
from cinema.stats.estimates import Estimate, corrected, holm, proportion, verdict
from cinema.terms import MYOCARDIUM_DENSITY_G_PER_ML

# %%
needs = "survival needs images with a death register (UK Biobank); run this page with ci or laptop on virtual data"
page = runner.start("09_survival", profile, data, data_root, seed, out, paper=needs, virtual_only=True)
record = partial(page.record, claim="C17")
# n as in 08: the cohort is shared, and a folder holds as many studies as were asked for last
n, n_groups, n_redraws, band_years = (200, 3, 20, 5) if page.small else (2000, 5, 40, 2)
HORIZON = 4.0  # years; the median of the follow-up is a little longer

# %% [markdown]
# ## Eight people
#
# *Why is survival not a mean?* Eight invented people are scanned, at different times, and watched until they die, until
# they are lost (B moves away) or until the study ends in its eighth year. Whoever did not die while watched is
# **censored**: we know that they lived at least so long, and no more.

# %% tags=["lesson"]
eight = pd.DataFrame({"years": [1, 2, 2.5, 3, 4, 5, 6, 7]}, index=list("ABCDEFGH"))  # from scan to death or last seen
eight["dead"] = [True, False, True, True, False, True, False, False]
eight["age"] = [74, 61, 57, 70, 63, 66, 72, 55]
years, dead, age = (eight[column].to_numpy() for column in eight)
scanned = [1, 2, 0.5, 3, 4, 1.5, 2, 1]  # year of the study

# %% [markdown]
# Left, as the study sees them; right, as the analysis does: every life begins at its scan.

# %% tags=["lesson"]
fig, (left, right) = page.figure(columns=2, height=2.5, cols=2)
plots.lives(left, scanned, eight["years"], dead, "Year of the study", end=8)
plots.lives(right, [0] * 8, eight["years"], dead, "Years after the scan")
page.save(fig, "09_lives", cohort="invented")

# %% [markdown]
# *Reading.* What share lives for six years? Four are dead by then, G and H alive, and of B and E nobody knows. To count
# these two as alive is too hopeful, and to leave them out throws away that they did live for two and four years.
# Something must use those years.
#
# ## Kaplan and Meier's curve by hand
#
# The trick: step from death to death. Just before each, count who is still watched, the **risk set**. The share of
# them that survives the step is known without guessing about anybody. Survival is the product of these shares.

# %% tags=["lesson"]
steps = pd.DataFrame({"death at": years[dead]})
steps["at risk"] = [(years >= t).sum() for t in steps["death at"]]
steps["survive the step"] = 1 - 1 / steps["at risk"]
steps["survival"] = steps["survive the step"].cumprod()
steps.round(4)

# %% [markdown]
# B counts in the risk set of the first death and not in later ones: censored people give what they know, and then
# leave. A library that has done this since long agrees:

# %% tags=["lesson"]
curve = KaplanMeierFitter().fit(years, dead).survival_function_at_times(steps["death at"])
assert np.allclose(curve, steps["survival"])
simple = 1 - (dead & (years <= 5)).mean()
print(f"alive after 5 years: {curve.iloc[-1]:.3f}; taking the lost for alive it would be {simple:.3f}")

# %% [markdown]
# **Exercise 1.** Suppose B was not lost after two years but *died* then. What share is alive after four years?

# %% tags=["lesson", "exercise"]
answer = ...  # a share; multiply one factor for each death

# %% tags=["lesson", "check"]
with_b = dead | (eight.index == "B")
wrong = {
    steps["survival"][2]: "There B counts as lost; now the step at two years has a factor of its own.",
    7 / 8 * 5 / 6 * 4 / 5 * 6 / 8: "At two years A is no longer at risk: seven are.",
    0.375: "Who is lost at four years, as E, was alive until then: E does not count as dead.",
}
page.check(answer, survival.kaplan_meier(years, with_b, [4.0])["survival"][0], wrong)

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# ```python
# answer = 7 / 8 * 6 / 7 * 5 / 6 * 4 / 5
# ```
#
# It is 4/8: before four years nobody is lost any more, and without losses the curve is the plain share alive.
#
# </details>

# %% [markdown]
# *Does a shorter study give another curve?* Let watching stop for everybody some years after the scan.

# %% tags=["lesson", "try"]
stop = 4.0  # try 2.0, 4.0, 6.0

# %% tags=["lesson"]
whole = survival.kaplan_meier(years, dead, np.arange(1.0, 7.0)).set_index("time")
shorter = survival.kaplan_meier(np.minimum(years, stop), dead & (years <= stop), whole.index).set_index("time")
shorter = shorter[shorter.index <= stop]
pd.DataFrame({"whole study": whole["survival"], f"stopped at {stop:g}": shorter["survival"]}).round(3)

# %% [markdown]
# *Reading.* The same numbers up to where it stops, and none beyond. Kaplan and Meier's curve does not depend on how
# long others were watched, as long as people are lost *for reasons that have nothing to do with their death*.
#
# ## The risk set again: Cox's model by hand
#
# *Do older people die sooner?* The **hazard** is the rate of dying among those still alive. Cox's model says that it is
# the same curve over time for everybody, times a factor of one's own, exp(β · age): the hazards are **proportional**.
# exp(β) is the **hazard ratio** of one unit, here ten years of age. Whoever dies at a moment was drawn from the risk
# set, each member with a chance in proportion to that factor. For a β of our choice, at the first death:

# %% tags=["lesson", "try"]
beta = 0.7  # try -0.5, 0.0, 0.7, 1.5

# %% tags=["lesson"]
decades = (age - 60) / 10
weight = pd.Series(np.exp(beta * decades), index=eight.index)
pd.DataFrame({"age": age, "factor": weight, "chance to be the first": weight / weight.sum()}).round(3).T

# %% [markdown]
# A did die first. A good β makes what happened probable: at every death, the chance of the one who died. The product of
# these chances is the **partial likelihood**, its logarithm a sum over deaths. Times do not enter, only the order.

# %% tags=["lesson"]
betas = np.linspace(-1.5, 3, 451)
factor = np.exp(betas[:, None] * decades)  # (451, 8)
log_likelihood = np.zeros(len(betas))
for i in np.flatnonzero(dead):
    log_likelihood += np.log(factor[:, i] / factor[:, years >= years[i]].sum(axis=1))
best = betas[log_likelihood.argmax()]

# %% tags=["lesson"]
fig, ax = page.figure(columns=1, height=2.3)
ax.plot(betas, log_likelihood, "k-")
ax.axvline(best, ls=":", color="k", lw=0.8, label=f"largest at {best:.2f}")
ax.set(xlabel="β per ten years of age", ylabel="Log partial likelihood", title="n = 8, 4 dead")
ax.legend()
page.save(fig, "09_partial_likelihood", cohort="invented")

# %% [markdown]
# lifelines, and the package's own fit, which the rest of the page uses for its speed, find the same top.

# %% tags=["lesson"]
table = pd.DataFrame({"years": years, "dead": dead, "decades": decades})
theirs = CoxPHFitter().fit(table, "years", "dead").params_["decades"]
ours = cox.fit(years, dead, decades[:, None]).beta[0]
assert abs(best - theirs) < 0.01 and abs(ours - theirs) < 1e-3
print(f"by hand {best:.2f}, lifelines {theirs:.3f}, the package {ours:.3f}: hazard ratio {np.exp(ours):.2f}")

# %% [markdown]
# The top is flat: with four deaths nearly anything is possible, and the page's two thousand people are there for that.
#
# **Exercise 2.** If age meant nothing (β = 0), what was the chance that it was D who died at three years?

# %% tags=["lesson", "exercise"]
answer = ...  # a chance between 0 and 1

# %% tags=["lesson", "check"]
wrong = {
    1 / 8: "Who is dead or lost by then cannot die at three years; count the risk set.",
    1 / 4: "D itself is in the risk set.",
    1 / 6: "C died before.",
}
page.check(answer, 1 / np.sum(years >= eight["years"]["D"]), wrong)

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# ```python
# answer = 1 / 5
# ```
#
# D, E, F, G and H are still watched, and at β = 0 all of them have the same chance.
#
# </details>

# %% [markdown]
# ## The C-index by hand
#
# *How well does a score order deaths?* Take two people. If it is known who died first, the pair is **comparable**: the
# one with the shorter time must have died, or nobody knows. The **C-index** is the share of comparable pairs in which
# the one who died sooner had the higher score; equal scores count half. A coin has 0.5. The score here is age.

# %% tags=["lesson"]
comparable = dead[:, None] & (years[:, None] < years)  # row died before column
concordant = comparable & (age[:, None] > age)
shown = np.where(concordant, "right", np.where(comparable, "wrong", ""))
pd.DataFrame(shown, index=eight.index, columns=eight.index).loc[dead]

# %% tags=["lesson"]
by_hand = concordant.sum() / comparable.sum()
print(f"{concordant.sum()} of {comparable.sum()} comparable pairs: C = {by_hand:.3f}")
assert np.isclose(by_hand, survival.c_index(years, dead, age).value)

# %% [markdown]
# **Exercise 3.** Had all eight been watched until they died, how many pairs would be comparable?

# %% tags=["lesson", "exercise"]
answer = ...  # a whole number

# %% tags=["lesson", "check"]
wrong = {
    int(comparable.sum()): "That is with four people censored.",
    64: "A pair is two different people.",
    56: "Each pair is counted twice there.",
}
page.check(answer, int((years[:, None] < years).sum()), wrong)

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# ```python
# answer = 8 * 7 // 2
# ```
#
# All 28 pairs. Censoring took ten of them away, most among those who lived longest.
#
# </details>

# %% [markdown]
# **Exercise 4.** What is the C-index of *minus* the age, a score that calls the young to be at risk?

# %% tags=["lesson", "exercise"]
answer = ...  # a number between 0 and 1

# %% tags=["lesson", "check"]
wrong = {
    by_hand: "Every pair that was right is wrong now.",
    -by_hand: "It is a share of pairs, and not a correlation: it cannot be negative.",
    0.5: "That is a score that knows nothing; this one knows something and says the opposite.",
}
page.check(answer, survival.c_index(years, dead, -age).value, wrong)

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# ```python
# answer = 1 - by_hand
# ```
#
# Right and wrong pairs change places. A C well below 0.5 is a sign that a score was turned round.
#
# </details>

# %% [markdown]
# ## Who was followed, and how long
#
# From here on the question is the page's own, asked of a virtual cohort.
#
# The cohort imitates the setting of UK Biobank's imaging study: follow-up of 4.4 years in the median, quartiles 3.6 and
# 5.9, set by when people were scanned. On top of that a few are lost at random. One thing is *not* as there: about a
# quarter of these people die, instead of two in a hundred. The baseline hazard was raised until a cohort of this size
# had enough deaths to say anything. Hazard ratios are not changed by that; survival, risks and power are, and the last
# part of this page says what the real share of deaths would leave.

# %%
folder = cohort.write("population", n, seed, page.work / f"cohort_population_seed{seed}", jobs=page.jobs)
people = study_table(folder).set_index("id")
time, death = people["followup_years"].to_numpy(), people["death"].to_numpy(bool)
record("09_deaths", int(death.sum()), n=n)
grid, marks = np.arange(0, 6.01, 0.1), range(7)
everyone, watched = (survival.kaplan_meier(time, what, grid) for what in (death, ~death))
followed = float(watched.loc[watched["survival"] <= 0.5, "time"].iloc[0])
record("09_followup_median_years", followed, n=n, unit="years")

# %%
fig, axes = page.figure(columns=2, height=2.7, cols=2)
plots.follow_up(axes[0], time, death)
plots.kaplan_meier(axes[1], {"everyone (95 % CI)": everyone}, marks)
axes[1].set(ylim=(0, 1.02))
axes[1].legend(loc="lower left")
page.save(fig, "09_follow_up")

# %%
dead_by = 1 - everyone.iloc[int(10 * HORIZON)]
risk = Estimate(dead_by["survival"], dead_by["upper"], dead_by["lower"], n)
record("09_risk_at_horizon", risk)
Markdown(f"""*Reading.* {death.sum()} of {n} virtual people died. Half were watched for {followed:.1f} years or longer
(Kaplan–Meier of being lost, so that a death does not count as short follow-up). By {HORIZON:.0f} years a share of
{risk.text(2)} had died, the lost counted as long as they were seen; the simple share,
{np.mean(death & (time <= HORIZON)):.2f}, takes the lost for alive.""")

# %% [markdown]
# ## What was planted
#
# The hazard is proportional, in five terms. Two are age and sex. Three are measures of the heart: long-axis
# shortening, left-ventricular global function (LVGFI: stroke volume over mean cavity plus muscle volume) and the left
# atrium's volume for body size. The hazard ratios per standard deviation of the imaging measures are those published
# for UK Biobank; those of age and sex are assumed.

# %%
Code(inspect.getsource(outcomes.log_hazard) + inspect.getsource(outcomes.survive), language="python")

# %%
planted = ", ".join(f"{name} {ratio:g}" for name, ratio in outcomes.HAZARD_RATIOS.items())
Markdown(f"{planted} are the planted hazard ratios, per standard deviation (for men, against women).")

# %% [markdown]
# ### The ceiling
#
# *How well could anybody do?* Somebody who knew the true log hazard would still not have a C-index of 1, since death
# remains a matter of chance. That score is the ceiling. It is known twice: from other people of the same kind, in the
# cohort's `truth.json`, and from the people here. The counting is that of the eight people, with an interval:

# %%
Code(inspect.getsource(survival.c_index) + inspect.getsource(survival._pairs), language="python")

# %%
truth = people["true_log_hazard"].to_numpy(), people["true_log_hazard_age_sex"].to_numpy()
oracle = {"all": truth[0], "age_sex": truth[1], "imaging": truth[0] - truth[1]}
planted = json.loads((folder / "truth.json").read_bytes())["ceilings"]["survival"]
ceiling = {name: survival.c_index(time, death, score) for name, score in oracle.items()}
for name, estimate in ceiling.items():
    record(f"09_ceiling_{name}", estimate)
    record(f"09_ceiling_{name}_truth_file", planted[name]["c_index"], n=cohort.N_CEILING)
told = {name: (e.text(3), round(planted[name]["c_index"], 3)) for name, e in ceiling.items()}
pd.DataFrame(told, index=["these people", "other people (truth.json)"]).T

# %%
head_room = survival.c_index_difference(time, death, oracle["all"], oracle["age_sex"])
record("09_ceiling_gain_over_age_sex", head_room)
alone = planted["imaging"]
Markdown(f"""*Reading.* Everything the heart says, added to age and sex, raises the C-index by {head_room.text(3)}. That
is all there is to win, for any model. The imaging part alone reaches {alone["c_index"]:.2f}, but its own hazard
accounts for {alone["uncensored_closed_form"]:.2f} only: hearts of older people work less well, and so the heart tells
age. A C-index of images alone cannot separate the two.""")

# %% [markdown]
# ## What the readers measured
#
# The project's readers have outlined every heart and marked its landmarks (notebook 08). From their numbers follow two
# of the three planted measures; no reader here measures the atrium. The true values of the same people tell how much
# reading adds to the spread. They are those of the tissue, while readers let the cavity reach half a millimetre into
# the muscle: what they call mass is less, and LVGFI more. An offset that all people share moves no hazard ratio.

# %%
measures = features_module.measures_on_record(folder, page.jobs).loc[people.index]
measures = measures.drop(columns=["dice_rv", "dice_myo", "dice_lv"])
ml = measures[["lv_edv_ml", "lv_esv_ml"]].mean(axis=1) + measures["lv_mass_g"] / MYOCARDIUM_DENSITY_G_PER_ML
measures["lvgfi_percent"] = 100 * (measures["lv_edv_ml"] - measures["lv_esv_ml"]) / ml
measures["mass_to_volume"] = measures["lv_mass_g"] / measures["lv_edv_ml"]
who = [cohort.person("population", i, seed) for i in range(n)]
exact = pd.DataFrame([outcomes.imaging(p.heart, p.attributes) for p in who], index=[p.id for p in who])
exact = exact.loc[people.index]
read = pd.DataFrame({"shortening": measures["shortening_percent"] / 100, "lvgfi": measures["lvgfi_percent"]})
reliability = {name: float(read[name].corr(exact[name])) for name in read}

# %% [markdown]
# *Are the planted hazard ratios found?* One Cox model holds all terms together; each ratio is per standard deviation of
# the general population, so that it can be set beside the planted one. The second model has what the readers measured
# in place of the truth. Error in a measure draws its hazard ratio toward 1, by about the square of its correlation with
# the truth; this is a property of errors and no matter of sample size. The **null exposure** has no effect by
# construction.


# %%
def in_units(values):
    """Age, sex, null exposure and imaging measures in the units of the planted hazard."""
    columns = pd.DataFrame({"age": (people["age_years"] - outcomes.AGE[0]) / outcomes.AGE[1]})
    columns["male"] = (people["sex"] == "M").astype(float)
    columns["null exposure"] = people["null_exposure"].astype(float)
    for name in values:
        centre, sd = outcomes.SCALE[name]
        sign, called = (-1, "low_shortening") if name == "shortening" else (1, name)
        columns[called] = sign * (values[name].fillna(centre) - centre) / sd
    return columns


# %%
models = {"true measures": in_units(exact), "read from images": in_units(read)}
CALLED = {"male": "men", "low_shortening": "low shortening", "lvgfi": "LVGFI", "lavi": "LA volume index"}
ratios = {name: cox.hazard_ratios(time, death, columns) for name, columns in models.items()}
known = {name: outcomes.HAZARD_RATIOS.get(name, 1.0) for name in ratios["true measures"]}
for series, rows in ratios.items():
    for name, estimate in rows.items():
        record(f"09_hr_{series.split(' ')[0]}_{name.replace(' ', '_')}", estimate)

# %%
fig, ax = page.figure(columns=2, height=2.9)
label = f"Hazard ratio per SD (95 % CI, n = {n}, {death.sum()} deaths)"
spoken = {series: {CALLED.get(name, name): e for name, e in row.items()} for series, row in ratios.items()}
forest.rows(ax, spoken, label, 1.0, {CALLED.get(k, k): v for k, v in known.items()}, "planted", log=True)
ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
page.save(fig, "09_hazard_ratios")

# %%
inside = sum(e.lower <= known[name] <= e.upper for name, e in ratios["true measures"].items())
record("09_planted_ratios_inside", inside, n=n)
kept = {name: f"{r:.2f}, leaving {r * r:.0%}" for name, r in reliability.items()}
display(pd.DataFrame({"correlation of measured and true": kept}))
Markdown(f"""*Reading.* With the true measures {inside} of {len(known)} intervals hold the planted ratio; about one in
twenty may miss by design. The null exposure has a hazard ratio of {ratios["true measures"]["null exposure"].text(2)}.
The table says what reading leaves of a log hazard ratio.""")

# %% [markdown]
# ### Is the hazard proportional?
#
# A hazard ratio that changes over follow-up is not one number. Scaled Schoenfeld residuals, one for every death, drift
# with time if it does. Here the hazard is proportional by construction, so the test should stay quiet; with several
# columns it is corrected by Holm's method.

# %%
proportional = survival.proportional_hazards(time, death, models["read from images"])
record("09_proportional_smallest_p_holm", float(proportional["p_holm"].min()), n=n)
flagged = list(proportional.loc[proportional["p_holm"] < 0.05, "column"])
proportional.set_index("column").round(3)

# %%
told = (
    "No column is flagged after correction. That is no proof of proportional hazards: only large changes would be seen."
)
if flagged:
    told = f"Flagged: {', '.join(flagged)}. Nothing of the kind was planted; one cohort in twenty shows this by chance."
Markdown(f"*Reading.* {told}")

# %% [markdown]
# ## Judged by those it was fitted to
#
# *What does a model look like on its own patients?* 120 invented people die at random. The columns are noise, and a Cox
# model is fitted to them. Its C-index is taken once from the same people and once **cross-fitted**: people are dealt
# into five folds, and each is scored by a model that was fitted to the other four.

# %% tags=["lesson", "try"]
n_noise = 32  # try 2, 8, 32

# %% tags=["lesson"]
luck = np.random.default_rng(0)
noise, until = luck.normal(size=(120, n_noise)), luck.exponential(5, size=120)
died = luck.random(120) < 0.5
own = noise @ cox.fit(until, died, noise, penalty=0.01).beta
honest = cox.cross_fitted(until, died, None, noise, 2.0, luck, n_components=n_noise).score
both = {"its own people": own, "people it had not seen": honest}
estimates.table({who: survival.c_index(until, died, score) for who, score in both.items()})

# %% [markdown]
# The more columns, the better a model looks on its own people, and it knows nothing. The interval does not help: it is
# narrow about the wrong number. Only scores of people the model had not seen are used from here on.
#
# ## Scores that have not seen the patient
#
# Every score below is **cross-fitted**: patients are dealt into five folds, and each is scored by a model fitted to the
# other four. Standardisation, principal components, the strength of the penalty and the baseline hazard are all taken
# from the training folds. The columns of age and sex are few and not penalised; the 2,304 features of the encoder are
# reduced to 32 components (8 in `ci`) and penalised (ridge). The lines that do it:

# %%
Code(inspect.getsource(cox.cross_fitted) + inspect.getsource(cox._fitted), language="python")

# %%
features = features_module.features(folder, jobs=page.jobs).loc[people.index].to_numpy(float)
covariates, wide = models["true measures"][["age", "male"]].to_numpy(float), measures.to_numpy(float)
function = measures[["shortening_percent", "lvgfi_percent", "mass_to_volume"]].to_numpy(float)
columns = {"age and sex": (covariates, None), "measures": (None, wide), "image features": (None, features)}
columns |= {"age, sex, measures": (covariates, wide), "age, sex, features": (covariates, features)}
columns |= {"all together": (np.hstack([covariates, function]), features)}
settings = {"horizon": HORIZON, "n_components": 8 if page.small else 32}
found = {}
for name, (free, penalised) in columns.items():
    found[name] = cox.cross_fitted(time, death, free, penalised, rng=np.random.default_rng([seed, 1]), **settings)

# %% [markdown]
# The same generator deals the folds for every model, so that they are compared on the same splits. The interval of a
# C-index is a jackknife over patients; two scores of the same patients are compared by the jackknife of their
# difference, which keeps what they share. Three models are held against age and sex; the intervals of these three
# differences are widened (Bonferroni), so that 95 % holds for all three together.


# %%
def key_of(name):
    """A model's name as part of a key of the record."""
    return name.replace(",", "").replace(": ", "_").replace(" ", "_")


c = {name: survival.c_index(time, death, scores.score) for name, scores in found.items()}
added = ("age, sex, measures", "age, sex, features", "all together")
base, level = found["age and sex"], corrected(0.95, len(added))
gain = {name: survival.c_index_difference(time, death, found[name].score, base.score, level) for name in added}
for kind, by_name in (("c", c), ("c_gain", gain)):
    for name, estimate in by_name.items():
        record(f"09_{kind}_{key_of(name)}", estimate)
assert all(np.array_equal(scores.fold, base.fold) for scores in found.values())

# %%
fig, axes = page.figure(columns=2, height=2.9, cols=2, width_ratios=(1.25, 1), sharey=False)
rows = c | {"truth: age and sex": ceiling["age_sex"], "truth: ceiling": ceiling["all"]}
forest.rows(axes[0], rows, f"C-index (95 % CI, n = {n})", 0.5)
forest.rows(axes[1], gain | {"truth: ceiling": head_room}, "C minus C of age and sex (95 % CI)", 0.0)
page.save(fig, "09_c_index")

# %%
display(estimates.table(c | {f"gain over age and sex: {name}": e for name, e in gain.items()}))
Markdown(f"""*Reading.* Image features alone have C = {c["image features"].value:.3f}, age and sex alone
{c["age and sex"].value:.3f}. The ceiling leaves room for a gain of {head_room.value:.3f}. The C-index moves little even
where something true is added, because most pairs differ so much in age that nothing else matters.""")

# %% [markdown]
# ### A trap: cross-fitted scores and tests
#
# Do the intervals above *test* whether an image knows anything? Nearly, and here lies a trap. Two folds are each
# other's training data. If chance makes a feature look good in both, it helps twice: once each way. Where there is
# nothing to find, results spread more than a test believes, by about the square root of two. In simulations of pure
# noise (`tests/analysis/test_survival.py`) a test at 5 % flagged 15 % of cross-fitted scores.
#
# The remedy keeps an order. In **forward fitting** each fold is scored by a model that has seen *earlier* folds only,
# and the first fold is not scored at all. Then no outcome is used twice, and the same simulations give 5 %. It costs
# training data. So on this page estimates of a model are cross-fitted, and whatever asks "is there anything at all?" is
# forward-fitted.

# %%
forward = {}
for name in ("image features", "measures", "age, sex, features"):
    rng = np.random.default_rng([seed, 2])
    forward[name] = cox.forward_fitted(time, death, *columns[name], rng=rng, **settings)
later = forward["image features"].fold > 0
assert np.array_equal(later, np.isfinite(forward["image features"].score))  # all but the first fold
t, d, known_age_sex, n_later = time[later], death[later], covariates[later], int(later.sum())

# %% [markdown]
# ## How much of the image is age and sex?
#
# *Three ways to take them out.* First, compare only people of the same sex and age band, two years wide (five in `ci`):
# what is left of the C-index is not between old and young. As a band is not a point, age itself keeps a little; it is
# shown for scale. Second, predict the image score from age and sex by regression, and judge the predicted part and the
# rest apart. Third, put the score into a Cox model beside age and sex and test whether it adds anything.

# %%
band = (pd.cut(people["age_years"], [0, *range(45, 85, band_years), 120]).astype(str) + people["sex"])[later]
score = forward["image features"].score[later]
design = np.c_[np.ones(n_later), known_age_sex, known_age_sex[:, :1] ** 2]
of_age_sex = design @ np.linalg.lstsq(design, score, rcond=None)[0]
share = float(of_age_sex.var() / score.var())
parts = {"image score": score, "… its part from age and sex": of_age_sex, "… the rest": score - of_age_sex}
parts |= {"measures": forward["measures"].score[later], "age": known_age_sex[:, 0]}
parts |= {"truth: imaging": oracle["imaging"][later]}
everywhere = {name: survival.c_index(t, d, values) for name, values in parts.items()}
within = {name: survival.c_index(t, d, values, band) for name, values in parts.items()}

# %%
fig, ax = page.figure(columns=2, height=3.0)
rows = {"all pairs": everywhere, "pairs of the same sex and age band": within}
forest.rows(ax, rows, f"C-index (95 % CI, n = {n_later})", 0.5)
ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
page.save(fig, "09_age_and_sex")

# %%
for name, key in zip(parts, ("image", "image_age_sex", "image_rest", "measures", "age", "truth_imaging"), strict=True):
    record(f"09_c_all_pairs_{key}", everywhere[name])
    record(f"09_c_within_{key}", within[name])
record("09_image_score_variance_from_age_sex", share, n=n_later)

# %%
OPEN = "the interval leaves it open"
chance = partial(verdict, null=0.5, above="better than chance", below="worse than chance", between=OPEN)
display(estimates.table(within).assign(within_bands=[chance(e) for e in within.values()]))
Markdown(f"""*Reading.* Age and sex explain {share:.0%} of the variance of the image score. Over all pairs it has C =
{everywhere["image score"].value:.3f}; among people of the same sex and age band {within["image score"].value:.3f}
({chance(within["image score"])}), where perfect knowledge of the heart would have
{within["truth: imaging"].value:.3f}.""")

# %% [markdown]
# ### Does it add anything?
#
# The third way puts all of a score's knowledge into one test: a Cox model with age and sex against one with the score
# beside them (likelihood ratio). Two scores are tested, so p values are corrected by Holm; the true imaging part stands
# below for comparison.

# %%
tested = {name: forward[name].score[later] for name in ("image features", "measures")}
tested["truth: imaging"] = oracle["imaging"][later]
adds = {name: cox.added_value(t, d, known_age_sex, values) for name, values in tested.items()}
p_holm = dict(zip(adds, holm([added.p for added in adds.values()][:2])))
for added, key in zip(adds.values(), ("image", "measures", "truth_imaging")):
    record(f"09_added_hr_{key}", added.hazard_ratio)
    record(f"09_added_p_{key}", added.p, n=n_later)
shown = {
    name: (e.text(2), f"{p:.2g}", f"{p_holm[name]:.2g}" if name in p_holm else "") for name, (e, p) in adds.items()
}
pd.DataFrame(shown, index=["hazard ratio per SD beside age and sex", "p", "p, Holm"]).T

# %%
passed = [name for name, p in p_holm.items() if p < 0.05 and adds[name].hazard_ratio.value > 1]
told = f"shown for {' and for '.join(passed)}" if passed else "shown for neither features nor measures"
Markdown(f"""*Reading.* Beyond age and sex, added value is {told} (Holm over two, n = {n_later}, {d.sum()} deaths). The
true imaging part has a hazard ratio of {adds["truth: imaging"].hazard_ratio.text(2)} in the same people: so much is
there to be found.""")

# %% [markdown]
# ## Curves by predicted risk
#
# *Do people of high and low predicted risk live differently?* Everybody belongs to a third by the score of the model
# that did not see them, and the bounds are the thirds of that model's *training* patients: a group is fixed before the
# patient is met. Groups are therefore not exactly equal. Curves end at six years, when few are still watched; the
# numbers below the axis say how many. The p values are
# log-rank tests of forward-fitted thirds, for the reason given above.

# %%
THIRDS, curves = ("low", "middle", "high"), {"image features": {}, "age, sex, features": {}}
for name, groups in curves.items():
    for k, called in enumerate(THIRDS):
        mine = found[name].third == k
        groups[f"{called} (n = {mine.sum()})"] = survival.kaplan_meier(time[mine], death[mine], grid)
p = {name: survival.log_rank(t, d, forward[name].third[later]) for name in curves}

# %%
fig, axes = page.figure(columns=2, height=3.1, cols=2, sharey=True)
for ax, (name, groups) in zip(axes, curves.items(), strict=True):
    plots.kaplan_meier(ax, groups, marks)
    words = f"p = {p[name]:.3f}" if p[name] >= 0.001 else "p < 0.001"
    ax.set(title=f"{name}: log-rank {words}", ylim=(0, 1.02))
    ax.legend(loc="lower left", title="predicted risk (95 % CI)", title_fontsize=7)
axes[1].set_ylabel("")
page.save(fig, "09_kaplan_meier")

# %%
told = {}
for (name, groups), key in zip(curves.items(), ("image", "age_sex_image")):
    record(f"09_log_rank_p_{key}", p[name], n=n_later)
    dead = [1 - curve.iloc[int(10 * HORIZON)] for curve in groups.values()]  # upper and lower change places
    for row, third in zip(dead, THIRDS, strict=True):
        record(f"09_risk_{key}_{third}", row["survival"], row["upper"], row["lower"], n=n)
    told[name] = [f"{row['survival']:.0%} ({row['upper']:.0%} to {row['lower']:.0%})" for row in dead]
pd.DataFrame(told, index=[f"dead by {HORIZON:.0f} years, {third} third (95 % CI)" for third in THIRDS])

# %% [markdown]
# *Reading.* The left panel is the picture that papers show for an image model. It does not say how much of the distance
# between low and high is age; the section above does.

# %% [markdown]
# ## Calibration at four years
#
# *When the model says 30 %, do 30 % die?* A ranking can be right while the risks are wrong. People are grouped by
# predicted risk; what happened to a group is read off its Kaplan–Meier curve. Two numbers sum it up. The slope is 1 if
# predictions are as spread as they should be, and below 1 if they are too extreme, the usual mark of overfitting. The
# ratio is deaths observed over deaths predicted.

# %%
shown = ("age and sex", "image features", "age, sex, features")
groups = {name: survival.calibration_table(time, death, found[name].risk, HORIZON, n_groups) for name in shown}
summary = {name: survival.calibration(time, death, found[name].risk, HORIZON) for name in shown}
for name in shown:
    for what, estimate in summary[name].items():
        record(f"09_calibration_{what}_{key_of(name)}", estimate)

# %%
fig, axes = page.figure(columns=2, height=2.9, cols=len(shown), sharex=True, sharey=True)
for ax, name in zip(axes, shown, strict=True):
    plots.calibration(ax, {name: groups[name]}, HORIZON)
top = 100 * max(table["upper"].max() for table in groups.values()) + 2
axes[0].set(xlim=(0, top), ylim=(0, top))
for ax in axes[1:]:
    ax.set_ylabel("")
page.save(fig, "09_calibration")

# %%
whole = summary["age, sex, features"]
spread = verdict(whole["slope"], 1, "too cautious", "too extreme", OPEN)
every = {f"{name}: {what}": estimate for name, row in summary.items() for what, estimate in row.items()}
display(estimates.table(every, 2))
Markdown(f"""*Reading.* With age, sex and features the slope is {whole["slope"].value:.2f} ({spread}). The folds come
from one cohort, and so the risks hold for this share of deaths only; elsewhere the baseline must be fitted anew, while
the ranking may be kept.""")

# %% [markdown]
# ## At which time?
#
# The C-index mixes all times. The AUC at a horizon asks one question: of a person dead by then and one still alive, who
# had the higher score? Those lost before are neither, and leaving them out would favour early deaths; so the dead are
# weighted by the inverse of the chance of still being watched.

# %%
Code(inspect.getsource(survival.auc_at), language="python")

# %%
years, judged = (
    (2.0, 3.0, 4.0, 5.0, 6.0),
    {name: found[name].score for name in shown} | {"truth: ceiling": oracle["all"]},
)
aucs = {name: {t: survival.auc_at(time, death, values, t) for t in years} for name, values in judged.items()}
for name, row in aucs.items():
    record(f"09_auc_{HORIZON:.0f}y_{key_of(name)}", row[HORIZON])
fig, ax = page.figure(columns=2, height=2.8)
plots.auc_over_time(ax, aucs)
page.save(fig, "09_auc_over_time")

# %%
estimates.table({f"{name}, {HORIZON:.0f} years": row[HORIZON] for name, row in aucs.items()})

# %% [markdown]
# *Reading.* Under proportional hazards the AUC changes slowly with time; the intervals widen at both ends, where either
# the dead or the living are few.

# %% [markdown]
# ## What the real share of deaths would leave
#
# *Would the same be seen in people of whom two in a hundred die?* What counts is the number of deaths, not of people.
# For a score with a hazard ratio *h* per standard deviation and variance *v* given the other columns, (z₀.₉₇₅ +
# z₀.₈)² / (v (ln h)²) deaths are needed to find it with a power of 80 % (Schoenfeld 1983). The variances below
# are those of the true measures given all others here.


# %%
def left_over(columns, name):
    """Share of a column's variance that the other columns do not explain."""
    others = np.c_[np.ones(len(columns)), columns.drop(columns=name)]
    residual = columns[name] - others @ np.linalg.lstsq(others, columns[name].to_numpy(), rcond=None)[0]
    return float(residual.var() / columns[name].var())


redraw, rare, rich = np.random.default_rng([seed, 3]), outcomes.DEATH_SHARE, 0.25
drawn, dead = {}, {}
for share in (rare, rich):
    drawn[share] = [[outcomes.survive(redraw, h, share) for h in oracle["all"]] for _ in range(n_redraws)]
    dead[share] = float(np.mean([[row["death"] for row in rows] for rows in drawn[share]]))
planted = {name: outcomes.HAZARD_RATIOS[name] for name in ("low_shortening", "lvgfi", "lavi")}
spare = {name: left_over(models["true measures"], name) for name in planted}
needed = {name: power.events_needed(planted[name], variance) for name, variance in spare.items()}

# %%
for name, events in needed.items():
    record(f"09_events_needed_{name}", events)
record("09_share_dead_real_setting", dead[rare], n=n)
table = pd.DataFrame({"hazard ratio": planted, "variance given the others": spare, "deaths needed": needed})
for share in dead.values():
    table[f"people, {share:.1%} dead"] = [math.ceil(events / share) for events in needed.values()]
table.round(2)

# %%
spans, wanted = np.geomspace(1.05, 2, 60), {CALLED[name]: (planted[name], needed[name]) for name in planted}
people_needed = {
    f"{share:.1%} die": {name: math.ceil(events / share) for name, (_, events) in wanted.items()}
    for share in dead.values()
}
fig, (left, right) = page.figure(columns=2, height=2.9, cols=2)
plots.deaths_needed(left, spans, [power.events_needed(span) for span in spans], wanted)
plots.people_needed(right, people_needed, n)
page.save(fig, "09_deaths_needed")

# %% [markdown]
# *Reading.* Left, deaths: half the log hazard ratio needs four times as many, and more again if the other columns
# explain part of the score (dots above the line). Right, the people who must be watched for so many deaths: the rarer
# they are, the more people, in proportion.
#
# *How many for another effect?* Choose a hazard ratio per standard deviation, of a score that nothing else explains.

# %% tags=["lesson", "try"]
ratio = 1.14  # try 0.8, 1.05, 1.14, 1.5

# %% tags=["lesson"]
events = power.events_needed(ratio)
pd.Series({"deaths": events, "people, 2 % die": math.ceil(events / 0.02), "people, 25 % die": math.ceil(events / 0.25)})

# %% [markdown]
# **Exercise 5.** Do it by hand for 1.14: z₀.₉₇₅ + z₀.₈ = 1.96 + 0.84, and *v* = 1. How many deaths?

# %% tags=["lesson", "exercise"]
answer = ...  # the formula above, with np.log

# %% tags=["lesson", "check"]
wrong = {
    2.8 / np.log(1.14): "Above and below the line it is squared.",
    2.8**2 / np.log10(1.14) ** 2: "ln is the natural logarithm, np.log.",
    2.8**2 / np.log(1.14) ** 2 / 0.02: "Those are people if two in a hundred die; the question is how many deaths.",
}
page.check(answer, float(power.events_needed(1.14)), wrong)

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# ```python
# answer = (1.96 + 0.84) ** 2 / np.log(1.14) ** 2
# ```
#
# About 458. A study of 20,000 people in which 400 die does not have them, however large it sounds.
#
# </details>

# %% [markdown]
# A formula is checked by doing it. The same people get new fates, many times, once with each share of deaths. The true
# imaging part is tested beside age and sex: how often is it found? It is the best that any image model could offer. A
# study with fewer than ten deaths is not tested and counts as a study that found nothing.

# %%
found_in, counted = {}, {}
for (share, lists), key in zip(drawn.items(), ("real", "enriched")):
    fates = [pd.DataFrame(rows)[["followup_years", "death"]].to_numpy().T for rows in lists]
    fates = [(t.astype(float), d.astype(bool)) for t, d in fates]
    hits = [cox.added_value(t, d, covariates, oracle["imaging"]).p < 0.05 for t, d in fates if d.sum() >= 10]
    found_in[share] = proportion(sum(hits), len(fates))
    counted[share] = survival.c_index(*max(fates, key=lambda fate: fate[1].sum()), oracle["all"])
    record(f"09_power_oracle_{key}", found_in[share])

# %%
log_ratio = oracle["imaging"].std() * math.sqrt(left_over(pd.DataFrame(covariates).assign(x=oracle["imaging"]), "x"))
for share, e in found_in.items():
    expected = power.power_of_hazard_ratio(math.exp(log_ratio), max(dead[share] * n, 1))
    wide = counted[share].upper - counted[share].lower
    found_in[share] = f"{e.value:.0%} ({e.lower:.0%} to {e.upper:.0%})", f"{expected:.0%}", f"{wide:.2f}"
words = ["studies that find it (95 % CI)", "by the formula", "width of the ceiling's interval"]
pd.DataFrame({f"{dead[share]:.1%} die": row for share, row in found_in.items()}, index=words).T

# %%
most = max(needed.values())
Markdown(f"""*Reading.* In {n} people of whom {dead[rare]:.1%} die, even the true imaging part is found beside age and
sex in {found_in[rare][0]} of redrawn studies. The planted measure that is hardest to find needs {most} deaths, and so
{math.ceil(most / dead[rare]):,} people.""")

# %% [markdown]
# ## What this page could not settle
#
# - Whether CineMA's features predict death in patients. The hazard here was written by us, with published ratios for
#   the heart and assumed ones for age and sex; a real hazard has causes that no generator knows.
# - The encoder is a small one, pretrained on an earlier version of the virtual heart. The published one may see more,
#   here or in patients.
# - In real cohorts the competing explanations are more than age and sex: blood pressure, smoking, medication, and who
#   comes to be scanned at all. Each would have to stand beside the image score in the same way.
# - The intervals take the fitted models as given. Another training set gives another model; that spread is not in them.
# - Losses are random here. Where the ill are lost more often, neither Kaplan–Meier curves nor weights repair it.
#
# ## Words of this page
#
# | word | what it means |
# |---|---|
# | censored | alive when last seen; how long they live is known only from below |
# | risk set | everybody still watched just before a death |
# | Kaplan–Meier curve | product over deaths of the share of the risk set that survives |
# | hazard, hazard ratio | rate of dying among the living; by what factor it is higher per unit of something |
# | proportional hazards | that factor is the same at all times |
# | partial likelihood | chance, in Cox's model, that at each death it was this one of the risk set |
# | C-index, comparable pair | share of pairs ordered rightly; two people of whom it is known who died first |
# | AUC at a horizon | the same between those dead by then and those alive then |
# | cross-fitted, forward-fitted | scored by a model of the other folds; of earlier folds only |
# | calibration, slope | whether so many die as predicted; below 1, predictions are too extreme |
# | log-rank test | whether groups have different curves |
# | planted, ceiling, null exposure | put in by us; the best anybody could score; what has no effect at all |
# | Holm, Bonferroni | ways to pay for testing several things at once |
#
# ## Recorded numbers

# %%
page.table()
