# ---
# jupyter:
#   cinema:
#     needs: []
# ---

# %% [markdown]
# # Fairness: is anybody read worse, and would we have noticed?
#
# **Question.** Do the reader and the encoder do as well for every sex, age, body, ethnicity and scanner; and how large
# would a difference have to be before a study of this size could see it?
#
# **Claim.** C18: comparable performance across demographic subgroups. No number, group or test for it is known to us,
# and the release has no code for it.
#
# **Time.** A minute in the `ci` profile and three to four in the `laptop` profile on two cores.
#
# All patients are *virtual*. That is a weakness, since real unfairness comes from real scanners, bodies and referral;
# and a strength, since here one group was given worse images on purpose, the others were not, and both are known. Which
# group it is stands in the cohort's truth file. We look at the data first and open the file afterwards.

# %% tags=["parameters"]
profile = "laptop"
data = "virtual"
data_root = "../data"
seed = 0
out = "../figures"

# %%
import inspect
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from IPython.display import Code, Markdown
from joblib import Parallel, delayed

# %%
from cinema import runner
from cinema.analysis import fairness, mitigation
from cinema.analysis import features as features_module
from cinema.data.study import load_study, save_study, study_table
from cinema.phantom import cohort
from cinema.plots import classification, distributions, forest, images
from cinema.stats import estimates
from cinema.stats.classification import auc, calibration, calibration_table

# %%
needs = "groups, truth and images of real patients are in no public data set together; run ci or laptop on virtual data"
page = runner.start("10_fairness", profile, data, data_root, seed, out, paper=needs, virtual_only=True)
record, rng, own = partial(page.record, claim="C18"), page.rng, page.own_folder()
n_people, n_again, n_parts, n_draws = (100, 8, 4, 50) if page.small else (1200, 30, 24, 1000)

# %% [markdown]
# ## Who is examined
#
# *Are the groups large enough to speak of?* The cohort has four ethnic groups of usable size, as no public cine data
# set has. Half of the people are healthy, the others have an infarct, a dilated or a thick left ventricle. Scanners of
# three vendors and two field strengths are dealt out by chance. Bands of age and body mass index are cut at round
# numbers fixed before anything was measured, not where they look best.

# %%
folder = cohort.write("fairness", n_people, seed, page.work / f"cohort_fairness_seed{seed}", jobs=page.jobs)
people = study_table(folder).set_index("id")
people["age"] = fairness.bands(people["age_years"], (60, 70), "years")
people["BMI"] = fairness.bands(people["bmi_kg_m2"], (25, 30), "kg/m²")
people["field"] = people["field_t"].map("{:.1f} T".format)
ATTRIBUTES = ("sex", "age", "BMI", "ethnicity", "vendor", "field")
REFERENCES = {"age": "60 to < 70 years", "BMI": "25 to < 30 kg/m²", "ethnicity": "White", "vendor": "Siemens"}
pd.concat({name: people[name].value_counts(sort=False) for name in ATTRIBUTES}).to_frame("patients")

# %% [markdown]
# ## What is measured
#
# *What could be worse for somebody?* Three things that the paper's models do. **Outlines**: Dice of the right ventricle
# (RV), the muscle (MYO) and the left ventricle (LV) by the project's reader. **Measures**: the error of the ejection
# fraction (EF) and of the mass, without sign. **Detection** of disease by a probe on frozen features of the small
# CineMA. Neither reader nor encoder has been trained on this cohort.
#
# A virtual heart has two truths: where the tissue is, and what readers of patients would draw of it. Outlines are
# compared with drawn ones, as a reader's are. The EF is measured up to the mitral valve and is held against the
# tissue's; mass hangs on where the contours run and is held against the mass as drawn. Where *hearts* of groups are
# compared below, it is the tissue that counts.
#
# The probe is cross-fitted: nobody's probability comes from a fit that saw them. Its threshold is chosen for a
# sensitivity of 90 % among the patients it was fitted with, from probabilities that were cross-fitted among these in
# turn. Reusing the test patients for the threshold would hide exactly the error we are looking for.
#
# The readers' masks and measures are the same at every run and were made once, by `python3 -m cinema experiment
# measures`. Its table is read here; twenty of these people are read again, and the page stops if they differ.

# %%
measured = features_module.measures_on_record(folder, page.jobs).loc[people.index]
people = people.join(measured)
people["ef_error"] = (people["lv_ef_percent"] - people["true_lv_ef_percent"]).abs()
people["mass_error"] = (people["lv_mass_g"] - people["true_drawn_lv_mass_g"]).abs()
features = features_module.features(folder, jobs=page.jobs).loc[people.index].to_numpy()
ill = (people["disease"] != "NOR").to_numpy()
told = mitigation.detect(features, ill, seed=seed)
limit = mitigation.thresholds(told, ill, sensitivity=0.9)
found = fairness.detection_metrics(ill, told.probability >= limit, told.probability)
people[found.columns] = found.to_numpy()

