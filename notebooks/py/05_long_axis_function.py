# ---
# jupyter:
#   cinema:
#     needs: []
# ---

# %% [markdown]
# # Long-axis function: landmarks, MAPSE and shortening
#
# **Question.** Does pretraining find the valve and the apex as well as a plain convolutional network does, and how far
# can the numbers be trusted that are made of these points?
#
# **Claim.** C12: the long-axis function is *matched* by CineMA.
#
# **Time.** Less than a minute in the `ci` profile and about four in `laptop` on two cores. The profile `paper`
# means the published networks on real pictures, and is refused for virtual ones. With `--data landmark` the part "On
# patients" takes the place of the virtual cohort.
#
# In a long-axis view three points say how the left ventricle moves: the two hinges of the mitral valve, and the apex.
# From their distance follow two numbers that clinics use. **MAPSE** is how far the hinges travel between the frame in
# which the ventricle is longest and the one in which it is shortest. **Long-axis shortening** is the change of length
# between these frames as a share of the larger one. The paper calls the latter "GLS"; it is no strain along the wall.
#
# Everyone on this page is *virtual* unless a data set is named: the points are known exactly in every frame, and so is
# what the heart did. The networks are a hundredth of the published size and train for seconds. Results are about
# methods at that scale.

# %% tags=["parameters"]
profile = "laptop"
data = "virtual"
data_root = "../data"
seed = 0
out = "../figures"

# %%
import inspect
import math
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch
from IPython.display import Code, Markdown, display
from joblib import Parallel, delayed
from torch import nn

# %%
from cinema import plots, runner
from cinema.analysis import long_axis
from cinema.analysis.long_axis import PLANES
from cinema.data.study import load_study, study_table
from cinema.models import ResNet2d, small
from cinema.phantom import cohort, shape
from cinema.stats import estimates
from cinema.stats.estimates import record_key
from cinema.terms import SMALL_GRID, VIEW_NAMES
from cinema.training import landmarks
from cinema.training.arms import FROM_PRETRAINING, FROM_SCRATCH, Arm, model_of, multiply_accumulates, train_all

# %%
remedy = "the published networks are for real pictures; name the data set landmark, or run ci or laptop on virtual data"
page = runner.start("05_long_axis_function", profile, data, data_root, seed, out, paper=remedy)
rng, runs = page.rng, page.own_folder()
torch.set_num_threads(1)

# %% [markdown] tags=["virtual"]
# ## Three points in two planes
#
# *Who is read?* A cohort that imitates the one behind the published landmark models: two- and four-chamber views (2C,
# 4C), half of the people with normal hearts, the others with infarcts, dilated or thick ventricles, on scanners of
# three vendors. Two frames each, end diastole (ED) and end systole (ES), are for training and for measuring distances.
# The first of the test people are scanned once more as whole cines, for what moves.

# %% tags=["virtual"]
n_train, n_val, n_test, n_frames = (12, 4, 8, 12) if page.small else (96, 24, 50, 25)
n_cine, rates = (8, (5e-3,)) if page.small else (30, (2e-3, 5e-3))
n, kept = n_test + n_val + n_train, page.work / f"cohort_landmark_seed{seed}"
patients = study_table(cohort.write("landmark", n, seed, kept, jobs=page.jobs))
kept = page.work / f"cohort_landmark_cine_seed{seed}"
moving = study_table(cohort.write("landmark", n_cine, seed, kept, n_frames, jobs=page.jobs))
parts = dict(zip(("test", "val", "train"), np.split(patients["path"].to_numpy(), [n_test, n_test + n_val])))
assert list(moving["id"]) == list(patients["id"][:n_cine])
pd.crosstab(patients["disease"], patients["vendor"])

# %% tags=["virtual"]
one = load_study(parts["test"][0])
fig, axes = page.figure(columns=2, height=2.3, cols=4)
for ax, (view, (phase, frame)) in zip(axes, product(PLANES, (("ED", one.ed_frame), ("ES", one.es_frame)))):
    plots.images.panel(ax, one.views[view], frame, title=f"{VIEW_NAMES[view]}, {phase}")
    plots.images.landmarks(ax, one.views[view].landmarks[frame])
page.save(fig, "05_points")

# %% [markdown] tags=["virtual"]
# Crosses are the hinges, the plus sign the apex; the white bar is 50 mm. A pixel is 2.5 mm here and 1 mm in the
# published grid. The base moves toward the apex and back while the apex stays almost where it is: between the two
# pictures of a view look at the crosses.

# %% [markdown]
# ## Two ways to find a point
#
# **By heatmap.** A network paints three pictures, one a point, with a Gaussian bump of three pixels' width about it;
# the point is read off where the picture is brightest. **By coordinates.** A network says six numbers, as fractions of
# the picture's size. The loss of the first kind is Dice plus cross entropy of the pictures, that of the second the wing
# loss (logarithmic for small errors) of the points and of each point relative to the other two:

# %%
shown = (landmarks.heatmaps, landmarks.wing, landmarks.relative)
Code("\n\n".join(inspect.getsource(function) for function in shown), language="python")

# %% [markdown]
# Each way has two contenders on the same patients with the same number of steps. *Pretrained* starts from the small
# CineMA that comes with this project, pretrained on unlabelled virtual volunteers of an earlier anatomy
# (`MODEL_CARD.md`); the other is a convolutional network from random numbers, as in the paper: a UNet for heatmaps, a
# ResNet for coordinates (of 18 layers here, of 50 there). Each view has its own networks.
#
# Minutes of training are enough only if nothing is wasted. A network of coordinates starts by answering "the middle of
# the picture". A network of heatmaps starts by saying that a pixel is as bright as the average of its target, which is
# nearly black: without this, it spends its first hundred steps on learning that most of a picture is dark. Pictures are
# not varied at random, for each is seen a handful of times only. A step costs less for coordinates than for heatmaps,
# and these networks are slower to learn, so they are given more steps.


# %%
def first_answer(build):
    """A network whose first answer is the middle of the picture, or everywhere the mean brightness of a heatmap."""
    model, bright = build(), 2 * math.pi * landmarks.SIGMA_PIXELS**2 / math.prod(SMALL_GRID["lax_4c"][0])
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and layer.out_features == 6:
            nn.init.constant_(layer.bias, 0.5)
        if isinstance(layer, nn.Conv2d) and layer.out_channels == 3:
            nn.init.constant_(layer.bias, math.log(bright / (1 - bright)))
    return model


standard, start = (str(small.WEIGHTS / name) for name in (small.SHIPPED_STANDARD, small.SHIPPED))
scratch, tuned = (replace(one, batch_size=4) for one in (FROM_SCRATCH, FROM_PRETRAINING))


# %%
def contenders(view):
    """The four arms of one view, by name."""
    unetr = partial(small.small_convunetr, (view,), out_chans=3, dec_chans=(8, 32, 64))
    vit = partial(small.small_convvit, (view,), n_frames=1, out_chans=6)
    unet, resnet = partial(small.small_unet, view, 3), partial(ResNet2d, 18, 1, 6, (8, 16, 32, 64))
    pairs = {"heatmap pretrained": unetr, "heatmap UNet": unet, "coordinates pretrained": vit}
    builds = {name: partial(first_answer, build) for name, build in (pairs | {"coordinates ResNet": resnet}).items()}
    how = {name: (start, tuned) if name.endswith("pretrained") else (None, scratch) for name in builds}
    return {name: Arm(name, build, standard, *how[name]) for name, build in builds.items()}


