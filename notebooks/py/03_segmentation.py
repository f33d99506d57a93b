# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   cinema:
#     needs: [02_pretraining]
# ---

# %% [markdown]
# # Segmentation: CineMA from pretraining, from scratch, and a UNet
#
# **Question.** On the same patients, with the same number of training steps: does CineMA outline the heart better for
# having been pretrained, and does it outline it better than a plain convolutional network?
#
# **Claims.** C3: CineMA segments ventricles and myocardium with a mean Dice of about 89 %. C8: half the labels are
# enough. The published numbers are quoted further down with how far they can be trusted.
#
# **Time.** About two minutes in the `ci` profile and six in the `laptop` profile on two cores, nearly all of it
# training. The published models (4000 epochs, three seeds, a GPU) belong to the profile `paper`, which asks for real
# studies: with `--data acdc`, `mnms`, `mnms2`, `emidec` or `myops` this page is made of the patients of that set, on
# its own split, and reads them with the published weights too, where those are at hand.

# %% [markdown]
# **After this page you can**
#
# - compute Dice, the training loss and HD95 of a drawing by hand, and say what each of them forgives;
# - say why a thin wall scores lower than a cavity that is drawn no better;
# - sketch a UNet and CineMA's ConvUNetR, and point at what pretraining can fill in;
# - compare networks fairly: same patients, same steps, a learning rate for each, differences patient by patient;
# - tell what an interval over patients covers, and what only another training would show.
#
# The first part is a lesson on one heart with five exercises; the second is the study. Words are collected at the end.

# %% [markdown] tags=["virtual"]
# All patients on this page are *virtual*: their hearts and scanners are known exactly, and their masks are drawn by
# rule, as the readers of ACDC draw (notebook 01). The networks are a hundredth of the published size and train for a
# few hundred steps instead of tens of thousands. What follows is therefore a result about methods at a small scale, not
# about hospitals.

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
from itertools import product

import numpy as np
import pandas as pd
import torch
from IPython.display import Code, Markdown, display
from joblib import Parallel, delayed
from scipy import ndimage

# %%
from cinema import runner
from cinema.analysis import patients
from cinema.models import small
from cinema.phantom import cohort
from cinema.plots import curves, diagrams, distributions, forest, images
from cinema.stats import estimates, metrics
from cinema.stats.estimates import per_patient, record_key, verdict
from cinema.training import arms

# %%
refusal = (
    "the published models are for patients; prepare a dataset (python3 -m cinema info acdc) and add --data acdc, or "
    "take the profile ci or laptop"
)
page = runner.start("03_segmentation", profile, data, data_root, seed, out, paper=refusal)
torch.set_num_threads(1)  # of this process; each training has one of its own
work, rng = page.own_folder(), page.rng
mean_by, difference = (partial(f, rng=rng, least=page.least) for f in (estimates.means, estimates.difference))

# %% [markdown]
# ## Two networks in one drawing
#
# *What does a network that outlines things look like?* To **segment** is to give every pixel a class. A network for it
# has two halves. The **encoder** makes the picture coarser and the description of each place richer: fewer pixels, more
# **channels** (numbers per place). The **decoder** goes back up until there is one answer per pixel. What the coarse
# description has lost, where exactly an edge lies, is handed across by **skip connections**.
#
# A **UNet** does all of it with **convolutions**: each number is computed from a small neighbourhood. CineMA's
# **ConvUNetR** begins with convolutions too, but its coarsest level is a **transformer**: the heart is cut into blocks,
# each becomes a **token** (a list of numbers), and every token looks at every other. Sizes are those of this page's
# networks: pixels, pixels, slices, and channels.

# %% tags=["lesson"]
fine, half, quarter = "64 × 64 × 8\n8 channels", "32 × 32 × 8\n16 channels", "16 × 16 × 8\n32 channels"
unet_levels = [(size, "skip", size) for size in (fine, half, quarter)]
stage, transformer = "convolution stage\n16 × 16 × 4, 32", "transformer\n8 × 8 × 4 tokens of 128"
convunetr_levels = [("image\n64 × 64 × 8", "image block", fine), ("", "", "32 × 32 × 4\n8 channels")]
convunetr_levels += [(stage, "skip", "16 × 16 × 4\n32 channels")]

# %% [markdown]
# A row is a level, fine above and coarse below. The coloured boxes are the encoder that CineMA pretrains without any
# labels; everything else starts from random numbers.

# %% tags=["lesson"]
fig, (left, right) = page.figure(columns=2, height=2.7, cols=2)
diagrams.u_shape(left, unet_levels, "8 × 8 × 8\n64 channels")
diagrams.u_shape(right, convunetr_levels, transformer, coloured=(stage, transformer))
left.set_title("UNet")
right.set_title("ConvUNetR of CineMA (coloured: pretrained)")
page.save(fig, "03_networks", cohort="drawing")

# %% [markdown]
# *Reading.* Both shrink and grow. They differ at the bottom, where the UNet sees neighbourhoods and CineMA the whole
# heart at once, and in the skips: the UNet hands over every level, ConvUNetR only two, of which the finest comes
# straight from the image. Section "Why?" below looks at that one.
#
# ## Dice by hand
#
# *How is a drawing scored?* One virtual heart, one slice, four classes: 0 background, 1 the cavity of the right
# ventricle (**RV**), 2 the muscle of the left one (**MYO**, the myocardium), 3 the cavity of the left one (**LV**).

# %% tags=["lesson"]
heart = cohort.study(cohort.person("acdc", 2)).views["sax"]  # a healthy virtual person, short axis
z = patients.shown_slice(heart.labels[..., 0])
truth = heart.labels[:, :, z, 0].astype(int)
print(f"image {heart.image.shape}: x, y, slices, frames; slice {truth.shape}, pixel {heart.spacing_mm[0]:.1f} mm")
print("pixels of background, RV, MYO, LV:", np.bincount(truth.ravel()))

# %% [markdown]
# A clumsy reader draws exactly the right shapes, but everything one pixel too far to the right.

# %% tags=["lesson"]
drawn = np.roll(truth, 1, axis=0)
a, b = drawn == 3, truth == 3  # masks: True where the LV was drawn, and where it is
fig, axes = page.figure(columns=2, height=2.5, cols=3)
for ax, labels, title in zip(axes, (truth, drawn), ("truth", "drawn")):
    images.panel(ax, heart, 0, z, title)
    images.outlines(ax, labels)
images.show(axes[2], a.astype(int) + b, limits=(0, 2))
axes[2].set_title("LV: white in both, grey in one")
for ax in axes:
    ax.set(xlim=(5, 50), ylim=(50, 8))  # the heart alone
images.structure_legend(fig)
page.save(fig, "03_by_hand", cohort="virtual")

# %% [markdown]
# The **Dice** score is twice the number of pixels in both masks, over the sum of their sizes: 1 for the same mask, 0
# for masks that share nothing.

# %% tags=["lesson"]
overlap, n_drawn, n_true = (a & b).sum(), a.sum(), b.sum()
dice_lv = 2 * overlap / (n_drawn + n_true)
print(f"2 × {overlap} / ({n_drawn} + {n_true}) = {dice_lv:.4f}; the package says {metrics.dice(a, b):.4f}")
assert np.isclose(dice_lv, metrics.dice(a, b))

# %% [markdown]
# **Exercise 1.** Some papers give the **IoU** instead, intersection over union: pixels in both masks over pixels in
# either. What is it for the LV here? Use `overlap`, `n_drawn` and `n_true`.

# %% tags=["lesson", "exercise"]
answer = ...  # a number between 0 and 1, or a formula of the three names

# %% tags=["lesson", "check"]
wrong = {
    dice_lv: "That is Dice. Over the union, not over the sum of sizes, and nothing is doubled.",
    overlap / (n_drawn + n_true): "In the sum, pixels of both masks are counted twice; take the overlap away once.",
}
page.check(answer, metrics.iou(a, b), wrong)

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# ```python
# answer = overlap / (n_drawn + n_true - overlap)
# ```
#
# The union is the sum less what was counted twice. IoU is always the lower of the two: Dice / (2 − Dice).
#
# </details>

# %% [markdown]
# ## What one pixel costs
#
# *Is the same mistake equally bad everywhere?* Everything is moved by the same number of pixels; try others.

# %% tags=["lesson", "try"]
shift = 1  # try 0, 1, 2, 4