# %% [markdown]
# Each of these is a *mean over patients*, also where it does not look like one. Sensitivity is the mean of ones and
# zeros over the ill; calibration in the large is the mean of what happened minus what was predicted; the Brier score
# is a mean of squares. That is convenient: one method for an interval, one for a gap and one for a test serve all nine.

# %%
METRICS = {"dice_rv": "Dice RV", "dice_myo": "Dice MYO", "dice_lv": "Dice LV", "ef_error": "EF error (points)"}
METRICS |= {"mass_error": "Mass error (g)", "sensitivity": "Sensitivity", "specificity": "Specificity"}
METRICS |= {"excess": "Observed − predicted", "brier": "Brier score"}
BETTER = dict(zip(METRICS, (1, 1, 1, -1, -1, 1, 1, 0, -1)))
overall = {metric: fairness.mean(people[metric], rng) for metric in METRICS}
for metric, estimate in overall.items():
    record(f"10_all_{metric}", estimate)
pd.Series({METRICS[metric]: estimate.text(3) for metric, estimate in overall.items()}).to_frame("everybody")

# %% [markdown]
# ## Group by group
#
# *How does each group do?* Means with bootstrap intervals (BCa), rates with Wilson's, each with the number of patients
# that count: for sensitivity these are the ill of the group, a good deal fewer than the group. The grey line and band
# are everybody together.

# %%
groups = fairness.by_group(people, ATTRIBUTES, METRICS, rng)
for row in groups[groups["metric"].isin(["dice_myo", "ef_error", "sensitivity"])].itertuples():
    record(f"10_{row.metric}_{row.attribute}_{row.group}".replace(" ", "_"), *row[4:8])
fig, axes = page.figure(columns=2, height=3.6, cols=4, width_ratios=(1, 1, 1, 1))
for ax, metric in zip(axes, ("dice_myo", "ef_error", "sensitivity", "specificity")):
    forest.groups(ax, groups[groups["metric"] == metric], overall[metric], METRICS[metric], named=ax is axes[0])
page.save(fig, "10_groups")

# %%
ef = groups[groups["metric"] == "ef_error"].reset_index(drop=True)
last, first = ef.loc[ef["value"].idxmax()], ef.loc[ef["value"].idxmin()]
worst_group, worst, by_chance = fairness.worst_group(people["ef_error"], people["ethnicity"], rng, False)
record("10_worst_ethnic_group_ef_error", worst, unit="points")
Markdown(f"""*Reading.* The EF error runs from {first["value"]:.1f} points ({first["group"]}) to {last["value"]:.1f}
({last["group"]}). The worst of several groups is bad by chance too: with nothing between them, the worst of the ethnic
groups would have {by_chance:.1f} on average. It is {worst_group} with {worst.text(1, " points")}, the interval widened
for having picked the worst.""")

# %% [markdown]
# ## All gaps, one family
#
# *Which of these differences are more than chance?* Looking at dots and picking the far ones is a hundred tests done by
# eye. So we do them openly, and all of them.
#
# - **Against whom?** Each group against a named reference, the most common one. Against "all others" the gap of one
#   group would leak into the comparison of every other, whose others then contain the bad images.
# - **Interval.** Welch's for means, which does not assume equal spread; Newcombe's for rates.
# - **p value.** Patients are dealt to the two groups at random a few thousand times. The statistic is a t value and not
#   a plain difference: a group that merely scatters more must not be called different.
# - **Multiplicity.** Holm's correction over the *whole* family, all groups times all metrics: the chance that anything
#   at all is called a gap when there is none stays below 5 %. Benjamini-Hochberg beside it is milder: of what it calls,
#   5 % are false on average.
# - **Power.** The smallest gap that would be found in eight of ten such studies. A gap that is not found says little
#   unless one knows that number.

# %%
Code(inspect.getsource(fairness.gap) + inspect.getsource(fairness.permutation_p), language="python")

# %%
family = fairness.with_detectable(fairness.gaps(people, ATTRIBUTES, METRICS, rng, REFERENCES))
counts = {kind: int((family[kind] <= fairness.ALPHA).sum()) for kind in ("p", "p_bh", "p_holm")}
for kind, number in counts.items():
    record(f"10_gaps_{kind}", number, n=n_people, unit=f"of {len(family)}")
height = 1.3 + 0.22 * len(family[["attribute", "group"]].drop_duplicates())
fig, ax = page.figure(columns=2, height=height)
forest.family(ax, family, METRICS, BETTER)
page.save(fig, "10_family")

