# ---
# jupyter:
#   cinema:
#     needs: [06_disease_detection]
# ---

# %% [markdown]
# # Attributes: sex, vendor, age and BMI, and what carries them
#
# **Question.** What else does an image of the heart say about a person and a scanner, how well can it be read, and from
# which part of the image?
#
# **Claims.** C14: sex and vendor can be told. C15: age and BMI can be estimated. No numbers of the paper were found.
#
# **Time.** Half a minute in the `ci` profile and a minute or two in the `laptop` profile on two cores. The
# profile `paper` means the published networks on real studies, and is refused for virtual ones.
#
# **On patients.** ACDC, M&Ms and M&Ms-2 tell some of sex, vendor, age and body size. Whoever holds one of them gets
# this page with its patients: `python3 -m cinema prepare mnms RAW`, then `python3 -m cinema reproduce --only 07 --data
# mnms`. What rests on exact hearts, bodies and protocols is then left out, and what a set does not tell is said.
#
# That a network can tell somebody's sex is no use to a clinic. It is a warning: whatever can be read, a model may lean
# on. A model that knows the vendor can use it as a stand-in for the hospital, and the hospital as a stand-in for the
# disease. So the second half of the page asks *where* the information lies.

# %% [markdown] tags=["virtual"]
# Everyone here is virtual, and the exact heart, body and scanner of each is known, so that every answer has a ceiling.

# %% tags=["parameters"]
profile = "laptop"
data = "virtual"
data_root = "../data"
seed = 0
out = "../figures"

# %%
import inspect
import json
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from IPython.display import Code, Markdown, display

# %%
from cinema import runner
from cinema.analysis import attributes, features
from cinema.data.study import study_table
from cinema.phantom import cohort
from cinema.plots import agreement, classification, forest, images
from cinema.stats import estimates
from cinema.stats.classification import auc, auc_difference, macro_auc
from cinema.training import arms

warnings.filterwarnings("ignore", "The least populated class")  # a vendor of four patients, in the ci profile

# %%
refusal = (
    "the published networks are for real studies; name one of acdc, mnms, mnms2, or run this notebook with ci or "
    "laptop on virtual data"
)
page = runner.start("07_attributes", profile, data, data_root, seed, out, paper=refusal)
torch.set_num_threads(1)
own, rng = page.own_folder(), page.rng

# %% [markdown]
# ## What is read, and by whom
#
# The reader is simple on purpose: **frozen features** of the shipped encoder, which has never seen an attribute (its
# pretraining saw virtual hearts of an earlier anatomy), and a ridge regression on top. Five folds of people, whatever
# their split; nobody is predicted by a probe that was fitted with them. So everybody is a test patient once. Of
# patients, classes of fewer than there are folds are left out.

# %% [markdown] tags=["virtual"]
# As in the paper, sex, vendor and age come from the cohort that imitates M&Ms, vendor also from the one that imitates
# M&Ms-2, BMI from the one that imitates ACDC. The cohorts are those of notebook 06. Beside the probe stands a small
# **ResNet** trained end to end, for sex and age.

# %%
if page.virtual:
    asked = {"sex": "mnms", "vendor": "mnms", "vendor, M&Ms-2": "mnms2", "age": "mnms", "BMI": "acdc"}
    folders = {role: page.work / f"cohort_{role}_seed{seed}" for role in ("acdc", "mnms", "mnms2")}
    people = {role: study_table(folder) for role, folder in folders.items()}
    x = {role: features.features(folder, page.jobs, ("sax",)) for role, folder in folders.items()}
else:
    asked = dict.fromkeys(attributes.ATTRIBUTES, data)
    people = {data: features.short_axis(page.studies(), own / "small", page.jobs)}
    x = {data: features.features_of(people[data]["path"], page.jobs)}
x = {role: x[role].loc[table["id"]].to_numpy() for role, table in people.items()}
everything = {label: attributes.known(people[role], label.split(",")[0], page.least) for label, role in asked.items()}
Markdown("; ".join(f"{label}: {one.lacks or f'n = {len(one.values)}'}" for label, one in everything.items()) + ".")

# %%
told = attributes.readable(everything)
numbers = [label for label in told if told[label].unit]
classes = [label for label in told if label in attributes.ATTRIBUTES and label not in numbers]
Code(inspect.getsource(features.predicted_number), language="python")