# %% tags=["lesson"]
moved, parts = np.roll(truth, shift, axis=0), {"RV": 1, "MYO": 2, "LV": 3}
rows = [(name, (truth == k).sum(), metrics.dice(moved == k, truth == k)) for name, k in parts.items()]
pd.DataFrame(rows, columns=["structure", "pixels", f"Dice after a shift of {shift}"]).round(3)

# %% [markdown]
# The muscle is hit hardest. It is not smaller than all others, it is *thin*: what counts is the width in the direction
# of the shift. On ideal shapes:

# %% tags=["lesson"]
away = np.hypot(*(np.mgrid[:400, :400] - 200)) / 5  # distance from the middle in pixels, of points a fifth apart
after_shift = lambda mask: metrics.dice(np.roll(mask, 5, axis=0), mask)
width = np.arange(2, 26)
shapes = {"disc": [after_shift(away < w / 2) for w in width]}
shapes["ring about a cavity of 20 pixels"] = [after_shift((away >= 10) & (away < 10 + w)) for w in width]
fig, ax = page.figure(columns=1, height=2.5)
curves.lines(ax, width * 2.5, shapes, "Width of disc, thickness of ring (mm)", "Dice after a shift of 2.5 mm")
ax.legend()
page.save(fig, "03_one_pixel", cohort="drawing")

# %% tags=["lesson"]
wall, cavity = shapes["ring about a cavity of 20 pixels"][1], shapes["disc"][18]
Markdown(
    f"*Reading.* A wall of 7.5 mm scores {wall:.2f} and a cavity of 50 mm {cavity:.2f} for the same error. A mean of "
    "Dice over structures is therefore mostly about the thin ones, and Dice of two studies can be compared only where "
    "pixels and hearts are of like size."
)

# %% [markdown]
# **Exercise 2.** Along one line of pixels, a wall 3 pixels wide is drawn one pixel too far. What is its Dice?

# %% tags=["lesson", "exercise"]
answer = ...  # a number between 0 and 1

# %% tags=["lesson", "check"]
line = np.isin(np.arange(12), (4, 5, 6))
wrong = {
    0.5: "That is the IoU: two pixels shared, four in either. Dice doubles the overlap, over the sum of sizes.",
    1 / 3: "That is the share of the wall that was missed. How many pixels are in both?",
}
page.check(answer, metrics.dice(np.roll(line, 1), line), wrong)

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# ```python
# answer = 2 * 2 / (3 + 3)
# ```
#
# Two of three pixels are shared. For a width *w* it is 1 − 1/*w*: 0.95 for 20 pixels.
#
# </details>

# %% [markdown]
# ## The loss by hand
#
# *What does a network minimise?* A mask is yes or no, and its Dice jumps from pixel to pixel; training needs something
# that changes smoothly. A network gives four **logits** per pixel, any numbers, and the **softmax** turns them into
# probabilities that sum to 1: each logit's exponential over the sum of all four. Our clumsy reader as a network, with
# a logit of 4 for the class it would draw and 0 for the others:

# %% tags=["lesson"]
logits = 4.0 * np.eye(4)[drawn]
probability = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
print(f"logits {logits.shape}; one pixel: {logits[0, 0]} become {probability[0, 0].round(3)}")

# %% [markdown]
# The **cross entropy** asks each pixel how probable it held the right class, and takes minus the logarithm: 0 if it was
# sure and right, large if it was sure and wrong. Then the mean over all pixels.

# %% tags=["lesson"]
one_hot = np.eye(4)[truth]  # (64, 64, 4): 1 at the right class
of_right_class = (probability * one_hot).sum(axis=-1)
cross_entropy = -np.log(of_right_class).mean()
print(f"right class held for {of_right_class.min():.3f} to {of_right_class.max():.3f}: {cross_entropy:.4f}")

# %% [markdown]
# The **soft Dice** is Dice with probabilities in place of masks, class by class. Background, which would always look
# good, is left out of the mean, and the loss is 1 minus it.

# %% tags=["lesson"]
shared = (probability * one_hot).sum(axis=(0, 1))
soft_dice = 2 * shared / (probability.sum(axis=(0, 1)) + one_hot.sum(axis=(0, 1)))
dice_loss = 1 - soft_dice[1:].mean()
print(f"soft Dice {soft_dice.round(3)}; Dice loss {dice_loss:.4f}; with cross entropy {cross_entropy + dice_loss:.4f}")

# %% [markdown]
# The sum of the two is the loss of every training on this page. The package, given the same logits instead of a
# network, agrees:

# %% tags=["lesson"]
given = {"image": None, "label": {"sax": torch.tensor(truth)[None]}}
says = torch.tensor(logits).movedim(-1, 0)[None]  # (1, 4, 64, 64): item, class, x, y
loss, of_it = patients.drawing("virtual").task.loss(lambda image: {"sax": says}, given)
assert np.isclose(loss.item(), cross_entropy + dice_loss, atol=1e-4)
of_it

# %% [markdown]
# **Exercise 3.** A network that has learnt nothing gives all four classes the same logit. What is its cross entropy?

# %% tags=["lesson", "exercise"]
answer = ...  # a number; np.log is the natural logarithm

# %% tags=["lesson", "check"]
wrong = {
    0.25: "That is what it holds the right class for; the cross entropy is minus its logarithm.",
    2.0: "That is the logarithm to base 2; take the natural one.",
    -np.log(4): "Minus the logarithm of a number below 1 is positive.",
}
page.check(answer, -np.log(1 / logits.shape[-1]), wrong)

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# ```python
# answer = np.log(4)
# ```
#
# Each class is held for 1/4, whatever the truth. A training whose cross entropy starts far above 1.39 started badly.
#
# </details>

# %% [markdown]
# *Why two losses?* Beside the drawing that is one pixel off stands one that leaves everything empty, and both are said
# with more or less certainty: the logit of the class that is drawn.

# %% tags=["lesson", "try"]
sure = 4.0  # try 0.5, 2.0, 4.0, 12.0

# %% tags=["lesson"]
rows = {}
for what, labels in {"one pixel off": drawn, "nothing drawn": 0 * drawn}.items():
    p = np.exp(sure * np.eye(4)[labels])
    p /= p.sum(axis=-1, keepdims=True)
    soft = 2 * (p * one_hot).sum(axis=(0, 1)) / (p + one_hot).sum(axis=(0, 1))
    rows[what] = {"cross entropy": -np.log((p * one_hot).sum(axis=-1)).mean(), "Dice loss": 1 - soft[1:].mean()}
pd.DataFrame(rows).T.round(3)

# %% [markdown]
# Cross entropy has no upper end: being wrong gets the more expensive the surer it is. The Dice loss cannot exceed 1,
# and reaches it where a structure is forgotten, however few pixels it has. One keeps the probabilities honest, the
# other keeps small structures from being given up.
#
# **Exercise 4.** What share of the pixels does the empty drawing have right?

# %% tags=["lesson", "exercise"]
answer = ...  # a share between 0 and 1, from `truth`

# %% tags=["lesson", "check"]
wrong = {
    0.0: "Every background pixel is right too.",
    np.mean(truth > 0): "That is the share of the heart, which the empty drawing has wrong.",
}
page.check(answer, np.mean(truth == 0), wrong)

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# ```python
# answer = np.mean(truth == 0)
# ```
#
# More than four fifths, without having seen anything. Nobody scores segmentation by the share of right pixels.
#
# </details>

# %% [markdown]
# ## HD95 by hand
#
# *What does Dice forgive?* A few pixels far away from the heart. The **Hausdorff distance** looks at edges instead: for
# each pixel of one edge, how far is it to the nearest pixel of the other? The 95th percentile of that, in mm, and the
# larger of both directions, is **HD95**. An edge pixel is one that a shrinking of the mask by one pixel removes.

# %% tags=["lesson"]
edge = lambda mask: np.argwhere(mask & ~ndimage.binary_erosion(mask))
gaps_mm = np.linalg.norm((edge(a)[:, None] - edge(b)) * heart.spacing_mm[:2], axis=-1)
print(f"{gaps_mm.shape}: edge pixels drawn, true; nearest at most {gaps_mm.min(axis=1).max():.1f} mm away")

# %% tags=["lesson"]
hd95_lv = max(np.percentile(gaps_mm.min(axis=axis), 95) for axis in (1, 0))
print(f"HD95 {hd95_lv:.2f} mm; the package says {metrics.hd95_mm(a, b, heart.spacing_mm[:2]):.2f} mm")
assert np.isclose(hd95_lv, metrics.hd95_mm(a, b, heart.spacing_mm[:2]))