# %%
flagged = []
for (_, group), rows in family[family["p_holm"] <= fairness.ALPHA].groupby(["attribute", "group"], sort=False):
    flagged.append(f"{group} ({', '.join(METRICS[metric] for metric in rows['metric'])})")
Markdown(f"""*Reading.* {len(family)} comparisons. Without correction {counts["p"]} have p ≤ 0.05, where
{fairness.ALPHA * len(family):.0f} would be expected with no gap anywhere; {counts["p_bh"]} remain after
Benjamini-Hochberg and {counts["p_holm"]} after Holm: {"; ".join(flagged) or "none"}.""")

# %% [markdown]
# A flag says that there is a difference, not where it comes from nor whether it matters, and no flag does not mean that
# there is none. Both are taken up below, beginning with the second: here are the ethnic groups in full, on grey bars of
# what this study could *not* reliably have seen.

# %%
ethnic = family[family["attribute"] == "ethnicity"]
shown = [metric for metric in ("dice_myo", "ef_error", "sensitivity") if metric in set(ethnic["metric"])]
fig, axes = page.figure(columns=2, height=2.3, cols=len(shown), squeeze=False)
for ax, metric in zip(axes[0], shown):
    forest.gaps(ax, ethnic[ethnic["metric"] == metric], f"Gap of {METRICS[metric]}")
words = "thick: 95 % CI; thin: whole family; grey: smallest gap found 8 times in 10; orange: flagged (Holm)"
fig.suptitle(words, fontsize=7, x=0.01, ha="left")
page.save(fig, "10_ethnic_gaps")

# %%
mine = ethnic[ethnic["metric"] == "ef_error"].set_index("group")
worst_name = mine["gap"].idxmax()
null_name = mine.drop(worst_name)["gap"].abs().idxmax()
for key, group in (("largest", worst_name), ("null", null_name)):
    row = mine.loc[group]
    record(f"10_{key}_gap", *row[["gap", "lower_all", "upper_all"]], n=row["n"], unit="points")
    page.record(f"10_{key}_gap_detectable", row["detectable_all"], n=row["n"], unit="points")
    record(f"10_{key}_gap_p_holm", row["p_holm"], n=row["n"])

# %%
told_gaps = []
for g, r in mine.iterrows():
    ends = f"{r.lower:.1f} to {r.upper:.1f}; whole family {r.lower_all:.1f} to {r.upper_all:.1f}; n = {r.n}"
    seen = f"with this spread {r.detectable:.1f} would be found 8 times in 10, {r.detectable_all:.1f} after correction"
    told_gaps.append(f"{g} {r.gap:+.1f} points ({ends}; {'flagged' if r.p_holm <= 0.05 else 'not flagged'}; {seen})")
Markdown(f"*Reading.* EF error against White: {'; '.join(told_gaps)}.")

# %% [markdown]
# Note that the smallest detectable gap is itself larger for a group that is read badly, because its errors scatter
# more. Harm hides where readings are worst.
#
# ## Their hearts or their images?
#
# *Why is a group read worse?* Two explanations call for opposite remedies. Hearts may differ: sicker, smaller, thicker.
# Or pictures may. First look at a healthy heart of each group, same slice, same phase.

# %%
examples = people[people["disease"] == "NOR"].drop_duplicates("ethnicity").sort_values("ethnicity")
fig, axes = page.figure(columns=2, height=2.15, cols=len(examples))
for ax, row in zip(axes, examples.itertuples()):
    images.panel(ax, load_study(row.path).views["sax"], title=f"{row.ethnicity}, {row.vendor}")
page.save(fig, "10_examples")

# %% [markdown]
# Now in numbers, from pixels alone. **Signal to noise**: between end diastole and end systole most of a chest stands
# still, so what differs there is mostly noise. **Sharpness**: the gradient at the sharpest edges, in shares of the
# range of grey values per mm. No mask and no truth is needed, so that any hospital could compute both.


# %%
def quality(path):
    """Signal to noise and sharpness of a study's short-axis stack."""
    view = load_study(path, views=["sax"]).views["sax"]
    return mitigation.signal_to_noise(view.image), mitigation.sharpness_per_mm(view.image, view.spacing_mm)


people[["snr", "sharpness"]] = Parallel(page.jobs)(delayed(quality)(path) for path in people["path"])
TRUTH = {"true_lv_ef_percent": "True EF", "true_lv_edv_ml": "True EDV", "true_lv_mass_g": "True mass"}
PIXELS = {"snr": "Signal to noise", "sharpness": "Sharpness"}
people["ill"] = ill * 1.0
why = fairness.gaps(people, ["ethnicity"], [*TRUTH, "ill", *PIXELS], rng, REFERENCES)