# %% [markdown]
# A class is read by one probe a value, each answering yes or no. Of more than two values the scores are compared with
# the area under the ROC curve of one class against all others, averaged over classes (macro AUC).

# %%
read = {label: attributes.read(x[asked[label]], one, seed) for label, one in told.items()}
found = {label: attributes.quality(read[label], one, rng) for label, one in told.items()}
claims = {label: "C15" if one.unit else "C14" for label, one in told.items()}
for label, one in told.items():
    key = f"07_{label.lower().replace(', m&ms-2', '_mnms2')}_{'mae' if one.unit else 'auc'}_frozen"
    page.record(key, found[label], unit=one.unit.replace("²", "2"), claim=claims[label])

# %% [markdown]
# ### Floor and ceiling
#
# *What is good?* The floor is an answer without an image: AUC 0.5, or the mean of everybody.

# %% [markdown] tags=["virtual"]
# The ceiling is an answer from the *exact* body and heart: its tissue as it is, not as somebody draws it. For age
# and BMI it is the best linear reading, computed on three thousand other people when the cohort was made; for sex a
# forest on exact volumes, mass, length, fat and body size; for the vendor a forest on the exact protocol. What is
# missing up to the ceiling the features lost; what is missing from the ceiling to perfection is not in the heart or the
# protocol at all.

# %%
ceiling, bounds, exact_scores = {}, {}, {}  # of virtual people alone

# %% tags=["virtual"]
n_others = 300 if page.small else 2000
others = [cohort.person("mnms", i, seed + 7) for i in range(n_others)]
these = [cohort.person("mnms", i, seed) for i in range(len(people["mnms"]))]
forest_scores = partial(attributes.by_forest, others=others, people=these, seed=seed)
Code(inspect.getsource(attributes.image_features) + inspect.getsource(attributes.by_forest), language="python")

# %% tags=["virtual"]
male, vendors = told["sex"].classes[1], told["vendor"].classes[1]
exact_scores["sex"] = forest_scores(attributes.image_features, "sex")[:, 1]
ceiling["sex"] = auc(male, exact_scores["sex"])
ceiling["vendor"] = macro_auc(vendors, forest_scores(attributes.acquired, "vendor"))
for label, estimate in ceiling.items():
    page.record(f"07_{label}_auc_ceiling", estimate, claim="C14")
for label in numbers:
    planted = json.loads((folders[asked[label]] / "truth.json").read_bytes())["ceilings"]["regression"]
    bounds[label] = planted[attributes.ATTRIBUTES[label]]["mae"]
    page.record(f"07_{label.lower()}_mae_ceiling", bounds[label], n=3000, claim="C15")

# %% [markdown]
# Whether age and BMI are read any better than by their mean is a paired question: the same person, answered twice.

# %%
true = {label: told[label].values for label in numbers}
middle = {label: np.full(len(values), values.mean()) for label, values in true.items()}
guess = {label: attributes.quality(middle[label], told[label], rng) for label in numbers}
saved = {k: page.paired(np.abs(read[k] - values), np.abs(values.mean() - values)) for k, values in true.items()}
for label in numbers:
    page.record(f"07_{label.lower()}_mae_of_mean", guess[label], claim="C15")
    page.record(f"07_{label.lower()}_mae_frozen_minus_mean", saved[label], claim="C15")

# %% [markdown]
# The answers one by one: numbers over the true ones; of a class with two values the ROC curve, of one with more who was
# taken for whom. Where a second curve stands beside that of sex it has seen no image: it is told the exact heart and
# body.

# %%
shown = [*numbers, *classes]
high, wide = (len(shown) + 1) // 2, min(2, len(shown))
fig, axes = page.figure(columns=wide, height=3.0 * high, rows=high, cols=wide, squeeze=False)
for ax, label in zip(axes.flat, shown):
    one, (names, codes) = told[label], told[label].classes
    if label in numbers:
        agreement.scatter(ax, one.values, read[label], label, one.unit)
    elif len(names) == 2:
        by_name = {"frozen features": read[label][:, 1]}
        by_name |= {"exact heart and body": exact_scores[label]} if label in exact_scores else {}
        classification.roc(ax, codes, by_name)
    else:
        classification.confusion(ax, codes, read[label].argmax(1), [name.split()[0] for name in names])
page.save(fig, "07_answers")