# %% [markdown]
# Now single pixels are sprinkled into a corner of the picture, far away from the heart.

# %% tags=["lesson", "try"]
strays = 1  # try 0, 1, 3, 10

# %% tags=["lesson"]
sprinkled = a.copy()
sprinkled[2, 2 : 2 + 2 * strays : 2] = True
hd95_stray = metrics.hd95_mm(sprinkled, b, heart.spacing_mm[:2])
Markdown(
    f"{strays} stray pixels beside {len(edge(a))} of the edge: Dice {metrics.dice(sprinkled, b):.3f} instead of "
    f"{dice_lv:.3f}, HD95 {hd95_stray:.1f} mm instead of {hd95_lv:.1f}."
)

# %% [markdown]
# Dice hardly notices. HD95 does not either, until strays are a twentieth of all edge pixels: then it jumps. That is why
# both are given, and why a mean of HD95 may rest on two bad patients.
#
# **Exercise 5.** The LV is drawn *two* pixels too far. What is its HD95?

# %% tags=["lesson", "exercise"]
answer = ...  # in mm

# %% tags=["lesson", "check"]
wrong = {
    2: "That is in pixels; how wide is one?",
    2.5: "That is one pixel in mm.",
    10.0: "Which pixel of the other edge is the nearest? Each edge is moved once, not twice.",
}
page.check(answer, metrics.hd95_mm(np.roll(b, 2, axis=0), b, heart.spacing_mm[:2]), wrong)

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# ```python
# answer = 2 * 2.5
# ```
#
# At the two sides that face the shift the nearest edge is the whole shift away; the 95th percentile looks there.
#
# </details>

# %% [markdown]
# ## Patients and scanners
#
# *Who is trained on, who is tested on?*

# %% [markdown] tags=["virtual"]
# Everyone trained on comes from a cohort that imitates ACDC: one hospital, two
# Siemens scanners, five groups in equal parts. Others of the same cohort are the first test. Two more cohorts, which
# imitate M&Ms and M&Ms-2, are never trained on: other hospitals, other vendors (Philips, GE, Canon), other diseases.
#
# Patients are drawn in an order in which every stretch holds the groups in their shares, so "the first eight" is a
# balanced choice.

# %% [markdown]
# Training, validation and test patients are different people. Of a dataset the published split is taken, and all of it
# except in the `ci` profile; images and masks are copied to the small grid of this page.

# %%
n_train, n_val, n_test, steps, seeds = (8, 4, 6, 24, 1) if page.small else (32, 8, 20, 200, 2)
if page.virtual:
    roles = {"acdc": (n_train, n_val, n_test), "mnms": (0, 0, n_test), "mnms2": (0, 0, n_test)}
    people = patients.virtual_studies(roles, seed, work, page.jobs)
else:
    people = patients.split_studies(data, data_root, work, profile, page.jobs)
home, kind, task = people["role"].iloc[0], patients.kinds(people), patients.drawing(data)
pd.crosstab([people["role"], people["split"]], people[kind])

# %% [markdown]
# The first cohort is the one trained on, `home`. What is drawn on a heart, and how a network learns it, is the `task`.
# Validation patients choose among trainings; test patients are looked at once, at the end.

# %%
paths = {part: rows["path"].tolist() for part, rows in people.groupby(["role", "split"], sort=False)}
training, validation = paths[home, "train"], paths[home, "val"]
tests = {role: rows for (role, split), rows in paths.items() if split == "test"}
n_train, n_val, n_test = len(training), len(validation), len(tests[home])
assert not set(training) & set(validation) and not set(training + validation) & set(tests[home])
Markdown(patients.describe_split(people))

# %% [markdown]
# One patient of each kind, the middle slice with the outlines that count as truth. Contrast between blood and muscle
# depends on flip angle, repetition time and field strength; sharpness on the reconstruction; the bright side on the
# coil.

# %% [markdown] tags=["virtual"]
# The outlines are those that a reader would draw, at end diastole. A network trained on Siemens alone has seen none of
# the other vendors.

# %%
examples = people.drop_duplicates(kind).sort_values(kind).iloc[:7]
fig, axes = page.figure(columns=2, height=1.6, cols=len(examples))
for ax, row in zip(axes, examples.itertuples()):
    images.labelled(ax, task.read(row.path), 0, title=getattr(row, kind))
images.structure_legend(fig, tuple(task.regions)[::-1])
page.save(fig, "03_scanners")

# %% [markdown]
# ## The contenders
#
# Three **arms** (contenders of a comparison) start from the same patients and do the same number of **steps** (one
# update of all parameters from two hearts):
#
# - **CineMA, pretrained**: the project's small CineMA was pretrained on unlabelled virtual volunteers for 80 minutes
#   (`python3 -m cinema train cinema_small`), on hearts of an earlier version of the generator, and is shipped; for real
#   patients it is the same one. Its encoder is copied into a ConvUNetR, the segmentation model of the paper:
#   convolution stages, transformer, convolutional decoder. All of it is then trained, layers near the image more
#   slowly.
# - **CineMA, scratch**: the same network from random numbers. Its distance from the first arm is what pretraining gave.
# - **UNet**: convolutions only, of similar compute, from random numbers.
#
# The recipes are those of the release: weight decay 0.05 and a rate that falls by a quarter per layer after
# pretraining, weight decay 0.01 on everything from scratch. Augmentation is milder than published (rotations up to 30
# degrees instead of 180), since a few hundred steps cannot teach a network the heart in every pose.
#
# A fourth contender does not look at the image at all. The *atlas* answers for every voxel with the structure most
# often found there in the training masks. Since images are centred on the heart it is better than nothing, and no
# trained network may fall below it.

# %% [markdown] tags=["virtual"]
# An earlier version of this page took the encoder that notebook 02 pretrains within minutes. It drew no better than
# the UNet. It is still here, in the last section, as a control: what a brief pretraining gives. That the longer one
# was put in its place *after* seeing that should be kept in mind with every difference below.

# %%
pretrained, standard = arms.SHIPPED
if not page.virtual:  # their own mean image: that of virtual people would leave its shadow in every picture
    standard = task.standard(training, work)
names = ("CineMA, pretrained", "CineMA, scratch", "UNet")
cinema = partial(small.small_convunetr, dec_chans=(8, 32, 64), **task.shape)
unet = partial(small.small_unet, chans=(8, 16, 32, 64), **task.shape)
contenders = {
    names[0]: arms.Arm(names[0], cinema, standard, pretrained, arms.FROM_PRETRAINING),
    names[1]: arms.Arm(names[1], cinema, standard),
    names[2]: arms.Arm(names[2], unet, standard),
}
Code(inspect.getsource(arms.train), language="python")

# %% [markdown]
# Those are the arms, and that is the whole of a training: build, train, score. Each runs in a process of its own on one
# thread, so that its numbers depend neither on the number of cores nor on what runs beside it.
#
# What do the networks cost? Parameters say what must be stored; multiplications what must be computed for one heart.

# %%
one_heart = {"sax": task.stacks(training[:1])[0]["image"]["sax"][None]}
cost = pd.DataFrame(index=names, columns=["parameters", "million MACs"], dtype=float)
for name, arm in contenders.items():
    n_parameters = sum(p.numel() for p in arm.build().parameters())
    cost.loc[name] = n_parameters, arms.multiply_accumulates(arm.build().eval(), one_heart)
for name, words in (("CineMA, scratch", "cinema"), ("UNet", "unet")):
    page.record(f"03_parameters_{words}", int(cost.loc[name, "parameters"]), n=1)
    page.record(f"03_million_macs_{words}", cost.loc[name, "million MACs"], n=1)
cost.round(0).astype(int)

# %% [markdown]
# ## A learning rate for each arm
#
# *Is the comparison fair?* A rate that suits one network can cripple another, and tuning only one's own model is the
# usual way to win. Every arm therefore gets the same candidates, trained to the end with as many patients as here, and
# keeps the one with the highest mean Dice on validation patients. Test patients play no part in it.
#
# Dice is twice the overlap of two masks over their summed size: 1 for equal masks, 0 for disjoint ones.

# %% [markdown] tags=["virtual"]
# For virtual patients the search was done once, on other people of the same virtual hospital, of whom nobody appears
# on this page: it is part of the experiment `labels` (`python3 -m cinema experiment labels`), whose tables are read
# here and again further down. They were recorded with an earlier version of the generator, when masks lay where the
# tissue is; rates chosen there need not be the best for masks as drawn.