# %%
fig, axes = page.figure(columns=2, height=2.6, cols=2)
for ax, (metric, label) in zip(axes, {"snr": "Signal to noise", "sharpness": "Sharpness (1/mm)"}.items()):
    rows = fairness.by_group(people, ["ethnicity"], [metric], rng)
    strips = {(r.group, "mean"): estimates.Estimate(*r[4:8]) for r in rows.itertuples()}
    distributions.scores(ax, people.assign(mean="mean"), strips, metric, "ethnicity", "mean", label)
    ax.set_xticks(range(len(rows)), [f"{r.group}\n(n = {r.n})" for r in rows.itertuples()])
    ax.legend_.remove()
fig.suptitle("a dot a patient; mean with 95 % CI", fontsize=7, x=0.01, ha="left")
page.save(fig, "10_quality")

# %%
for metric in ("snr", "true_lv_ef_percent"):
    row = why[(why["metric"] == metric) & (why["group"] == worst_name)].iloc[0]
    record(f"10_worst_group_{metric}_gap", *row[["gap", "lower_all", "upper_all"]], n=row["n"])
words, told_apart = TRUTH | PIXELS | {"ill": "Share of the ill"}, []
for r in why[why["p_holm"] <= fairness.ALPHA].itertuples():
    told_apart.append(f"{r.group} in {words[r.metric]} ({r.gap:+.3g}, {r.lower_all:.3g} to {r.upper_all:.3g})")
Markdown(f"""*Reading.* Against White, after Holm over these {len(why)} comparisons, there differ:
{"; ".join(told_apart) or "none"}. Anatomy is listed only if it differs; a difference of images without one of hearts
points to the scan.""")

# %% [markdown]
# That is an association. Can it be adjusted for? No: hardly anybody else has images as poor, so a regression would have
# to guess how such patients would be read. What settles a cause is an experiment: scan the *same hearts* again, some of
# the worst group as everybody else is scanned, some White people as that group is. Only a virtual scanner can do that.
# Now the truth file is opened.

# %%
planted = json.loads((folder / "truth.json").read_bytes())["quality_gap"]
gap = cohort.ROLES["fairness"].quality_gap
PARTS = {"noise": "snr", "blur": "blur_mm", "breathing": "breath_shift_mm"}


def changed(scan, part, worse):
    """What the named part of a scan becomes when the planted gap is added to it, or taken away."""
    value = getattr(scan, PARTS[part])
    if part == "blur":
        return value + gap.extra_blur_mm if worse else value - gap.extra_blur_mm
    factor = gap.snr_factor if part == "noise" else gap.breath_factor
    return value * factor if worse else value / factor


planted

# %% [markdown]
# A person of the named group is scanned without the named parts of the gap; anybody else, with them.


# %%
def scan_again(number, parts, into):
    """The same person in the same scanner, with parts of the planted gap taken away, or added."""
    person = cohort.person("fairness", number, seed)
    worse, scan = person.attributes[gap.attribute] != gap.value, person.acquisition
    scan = replace(scan, **{PARTS[part]: changed(scan, part, worse) for part in parts})
    return save_study(cohort.study(replace(person, acquisition=scan)), own / into)


def read_again(into):
    """What the readers measure in the studies of a folder, with the errors of EF and mass."""
    table = features_module.measures(own / into, jobs=page.jobs)
    for error, name, whose in (("ef_error", "lv_ef_percent", "true"), ("mass_error", "lv_mass_g", "true_drawn")):
        table[error] = (table[name] - people.loc[table.index, f"{whose}_{name}"]).abs()
    return table


# %%
def again(ids, parts, into):
    """People scanned and read again, in the columns of `people`."""
    Parallel(page.jobs)(delayed(scan_again)(int(name[-5:]), parts, into) for name in ids)
    return read_again(into)


some = {group: people.index[people["ethnicity"] == group][:n_again] for group in (gap.value, "White")}
swapped = {group: again(ids, PARTS, f"all_{group}") for group, ids in some.items()}

# %%
fig, axes = page.figure(columns=2, height=2.5, cols=4)
for ax, (group, metric) in zip(axes, [(g, m) for m in ("dice_myo", "ef_error") for g in some]):
    ticks = ("as scanned", "worse scan") if group == "White" else ("as scanned", "usual scan")
    distributions.pairs(ax, people.loc[some[group], metric], swapped[group][metric], ticks, METRICS[metric])
    ax.set_xlabel(group)
page.save(fig, "10_same_hearts")