# %%
right, most = {}, {}
for label in classes:
    codes = told[label].classes[1]
    right[label], most[label] = np.mean(read[label].argmax(1) == codes), np.bincount(codes).max() / len(codes)
    share = estimates.proportion(round(right[label] * len(codes)), len(codes))
    page.record(f"07_{label}_accuracy_frozen", share, claim="C14")
    page.record(f"07_{label}_accuracy_majority", most[label], n=len(codes), claim="C14")

# %%
upper = {label: f", ceiling {estimate.value:.2f}" for label, estimate in ceiling.items()}
upper |= {label: f", ceiling {bound:.1f}" for label, bound in bounds.items()}
lines = [
    f"{label.capitalize()}: AUC {found[label].text(2)}{upper.get(label, '')}; {100 * right[label]:.0f} % right where "
    f"naming the most frequent gives {100 * most[label]:.0f} %."
    for label in classes
] + [
    f"{label}: off by {found[label].text(1)}, guessing the mean {guess[label].value:.1f}{upper.get(label, '')}; beside "
    f"the guess {saved[label].text(2)}."
    for label in numbers
]
lines += [f"{label}: {found[label].text(2)}." for label in told if label not in shown]
Markdown("*Reading.* " + " ".join(lines))

# %% [markdown]
# Rare classes are taken for frequent ones, since the probe weighs every patient alike. Scatter plots of such readers
# are flat: old people are read too young, young ones too old. That is not a fault of the probe; whoever knows little
# and wants a small error must stay near the mean.
#
# Real sets mix what a virtual one keeps apart: a vendor comes with a hospital, a country, an age and a share of
# diseases. A probe that tells the vendor may have read any of these, and one that tells the age may have read the
# disease. *Published* networks are asked about the test patients of their own set, where their weights are at hand.

# %%
theirs, reasons, tries = {}, [], (0, 1, 2) if profile == "paper" else (0,)
for label in attributes.TASKS:
    estimate, why = attributes.by_published(people[asked[label]], data, label, data_root, tries, rng)
    reasons.append(why)
    if estimate:
        theirs[label] = estimate
        page.record(f"07_{label.lower()}_published", estimate, claim="C15" if label in attributes.UNITS else "C14")
display(Markdown("\n\n".join(reasons)))
columns = {"frozen features": found, "guessing the mean": guess, "published, test patients": theirs}
pd.DataFrame({name: {k: estimates.text(e) for k, e in row.items()} for name, row in columns.items()}).fillna("")

# %% [markdown] tags=["virtual"] lacks="exact bodies, to say what a network could have found"
# ## Against a network trained for it
#
# *Would a convolutional network do better?* A small ResNet is trained on two thirds of the patients and tested on the
# rest, once for sex and once for age, and compared with the frozen features on the same test patients. (Its training
# set is smaller than the folds' by a sixth.) Learning rate and length were set once, not searched; one seed.

# %% tags=["virtual"] lacks="exact bodies, to say what a network could have found"
table = people["mnms"]
split = cohort.split(table, (("train", 0.55), ("val", 0.15), ("test", 0.3)), seed=seed).to_numpy()
of = {name: tuple(table["path"][split == name]) for name in ("train", "val", "test")}
plan = partial(arms.Run, train=of["train"], val=of["val"], tests={"test": of["test"]}, folder=str(own), seed=seed)
plan = partial(plan, learning_rate=3e-3, steps=4 if page.small else 160)
config, runs = replace(arms.FROM_SCRATCH, batch_size=8), []
for label in ("sex", "age"):
    build, task, loader = attributes.resnet(told[label])
    arm = arms.Arm(f"ResNet {label}", build, arms.SHIPPED[1], None, config)
    runs.append(plan(arm, task=task, data=loader))
_, scores = arms.train_all(runs, page.jobs)

# %% [markdown] tags=["virtual"] lacks="exact bodies, to say what a network could have found"
# Both readers answer for the same test patients, so that differences are paired.

# %% tags=["virtual"] lacks="exact bodies, to say what a network could have found"
test, age = split == "test", told["age"].values
by_arm = {name: rows.set_index("study").loc[table["id"][test]] for name, rows in scores.groupby("arm")}
sex_of = {"cinema": read["sex"][test, 1], "resnet": by_arm["ResNet sex"]["p_1"].to_numpy()}
age_of = {"cinema": read["age"][test], "resnet": by_arm["ResNet age"]["predicted"].to_numpy()}
off = {arm: np.abs(answer - age[test]) for arm, answer in age_of.items()}
for arm in sex_of:
    page.record(f"07_sex_auc_{arm}", auc(male[test], sex_of[arm]), claim="C14")
    page.record(f"07_age_mae_{arm}", estimates.mean(off[arm], rng), unit="years", claim="C15")