# %%
plan = partial(arms.Run, val=tuple(validation), steps=steps, folder=str(work / "runs"))
plan = partial(plan, task=task.task, data=task.stacks)
if page.virtual:
    rates, n_asked = pd.read_csv("../data/experiments/labels_rates.csv"), 16  # validation patients of that experiment
else:
    candidates, n_asked = (3e-3,) if page.small else (1e-3, 3e-3, 1e-2), n_val
    rates = arms.searched(contenders.values(), partial(plan, seed=seed), tuple(training), candidates, page.jobs)
chosen = estimates.best_rates(rates)
(work / "chosen.json").write_text(json.dumps(chosen), encoding="utf-8")  # notebook 04 uses these trainings
rates.pivot(index="arm", columns="learning_rate", values="validation").loc[list(names)].round(3)

# %% [markdown]
# A few candidates are a coarse search, and validation patients are few: a difference of a point between two rates
# says little. The search is wide enough to catch a rate that is badly wrong, which is what it is for.
#
# ## Same scanners: Dice and surface distance
#
# *Who draws better?* Two trainings per arm with different seeds (random weights, order, augmentation), each tested
# on the same patients. A patient is one observation: scores are averaged over end diastole, end systole and seeds
# first, and intervals come from resampling patients (BCa bootstrap). They say how the mean would vary with other
# patients; how it varies with the seed is shown beside it.
#
# HD95, the 95th percentile of the distance between the two surfaces in mm, punishes what Dice forgives: a few voxels
# far away from the heart.

# %%
wanted = [
    plan(arm, tuple(training), learning_rate=chosen[name], seed=seed + i, tests=tests)
    for name, arm in contenders.items()
    for i in range(seeds)
]
score_on = partial(arms.score, task=task.task, data=task.stacks)
histories, scores = arms.train_all(wanted, page.jobs)
seen = scores[scores["data"] == home]
lost = int(seen["hd95_mm"].isna().sum())
floor = score_on(arms.Atlas(task.stacks(training), task.classes), {home: tests[home]})

# %% [markdown]
# First the trainings themselves. Left, what each rate reached on the validation patients of the search; right, Dice on
# this page's validation patients during the training with the first seed.

# %%
first = histories[histories["seed"] == seed].dropna(subset="val_mean_dice")
fig, (left, right) = page.figure(columns=2, height=2.4, cols=2, sharey=True)
for ax, rows, x, score, n in (
    (left, rates, "learning_rate", "validation", n_asked),
    (right, first, "epoch", "val_mean_dice", n_val),
):
    table = rows.pivot(index=x, columns="arm", values=score).reset_index()
    curves.losses(ax, table, dict(zip(names, names)), x, f"Validation Dice (n = {n})")
left.set(xscale="log", xlabel="Learning rate")
right.get_legend().remove()
page.save(fig, "03_learning_rates")

# %%
late = estimates.late_gain(first)
for name, gain in late.items():
    page.record(f"03_late_gain_{record_key(name)}", gain, n=n_val)
at_edge = [name for name, rate in chosen.items() if rate in rates["learning_rate"].agg(["min", "max"]).tolist()]
display(pd.DataFrame({"rate chosen": chosen, "Dice gained at the end": late}).round(4))
Markdown(
    f"*Reading.* At the edge of the candidates, where a rate beyond might do better: {', '.join(at_edge) or 'none'}. "
    "The second column is what Dice rose by between the last two evaluations. The rate itself falls to almost nothing "
    "at the end (a cosine schedule), so curves flatten whether or not there is more to learn."
)

# %%
structures = per_patient(seen, ["dice", "hd95_mm"], by=("arm", "structure"))
dice, hd95 = (mean_by(structures, value, ["structure", "arm"]) for value in ("dice", "hd95_mm"))
drawn = [structure for structure in task.regions if (structure, names[0]) in dice]
for unit, what, found in (("", "dice", dice), ("mm", "hd95", hd95)):
    for (structure, name), estimate in found.items():
        page.record(f"03_{what}_{structure.lower()}_{record_key(name)}", estimate, unit=unit, claim="C3")

# %%
fig, (left, right) = page.figure(columns=2, height=2.9, cols=2)
distributions.scores(left, structures, dice, series="arm")
distributions.scores(right, structures, hd95, value="hd95_mm", series="arm", label="HD95 (mm)")
right.get_legend().remove()
page.save(fig, "03_dice_hd95")

# %%
overall = per_patient(seen, ["dice", "hd95_mm"])
means = mean_by(overall, "dice", "arm")
by_seed = seen.groupby(["arm", "seed"], sort=False)["dice"].mean().unstack()
floor_dice = float(floor["dice"].mean())
page.record("03_dice_atlas", floor_dice, n=n_test)
for name, estimate in means.items():
    page.record(f"03_dice_{record_key(name)}", estimate, claim="C3")
by_seed.assign(spread=by_seed.max(axis=1) - by_seed.min(axis=1)).round(3)  # mean Dice of each training

# %%
hardest = min(drawn, key=lambda structure: dice[structure, "UNet"].value)
display(estimates.table(means))
Markdown(
    f"*Reading.* Mean Dice over structures is in the table; the atlas, which sees no image, reaches {floor_dice:.2f}. "
    f"Hardest for the UNet is {hardest}. {lost} of {len(seen)} masks were missing altogether; HD95 is undefined for "
    "them and leaves them out, which favours an arm that draws nothing."
)

# %% [markdown]
# A network that read nothing from the image would not beat the atlas. This is checked on virtual patients, except in
# the `ci` profile, whose two dozen steps are not meant to teach anything.

# %%
assert page.small or data != "virtual" or min(estimate.value for estimate in means.values()) > floor_dice

# %% [markdown]
# ### Paired differences
#
# *Which of these differences are more than chance?* Every arm drew the same patients, so the question is how much
# better one is *on the same heart*: hard patients are hard for all, and that part of the scatter cancels. One
# comparison was named before looking: mean Dice of pretrained CineMA against the UNet, on the scanners trained on.
# The others describe. With many rows, one in twenty intervals would miss the truth by chance alone; the thin bars are
# widened for the number of rows in the figure (Bonferroni).

# %%
pairs = [(names[0], names[1]), (names[0], names[2]), (names[1], names[2])]
groups = {"mean": overall} | {s: structures[structures["structure"] == s] for s in drawn}
levels, rows = (0.95, 1 - 0.05 / (3 * len(groups))), {}
for (a, b), (what, table) in product(pairs, groups.items()):
    both = [difference(table, a, b, level=level) for level in levels]
    rows[f"{a} − {b}, {what}".replace("CineMA, ", "")] = both
fig, ax = page.figure(columns=2, height=3.2 * len(rows) / 12)
forest.differences(ax, rows, "Difference of Dice, same scanners")
page.save(fig, "03_paired_differences")

# %%
gain, versus, plain = (difference(overall, a, b) for a, b in pairs)
page.record("03_difference_pretraining", gain, claim="C3")
page.record("03_difference_cinema_unet", versus, claim="C3")
page.record("03_difference_scratch_unet", plain, claim="C3")
named = {"pretrained − UNet (named in advance)": versus, "pretrained − scratch": gain, "scratch − UNet": plain}
display(estimates.table(named).assign(first_is=[verdict(one) for one in named.values()]))
Markdown(
    f"*Reading.* In the comparison named in advance, pretrained CineMA is {verdict(versus)} against the UNet "
    f"({versus.value:+.3f}). Pretraining itself changed Dice by {gain.value:+.3f}: {verdict(gain)}."
)

# %% [markdown]
# The intervals hold the trained networks fixed. If a difference changes its sign from one seed to the next, another
# training could have turned it, whatever its interval says. Seeds are paired here only by their number.

# %%
per_seed = pd.DataFrame({f"{a} − {b}": by_seed.loc[a] - by_seed.loc[b] for a, b in pairs}).T
page.record("03_seed_spread_dice", float((by_seed.max(axis=1) - by_seed.min(axis=1)).max()), n=n_test)
steady = (per_seed > 0).all(axis=1) | (per_seed < 0).all(axis=1)
page.record("03_differences_that_keep_their_sign", int(steady.sum()), unit="of 3")
per_seed.round(3)

# %% [markdown]
# The next cell checks the arithmetic: the three differences must add up, and the one named in advance must be the
# difference of the means shown before.