arms = {view: contenders(view) for view in PLANES}
NAMES = tuple(arms["lax_4c"])


# %% tags=["virtual"]
def plan(name, view, rate, number):
    """One training of one arm on one view."""
    steps = 20 if page.small else {"heatmap": 160, "coordinates": 320}[name.split()[0]]
    return long_axis.plan(arms[view][name], view, parts, rate, steps, number, runs / view, SMALL_GRID)


picture, cost = {"lax_4c": torch.zeros(1, 1, 64, 64)}, {}
for name, arm in arms["lax_4c"].items():
    cost[name] = [small.n_parameters(arm.build()), multiply_accumulates(arm.build().eval(), picture)]
pd.DataFrame.from_dict(cost, "index", columns=["parameters", "million MACs"]).round(0).astype(int)

# %% [markdown] tags=["virtual"]
# *Is the comparison fair?* Each arm gets the learning rate that brings its points nearest on validation patients, among
# the same candidates, in the four-chamber view. The test patients have no part in it.

# %% tags=["virtual"]
histories, _ = train_all([plan(name, "lax_4c", rate, seed) for name in NAMES for rate in rates], page.jobs)
reached = long_axis.reached(histories)
chosen = reached.idxmin(axis=1).to_dict()
words, score = {rate: f"rate {rate:g}" for rate in rates}, "val_mean_distance_mm"
fig, axes = page.figure(columns=2, height=2.4, cols=4, sharey=True)
for ax, (name, rows) in zip(axes, histories.dropna(subset=score).groupby("arm", sort=False)):
    wide = rows.pivot(index="epoch", columns="learning_rate", values=score).reset_index()
    plots.curves.losses(ax, wide, words, x="epoch", ylabel="")
    ax.set(title=name, yscale="log", xlabel="Epoch")
axes[0].set_ylabel(f"Validation distance (mm, n = {n_val})")
page.save(fig, "05_learning_rates")

# %% tags=["virtual"]
late = {}
for name, rate in chosen.items():
    rows = histories[(histories["arm"] == name) & (histories["learning_rate"] == rate)].set_index("epoch")
    curve = rows["val_mean_distance_mm"].dropna()
    late[name] = curve.iloc[-1] - curve[curve.index <= 0.7 * curve.index[-1]].iloc[-1]
    page.record(f"05_late_change_{record_key(name)}", late[name], n=n_val, unit="mm")

# %% tags=["virtual"]
told = [
    f"{name} {rate:g} ({reached.loc[name, rate]:.1f} mm, {late[name]:+.1f} mm in the last part of the training)"
    for name, rate in chosen.items()
]
Markdown(
    f"*Reading.* Chosen: {'; '.join(told)}. For {list(chosen.values()).count(rates[-1])} of {len(NAMES)} arms this is "
    "the largest candidate. A curve that still falls when the training ends says that time was short for that arm, "
    "not that it cannot do better."
)

# %% [markdown] tags=["virtual"]
# ## How far from the truth?
#
# *How many millimetres lie between a point found and the true one?* ED and ES are averaged; a person is one
# observation. Two yardsticks stand beside the four arms. The *mean position* looks at no picture: it answers with the
# average place of each point in the training people. What is no nearer than that has learnt nothing, and between two
# such networks there is nothing to compare. The *reader* is the network behind `python3 -m cinema segment`: trained for
# nearly an hour on several hundred varied hearts that are none of these (`MODEL_CARD.md`), it knows neither this cohort
# nor its scanners. It says what is possible at this resolution, and is no contender.

# %% tags=["virtual"]
_, scores = train_all([plan(name, view, chosen[name], seed) for name in NAMES for view in PLANES], page.jobs)
_, again = train_all([plan(name, "lax_4c", chosen[name], seed + 1) for name in NAMES], page.jobs)
spacing = np.array(SMALL_GRID["lax_4c"][1])
tests = {view: long_axis.views_of(parts["test"], view) for view in PLANES}
rows = [scores, *(long_axis.mean_position(parts, view, spacing, seed) for view in PLANES)]
answers = Parallel(page.jobs)(delayed(long_axis.by_reader)(views) for views in tests.values())
for (view, views), found in zip(tests.items(), answers):
    true = np.array([one.landmarks for one in views])
    nearer, other = long_axis.in_nearer_order(found, true)
    away = np.linalg.norm((true - nearer) * spacing, axis=-1)
    rows.append(long_axis.rows_of("reader", view, patients["id"][:n_test], away, seed))
    page.record(f"05_reader_swapped_{VIEW_NAMES[view].lower()}", int(other.sum()), n=n_test)
scores = pd.concat(rows, ignore_index=True)

# %% [markdown] tags=["virtual"]
# The reader calls the hinge nearer the right ventricle the first, and in 2C there is none to be seen. Its hinges are
# therefore taken in the order that lies nearer the truth, once for each person; how often that was the other one is
# recorded. The four arms must say which hinge is which.

# %% tags=["virtual"]
points = estimates.per_patient(scores, ["distance_mm"], by=("arm", "landmark"))
points["landmark"] = points["landmark"].str.replace("_", " ")
distance = estimates.means(points, "distance_mm", ["landmark", "arm"], rng)
whole = estimates.per_patient(scores, ["distance_mm"])
overall = estimates.means(whole, "distance_mm", "arm", rng)
of_views = estimates.per_patient(scores, ["distance_mm"], by=("arm", "view"))
by_view = estimates.means(of_views, "distance_mm", ["arm", "view"], rng)
page.record("05_distance_floor", overall["mean position"], unit="mm", claim="C12")
for name, estimate in overall.items():
    page.record(f"05_distance_{record_key(name)}", estimate, unit="mm", claim="C12")
for (place, name), estimate in distance.items():
    page.record(f"05_distance_{record_key(place)}_{record_key(name)}", estimate, unit="mm", claim="C12")

# %% tags=["virtual"]
fig, axes = page.figure(columns=2, height=3.2, cols=2, sharey=True)
for ax, way, label in zip(axes, ("heatmap", "coordinates"), ("Distance (mm)", "")):
    shown = {key: e for key, e in distance.items() if key[1].startswith(way) or key[1] == "reader"}
    plots.distributions.scores(ax, points, shown, "distance_mm", "landmark", "arm", label)
    floor = overall["mean position"].value
    ax.axhline(floor, color=plots.style.GREY, ls=":", label="mean position, all points")
    ax.set(yscale="log", ylim=(None, 8 * floor))
    ax.legend(fontsize=6, loc="upper left")
page.save(fig, "05_distance")

# %% [markdown] tags=["virtual"]
# The table says it for each view, and how far the second training of an arm lies from the first.

# %% tags=["virtual"]
table = pd.Series(by_view).map(lambda found: found.text(1)).unstack(sort=False).rename(columns=VIEW_NAMES)
table.insert(0, "both views", pd.Series(overall).map(lambda found: found.text(1)))
before = scores[scores["view"] == "lax_4c"].groupby("arm")["distance_mm"].mean()
between = (again.groupby("arm")["distance_mm"].mean() - before)[list(NAMES)]
table["4C, another seed"] = between.map("{:+.2f}".format).reindex(table.index, fill_value="")
table