# %% tags=["virtual"] lacks="exact bodies, to say what a network could have found"
sex_gap, _ = auc_difference(male[test], sex_of["cinema"], sex_of["resnet"])
age_gap = page.paired(off["cinema"], off["resnet"])
page.record("07_sex_auc_difference", sex_gap, claim="C14")
page.record("07_age_mae_difference", age_gap, unit="years", claim="C15")
Markdown(
    f"*Reading.* Frozen CineMA minus ResNet, same test patients: AUC of sex {sex_gap.text(2)}, error of age "
    f"{age_gap.text(1, ' years')}. An interval across zero leaves the order open."
)

# %% [markdown] tags=["virtual"]
# ## A control that must fail
#
# *Could such numbers come from nothing?* With more features than patients, a careless analysis finds anything. The
# sexes and ages are dealt out anew among the patients, and everything is repeated. The AUC must then scatter about 0.5,
# and age must be read no better than by the mean.

# %% tags=["virtual"]
n_shuffles, seen = 4 if page.small else 20, x["mnms"]
orders = [rng.permutation(len(age)) for _ in range(n_shuffles)]
chance = np.array([auc(male[o], features.predicted_number(seen, male[o], seed)).value for o in orders])
lost = np.array([np.abs(features.predicted_number(seen, age[o], seed) - age[o]).mean() for o in orders])
page.record("07_shuffled_sex_auc", chance.mean(), float(chance.min()), float(chance.max()), n=len(age))
page.record("07_shuffled_age_mae", lost.mean(), float(lost.min()), float(lost.max()), n=len(age), unit="years")
Markdown(
    f"*Reading.* {n_shuffles} shuffles: AUC {chance.mean():.2f} on average ({chance.min():.2f} to "
    f"{chance.max():.2f}), where the true labels gave {found['sex'].value:.2f}; age off by {lost.mean():.1f} "
    f"years, guessing the mean {guess['age'].value:.1f}."
)

# %% [markdown]
# ## Where does it lie?
#
# *Is it the heart?* Two ways to ask, which are often confused. **What could be read elsewhere**: hide a region from
# everybody, compute features anew and fit a new probe. If the answer stays, the region was not needed. **What this
# probe leans on**: hide a region at test time only, the probe being as it was.
#
# First the former. A disc about the middle of the image holds the heart; "heart only" hides all around it, "around
# only" hides the disc. Hidden voxels get the value of the cohort's mean image. The disc is the same for everybody: a
# mask drawn round each heart would betray its size by its own outline, a leak that is easily built.

# %%
radius_mm = 50.0
inner = attributes.disc(radius_mm)
paths = {asked[label]: people[asked[label]]["path"].tolist() for label in (*classes, *numbers)}
masked = {role: attributes.features(some, [~inner, inner], page.jobs) for role, some in paths.items()}
parts = {"whole image": x}
for k, part in enumerate(("heart only", "around only")):
    parts[part] = {role: rows[k] for role, rows in masked.items()}

# %% [markdown] tags=["virtual"]
# If the disc held only a part of the heart, "around only" would still show a good deal of it:

# %% tags=["virtual"]
inside = [attributes.heart_share(paths[role][:30], inner) for role in ("acdc", "mnms")]
assert min(inside) > 0.75
page.record("07_heart_share_in_disc", float(np.mean(inside)), n=60)
Markdown(f"The disc of {radius_mm:.0f} mm holds {100 * np.mean(inside):.0f} % of all heart voxels.")

# %%
where, by_region = ({label: {} for label in labels} for labels in (classes, numbers))
for part, label in ((part, label) for part in parts for label in (*classes, *numbers)):
    one, role = told[label], asked[label]
    estimate = attributes.quality(attributes.read(parts[part][role], one, seed), one, rng)
    if label in classes:
        where[label][part] = estimate
    else:  # beside the mean
        by_region[label][part] = estimates.Estimate(*(v / guess[label].value for v in estimate[:3]), estimate.n)
for label, row in (where | by_region).items():
    for part, estimate in row.items():
        page.record(f"07_{label.lower()}_{part.replace(' ', '_')}", estimate, claim=claims[label])