# %%
assert np.isclose(gain.value + plain.value, versus.value)
assert np.isclose(versus.value, means[names[0]].value - means["UNet"].value)

# %% [markdown] tags=["virtual"] lacks="patients of hospitals that nobody trained on"
# ## Unseen scanners
#
# *Does the order hold on machines nobody trained on?* The same networks, without any adaptation, on the two cohorts
# from other hospitals, and all test patients regrouped by vendor. The training scanners are Siemens; the other three
# vendors are new. Right-heart diseases of the second cohort are new as well, so vendor is not the only change.

# %% tags=["virtual"] lacks="patients of hospitals that nobody trained on"
vendor = people.set_index("id")["vendor"]
tested = per_patient(scores, ["dice"], by=("arm", "data"))
tested["vendor"] = tested["study"].map(vendor)
tested["cohort"] = tested["data"].map(lambda role: f"{cohort.ROLES[role].imitates}-like\n(n = {n_test})")
vendors = tested["vendor"].value_counts() // len(contenders)
tested["vendor"] = tested["vendor"].map({name: f"{name}\n(n = {n})" for name, n in vendors.items() if n > 2})
groups = {"cohort": {}, "vendor": {}}
for column, (name, rows) in product(groups, tested.groupby("arm", sort=False)):
    groups[column][name] = mean_by(rows, "dice", column)

# %% tags=["virtual"] lacks="patients of hospitals that nobody trained on"
fig, axes = page.figure(columns=2, height=2.8, cols=2, sharey=True)
for ax, (column, rows), words in zip(axes, groups.items(), ("Cohort", "Vendor, all cohorts")):
    forest.trends(ax, rows, words, "Mean Dice" if column == "cohort" else "", joined=False)
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
page.save(fig, "03_unseen_scanners")

# %% tags=["virtual"] lacks="patients of hospitals that nobody trained on"
drops = {}
for name, by_cohort in groups["cohort"].items():
    of = dict(zip(tests, by_cohort.values(), strict=True))
    for role, estimate in of.items():
        page.record(f"03_dice_{role}_{record_key(name)}", estimate, claim="C3")
    drops[name] = min(estimate.value for role, estimate in of.items() if role != home) - of[home].value
abroad = difference(tested[tested["data"] != home], names[0], names[2])
page.record("03_difference_cinema_unet_unseen", abroad, claim="C3")

# %% tags=["virtual"] lacks="patients of hospitals that nobody trained on"
display(pd.DataFrame({"change of Dice to the worse unseen cohort": drops}).round(3))
Markdown(
    f"*Reading.* On the unseen cohorts, pretrained CineMA minus UNet is {abroad.text(3)}: {verdict(abroad)}. "
    "Groups of patients by vendor are small (fewer than three are not shown); read intervals before order."
)

# %% [markdown] tags=["virtual"] lacks="patients of hospitals that nobody trained on"
# Public multi-vendor data show far larger drops without adaptation (from about 90 to 60 or 70 % Dice, PMC8082399).
# Virtual scanners differ in contrast, noise, shading and sharpness but not in field of view, orientation or faults of
# reconstruction, so this page is likely to be kind to every arm.

# %% [markdown]
# ## How many labels?
#
# *Is half enough (C8)?* Each arm is trained on fewer patients with the same number of steps, validation patients and
# learning rate. Fewer patients also mean other patients; with few of them, which ones matters more than any interval
# over test patients can say. The open dots are single trainings. Half the labels and all of them are compared between
# trainings with the same seeds.

# %% [markdown] tags=["virtual"]
# For virtual patients this is the other half of the experiment `labels`: three arms, 4, 8, 16 and 32 patients, three
# seeds, and other patients with each seed; 45 trainings with the search of rates, more than a page may take. Steps and
# rates are those of this page. People are not, and neither are the hearts and masks, which are those of an earlier
# version of the generator: its points for 32 patients are not to be held against what was found above.