# %% tags=["virtual"]
spread_of_seeds = float(between.abs().max())
page.record("05_seed_spread_mm", spread_of_seeds, n=n_test, unit="mm")
places = ("hinge 1", "hinge 2", "apex")
hardest = {name: max(places, key=lambda place: distance[place, name].value) for name in overall}
told = "; ".join(f"{name} {found.text(1, ' mm')}" for name, found in overall.items())
Markdown(
    f"*Reading.* Mean distance of all points: {told}. "
    f"The point that is hardest: {'; '.join(f'{name} {place}' for name, place in hardest.items())}. Trainings in 4C "
    f"that differ by their seed alone lie up to {spread_of_seeds:.1f} mm apart. For scale: a pixel is {spacing[0]} mm, "
    "and human readers of patients differ by 2 to 3.5 mm (Xue 2021)."
)

# %% [markdown] tags=["virtual"]
# ### Is it "matched"?
#
# *When may two methods be called equal?* Not when a difference fails to be significant: with few patients nothing is. A
# margin has to be named before looking, below which a difference would not matter, and the whole interval has to lie
# within it. **The margin here is 1 mm**, less than half of what human readers differ by. Two comparisons were named
# beforehand, pretrained against the convolutional network, once by heatmap and once by coordinates, over all points,
# both views and both phases. The rule is that of two one-sided tests at 5 %, shared between the two comparisons: a 95 %
# interval within ±1 mm. Everything else in the figure describes. A verdict is given only if both networks of a pair
# are shown to be nearer than the mean position; two that learnt nothing would be "matched" as well.

# %% tags=["virtual"]
MARGIN_MM = 1.0
pairs = [("heatmap pretrained", "heatmap UNet"), ("coordinates pretrained", "coordinates ResNet")]
pairs += [("heatmap pretrained", "coordinates pretrained"), ("heatmap UNet", "reader")]
compared = partial(estimates.difference, whole, rng=rng, value="distance_mm")
gaps = {" − ".join(pair): [compared(*pair, level=level) for level in (0.95, 1 - 0.05 / len(pairs))] for pair in pairs}
fig, ax = page.figure(columns=2, height=2.4)
label = "Difference of distance (mm); below zero the first is nearer. Shaded: the margin"
plots.forest.differences(ax, gaps, label)
ax.axvspan(-MARGIN_MM, MARGIN_MM, color=plots.style.GREY, alpha=0.12, lw=0)
page.save(fig, "05_differences")

# %% tags=["virtual"]
for words, (estimate, _) in gaps.items():
    page.record(f"05_difference_{record_key(words)}", estimate, unit="mm", claim="C12")
superior = {words: compared(*pair, level=0.975) for words, pair in zip(gaps, pairs[:2])}
level = 1 - 0.05 / len(NAMES)
learnt = {name: compared(name, "mean position", level=level).upper < 0 for name in NAMES}
verdicts = {}
for words, pair, way in zip(gaps, pairs[:2], ("heatmap", "coordinates")):
    both = all(learnt[name] for name in pair)
    found = long_axis.verdict(gaps[words][0], MARGIN_MM) if both else "no verdict, for want of learning"
    page.record(f"05_matched_{way}", found, n=n_test, claim="C12")
    e = superior[words]
    nearer = "nearer" if e.upper < 0 else "further off" if e.lower > 0 else "not shown to differ"
    verdicts[words] = f"**{found}**" + f"; on the 97.5 % interval the pretrained one is {nearer}" * both

# %% tags=["virtual"]
short = ", ".join(name for name in NAMES if late[name] < -MARGIN_MM) or "none"
able = ", ".join(name for name in NAMES if learnt[name]) or "none"
told = [f"{words}: {gaps[words][0].text(2, ' mm')}, against the margin {said}." for words, said in verdicts.items()]
Markdown(
    f"*Reading.* {' '.join(told)} Still nearing by more than the margin in the last part of the training: {short}; "
    "with these a verdict is about this length of training, not about what either can learn. "
    f"Shown to be nearer than the mean position: {able}. The intervals hold the trained networks fixed; another seed "
    f"moved a mean in 4C by up to {spread_of_seeds:.1f} mm."
)

# %% [markdown] tags=["virtual"]
# A word on reading the three outcomes. *Matched* means that a difference as large as the margin is excluded, in either
# direction. *Better* or *worse by more than the margin* means that the whole interval lies beyond it. *Not settled* is
# everything between, and it is no synonym of equal: more people, or more trainings, would be needed. A method can be
# matched and at the same time be shown to be nearer, if a difference is real and too small to matter.
#
# What did the paper find? The claim is made in words, and the numbers behind it were not found:

# %% tags=["virtual"]
page.paper("C12")[["claim", "statement", "quantity", "system", "source", "trust", "note"]]

# %% [markdown] tags=["virtual"]
# ## What it looks like
#
# People are ranked by the mean distance of the pretrained heatmap network and the UNet. For the best, the median and
# the worst: both views at ED and ES.