# %%
panels = [("AUC", 0.5, where), ("Error relative to guessing the mean", 1.0, by_region)]
panels = [panel for panel in panels if panel[2]]
fig, axes = page.figure(columns=len(panels), height=2.7, cols=len(panels), squeeze=False)
for ax, (words, level, rows) in zip(axes.flat, panels):
    forest.trends(ax, rows, "Part of the image", words, joined=False)
    ax.axhline(level, color=forest.GREY, lw=0.6, ls=":")
    ax.legend(loc="best")
page.save(fig, "07_regions")

# %%
said = [
    f"{label.capitalize() if label in classes else label}: "
    + ", ".join(f"{part} {estimates.text(e)}" for part, e in row.items())
    + "."
    for label, row in (where | by_region).items()
]
Markdown(
    "*Reading.* Areas, and errors relative to the guess. " + " ".join(said) + " Where 'around only' does as well as "
    "'heart only', a model of hearts need not look at the heart. Of a real scanner, what lies around it may tell as "
    "much: other fields of view, other chests in another country, other ways to cut the picture."
)

# %% [markdown] tags=["virtual"]
# ### What the probe leans on
#
# Now the latter: probes fitted on one part of the patients; others are tested, and a square window of the image is
# hidden at a time, in all slices and both phases. The window moves by half its edge, and every pixel of the map shows
# the mean over the windows that cover it: how far the answer moves, on average over patients, in standard deviations of
# the answers. It shows use, not knowledge: a window may matter because its absence looks odd. A bright pixel means a
# bright neighbourhood, not a bright spot; nothing finer than the window can be told apart.
#
# The outlines are for orientation: how a voxel is labelled in most of these patients, at end-diastole in the fourth
# slice. A share of the map that equals a share of the area means that the probe leans on that part no more than on the
# rest.
#
# Whether a map is flat or peaked depends on the probe as well. A ridge regression on hundreds of features spreads its
# trust over all of them, so that no single window can move the answer far; a trained network could be more brittle.