# %%
effects = {}
for group, ids in some.items():
    for metric in ("ef_error", "dice_myo"):
        first, second = people.loc[ids, metric], swapped[group].loc[ids, metric]
        effects[group, metric] = estimates.paired_difference(second, first, rng)
        record(f"10_same_hearts_{group}_{metric}", effects[group, metric])
usual, worse = (effects[group, "ef_error"].text(1, " points") for group in some)
Markdown(f"""*Reading.* The truth file names {planted["attribute"]} = {planted["value"]}; the group found above is
{worst_name}. The same hearts scanned as usual change their EF error by {usual}; White people scanned in the worse way
change theirs by {worse}. Nothing about the heart was touched, so an interval that excludes zero names the images as the
cause.""")

# %% [markdown]
# *Which part of it?* The planted gap has three: noise, blur, larger shifts between breath-holds. One at a time is taken
# away from people of that group.

# %%
few, relief = some[gap.value][:n_parts], {}
steps = {part: again(few, [part], f"without_{part}")["ef_error"] for part in PARTS}
for part, error in steps.items():
    relief[part] = estimates.paired_difference(error.loc[few], people.loc[few, "ef_error"], rng)
    page.record(f"10_without_{part}_ef_error", relief[part], unit="points")
told_parts = "; ".join(f"without its {part} {e.text(1, ' points')}" for part, e in relief.items())
Markdown(f"""*Reading.* Change of the EF error {told_parts}. The parts need not add up: an image that is both noisy and
blurred may fail as a whole.""")

# %% [markdown]
# ## Case mix is not unfairness
#
# *When is a gap nobody's fault?* When groups bring different hearts. Two examples. The first is real in this cohort:
# women's hearts are smaller, walls are fewer pixels thick, and the same error of half a pixel costs more Dice. So women
# and men are compared within thirds of muscle mass, disease and vendor. (If a gap of Dice remains among hearts of
# equal size, or if size itself should not matter, it is for the reader to say whether this is an excuse. It does
# explain.)
#
# In the second, two clinics are invented: patients with good images are dealt out so that one clinic gets most of the
# thick hearts (HCM), in which mass is hardest. Within a disease it is pure chance, so there *cannot* be a gap.

# %%
people["size"] = pd.qcut(people["true_lv_mass_g"], 3, labels=["small", "middle", "large"]).astype(str)
usual_images = people[people["ethnicity"] != gap.value]


def clinics(rng):
    """Clinic of each patient with usual images: A gets six of ten HCM and one of eight others."""
    share = np.where(usual_images["disease"] == "HCM", 0.6, 0.125)
    return np.where(rng.random(len(share)) < share, "A", "B")


dealt = usual_images.assign(clinic=clinics(rng))
alike = {"as they come": None, "same size and disease": ["size", "disease", "vendor"]}
sexes = {name: fairness.gaps(people, ["sex"], ["dice_myo"], rng, strata=mix).iloc[0] for name, mix in alike.items()}
alike = {"as they come": None, "same disease": ["disease"]}
mixes = {name: fairness.gaps(dealt, ["clinic"], ["mass_error"], rng, strata=mix).iloc[0] for name, mix in alike.items()}

# %%
fig, axes = page.figure(columns=2, height=1.9, cols=2)
for ax, rows, label in zip(axes, (sexes, mixes), ("Dice MYO, women − men", "Mass error (g), clinic A − B")):
    lines = {}
    for name, row in rows.items():
        estimate = estimates.Estimate(*row[["gap", "lower", "upper"]], row["n"] + row["n_against"])
        lines[f"{name}\n(p = {row['p']:.2g})"] = {"gap, 95 % CI": estimate}
    forest.several(ax, lines, label)
page.save(fig, "10_case_mix")

# %%
draws = {"crude": 0, "adjusted": 0}
disease = usual_images["disease"].to_numpy()
for _ in range(n_draws):
    first = clinics(rng) == "A"
    for name, strata in (("crude", None), ("adjusted", disease)):
        estimate = fairness.gap(usual_images["mass_error"], first, strata)
        draws[name] += estimate.lower > 0 or estimate.upper < 0
draws = {name: count / n_draws for name, count in draws.items()}
for name, share in draws.items():
    page.record(f"10_clinics_called_unfair_{name}", share, n=n_draws, unit="share of draws")
for name, row in zip(("crude", "adjusted"), sexes.values()):
    record(f"10_sex_dice_myo_{name}", *row[["gap", "lower", "upper"]], n=n_people)

# %%
before, after = (f"{row['gap']:+.3f} ({row['lower']:.3f} to {row['upper']:.3f})" for row in sexes.values())
Markdown(f"""*Reading.* Women − men, Dice of MYO: {before} as they come, {after} among hearts of like size, disease and
vendor. The clinics, dealt {n_draws} times: the crude interval excludes zero in {100 * draws["crude"]:.0f} % of draws,
the adjusted one in {100 * draws["adjusted"]:.1f} %; 5 % are due.""")