# %% tags=["virtual"]
first = {(name, view): plan(name, view, chosen[name], seed) for name in NAMES for view in PLANES}
drawn = ("heatmap pretrained", "heatmap UNet")
models = {(name, view): model_of(first[name, view]) for name in drawn for view in PLANES}
ranked = whole[whole["arm"].isin(drawn)].groupby("study")["distance_mm"].mean().sort_values()
cases = {word: ranked.index[place] for word, place in (("best", 0), ("median", len(ranked) // 2), ("worst", -1))}
about = patients.set_index("id")
contents = {word: load_study(about.loc[study, "path"]) for word, study in cases.items()}

# %% tags=["virtual"]
fig, axes = page.figure(columns=2, height=5.4, rows=3, cols=4)
for row, content in zip(axes, contents.values()):
    ends = {"ED": content.ed_frame, "ES": content.es_frame}
    for ax, (view, (phase, frame)) in zip(row, product(PLANES, ends.items())):
        picture = content.views[view]
        found = {name: long_axis.by_network(models[name, view], view, picture.image)[1, frame] for name in drawn}
        title = f"{VIEW_NAMES[view]}, {phase}"
        plots.images.marked(ax, picture, frame, picture.landmarks[frame], found, title)
plots.images.name_rows(axes[:, 0], [f"{word}: {ranked[study]:.1f} mm" for word, study in cases.items()])
fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
page.save(fig, "05_cases")

# %% tags=["virtual"]
told = [f"{word}: {about.loc[study, 'disease']} on {about.loc[study, 'scanner']}" for word, study in cases.items()]
Markdown(
    f"*Reading.* {'; '.join(told)}. Open circles are the truth. An error along the wall, hinge or apex slid up or "
    "down, changes the length of the ventricle; one across it hardly does. A hinge found at the other hinge's place "
    "is a confusion of names."
)

# %% [markdown] tags=["virtual"]
# ## What the reading of a heatmap costs
#
# *From a picture with a bump to a point.* The release takes a soft arg-max, so sharp that nearly only the brightest
# pixel counts, and **cuts the result toward zero to whole pixels**. The brightest pixel is the one nearest to the
# point; the expectation lies a hair beside it, and where it lies a hair below, at 41.99999, cutting makes it 41. To see
# what this costs by itself, no network is needed: the exact bumps of the exact points are read in three ways. *Cut* is
# the published one, *uncut* the same without its last step, *fine* the centre of gravity of the squares around the
# brightest pixel.


# %% tags=["virtual"]
def uncut(heat):
    """The soft arg-max before it is cut."""
    weights = (heat.double() * landmarks.SHARPNESS).flatten(2).softmax(-1).unflatten(2, heat.shape[2:])
    places = [torch.arange(n, dtype=torch.double) for n in heat.shape[2:]]
    return torch.stack([weights.sum(3) @ places[0], weights.sum(2) @ places[1]], -1).numpy()


cines = {view: long_axis.views_of(moving["path"], view) for view in PLANES}
exact = {view: np.array([one.landmarks for one in views]) for view, views in cines.items()}
true = np.concatenate([marks.reshape(-1, 3, 2) for marks in exact.values()])[::5]
heat = landmarks.heatmaps(torch.from_numpy(true), SMALL_GRID["lax_4c"][0])
ways = {"cut": landmarks.soft_argmax(heat).numpy(), "uncut": uncut(heat), "fine": long_axis.fine(heat)}
slips = {way: (read - true).reshape(-1, 2) for way, read in ways.items()}

# %% tags=["virtual"]
fig, axes = page.figure(columns=2, height=2.6, cols=3, sharex=True, sharey=True)
for ax, (way, slip) in zip(axes, slips.items()):
    plots.agreement.offsets(ax, slip * spacing, way)
axes[-1].legend(loc="lower left")
page.save(fig, "05_reading_a_heatmap")

# %% tags=["virtual"]
lost = {way: float(np.linalg.norm(slip, axis=1).mean()) for way, slip in slips.items()}
shift = {way: float(slip.mean()) for way, slip in slips.items()}
slipped = float((ways["cut"] < np.round(true)).mean())
page.record("05_exact_heatmap_cut_slipped_percent", 100 * slipped, n=n_cine, unit="percent")
for way in ways:
    page.record(f"05_exact_heatmap_{way}_mm", lost[way] * spacing[0], n=n_cine, unit="mm")
    page.record(f"05_exact_heatmap_shift_{way}_pixels", shift[way], n=n_cine, unit="pixels per axis")
told = [f"*{way}* is off by {lost[way]:.2f} pixels, shifted by {shift[way]:+.2f} along each axis" for way in ways]

# %% tags=["virtual"]
Markdown(
    f"*Reading.* Of a perfect heatmap, on average, {'; '.join(told)}. *Cut* falls below the nearest pixel in "
    f"{slipped:.0%} of the coordinates. In millimetres it costs {lost['cut'] * spacing[0]:.2f} at {spacing[0]} mm a "
    f"pixel and {lost['cut']:.2f} at the published 1 mm. The release cuts its truth in the same way, so that the shift "
    "is missing from its distances; it is there in the picture."
)

# %% [markdown] tags=["virtual"]
# Why does the sharpness matter? With a factor of 1000 in the exponent, a pixel one hundredth less bright than the
# brightest has e to the minus ten of its weight. The expectation over all pixels is therefore not the middle of the
# bump but the place of its top pixel, and the name "soft" promises more than it holds. The information is in the
# picture: the pixels around the top say on which side of it the point lies, and the third way of reading asks them.
#
# A shift that is the same in every frame cancels in MAPSE and in length. Jumping from pixel to pixel does not: a slow
# movement becomes a staircase. How much of a network's distance is this? The same networks, the same heatmaps of whole
# cines, read both ways. From here on everything is in mm, and networks of the first seed are read.

# %% tags=["virtual"]
exact = {view: marks * spacing for view, marks in exact.items()}
sources = {"exact landmarks": exact}
jobs = [delayed(long_axis.by_run)(run, view, cines[view]) for (_, view), run in first.items()]
answers = Parallel(page.jobs)([*jobs, *(delayed(long_axis.by_reader)(views) for views in cines.values())])
cut, fine = ({key: answer[i] * spacing for key, answer in zip(first, answers)} for i in (0, 1))
for view, found in zip(PLANES, answers[len(first) :]):
    cut["reader", view] = fine["reader", view] = long_axis.in_nearer_order(found * spacing, exact[view])[0]
sources |= {name: {view: cut[name, view] for view in PLANES} for name in (*NAMES, "reader")}

# %% tags=["virtual"]
away = {}
for name, (how, found) in product(drawn, (("cut", cut), ("fine", fine))):
    each = [np.linalg.norm(found[name, view] - exact[view], axis=-1).mean((1, 2)) for view in PLANES]
    away[name, how] = np.mean(each, axis=0)
saved = {name: page.paired(away[name, "cut"], away[name, "fine"]) for name in drawn}
for name, estimate in saved.items():
    page.record(f"05_cut_minus_fine_{record_key(name)}", estimate, unit="mm")
told = "; ".join(f"{estimate.text(2, ' mm')} ({name})" for name, estimate in saved.items())
Markdown(f"*Reading.* Cutting adds to the distance from the exact points {told}.")

# %% [markdown] tags=["virtual"]
# ### The order of the hinges
#
# The published MAPSE follows each hinge by its number. If a network exchanges the two in a single frame, the hinges
# seem to jump across the valve. Length is made of their middle and does not notice.


# %% tags=["virtual"]
def apart(points, view):
    """(people, t) mean distance of the two hinges from the exact ones."""
    return np.linalg.norm(points - exact[view], axis=-1)[..., :2].mean(-1)


def swapped_share(name):
    """Share of frames in which the hinges would lie nearer the truth in the other order."""
    found = {view: fine[name, view] for view in PLANES}
    return np.mean([apart(long_axis.swapped(marks), view) < apart(marks, view) for view, marks in found.items()])


swaps = {name: swapped_share(name) for name in (*NAMES, "reader")}

# %% tags=["virtual"]
once, everybody = exact["lax_4c"].copy(), np.arange(n_cine)
shortest = long_axis.extreme_frames(once)[1]
once[everybody, shortest] = long_axis.swapped(once[everybody, shortest])
more = long_axis.extremes(once).mapse_mm - long_axis.extremes(exact["lax_4c"]).mapse_mm
jump = page.mean(more)
page.record("05_swapped_once_mapse", jump, unit="mm")
for name, share in swaps.items():
    page.record(f"05_frames_swapped_{record_key(name)}", 100 * share, n=n_cine, unit="percent")
Markdown(
    f"*Reading.* One exchange, in the shortest frame, adds {jump.text(0, ' mm')} to MAPSE. Frames in which the hinges "
    f"would lie nearer in the other order: {', '.join(f'{name} {share:.1%}' for name, share in swaps.items())}."
)

# %% [markdown] tags=["virtual"]
# ## MAPSE and shortening, as published
#
# *How well do the points tell what the heart did?* Each view gives a MAPSE and a shortening; a person's value is the
# mean of both views. The truth is that of the heart: how far its mitral plane travels along its long axis between ED
# and ES, and by how much that axis shortens. The figure has three readings, each on its own scale; the table has all.
# Its first row reads the *exact* landmarks by the same rule. What is wrong there is no network's fault: planes are
# never quite true, the valve's ring is no flat circle, so that its hinges lie off the mitral plane, and they also move
# sideways as the ring narrows, which a displacement counts too.

# %% tags=["virtual"]
TRUE = {key: moving[f"true_{key}"].to_numpy() for key in ("mapse_mm", "shortening_percent")}
UNITS = {"mapse_mm": ("MAPSE", "mm"), "shortening_percent": ("shortening", "points")}


def person(rule, source):
    """A rule's Function of each person: the mean over both views."""
    return long_axis.Function(*np.mean([rule(source[view]) for view in PLANES], axis=0))


found = {name: person(long_axis.extremes, source) for name, source in sources.items()}
values = {(name, key): getattr(found[name], key) for name, key in product(sources, UNITS)}

# %% tags=["virtual"]
fig, axes = page.figure(columns=2, height=4.4, rows=2, cols=3, sharex="row")
for row, (key, (words, unit)) in zip(axes, UNITS.items()):
    for ax, name in zip(row, ("reader", *drawn)):
        plots.agreement.bland_altman(ax, TRUE[key], values[name, key], words, unit)
        ax.set_title(f"{name}, n = {n_cine} people" if key == "mapse_mm" else "", fontsize=7, loc="left")
        ax.set_ylabel(ax.get_ylabel() if ax is row[0] else "")
page.save(fig, "05_bland_altman")

# %% tags=["virtual"]
summary, off = {}, {key: value - TRUE[key[1]] for key, value in values.items()}
for name, (key, (words, unit)) in product(sources, UNITS.items()):
    error = off[name, key]
    for what, part in (("bias", error), ("mae", np.abs(error))):
        estimate = page.mean(part)
        page.record(f"05_{words.lower()}_{what}_{record_key(name)}", estimate, unit=unit, claim="C12")
        summary[name, f"{words} ({unit}), {what}"] = estimate.text(1)
pd.Series(summary).unstack(sort=False)

# %% tags=["virtual"]
for way, other in (("heatmap", "UNet"), ("coordinates", "ResNet")):
    for key, (words, unit) in UNITS.items():
        pair = [np.abs(off[f"{way} {end}", key]) for end in ("pretrained", other)]
        gap = page.paired(*pair)
        page.record(f"05_{words.lower()}_error_difference_{way}", gap, unit=unit, claim="C12")
told = []
for key, (words, _) in UNITS.items():
    high = [name for name in sources if estimates.bland_altman(values[name, key], TRUE[key]).bias.lower > 0]
    told.append(f"{words} from {', '.join(high) or 'none'}")

# %% tags=["virtual"]
Markdown(
    f"*Reading.* Too high, with an interval above zero: {'; '.join(told)}. A heart whose base hardly moves cannot be "
    "read much too low, since a displacement is never negative: in the upper row look whether the dots rise toward "
    "the left. Limits are those of one person; bands say how sure they are."
)

# %% [markdown] tags=["virtual"]
# ## Why extremes read too high
#
# *Largest minus smallest, over frames that are all a little wrong.* The largest of many values is one whose error
# happened to be positive; the smallest is one whose error was negative. More frames give more chances. For normal noise
# that is independent from frame to frame the expected extremes follow from one integral each. The largest of the values
# lies below x if all of them do, so its distribution is the product of theirs:

# %% tags=["virtual"]
Code(inspect.getsource(long_axis.expected_extremes), language="python")

# %% [markdown] tags=["virtual"]
# Left: the bias of largest minus smallest length over the noise, for a heart that stands still and for one of the
# cohort with median MAPSE. Lines are the formula, open markers the mean of 2000 draws. Right: the same over the number
# of frames in a cycle; the published pretraining data have 50, clinics often 25.

# %% tags=["virtual"]
middle = int(np.argsort(TRUE["mapse_mm"])[n_cine // 2])
heart = cohort.person("landmark", middle, seed).heart
truth = load_study(moving["path"][middle]).truth
shrink = truth["lv_length_mm"][0] * truth["shortening_percent"] / 100


def length_curve(n):
    """The exact length of the long axis in n frames of a cycle, less its length at ED."""
    return -shrink * shape.emptying(heart, np.arange(n) / n)


def added(curve, sd):
    """Expected largest minus smallest with noise, minus that without."""
    largest, smallest = long_axis.expected_extremes(curve, sd)
    return float(largest - smallest - np.ptp(curve))


# %% [markdown] tags=["virtual"]
# The same from draws, in which nothing is assumed but the noise:

# %% tags=["virtual"]
noise, counts = np.array([0.25, 0.5, 1.0, 1.5, 2.0, 3.0]), np.array([8, 12, 20, 25, 30, 50])
hearts = {"standing still": np.zeros(25), "beating": length_curve(25)}
by_formula = {name: [added(curve, sd) for sd in noise] for name, curve in hearts.items()}
by_draw = {name: [] for name in hearts}
for (name, curve), sd in product(hearts.items(), noise):
    drawn_curves = curve + sd * rng.standard_normal((2000, 25))
    by_draw[name].append(np.ptp(drawn_curves, axis=1).mean() - np.ptp(curve))
by_count = {f"noise {sd:g} mm": [added(length_curve(n), sd) for n in counts] for sd in (1.0, 2.0)}
gap = max(abs(a - b) for name in hearts for a, b in zip(by_formula[name], by_draw[name]))
assert gap < 0.15 and np.all(np.diff(by_formula["beating"]) > 0) and np.all(np.diff(by_count["noise 2 mm"]) > 0)

# %% tags=["virtual"]
fig, axes = page.figure(columns=2, height=2.7, cols=2)
label = "Bias of the change of length (mm)"
plots.curves.formula(axes[0], noise, by_formula, by_draw, "Noise of the length (mm, SD)", label)
plots.curves.formula(axes[1], counts, by_count, {}, "Frames in a cycle", label)
for ax in axes:
    ax.legend()
page.save(fig, "05_bias_of_extremes")

# %% tags=["virtual"]
still, beating = by_formula["standing still"][4], by_formula["beating"][4]
page.record("05_extremes_bias_beating_2mm", beating, n=1, unit="mm")
page.record("05_extremes_bias_still_2mm", still, n=1, unit="mm")
page.record("05_extremes_formula_minus_draws", gap, n=1, unit="mm")
Markdown(
    f"*Reading.* Formula and draws differ by {gap:.2f} mm at most. Noise of 2 mm in the length adds {still:.1f} mm "
    f"where nothing moves, which would be a heart with a shortening, and {beating:.1f} mm to one that shortens by "
    f"{shrink:.1f} mm: less, because only the frames near the true extremes compete. A weak heart is therefore "
    "flattered more than a strong one, and the same heart reads higher on a scanner with more frames."
)

# %% [markdown] tags=["virtual"]
# ### How noisy are the networks?
#
# Two things are called noise in what follows, and they do different harm. An offset that stays the same over the whole
# cycle moves the curve of lengths up or down and leaves its swing alone. Jitter, which differs from frame to frame, is
# what extremes pick from.
#
# The formula wants noise that is independent from frame to frame. A network's error is in part the same in all frames,
# a plane misjudged or a hinge placed on the wrong side of the leaflet, and that part cancels. The table splits it:
# distance after averaging over the cycle, deviation of a coordinate about that average, and how alike the deviations of
# neighbouring frames are (correlation). The last columns hold the formula, given the measured deviation of the length,
# against what the extremes really added to the change of length.

# %% tags=["virtual"]
rows, true = {}, np.concatenate([long_axis.lengths_mm(exact[view]) for view in PLANES])
for name in (*NAMES, "reader"):
    steady = [long_axis.steadiness(sources[name][view] - exact[view]) for view in PLANES]
    lengths = np.concatenate([long_axis.lengths_mm(sources[name][view]) for view in PLANES])
    rest = lengths - true - (lengths - true).mean(1, keepdims=True)
    told = np.mean([added(curve, rest.std()) for curve in true])
    observed = float((np.ptp(lengths, axis=1) - np.ptp(true, axis=1)).mean())
    rows[name] = [*np.mean(steady, axis=0), rest.std(), told, observed]
    page.record(f"05_jitter_{record_key(name)}", rows[name][1], n=n_cine, unit="mm")
    page.record(f"05_error_correlation_{record_key(name)}", rows[name][2], n=n_cine)
columns = ["offset_mm", "jitter_mm", "neighbours", "length_sd_mm", "expected", "observed"]
steady = pd.DataFrame.from_dict(rows, "index", columns=columns)
steady.round(2)

# %% tags=["virtual"]
over = list(steady.index[steady["expected"] > steady["observed"]])
example = {name: long_axis.lengths_mm(sources[name]["lax_4c"][middle]) for name in ("heatmap pretrained", "reader")}
fig, ax = page.figure()
phase, curve = np.arange(n_frames) / n_frames, long_axis.lengths_mm(exact["lax_4c"][middle])
plots.curves.lengths(ax, phase, curve, example)
ax.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
page.save(fig, "05_length_curve")

# %% tags=["virtual"]
Markdown(
    "*Reading.* The curve is the person with median MAPSE in 4C; rings mark the frames that the published rule "
    f"takes. For {len(over)} of {len(steady)} readings the formula promises more than the extremes really add "
    f"({', '.join(over) or 'none'}): errors that are alike in neighbouring frames, or that shrink the movement "
    "because a network pulls every point toward its usual place, are not what the formula is about."
)

# %% [markdown] tags=["virtual"]
# ## Five ways out
#
# *What can be done about it?* Each of these takes the same points of a cycle:
#
# - **smoothed**: points are smoothed over time first, by one frame (as `segment` does). Rounds off true peaks as well.
# - **ED and ES frame**: the two frames are fixed by something else; here they are known, in practice they come from the
#   volume curve of the short-axis stack. The length is then nearly unbiased, but MAPSE is not: the *length* of a noisy
#   displacement is too long.
# - **the same, along the axis**: only the hinges' travel toward the apex counts. Noise moves it either way alike.
# - **other view**: frames are chosen in 2C and measured in 4C, and the reverse. Noise that chose the frames is not in
#   what is measured (a split sample that costs no data). The choice may be wrong, which can only make it smaller.
# - **bias subtracted**: the noise is estimated from how much points jump between frames and put on the smoothed points
#   many times; what the published rule adds there on average is taken off. Smoothing has flattened the peaks, and a
#   flat curve gains more from noise than a peaked one, so that this may take off too much.

# %% tags=["virtual"]
shown = (long_axis.noise_sd_mm, long_axis.along_axis, long_axis.corrected)
Code("\n\n".join(inspect.getsource(function) for function in shown), language="python")

# %% [markdown] tags=["virtual"]
# Each rule takes the points of both views and gives a person's Function.


# %% tags=["virtual"]
def crossed(source):
    """A person's Function with the frames of one view and the points of the other, both ways."""
    ways = [(source[a], long_axis.extreme_frames(source[b])) for a, b in (PLANES, PLANES[::-1])]
    return long_axis.Function(*np.mean([long_axis.at_frames(points, *frames) for points, frames in ways], axis=0))


es = moving["es_frame"].to_numpy()
RULES = {
    "published": partial(person, long_axis.extremes),
    "smoothed": partial(person, lambda points: long_axis.extremes(long_axis.smoothed(points))),
    "ED and ES frame": partial(person, lambda points: long_axis.at_frames(points, 0, es)),
    "the same, along the axis": partial(person, lambda points: long_axis.along_axis(points, 0, es)),
    "other view": crossed,
    "bias subtracted": partial(person, lambda points: long_axis.corrected(points, np.random.default_rng(seed))),
}

# %% [markdown] tags=["virtual"]
# First with planted noise, where the truth of each rule is known exactly: its value from the exact points. Noise of
# 1.5 mm a coordinate, once independent from frame to frame, once with a correlation of 0.7 between neighbours, which is
# nearer to what networks do. Left the bias; right how much a person's value varies from one draw of noise to the next.
# A correction that removes bias and adds scatter may be no gain.
#
# A person's value is compared with the value that the *same* rule gives on that person's exact points. In this way a
# rule is not blamed for its definition, only for what noise does to it. Smoothing therefore shows no bias from rounding
# off the true peaks here; that part belongs to the comparison with the heart further down.

# %% tags=["virtual"]
draws, planted_mm, planted = 8 if page.small else 30, 1.5, {}
NOISES = {"independent": 0.0, "alike in neighbours": 0.7}
for (words, alike), (rule, of) in product(NOISES.items(), RULES.items()):
    noisy = []
    for _ in range(draws):
        noises = {view: long_axis.noise_mm(exact[view].shape, planted_mm, alike, rng) for view in PLANES}
        noisy.append(of({view: exact[view] + noises[view] for view in PLANES}) - of(exact))
    planted[words, rule] = np.array(noisy)  # (draw, quantity, person)

# %% tags=["virtual"]
off = {key: {words: {} for words in NOISES} for key in UNITS}
scatter = {key: {words: {} for words in NOISES} for key in UNITS}
for (k, key), words, rule in product(enumerate(UNITS), NOISES, RULES):
    drawn_values = planted[words, rule][:, k]
    off[key][words][rule] = page.mean(drawn_values.mean(0))
    scatter[key][words][rule] = float(np.sqrt(drawn_values.var(0, ddof=1).mean()))
    name = f"{UNITS[key][0].lower()}_{record_key(words)}_{record_key(rule)}"
    page.record(f"05_planted_bias_{name}", off[key][words][rule], unit=UNITS[key][1])
    page.record(f"05_planted_scatter_{name}", scatter[key][words][rule], n=n_cine, unit=UNITS[key][1])
unseen = float(np.mean([long_axis.noise_sd_mm(exact[view]) for view in PLANES]))
page.record("05_noise_estimate_without_noise_mm", unseen, n=n_cine, unit="mm")

# %% tags=["virtual"]
fig, axes = page.figure(columns=2, height=4.6, rows=2, cols=2, sharey=True)
for row, (key, (words, unit)) in zip(axes, UNITS.items()):
    plots.forest.rules(row[0], off[key], f"Bias of {words} ({unit})")
    plots.forest.spread(row[1], scatter[key], f"Scatter of {words} from noise alone ({unit}, SD)")
axes[0, 1].legend(title=f"{planted_mm} mm of noise", title_fontsize=7)
page.save(fig, "05_corrections_planted")

# %% tags=["virtual"]
told, best = [], []
for key, (words, unit) in UNITS.items():
    alone, alike = off[key].values()
    changed = [row["published"].text(1, f" {unit}") for row in (alone, alike)]
    told.append(f"{words} by {changed[0]} if independent, and by {changed[1]} if alike in neighbours")
    rule = min(list(RULES)[1:], key=lambda rule: abs(alone[rule].value))
    best.append(f"{words}: {rule} ({alone[rule].text(2)})")
assert off["shortening_percent"]["independent"]["published"].value > 0
Markdown(
    f"*Reading.* With the published rule noise changes {'; '.join(told)}. Nearest to zero with independent noise: "
    f"{'; '.join(best)}. Jumps between the frames of exact points, where there is no noise, are taken for "
    f"{unseen:.2f} mm of it."
)

# %% tags=["virtual"]
told = []
for (key, (unit_words, _)), words in product(UNITS.items(), NOISES):
    e = off[key][words]["bias subtracted"]
    verdict = "too much" if e.upper < 0 else "too little" if e.lower > 0 else "not shown to be off"
    told.append(f"{unit_words}, noise {words}, {e.text(2)}: {verdict}")
wide = [f"{rule} {sd:.1f}" for rule, sd in scatter["shortening_percent"]["independent"].items()]
Markdown(
    f"What is left after subtracting: {'; '.join(told)}. Scatter of shortening (SD, points, independent noise): "
    f"{', '.join(wide)}."
)

# %% [markdown] tags=["virtual"]
# Two errors of the subtraction work against each other. The smoothed curve is flatter than the true one, so that too
# much is taken off; noise that is alike in neighbouring frames hides from the jumps, so that too little is. Smoothing
# removes less of such noise as well, and it rounds off true peaks besides, which this figure cannot show. Frames chosen
# in the other view are often not the true extremes, and what lies between them is then too little movement. Frames
# that were fixed elsewhere need no assumption about noise at all.
#
# Now with the networks. The target is the heart itself, so that the exact landmarks have a bias too, by definition of
# what is measured; the distance of the others from *that* row is what reading adds. The figure shows the reader, whose
# errors are the smallest; the networks trained above are in the table below it.

# %% tags=["virtual"]
read = ("exact landmarks", "heatmap UNet", "heatmap pretrained", "reader")
sharp = {name: exact if name == read[0] else {view: fine[name, view] for view in PLANES} for name in read}
found = {(name, rule): of(sharp[name]) for name in read for rule, of in RULES.items()}
errors, bias, width = {}, {}, {}
for key, name, rule in product(UNITS, read, RULES):
    error = errors[key, name, rule] = getattr(found[name, rule], key) - TRUE[key]
    bias.setdefault((key, name), {})[rule] = page.mean(error)
    width.setdefault((key, name), {})[rule] = float(error.std(ddof=1))

# %% tags=["virtual"]
fig, axes = page.figure(columns=2, height=4.6, rows=2, cols=2, sharey=True)
for row, (key, (words, unit)) in zip(axes, UNITS.items()):
    some, wide = ({name: of[key, name] for name in (read[0], "reader")} for of in (bias, width))
    plots.forest.rules(row[0], some, f"Bias of {words} ({unit})")
    plots.forest.spread(row[1], wide, f"SD of the error of {words} over people ({unit})")
axes[0, 1].legend(loc="upper left", bbox_to_anchor=(0, 1.2), ncols=2)
page.save(fig, "05_corrections_networks")

# %% tags=["virtual"]
gain, level = {}, 1 - 0.05 / (6 * (len(RULES) - 1))
for (key, (words, unit)), name, rule in product(UNITS.items(), read, RULES):
    page.record(f"05_rule_{record_key(f'{words} {name} {rule}')}", bias[key, name][rule], unit=unit)
    if name != read[0] and rule != "published":
        sizes = [np.abs(errors[key, name, one]) for one in (rule, "published")]
        gain[f"{words}, {name}", rule] = page.paired(*sizes, level=level)
helped = ", ".join(f"{rule} ({what})" for (what, rule), e in gain.items() if e.upper < 0) or "none"
harmed = ", ".join(f"{rule} ({what})" for (what, rule), e in gain.items() if e.lower > 0) or "none"
pd.Series(gain).map(lambda e: e.text(2).replace("95 %", "corrected")).unstack(sort=False)

# %% tags=["virtual"]
Markdown(
    "*Reading.* The table has the change of a person's mean |error| by each rule against the published one, with "
    f"intervals corrected for its {len(gain)} cells. Shown to help: {helped}. Shown to harm: {harmed}. For the rest it "
    f"is open at n = {n_cine}. Networks' errors are not planted noise: part of the bias of a network that pulls points "
    "to their usual place is *downward*, and a correction of the upward part can then make the sum worse."
)

# %% [markdown] tags=["virtual"]
# ## Does a finer picture help?
#
# *Is it the resolution?* The same people, scanned on finer grids, read by the project's reader, which resamples every
# picture to 1.5 mm. The network is the same; only the pixels differ.


# %% tags=["virtual"]
def finer(index, size, pixel_mm):
    """Distance of the reader's points in a person scanned again, mean over views, frames and points (mm)."""
    grid = dict.fromkeys(PLANES, ((size, size), (pixel_mm, pixel_mm)))
    away = []
    for view in cohort.study(cohort.person("landmark", index, seed), grid=grid).views.values():
        found, _ = long_axis.in_nearer_order(long_axis.by_reader([view])[0], view.landmarks)
        away.append(np.linalg.norm((found - view.landmarks) * pixel_mm, axis=-1).mean())
    return float(np.mean(away))


# %% tags=["virtual"]
people, sharper = range(6 if page.small else 20), {}
for size, pixel_mm in ((64, 2.5), (96, 5 / 3), (128, 1.25)):
    sharper[f"{pixel_mm:.3g} mm"] = np.array(Parallel(page.jobs)(delayed(finer)(i, size, pixel_mm) for i in people))
at = {words: page.mean(values) for words, values in sharper.items()}
better = page.paired(sharper["1.25 mm"], sharper["2.5 mm"])
for words, estimate in at.items():
    page.record(f"05_reader_distance_at_{record_key(words)}", estimate, unit="mm")
page.record("05_reader_distance_fine_minus_coarse", better, unit="mm")
fig, ax = page.figure(height=2.2)
plots.forest.trends(ax, {"reader": at}, "Pixel", "Distance (mm)")
ax.plot(np.arange(3) + 0.1, np.array(list(sharper.values())), color=plots.style.GREY, lw=0.3, alpha=0.5)
page.save(fig, "05_resolution")

# %% tags=["virtual"]
Markdown(
    f"*Reading.* From 2.5 to 1.25 mm a pixel the distance changes by {better.text(2, ' mm')} on the same people. "
    "Thin lines are people. A point can be placed to a fraction of a pixel where an edge runs through it; what a "
    "pixel takes away first is the thin leaflet's root and the tip of the cavity."
)

# %% [markdown]
# ## On patients
#
# *And in people?* The Landmark set holds two- and four-chamber pictures of patients in which readers marked the same
# three points. Whoever has it gets this part with `python3 -m cinema prepare landmark RAW` and `python3 -m cinema
# reproduce --only 05 --data landmark`; the parts above that need exact points, hearts or whole cines are then left out.
#
# **Pictures.** A study is one picture of one view. The 2C and the 4C pictures are split each for itself, by patient, as
# published, so that each view has its own networks and one patient may be a test patient of one view and not of the
# other. Whole pictures go on 64 pixels a side, so that no point is cut off.
#
# **Contenders** are the four arms of this page, started and trained as above, at two learning rates of which the one
# nearer on validation pictures counts; the *mean position*, which looks at no picture; and the *published* networks,
# where their weights are at hand. The own reader is not asked: it wants true millimetres.
#
# **Unit.** The pictures come without the size of their pixels. Distances are therefore in pixels of the published
# picture, 256 a side, of which the paper takes each for a millimetre. No margin in millimetres can be held against
# them.

# %%
patients = page.studies()  # of virtual people there are none, and what follows stays empty
if page.lacks("patients"):
    words = "*Only with real data:* the four arms trained on the Landmark set, distances by point and view, and the "
    display(Markdown(f"{words}published networks: `python3 -m cinema reproduce --only 05 --data landmark`."))
whole_of = long_axis.whole_pictures(patients, runs, page.jobs)
longer, both_rates = {"heatmap": 600, "coordinates": 1200}, (2e-3, 5e-3)
if page.small:
    longer, both_rates = dict.fromkeys(longer, 20), (5e-3,)
if whole_of:
    display(pd.DataFrame({VIEW_NAMES[view]: rows["split"].value_counts() for view, rows in whole_of.items()}))

# %%
found, tries = [], (0, 1, 2) if profile == "paper" else (0,)
for view, rows in whole_of.items():
    grid = long_axis.whole_picture(view)
    parts = {split: rows.loc[rows["split"] == split, "path"] for split in ("train", "val", "test")}
    plan_of = partial(long_axis.plan, view=view, parts=parts, seed=seed, folder=runs / view, grid=grid)
    trials = product(arms[view].values(), both_rates)
    plans = [plan_of(arm, rate=rate, steps=longer[arm.name.split()[0]]) for arm, rate in trials]
    histories, scores = train_all(plans, page.jobs)
    nearest = scores["arm"].map(long_axis.reached(histories).idxmin(axis=1))
    found.append(scores[scores["learning_rate"] == nearest])
    found.append(long_axis.mean_position(parts, view, grid[view][1], seed))

# %% [markdown]
# The published networks answer for the same test pictures, in the published size, where their weights are at hand.

# %%
for view, rows in whole_of.items():
    tested = rows.loc[rows["split"] == "test", "whole"]
    published, lacking = long_axis.by_published(tested, view, data_root, tries)
    found.append(published)
    if lacking:
        display(Markdown(lacking))
columns = ["arm", "view", "landmark", "study", "x", "y", "distance_mm"]
scores = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns, dtype=float)
whose = dict(zip(patients["id"], patients.get("patient", patients["id"])))
scores = scores.assign(picture=scores["study"], study=scores["study"].map(whose))

# %% [markdown]
# ### How far from the marked points
#
# A patient is one observation: points, pictures and seeds are averaged first. Where there are fewer than five test
# patients the mean stands alone, without an interval.

# %%
people_of = estimates.per_patient(scores, ["distance_mm"], by=("arm", "view"))
by_view = estimates.means(people_of, "distance_mm", ["view", "arm"], rng, page.least)
for (view, name), estimate in by_view.items():
    page.record(f"05_patients_distance_{view}_{record_key(name)}", estimate, unit="pixels", claim="C12")
if by_view:
    told = pd.Series(by_view).map(lambda estimate: estimates.text(estimate, 1)).unstack(0, sort=False)
    display(told.rename(columns=VIEW_NAMES))

# %%
points = estimates.per_patient(scores, ["distance_mm"], by=("arm", "view", "landmark"))
if by_view:
    points["landmark"] = points["landmark"].str.replace("_", " ")
    fig, axes = page.figure(columns=2, height=3.4, cols=2, sharey=True)
    for ax, view in zip(axes, whole_of):
        some = points[(points["view"] == view) & points["arm"].isin(NAMES)]
        shown = estimates.means(some, "distance_mm", ["landmark", "arm"], rng, page.least)
        label = f"Distance, {VIEW_NAMES[view]} (pixels of 256)"
        plots.distributions.scores(ax, some, shown, "distance_mm", "landmark", "arm", label)
        ax.axhline(by_view[view, long_axis.MIDDLE].value, color=plots.style.GREY, ls=":", label="mean position")
        ax.set(yscale="log")
        ax.legend(fontsize=5.5, loc="lower left", bbox_to_anchor=(0, 1))
    page.save(fig, "05_patients_distance")

# %% [markdown]
# Those who were read best and worst by the two heatmap networks, in each view:

# %%
cases = []
for view, word in product(whole_of, ("nearest", "furthest")):
    rows = scores[(scores["view"] == view) & scores["arm"].isin(NAMES[:2])]
    ranked = estimates.per_patient(rows, ["distance_mm"], by=()).sort_values("distance_mm")["study"]
    who = ranked.iloc[0 if word == "nearest" else -1]
    one = rows.loc[rows["study"] == who, "picture"].iloc[0]
    cases.append((view, word, one, long_axis.found_in(rows[rows["picture"] == one], NAMES[:2])))
if cases:
    fig, axes = page.figure(columns=2, height=2.5, cols=len(cases))
    for ax, (view, word, one, found) in zip(axes, cases):
        picture = load_study(whole_of[view].set_index("id").loc[one, "path"]).views[view]
        plots.images.marked(ax, picture, 0, picture.landmarks[0], found, f"{VIEW_NAMES[view]}, {word}")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    page.save(fig, "05_patients_cases")

# %% [markdown]
# Patients are ranked by the mean distance of the two heatmap networks, as above; open circles are the marks of the
# data set's readers, who err as well.

# %%
gaps = {}
for way, view in product(("heatmap", "coordinates"), whole_of):
    pair, rows = [name for name in NAMES if name.startswith(way)], people_of[people_of["view"] == view]
    gap = estimates.difference(rows, *pair, rng, "distance_mm", least=page.least)
    gaps[f"{' − '.join(pair)}, {VIEW_NAMES[view]}"] = estimates.text(gap, 1, " pixels")
    page.record(f"05_patients_difference_{way}_{view}", gap, unit="pixels", claim="C12")
floor = {view: by_view[view, long_axis.MIDDLE].value for view in whole_of}
far = [key for key, e in by_view.items() if key[1] != long_axis.MIDDLE and e.value >= floor[key[0]]]
if gaps:
    words = "; ".join(f"{pair}: {gap}" for pair, gap in gaps.items())
    idle = ", ".join(f"{name} in {VIEW_NAMES[view]}" for view, name in far) or "none"
    words = f"*Reading.* Pretrained minus convolutional, below zero the pretrained one is nearer: {words}. On average "
    display(Markdown(f"{words}no nearer than the mean position, and so not to be compared: {idle}."))

# %% [markdown]
# MAPSE and shortening need a whole cycle, and this set has single pictures. What the page shows about extremes over
# frames holds for a network on patients as well, with a jitter that only cines of patients can tell.

# %% [markdown]
# ## What this page could not settle
#
# - **The published comparison.** Its numbers were not found. "Matched" is answered here for small networks, a few dozen
#   training patients and a margin that this page chose; with another margin the answer may be another.
# - **Human readers** differ by 2 to 3.5 mm. Virtual truth has no such spread, and no reader's habits to be learnt.
# - **Errors of networks** are not normal and not independent in time. The formula explains the mechanism; how much a
#   given network is biased must be measured, as above.
# - **Fixed frames** were known here. A volume curve that is itself noisy will choose less well, though with noise of
#   its own, which is the point.
# - **MAPSE of the heart** is travel along the long axis; echocardiography measures one hinge at a time along the beam.
#   Which of the definitions predicts outcome best is no question for virtual people.
#
# ## Exercises
#
# 1. What is the expected range of two independent measurements with an SD of s? *(Check: 2 s / √π = 1.13 s;
#    `np.subtract(*long_axis.expected_extremes(np.zeros(2), 1.0))`.)*
# 2. Points lie anywhere within a pixel with equal chance, and a perfect reading is cut toward zero. What is the mean
#    shift along each axis, and what does it do to the length of the ventricle? *(Check: half a pixel, if nothing is
#    rounded first; nothing on average, since hinges and apex shift alike.)*
# 3. Exchange the two hinges in *every* frame of `exact["lax_4c"]`. What happens to MAPSE? *(Check: nothing;
#    `tests/analysis/test_long_axis.py` has both cases.)*
#
# ## Recorded numbers

# %%
page.table()