# %% tags=["virtual"]
edge, n_shown = (32, 6) if page.small else (16, 40)
tiles = attributes.windows(edge, edge // 2)
answers = {
    "sex": ("mnms", male),
    "age": ("mnms", age),
    "BMI": ("acdc", told["BMI"].values),
    "vendor GE": ("mnms", (told["vendor"].values == "GE").astype(int)),
}
hidden = {role: attributes.features(paths[role][:n_shown], tiles, page.jobs) for role in ("acdc", "mnms")}


# %% tags=["virtual"]
def leaning(role, values):
    """(windows, patients): how far each answer moves when a window is hidden, in SD of the answers."""
    probe = features.ridge().fit(x[role][n_shown:], values[n_shown:])
    plain = probe.predict(x[role][:n_shown])
    spread = probe.predict(x[role]).std()
    return np.stack([np.abs(probe.predict(seen) - plain) / spread for seen in hidden[role]])


moved = {name: leaning(role, values) for name, (role, values) in answers.items()}
top = {name: rows[int(rows.mean(axis=1).argmax())] for name, rows in moved.items()}
for name, rows in top.items():
    page.record(f"07_leaning_{name.lower().replace(' ', '_')}", estimates.bca(rows, np.mean, rng), unit="SD")

# %% tags=["virtual"]
maps = {name: attributes.spread(rows.mean(axis=1), tiles) for name, rows in moved.items()}
fig, axes = page.figure(columns=2, height=2.1, cols=4)
for ax, (name, (role, _)) in zip(axes, answers.items()):
    shown = ax.imshow(maps[name].T, cmap="magma", vmin=0, vmax=max(grid.max() for grid in maps.values()))
    images.outlines(ax, attributes.usual_labels(paths[role][:n_shown], 3), width=0.8)
    ax.set(xticks=[], yticks=[])
    ax.set_title(f"{name}, n = {n_shown}", fontsize=7)
fig.colorbar(shown, ax=axes, shrink=0.8, label="Mean change of\nanswer (SD)")
images.structure_legend(fig)
page.save(fig, "07_occlusion")

# %% tags=["virtual"]
outside, share = ~attributes.disc(radius_mm), {}
for name, rows in moved.items():
    each = attributes.spread(rows.T, tiles)  # a map a patient
    sums = each[:, outside].sum(axis=1), each.sum(axis=(1, 2))
    share[name] = estimates.bca(sums, lambda part, whole, axis=-1: part.sum(axis) / whole.sum(axis), rng)
    page.record(f"07_leaning_outside_{name.lower().replace(' ', '_')}", share[name])
strongest = {name: estimates.bca(rows, np.mean, rng).text(2, " SD") for name, rows in top.items()}
Markdown(
    f"*Reading.* Share of the map's sum that lies outside the inner {radius_mm:.0f} mm "
    f"({100 * outside.mean():.0f} % of the image): "
    + ", ".join(f"{name} {estimate.text(2)}" for name, estimate in share.items())
    + f". Strongest single window: {'; '.join(f'{name} {text}' for name, text in strongest.items())}."
)

# %% [markdown] tags=["virtual"]
# ## Which cue gives the scanner away?
#
# *How is the vendor told, if not by anatomy?* A reader that knows no anatomy gets three kinds of numbers of an image:
# quantiles of intensity (**histogram**: contrast, set by flip angle and repetition time), the spread of fine
# differences (**noise**), and the power in rings of spatial frequency (**spectrum**: sharpness, set by
# filters). On the other side stands the exact protocol, one quantity at a time.

# %% tags=["virtual"]
plain, kinds = attributes.statistics(paths["mnms"]), ("histogram", "noise", "spectrum")
given = {kind: plain.filter(regex=f"^{kind}") for kind in kinds} | {"all three": plain}
cues = {}
for kind, columns in given.items():
    scores = attributes.read(columns.to_numpy(), told["vendor"], seed)
    cues[kind] = attributes.quality(scores, told["vendor"], rng)
cues["frozen features"] = found["vendor"]
exact = {}
for name in attributes.PROTOCOL:
    exact[name] = macro_auc(vendors, forest_scores(partial(attributes.acquired, names=(name,)), "vendor"))
exact["whole protocol"] = ceiling["vendor"]
for name, estimate in (cues | {f"exact {key}": value for key, value in exact.items()}).items():
    page.record(f"07_vendor_cue_{name.replace(' ', '_')}", estimate, claim="C14")

# %% tags=["virtual"]
fig, axes = page.figure(columns=2, height=2.9, cols=2, sharey=True)
for ax, row, words in zip(axes, (cues, exact), ("Read from the image", "Known exactly")):
    forest.trends(ax, {"vendor": row}, words, "Macro AUC of the vendor", joined=False)
    ax.axhline(0.5, color=forest.GREY, lw=0.6, ls=":")
    ax.set_title(f"n = {len(vendors)}; 95 % CI (DeLong)", fontsize=7, loc="left")
    ax.tick_params(axis="x", rotation=30)
page.save(fig, "07_vendor_cues")

# %% tags=["virtual"]
best = max(exact, key=lambda name: exact[name].value if name != "whole protocol" else 0)
Markdown(
    "*Reading.* Without any anatomy: "
    + ", ".join(f"{kind} {cues[kind].text(2)}" for kind in given)
    + f"; frozen features {cues['frozen features'].text(2)}. Of the exact protocol, {best} alone gives "
    f"{exact[best].text(2)}. If statistics without anatomy do as well as the features, harmonising intensities is "
    "where to begin; if they do not, what is left is texture, and no histogram matching will remove it."
)

# %% [markdown]
# ## What this page could not settle
#
# - **Real scanners.** Vendors here are ranges of six numbers. Real ones also differ in coils, field of view, planning
#   habits, compression and file headers, and real networks tell them apart almost perfectly.
# - **Real bodies.** Sex, age and BMI reach the image through heart, fat and size only, by planted effects; breasts,
#   spines, sternotomy wires and calcified aortas are missing.
# - **Fine-tuning** of the encoder for these questions was left out; frozen features say what is there, not what a
#   trained network would make of it.
# - **Occlusion** puts images before a network that no scanner makes. Small movements in its maps mean little.
#
# ## Exercises
#
# 1. Which error has somebody who answers the median age of a cohort with a normal spread of 15 years? *(Check: mean
#    absolute error 0.8 × 15 = 12 years.)*
# 2. Draw the mask round each person's own heart instead of the disc, and read sex from "around only". *(Check: compare
#    with `07_sex_around_only`; what it gains was told by the outline, since no heart is seen.)*
# 3. Match every image's histogram to that of one study and read the vendor from `histogram` again. *(Check: it falls to
#    0.5 by construction. Then see how much of `07_vendor_cue_spectrum` is left.)*
#
# ## Recorded numbers

# %%
page.table()