# %% [markdown]
# And the planted gap: does it go away in the same way? It should not, because it is no matter of case mix.

# %%
strict = fairness.gaps(people, ["ethnicity"], ["ef_error"], rng, REFERENCES, strata=["disease", "vendor", "field"])
row = strict.set_index("group").loc[gap.value]
record("10_planted_gap", *row[["gap", "lower_all", "upper_all"]], n=row["n"], unit="points")
Markdown(f"""*Reading.* Within disease, vendor and field strength the EF error of {gap.value} patients is larger by
{row["gap"]:.1f} points ({row["lower_all"]:.1f} to {row["upper_all"]:.1f}, corrected for {len(strict)} groups, n =
{row["n"]}; p = {row["p"]:.2g}, after Holm {row["p_holm"]:.2g}).""")

# %% [markdown]
# ## Probabilities, group by group
#
# *Does 70 % mean the same for everybody?* A probe can rank well in each group and still be calibrated to the majority.
# Observed shares over predicted probabilities, by sex and for the group with poor images against the rest, and the
# numbers behind: intercept zero, slope one is right; a slope below one means too extreme, above one too timid.

# %%
parts = {gap.value: people["ethnicity"] == gap.value, "all others": people["ethnicity"] != gap.value}
by_sex = {"women": people["sex"] == "F", "men": people["sex"] == "M"}
n_bins = 3 if page.small else 5
fig, axes = page.figure(columns=2, height=3.1, cols=2)
for ax, sides in zip(axes, (by_sex, parts)):
    tables = {name: calibration_table(ill[use], told.probability[use], n_bins) for name, use in sides.items()}
    classification.calibration(ax, tables)
page.save(fig, "10_calibration")

# %%
rows = {}
for name, use in (by_sex | parts).items():
    for what, estimate in calibration(ill[use], told.probability[use], rng).items():
        if np.isfinite(estimate).all():
            rows[name, what] = estimate.text(2)
            record(f"10_calibration_{what}_{name}".replace(" ", "_"), estimate)
    rows[name, "AUC"] = auc(ill[use], told.probability[use]).text(3)
pd.Series(rows).unstack()

# %% [markdown]
# ### A gap that nobody planted
#
# *Is the sex of a patient without meaning here?* Images of women are as good as those of men. But what is normal
# depends on sex: men's hearts are larger and thicker, and the rules of disease allow for it. The probe sees a heart and
# is not told whose. If it takes size for illness, healthy men must be told too high a risk. So look at the healthy
# alone. This comparison was suggested by the table of gaps, and its interval is not corrected for that.

# %%
healthy = people[~ill].assign(risk=told.probability[~ill])
risk = fairness.by_group(healthy, ["sex"], ["risk"], rng).set_index("group")
higher = fairness.gap(healthy["risk"], healthy["sex"] == "M")
record("10_risk_of_healthy_men_less_women", higher)
ends = (f"{g} {r['value']:.2f} ({r['lower']:.2f} to {r['upper']:.2f}, n = {r['n']})" for g, r in risk.iterrows())
Markdown(f"""*Reading.* Mean risk told to the healthy: {"; ".join(ends)}. Men minus women: {higher.text(2)}. An interval
above zero means that the probe reads size as illness. No scan would mend that; telling the probe the sex, or its own
threshold, might.""")

# %% [markdown]
# ## What can be done about it
#
# *Short of better scans, what helps, and who pays?* Four candidates, each before and after on the same patients:
#
# - **Denoised images** before reading, by non-local means: noise goes, edges mostly stay.
# - **A second reading**: the error of the EF is predicted, cross-fitted, from everything else that is known of a study:
#   volumes, long-axis motion, mass, signal to noise, sharpness. No group label is used.
# - **A threshold for each sex** in detection, to give both a sensitivity of 90 %.
# - **A head in which the sexes count the same**: the probe refitted with weights, so that the healthy and the ill of
#   both sexes have one quarter each.
#
# The first two are judged by the EF error in the group with poor images, the other two by sensitivity and specificity
# of women and men, where detection has the larger gap.

# %%
Code(inspect.getsource(mitigation.denoised) + inspect.getsource(mitigation.corrected_by_quality), language="python")


# %%
def denoise(path):
    """A copy of a study with its images denoised."""
    study = load_study(path)
    views = {name: replace(view, image=mitigation.denoised(view.image)) for name, view in study.views.items()}
    return save_study(replace(study, views=views), own / "denoised")