# %%
fewer = sorted({max(1, n_train // parts) for parts in (4, 2)} - {n_train})
draws = [(n, i) for n in fewer for i in range(1 if page.small or n > fewer[0] else 2)]  # the smallest vary most


def lean(name, n, i):
    """Training of an arm with the i-th n of the training patients."""
    some, rate = tuple(training[i * n : (i + 1) * n]), chosen[name]
    return plan(contenders[name], some, learning_rate=rate, seed=seed + i, tests={home: tests[home]})


# %%
if page.virtual:
    table = pd.read_csv("../data/experiments/labels.csv").rename(columns={"labels": "n_train", "patient": "study"})
    table = table[table["arm"].isin(names)].assign(dice=table[arms.DICE].mean(axis=1))
else:
    todo = [lean(name, *draw) for name, draw in product(names, draws)]
    table = pd.concat([arms.train_all(todo, page.jobs)[1], seen], ignore_index=True)
sizes = sorted(table["n_train"].unique())

# %%
curve, dots = {}, {}
for name, rows in table.groupby("arm", sort=False):
    curve[name] = mean_by(per_patient(rows, ["dice"], by=("n_train",)), "dice", "n_train")
    dots[name] = list(rows.groupby(["n_train", "seed"])["dice"].mean().reset_index(level="seed", drop=True).items())
fig, ax = page.figure(columns=1, height=3.0)
forest.trends(ax, curve, "Labelled patients", "Mean Dice", single=dots)
ax.legend(loc="lower left", bbox_to_anchor=(0, 1.06), ncols=2)
page.save(fig, "03_label_efficiency")

# %%
of = table.groupby("n_train")["seed"].agg(set)
alike = table[table["seed"].isin(of[sizes[-2]] & of[sizes[-1]])]
sized, alike = (per_patient(rows, ["dice"], by=("arm", "n_train")) for rows in (table, alike))
half = {name: difference(rows, sizes[-2], sizes[-1], by="n_train") for name, rows in alike.groupby("arm", sort=False)}
few = difference(sized[sized["n_train"] == sizes[0]], names[0], names[1])
for name, estimate in half.items():
    page.record(f"03_halving_{record_key(name)}", estimate, claim="C8")
    for size, value in curve[name].items():
        page.record(f"03_dice_n{size}_{record_key(name)}", value, claim="C8")
page.record("03_difference_pretraining_few", few, claim="C8")

# %%
display(estimates.table(half))
Markdown(
    f"*Reading.* The table: change of mean Dice with {sizes[-2]} instead of {sizes[-1]} patients. With {sizes[0]}, "
    f"pretrained minus scratch is {few.value:+.3f}: {verdict(few)}. The paper says in words that half the labels give "
    "comparable performance; the number behind it was not found, so there is nothing to compare with."
)

# %% [markdown]
# Two things make "half is enough" easy to say. With the same number of steps, half the patients are seen twice as
# often, and as long as training is too short, it is steps that are scarce and not labels. And curves of Dice over
# labels flatten as they rise.

# %% [markdown] tags=["virtual"]
# The largest training set here is smaller than the smallest of the paper (ACDC, 100). With 8, 32 and 128 patients, the
# encoder frozen or not, notebook 02 goes on.

# %% [markdown]
# ## Best, median and worst
#
# *What do these numbers look like?* Patients of the first cohort are ranked by the mean Dice of all arms. For the
# best, the median and the worst, one slice at end systole (of late enhancement, where there is one frame, that one):
# the truth, then what each arm drew with the first seed.
# The slice is the third from the base, where the ventricles are wide and the outflow tracts are near.

# %%
ranked = overall.groupby("study")["dice"].mean().sort_values(ascending=False)
cases = {word: ranked.index[place] for word, place in (("best", 0), ("median", len(ranked) // 2), ("worst", -1))}
path_of = people.set_index("id")["path"]
studies = {study: task.read(path_of[study]) for study in ranked.index}
models = {run.arm.name: arms.model_of(run) for run in wanted if run.seed == seed}
found = {(name, study): task.draw(model, view) for name, model in models.items() for study, view in studies.items()}

# %%
fig, axes = page.figure(columns=2, height=5.4, rows=3, cols=4)
for row, study in zip(axes, cases.values()):
    view, es = studies[study], studies[study].labels.shape[3] - 1
    z = patients.shown_slice(view.labels[..., es])
    for ax, name in zip(row, ("truth", *contenders)):
        images.panel(ax, view, es, z, title=name)
        images.outlines(ax, (view.labels if name == "truth" else found[name, study])[..., z, es])
images.name_rows(axes[:, 0], [f"{word}: {ranked[study]:.2f}" for word, study in cases.items()])
images.structure_legend(fig, tuple(task.regions)[::-1])
page.save(fig, "03_cases")

# %%
about = people.set_index("id").reindex(columns=["disease", "scanner"]).fillna("unknown")
case = {word: f"{about.loc[study, 'disease']} on {about.loc[study, 'scanner']}" for word, study in cases.items()}
pd.DataFrame({"disease and scanner": case})

# %% [markdown]
# *Reading.* The number at the left is the patient's mean Dice over arms, structures, phases and seeds. Where the right
# ventricle is drawn, look first at its corners at the septum, where outlines part, then at the wall of the left one: a
# pixel is 2.5 mm, a third of a normal wall, so half a pixel too much all round is a large share of a thin structure.

# %% [markdown]
# ## From base to apex
#
# *Where along the heart are the errors?* Dice of every slice in whose labels the structure is, counted from the first
# slice with left ventricle. Each thin line is one patient (mean of both phases); the thick line is the median, the
# band the quartiles.

# %%
rows = []
for (name, study), drawing in found.items():
    for frame in range(drawing.shape[3]):
        once = arms.slice_rows(study, drawing[..., frame], studies[study].labels[..., frame], task.regions)
        rows.append(once.assign(arm=name))
sliced = pd.concat(rows).groupby(["arm", "study", "structure", "slice"], sort=False)["dice"].mean().reset_index()

# %%
fig, axes = page.figure(columns=2, height=5.2 * len(drawn) / 3, rows=len(drawn), cols=3, sharex=True, sharey=True)
for (i, structure), (j, name) in product(enumerate(drawn), enumerate(names)):
    ax = axes[i, j]
    curves.dice(ax, sliced[sliced["arm"] == name], structure)
    ax.get_legend().remove()
    ax.set(title="" if i else name, ylabel="" if j else f"{structure}: Dice")
    ax.set_xlabel(f"Slice (0 = base), n = {n_test}" if i == len(drawn) - 1 else "")
page.save(fig, "03_dice_by_slice")

# %%
lv = sliced[sliced["structure"] == "LV"].copy()
lv["end"] = np.where(lv["slice"] == 0, "base", np.where(lv["slice"].between(2, 3), "middle", "other"))
last = lv["slice"] == lv.groupby("study")["slice"].transform("max")
lv.loc[last, "end"] = "apex"
ends = per_patient(lv, ["dice"], by=("arm", "end")).pivot(index=["arm", "study"], columns="end", values="dice")
both = {part: ends.reindex(columns=["middle", part]).groupby("study").mean().dropna() for part in ("base", "apex")}
dips = {part: page.paired(*rows.T.to_numpy()) for part, rows in both.items() if len(rows)}
for part, estimate in dips.items():
    page.record(f"03_lv_middle_minus_{part}", estimate)

# %%
estimates.table({f"middle − {part}": estimate for part, estimate in dips.items()})

# %% [markdown]
# *Reading.* The table: Dice of the left ventricle in middle slices minus that at either end, all arms together. At the
# ends a slice holds the ventricle only in part. Toward the apex few pixels are left to share; at the base somebody has
# to decide whether the slice counts at all. The clinic knows both as the places where experts disagree.

# %% [markdown] tags=["virtual"] lacks="virtual patients, whose scans can be repeated with one thing changed"
# Virtual readers follow one rule without exception, so nobody disagrees here. The rule itself is what is hard at the
# base: at end systole it closes the ring over valve and outflow tract, where the image shows no muscle, and how much
# muscle it asks for depends on how far the base has moved, which no single slice tells.
#
# ## Noise and motion
#
# *How robust are they?* The same hearts are scanned again with the same planes, breath-holds and noise pattern, one
# thing changed at a time: the signal-to-noise ratio divided; slices shifted further against each other by irregular
# breath-holds; frames mixed with their neighbours, as happens when the trigger misses the R wave. No arm is retrained.

# %% tags=["virtual"] lacks="virtual patients, whose scans can be repeated with one thing changed"
n_robust, n_frames = (3, 6) if page.small else (10, 8)
conditions = {
    "noise": {f"SNR/{k}": dict(snr=k) for k in (1, 2, 4, 8)},
    "slice shifts": {f"{mm} mm": dict(breath_shift_mm=mm) for mm in (0, 3, 6)},
    "mis-gating": {f"{share:.0%}": dict(misgating=share, phases=n_frames) for share in (0.0, 0.5, 1.0)},
}


# %% tags=["virtual"] lacks="virtual patients, whose scans can be repeated with one thing changed"
def rescan(index, folder, snr=1, misgating=0.0, phases=("ED", "ES"), **changed):
    """Scan a test patient again under another condition; the path of the study."""
    person = cohort.person("acdc", index, seed)
    snr = person.acquisition.snr / snr
    return patients.scan_again(person, folder, phases, snr=snr, misgating=misgating, **changed)


# %% tags=["virtual"] lacks="virtual patients, whose scans can be repeated with one thing changed"
todo = {}
for kind, changes in conditions.items():
    for name, change in changes.items():
        folder = work / record_key(f"{kind} {name}")
        todo[f"{kind}: {name}"] = [delayed(rescan)(n_train + n_val + i, folder, **change) for i in range(n_robust)]
harder = {name: Parallel(page.jobs)(tasks) for name, tasks in todo.items()}
_, hard = arms.train_all([replace(run, tests=harder) for run in wanted if run.seed == seed], page.jobs)
hard[["kind", "condition"]] = hard["data"].str.split(": ", expand=True)

# %% tags=["virtual"] lacks="virtual patients, whose scans can be repeated with one thing changed"
fig, axes = page.figure(columns=2, height=2.6, cols=3, sharey=True)
for ax, (kind, rows) in zip(axes, hard.groupby("kind", sort=False)):
    each = {name: per_patient(part, ["dice"], by=("condition",)) for name, part in rows.groupby("arm", sort=False)}
    by_arm = {name: mean_by(part, "dice", "condition") for name, part in each.items()}
    forest.trends(ax, by_arm, kind.capitalize(), "Mean Dice" if ax is axes[0] else "")
axes[0].legend()
page.save(fig, "03_robustness")

# %% tags=["virtual"] lacks="virtual patients, whose scans can be repeated with one thing changed"
loss = {}
per = per_patient(hard, ["dice"], by=("arm", "kind", "condition"))
for (kind, name), rows in per.groupby(["kind", "arm"], sort=False):
    order = list(conditions[kind])
    loss[kind, name] = difference(rows, order[0], order[-1], by="condition")
    page.record(f"03_loss_{record_key(kind)}_{record_key(name)}", loss[kind, name])
estimates.table(loss)  # of Dice, from the mildest condition to the worst

# %% tags=["virtual"] lacks="virtual patients, whose scans can be repeated with one thing changed"
worst_of = max(conditions, key=lambda kind: max(loss[kind, name].value for name in names))
Markdown(
    f"*Reading.* What costs most is {worst_of}. One seed per arm and {n_robust} patients: read the intervals in the "
    "table. The masks move with the slices under breath-hold shifts, so a network is asked to follow each slice as it "
    "lies, not to repair the stack."
)

# %% [markdown]
# ## What it costs
#
# *Is a better score bought with compute?* Score beside multiplications per heart, and beside the seconds of one
# training step (two hearts, forward and backward), measured with the arms taking turns on this machine. Pretraining is
# not in the first arm's bill: it was paid once, 80 minutes of a core, for every task that starts from that encoder.

# %%
batch = torch.utils.data.default_collate([task.stacks(training[:2])[i] for i in (0, 1)])
step = arms.step_seconds({name: arm.start(seed) for name, arm in contenders.items()}, batch)
cost["step, ms"] = pd.Series(step) * 1000
cost["training, s"] = {name: np.median([run.seconds for run in wanted if run.arm.name == name]) for name in names}
cost["mean Dice"] = {name: estimate.value for name, estimate in means.items()}
cost.round({"parameters": 0, "million MACs": 0, "step, ms": 0, "training, s": 0, "mean Dice": 3})

# %%
fig, axes = page.figure(columns=2, height=2.5, cols=2, sharey=True)
for ax, column, words in zip(axes, ("million MACs", "step, ms"), ("Million MACs per heart", "Training step (ms)")):
    points = {name: (cost.loc[name, column], means[name]) for name in names}
    forest.scatter(ax, points, words, "Mean Dice" if ax is axes[0] else "")
axes[0].legend()
page.save(fig, "03_compute")

# %% [markdown]
# *Reading.* The arms were built to cost about the same, so the vertical distances are not bought with compute. A
# multiplication is not a second: the transformer's small matrix products, norms and depth-wise convolutions use a CPU
# less well than plain convolutions do, and a GPU would order the two columns differently. Seconds depend on the
# machine and are shown, not recorded.
#
# ## Why?
#
# Explanations that can be looked at here, some by a further training, all with the first seed.
#
# **A blind image branch?** ConvUNetR's decoder gets fine detail from a residual block on the raw image. It opens
# with a layer norm over channels, and the image has one: subtracting its own mean leaves zero, whatever the image.
# Everything behind that norm is constant, and only the 1 × 1 shortcut, one number per channel, sees the image. The
# published weights were trained so. It is checked on two images that have nothing in common (an image of several
# sequences has several channels, and then the branch does see):

# %%
block = contenders["CineMA, scratch"].start(seed).dec_image_conv_block_dict["sax"]
first, second = torch.rand(2, 1, task.channels, 16, 16, 8)
path = [block.conv1(torch.nn.functional.gelu(block.norm1(image))) for image in (first, second)]
assert torch.equal(*path) == (task.channels == 1) and not torch.equal(block(first), block(second))

# %% [markdown]
# What does the blindness cost? One change opens the branch: the norm is taken out, everything else stays.
#
# **Weights or recipe?** The pretrained arm differs from its twin in two ways: where it starts, and how it is trained
# (a rate that falls from layer to layer, other weight decay, its own learning rate). To tell them apart, the twin is
# trained by the pretrained arm's recipe, from random numbers.
#
# **How long a pretraining?** The shipped encoder saw 204,800 samples. For virtual patients the same arm also starts
# from the encoder that notebook 02 pretrained within minutes (*brief*), by the same recipe and at the same rate.


# %%
def opened():
    """CineMA's segmentation network whose image branch sees the image."""
    model = contenders[names[1]].build()
    model.dec_image_conv_block_dict["sax"].norm1 = torch.nn.Identity()
    return model


# %% [markdown]
# Each variant is a change of one arm, and keeps the learning rate of that arm.

# %%
variants = {
    "open branch": (replace(contenders[names[1]], build=opened), chosen[names[1]]),
    "recipe only": (replace(contenders[names[0]], pretrained=None), chosen[names[0]]),
}
if page.virtual:
    mean_image, short = (str(page.work / f"02_{name}.safetensors") for name in ("standard", "pretrained"))
    variants["brief"] = replace(contenders[names[0]], pretrained=short, standard=mean_image), chosen[names[0]]
plan_home = partial(plan, train=tuple(training), seed=seed, tests={home: tests[home]})
todo = [plan_home(replace(arm, name=name), learning_rate=rate) for name, (arm, rate) in variants.items()]
_, extra = arms.train_all(todo, page.jobs)

# %%
first_seed = per_patient(pd.concat([extra, seen[seen["seed"] == seed]]), ["dice"])
compared = {
    "open_branch": ("open branch", names[1]),
    "weights": (names[0], "recipe only"),
    "recipe": ("recipe only", names[1]),
    "longer": (names[0], "brief"),
    "brief": ("brief", "recipe only"),
}
compared = {words: pair for words, pair in compared.items() if "brief" not in pair or "brief" in variants}
why = {words: difference(first_seed, *pair) for words, pair in compared.items()}
for words, estimate in why.items():
    page.record(f"03_difference_{words}", estimate, claim="C3")

# %%
said = {
    "open_branch": "the branch opened",
    "weights": "pretrained instead of random weights, the recipe being equal",
    "recipe": "the recipe of fine-tuning alone, from random numbers",
    "longer": "long instead of brief pretraining",
    "brief": "brief pretraining instead of random weights, the recipe being equal",
}
told = estimates.table({said[words]: estimate for words, estimate in why.items()})
told.assign(change=[verdict(estimate) for estimate in why.values()])

# %% [markdown]
# *Reading.* Each row is a change of mean Dice, from one training with and one without. "Not shown to differ" is not "no
# difference": with few patients an interval is wide.

# %% [markdown]
# **An unused transformer?** The decoder also receives the convolution stages, and may do without the tokens. In the
# trained networks every token is replaced by the mean of all tokens of that heart, which takes away what the
# transformer says about *places* and leaves what it says about the heart as a whole. Nothing is retrained. The decoder
# never met such tokens in training: a fall toward zero shows that it leans on them, not how much score they earn.

# %%
blurred = []
for name in names[:2]:
    hook = models[name].encoder.register_forward_hook(lambda _, given, x: x.mean(1, keepdim=True).expand_as(x))
    blurred.append(score_on(models[name], {home: tests[home]}).assign(arm=f"{name}, mean token"))
    hook.remove()
leaning = per_patient(pd.concat([*blurred, seen[seen["seed"] == seed]]), ["dice"])
use = {name: difference(leaning, name, f"{name}, mean token") for name in names[:2]}
for name, estimate in use.items():
    page.record(f"03_use_of_tokens_{record_key(name)}", estimate, claim="C3")

# %%
encoder = small.small_encoder(("sax",))
patch = np.multiply(encoder["enc_patch_size_dict"]["sax"], encoder["enc_scale_factor_dict"]["sax"])
n_tokens = int(np.prod(np.array(one_heart["sax"].shape[2:]) // patch))
page.record("03_tokens", n_tokens, n=1)
display(estimates.table({f"{name}: places in the tokens": estimate for name, estimate in use.items()}))
Markdown(
    f"*Reading.* The table: how much mean Dice falls without places in the tokens.\n\n**Few, coarse tokens?** The "
    f"transformer sees {n_tokens} tokens of 20 × 20 × 24 mm a heart, the published one 2304 of 16 × 16 × 10 mm. "
    "A left ventricle is about 50 mm wide and its wall about 8 mm thick: the transformer can say where the heart is, "
    "the wall must come through the convolutions. No other size was tried."
)

# %% [markdown]
# **Short training?** The published fine-tuning runs for up to 4000 epochs; these runs make a handful. The rise of
# validation Dice between the last two evaluations, given above, says which arms were still learning when time was up.
# A transformer has to learn from data that neighbouring voxels belong together, which a convolution knows by
# construction. Whoever doubles the steps of one arm doubles those of all.

# %% [markdown] tags=["virtual"]
# ## What each ingredient of the training images adds
#
# *What lets a network that was only ever shown virtual hearts read a scanner it has not met?* The project's own
# short-axis reader, the default of `python3 -m cinema segment`, learns from tissue maps of several hundred very
# different hearts, dressed anew at every visit: other signals of the tissues, another pose and scale, an elastic
# warp, blood that flows, bright things nobody foresaw, shading, ringing, noise. Which of these matter? One is left
# out at a time, and a small reader (0.5 million parameters) is trained for the same 400 steps of 24 slices:
#
# | arm | what is missing |
# |---|---|
# | trabeculae not in cavity | the convention of ACDC: trabeculae and papillary muscles are labelled as their walls |
# | no trabeculae | there are none: the cavities are smooth |
# | no surroundings | outside the chambers, their walls and the great vessels there is only lung |
# | one scanner's signals | tissues shine as one 1.5 T scanner shows them, with small differences between people |
# | not turned | rotations and mirrors |
# | no warp, one scale | elastic warp and scaling |
# | plain look | uneven blood, blobs, shading, ringing |
#
# All are tested on people of the two cohorts nobody trained on, imaged as scanners do it (contrast from relaxation
# times, four vendors, 1.5 and 3 T), which dressing does not imitate. Each is read twice: as scanned, and turned or
# mirrored, since archives and challenges store slices in every way. The labels tested against are the
# same for all arms: those of the tissue then, without slices whose cavity is less than half bordered by muscle.
#
# Sixteen trainings take about 30 minutes of one core, more than a page may. They are therefore an experiment of their
# own, `python3 -m cinema experiment ingredients`, whose table is read here. It was recorded with an earlier version of
# the generator and of the readers' library, when labels lay where the tissue is, not where readers draw them. A row of
# it is one arm, seed, patient, way of storing and structure; what is done with it below is done on this page.

# %% tags=["virtual"]
read = pd.read_csv("../data/experiments/ingredients.csv")
read["study"] = read["cohort"] + " " + read["patient"].astype(str)
read["dice"] = read[["dice_ed", "dice_es"]].mean(axis=1)
ways, n_read, read_seeds = list(read["stored"].unique()), read["study"].nunique(), list(read["seed"].unique())
absolute = read.pivot_table("dice", "arm", ["stored", "structure"], sort=False)
absolute.assign(n=n_read, seeds=len(read_seeds)).round(3)

# %% [markdown] tags=["virtual"]
# The question is a paired one again: what does the same patient lose when an ingredient is missing? Dice is averaged
# over structures, both phases and both seeds of a patient first, and intervals are over patients. The small ticks are
# the seeds, each a training of its own with and without the ingredient: where they lie apart, the order of two arms
# is not settled by an interval over patients.

# %% tags=["virtual"]
both = per_patient(read, ["dice"], by=("arm", "stored"))
without = [name for name in both["arm"].unique() if name != "all"]
levels = (0.95, 1 - 0.05 / len(without))
lacking = {way: {} for way in ways}
for (way, rows), name in product(both.groupby("stored", sort=False), without):
    lacking[way][name] = [difference(rows, name, "all", level=level) for level in levels]
for way, name in product(ways, without):
    page.record(f"03_without_{record_key(name)}_{record_key(way)}", lacking[way][name][0])

# %% tags=["virtual"]
once = read.groupby(["stored", "arm", "seed"])["dice"].mean()
fig, axes = page.figure(columns=2, height=2.9, cols=2, sharex=True, sharey=True)
for ax, way in zip(axes, ways):
    forest.differences(ax, lacking[way], f"Dice without it minus Dice with all, {way}")
    for y, name in enumerate(without):
        ax.plot(once[way, name] - once[way, "all"], [y + 0.25] * len(read_seeds), "|", color=forest.GREY, ms=5)
page.save(fig, "03_ingredients")

# %% tags=["virtual"]
told = pd.DataFrame({way: {name: pair[0].value for name, pair in rows.items()} for way, rows in lacking.items()})
for way, rows in lacking.items():
    told[f"{way}: without it"] = [verdict(corrected) for _, corrected in rows.values()]
display(told.sort_values(ways[0]).round(3))
missed = {way: told[way].idxmin() for way in ways}
Markdown(
    f"*Reading*, n = {n_read} patients, {len(read_seeds)} seeds. Missed most: "
    + "; ".join(f"{way}, {name} ({told.loc[name, way]:+.3f})" for way, name in missed.items())
    + ". The verdicts are those of the thin bars, corrected for the rows of a panel."
)

# %% tags=["virtual"]
per_part = read.melt(["arm", "seed", "study", "structure"], ["dice_ed", "dice_es"], "phase", "value")
part = per_part.groupby(["arm", "structure", "phase"])["value"].mean().unstack(["structure", "phase"])
fall = part.loc[without] - part.loc["all"]
fall.columns = [f"{where}, {phase[-2:].upper()}" for where, phase in fall]
fall.round(3)

# %% [markdown] tags=["virtual"]
# The table holds the mean change of each structure and phase, both ways of storing together: a hint where an ingredient
# matters, and no more, since nothing in it has an interval.

# %% [markdown] tags=["virtual"]
# An ingredient that costs nothing here is not useless. The test scanners are virtual as well: contrast follows the same
# physics as in the arm with one scanner's signals, and trabeculae come from the same generator as those of training.
# What counts in the end is a patient. The sixteen small networks read one of ACDC (patient110; CC BY-NC-SA 4.0; n = 1)
# through `segment` (`tests/bench/arms_on_real.py`). Mean Dice over structures
# and phases, both seeds: all ingredients 0.67; no warp 0.72, plain look 0.70, trabeculae not in the cavity 0.68, no
# trabeculae 0.67, no surroundings 0.52, **one scanner's signals 0.48**; not turned 0.77, since this patient is stored
# upright. Drawing the signals of tissues at random, which is not shown to help on virtual scanners, is missed as much
# as the surroundings on this real picture. Seeds differ by up to 0.16, and one patient decides nothing; but it warns of
# judging realism by virtual tests alone. What the shipped readers,
# trained for longer and larger, make of 125 patients is in `MODEL_CARD.md`.

# %% [markdown]
# ## The published numbers
#
# *What did the paper find?* The rows below are quoted, with how far to trust them; no interval was printed.

# %%
paper = page.paper("C3", "C8")
published = paper.dropna(subset="value").set_index("system")["value"]
ahead = published["CineMA"] - published["nnU-Net"]
page.record("03_paper_cinema_minus_nnunet", ahead, unit="Dice points", cohort="published", claim="C3")
paper[["claim", "quantity", "system", "value", "source", "trust", "note"]].fillna("")

# %%
Markdown(
    f"*Reading.* CineMA {published['CineMA']:.2f} %, nnU-Net {published['nnU-Net']:.2f} %: the convolutional "
    f"system is ahead by {-ahead:.2f} points. The pair comes from a summary of the journal article, not from the "
    "article; which data sets and classes it averages was not found, and neither was the UNet's number. The "
    "journal version claims only to *approach* nnU-Net, which tunes itself to a data set for hours and was not "
    "run on this page."
)

# %% [markdown]
# Independent work points the same way. A study of self-supervision for cardiac MR found 0.89 Dice with all labels and
# no gain from pretraining there, and a gain only at about ten patients (arXiv 2409.18100). Others put a decoder on
# the frozen published encoder and report macro Dice of 0.90, 0.85 and 0.86 on ACDC, M&Ms and M&Ms-2.
#
# ### The published weights
#
# *What do the published models draw on these patients?* The authors give three fine-tuned models for each dataset, of
# full size. They read the test patients on the published grid, where nothing is shrunk; a patient's score is the mean
# over the three. Nothing is trained here, so this is the column that can be held against the paper's.

# %%
theirs, said = task.published(people[people["split"] == "test"], data_root)
Markdown(said)

# %%
if len(theirs):
    per = per_patient(theirs.assign(arm="published"), ["dice", "hd95_mm"], by=("arm", "structure"))
    both_sizes = pd.concat([per, structures], ignore_index=True)
    fig, ax = page.figure(columns=2, height=2.9)
    distributions.scores(ax, both_sizes, mean_by(both_sizes, "dice", ["structure", "arm"]), series="arm")
    page.save(fig, "03_published_weights")
    for unit, value in (("", "dice"), ("mm", "hd95_mm")):
        for (structure, _), estimate in mean_by(per, value, ["structure", "arm"]).items():
            page.record(f"03_published_{value}_{record_key(structure)}", estimate, unit=unit, claim="C3")
    display(theirs.groupby(["structure", "seed"])[["dice", "hd95_mm"]].mean().unstack().round(3))

# %% [markdown]
# ## What this page could not settle
#
# - **Scale.** Neither the published model nor its pretraining fits a laptop. What pretraining gives a small CineMA
#   after minutes or an hour, be it much or nothing, is not what it gives the large one after days.
# - **Training noise.** Two seeds per arm, and three in the label curve, hint at the spread of a training and say
#   nothing about its distribution. Where a curve falls although labels are added, look at its open dots first.
# - **Learning rates** were searched on a coarse grid with all labels and kept for fewer.
# - **nnU-Net**, the strongest published rival, is missing.
# - **Volumes and EF** follow in notebook 04. Even perfect masks give neither of the two true EFs (notebook 01).

# %% [markdown] tags=["virtual"]
# - **Real images.** Virtual scanners vary less than real ones. Here the order of arms on unseen scanners is a statement
#   about contrast, noise and shading only.

# %% [markdown]
# ## Words of this page
#
# | word | what it means |
# |---|---|
# | segmentation, mask | a class for every pixel; the pixels of one class |
# | Dice, IoU | twice the overlap over the sum of sizes; the overlap over the union |
# | HD95 | 95th percentile of the distance from one outline to the other, in mm |
# | logit, softmax | any number a network gives per class; what turns them into probabilities |
# | cross entropy, soft Dice | minus the log of the right class's probability; Dice with probabilities |
# | encoder, decoder, skip | the way down to few rich places; the way back up; what is handed across |
# | token, transformer | a block of the image as a list of numbers; the layer in which all of them meet |
# | pretrained, fine-tuned, scratch | started from learnt weights; all of them trained on; started from random ones |
# | arm, seed | one contender; the number from which all chance of a training is drawn |
# | atlas | what a reader without an image would draw: the floor |
# | paired difference | one minus the other on the same patient, then the mean over patients |
# | BCa bootstrap, Bonferroni | intervals from resampled patients; widening them for the number of comparisons |
#
# ## Recorded numbers

# %%
page.table()