both = [name for ids in some.values() for name in ids]
Parallel(page.jobs)(delayed(denoise)(people.loc[name, "path"]) for name in both)
clean = read_again("denoised")
known = people[[*measured.columns.drop(["dice_rv", "dice_myo", "dice_lv"]), *PIXELS]]
true_ef = people["true_lv_ef_percent"]
told_twice = mitigation.corrected_by_quality(known.fillna(known.median()), "lv_ef_percent", true_ef, seed)
people["ef_error_twice"] = np.abs(told_twice - true_ef)

# %% [markdown]
# The Dice columns are left out of the second reading on purpose: they are computed from the masks as drawn, and a
# correction that uses them would be a leak. What is left, every hospital has; but the correction has to be *learned* on
# patients of all groups whose true EF is known, which here is easy and elsewhere the hard part.

# %%
lines, gap_change = {}, {}
for name, error in {"denoised": clean["ef_error"], "second reading": people["ef_error_twice"]}.items():
    difference, ethnicity = error - people.loc[error.index, "ef_error"], people.loc[error.index, "ethnicity"]
    members, others = (ethnicity == group for group in (gap.value, "White"))
    lines[name] = {}
    for group, use in ((gap.value, members), ("White", others)):
        lines[name][group] = estimates.bca(difference[use], np.mean, rng)
        record(f"10_{name}_ef_error_{group}".replace(" ", "_"), lines[name][group], unit="points")
    gap_change[name] = fairness.gap(difference[members | others], members[members | others])
    record(f"10_{name}_gap_change".replace(" ", "_"), gap_change[name], unit="points")

# %%
sex = people["sex"].to_numpy()
weighted = mitigation.detect(features, ill, mitigation.balanced_weights(sex, ill), seed)
choices = {"one threshold": told.probability >= limit}
choices["one for each sex"] = told.probability >= mitigation.thresholds(told, ill, 0.9, sex)
choices["sexes count the same"] = weighted.probability >= mitigation.thresholds(weighted, ill, 0.9)
rates = {}
for name, positive in choices.items():
    for side, use in by_sex.items():
        found, spared = estimates.proportion(positive[ill & use].sum(), (ill & use).sum()), (~positive)[~ill & use]
        rates[name, side] = {"Sensitivity": found, "Specificity": estimates.proportion(spared.sum(), len(spared))}

# %%
fig, axes = page.figure(columns=2, height=2.4, cols=3, width_ratios=(1.2, 1, 1))
forest.several(axes[0], lines, "Change of the EF error (points)")
for ax, what in zip(axes[1:], ("Sensitivity", "Specificity")):
    forest.several(ax, {name: {side: rates[name, side][what] for side in by_sex} for name in choices}, what, zero=False)
axes[2].set_yticklabels([])
axes[2].legend_.remove()
page.save(fig, "10_mitigation")

# %%
for (name, side), row in rates.items():
    for what, estimate in row.items():
        record(f"10_{what}_{name}_{side}".lower().replace(" ", "_"), estimate)
use = people["ethnicity"].isin([gap.value, "White"])
member = people.loc[use, "ethnicity"] == gap.value
once, twice = (fairness.gap(people.loc[use, column], member) for column in ("ef_error", "ef_error_twice"))
record("10_gap_after_second_reading", twice, unit="points")
points = {name: e.text(1, " points") for name, e in gap_change.items()}
paid = {name: row["White"].text(1, " points") for name, row in lines.items()}
Markdown(f"""*Reading.* The gap of the EF error to White changes by {points["denoised"]} when images are denoised and by
{points["second reading"]} with a second reading, from {once.value:.1f} to {twice.text(1, " points")}. White patients
themselves change by {paid["denoised"]} and {paid["second reading"]}: above zero, they pay.""")

# %%
of_sex = {}
for name, positive in choices.items():
    for what, use, right in (("sensitivity", ill, positive), ("specificity", ~ill, ~positive)):
        of_sex[name, what] = fairness.gap(right[use] * 1.0, sex[use] == "F")
        record(f"10_{what}_{name}_women_less_men".replace(" ", "_"), of_sex[name, what])
told_sex = {
    name: ", ".join(f"{what} {of_sex[name, what].text(2)}" for what in ("sensitivity", "specificity"))
    for name in choices
}
Markdown(f"""*Reading.* Detection, women minus men. {" ".join(f"{k.capitalize()}: {v}." for k, v in told_sex.items())}
Thresholds aim at one sensitivity for both; what specificity then costs whom is in the figure. With different hearts of
the healthy, not everything can be equal at once.""")

# %% [markdown]
# ### Turning poor images away
#
# The usual rule of a core laboratory is to refuse images below a limit of quality. It knows nothing of groups. Whom
# does it refuse? The limit here is set so that 5 % of White patients would be scanned again.

# %%
limit_snr = float(np.quantile(people.loc[people["ethnicity"] == "White", "snr"], 0.05))
refused = (people["snr"] < limit_snr).to_numpy()
share = {name: estimates.proportion(refused[use].sum(), use.sum()) for name, use in parts.items()}
for name, estimate in share.items():
    record(f"10_refused_{name}".replace(" ", "_"), estimate)
left = int((parts[gap.value] & ~refused).sum())
ends = (f"{g} {100 * e.value:.0f} % ({100 * e.lower:.0f} to {100 * e.upper:.0f}, n = {e.n})" for g, e in share.items())
Markdown(f"""*Reading.* Refused: {"; ".join(ends)}. Of {gap.value} patients {left} are left. A quality rule can make the
table of those who are read look fair by sending the problem home.""")

# %% [markdown]
# ## What can "fair" mean?
#
# *If a paper writes that performance was comparable across groups, what has it excluded?* That depends on how many
# there were. In the UK Biobank few people are Black; the generator's share follows the biobank. The smallest gap of the
# EF error that is found eight times in ten is drawn below over the size of the whole test set, for a group of that
# share and for the sexes, with a single test and corrected for a family as large as ours. The spread is that of
# readings of usual images here; a group with larger scatter needs more.

# %%
share_black = dict(cohort.ROLES["population"].population.ethnicity)["Black"]
sd = float(usual_images["ef_error"].std())
sizes = np.unique(np.round(np.geomspace(400, 40000, 25)).astype(int))


def smallest(n, part, tests):
    """Smallest gap of the EF error found 8 times in 10 in n patients, `part` of them in the group."""
    members = max(round(n * part), 2)
    return fairness.detectable({"sd": sd, "n": members, "n_against": n - members}, fairness.ALPHA / tests)


# %%
studies, curves = page.paper("C1").set_index("quantity")["value"], {}
not_trained_on = int(studies["studies"] - studies["studies in the training split"])
for who, part in ((f"Black, {100 * share_black:.1f} %", share_black), ("women and men", 0.5)):
    for tests in (len(family), 1):
        curves[f"{who}, {tests} test{'s' * (tests > 1)}"] = [smallest(n, part, tests) for n in sizes]
marks = {f"this cohort, {n_people}": n_people, f"UK Biobank not pretrained on, {not_trained_on}": not_trained_on}
fig, ax = page.figure(columns=2, height=3.0)
labels = "Patients in the whole test set", "Smallest gap of EF error\nfound 8 times in 10 (points)"
forest.curves(ax, sizes, curves, *labels, marks)
page.save(fig, "10_detectable")

# %%
least = {}
for n, key in ((1000, "1000"), (not_trained_on, "ukb")):
    for tests, kind in ((1, "one"), (len(family), "family")):
        least[key, kind] = smallest(n, share_black, tests)
        record(f"10_detectable_{key}_{kind}", least[key, kind], n=n, unit="points")
Markdown(f"""*Reading.* With 1000 patients {100 * share_black:.1f} % are {round(1000 * share_black)} people, and the
smallest gap found 8 times in 10 is {least["1000", "one"]:.1f} points, or {least["1000", "family"]:.1f} within a family
of {len(family)} tests, beside a mean error of {usual_images["ef_error"].mean():.1f}. With all {not_trained_on} studies
of the biobank that were not pretrained on it is {least["ukb", "one"]:.1f} and {least["ukb", "family"]:.1f}. Smaller
gaps may well be there; "comparable" then means "not seen".""")

# %% [markdown]
# ## What this page could not settle
#
# - Whether CineMA is fair to *patients*. Groups, hearts and images are the generator's; that ethnic groups do not
#   differ in their hearts is an assumption here and is wrong in detail for people.
# - The size of the planted gap is arbitrary. The page shows that such a gap is found, named and told from case mix.
# - Groups were taken one at a time. Their crossings (older women of a small group) are where harm can be largest
#   and power is least.
# - A mean can be equal while the worst cases are not: look at failures, not only at means.
#
# ## Exercises
#
# 1. Leave `REFERENCES` out of `fairness.gaps`. Which group without any planted gap is now flagged as *better*, and why?
#    (Check: each comparison is with all others, among whom are the poor images.)
# 2. How many patients would a cohort with the biobank's shares need to find a gap of half a point within this family?
#    (Check: solve `smallest(n, share_black, len(family)) == 0.5`; the gap falls with the root of n.)
# 3. Replace the t statistic in `fairness._distance` by the plain difference for all metrics and give one group three
#    times the scatter of the other at equal means. (Check: `tests/analysis/test_fairness.py` has the simulation; the
#    plain permutation calls more than 15 of 100 such studies a gap.)

# %%
page.table()
