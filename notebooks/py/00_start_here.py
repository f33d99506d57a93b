# ---
# jupyter:
#   cinema:
#     needs: []
# ---

# %% [markdown]
# # Start here: one heart, one idea, one minute
#
# **Question.** What is in a cine cardiac MR study, what does CineMA learn from such studies before anybody labels
# them, and how far does a small network get with a minute of training?
#
# **Claim.** None is tested here. The page introduces the idea behind claim C1 (learning from unlabelled studies by
# filling in what was hidden); notebook 02 examines it.
#
# **Time.** About 20 seconds in the `ci` profile and a minute in the `laptop` profile on two cores; `paper` equals
# `laptop`, since nothing here needs real data.
#
# **Afterwards you can** name the four views of a cine study and say what each cuts; say how the ejection fraction
# follows from two volumes; explain how a network learns from images that nobody labelled; and read a Dice value.
#
# All hearts on this page are *virtual*: a beating geometry whose volumes, motion and landmarks are known exactly,
# imaged as a scanner would. Nothing on this page is a result about patients. The parameter `data` is therefore ignored.

# %% tags=["parameters"]
profile = "laptop"
data = "virtual"
data_root = "../data"
seed = 0
out = "../figures"

# %%
import inspect
import tempfile
from functools import partial

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, Code, Markdown

# %%
from cinema import runner
from cinema.data.loaders import StudyFrames
from cinema.models import UNet, random_mask
from cinema.phantom import cohort
from cinema.plots import curves, diagrams, distributions, images
from cinema.terms import LAX_VIEWS, SMALL_GRID, STRUCTURES, VIEW_NAMES, VIEWS
from cinema.training import evaluate, loop, segmentation

# %% [markdown]
# The record below keeps every number that the text quotes; at the end it is printed, and a test compares it with
# what is expected. `n_train` and `n_test` count people, not images.

# %%
page = runner.start("00_start_here", profile, "virtual", data_root, seed, out)
n_train, n_test, n_steps = (4, 3, 12) if page.small else (40, 12, 130)

# %% [markdown]
# ## How the pages hang together
#
# *What to read, and in which order?* Four pages are the short way through, the coloured boxes of the drawing: this
# one, the idea (02), its best-known use (03), and what an image says about the time to come (09). Each page can also
# be read alone. The grey boxes go on from the page above them. To read them, nothing has to be run again.

# %% tags=["lesson"]
path = "00\nstart here", "02\npretraining", "03\nsegmentation", "09\nsurvival"
more = "01 data", "06, 07, 08\nwhat else it tells", "04, 05 function\n11 your own study", "10 fairness\n12 all claims"
fig, ax = page.figure(columns=2, height=1.6)
diagrams.canvas(ax, 16, 3.4)
for x, name, below in zip((0, 4.2, 8.4, 12.6), path, more):
    diagrams.box(ax, x, 2, 3, 1.3, name, diagrams.COLOURS[3])
    diagrams.box(ax, x, 0.1, 3, 1.2, below)
    diagrams.arrow(ax, (x + 1.5, 2), (x + 1.5, 1.3))
for x in (3, 7.2, 11.4):
    diagrams.arrow(ax, (x, 2.65), (x + 1.2, 2.65))
page.save(fig, "00_pages")

# %% [markdown]
# ## One heart in four views
#
# *What does the scanner deliver?* A cine study films the beating heart in thin slices. The short-axis stack (SAX)
# cuts across the left ventricle from base to apex; three long-axis planes run along it and show two, three or four
# chambers (2C, 3C, 4C). Each slice is filmed in its own breath-hold over several heart beats and replayed as one beat.
#
# `cohort.person` draws somebody: age, sex, body, blood pressure, the heart that goes with them, and the scanner they
# lie in. `cohort.study` puts them through it. Here pixels are 2 mm wide and slices lie 10 mm apart.

# %%
grid = {"sax": ((96, 96, 11), (2.0, 2.0, 10.0)), **{view: ((96, 96), (2.0, 2.0)) for view in LAX_VIEWS}}
person = cohort.person("population", 0, seed)
heart = cohort.study(person, phases=12 if page.small else 25, grid=grid)
sax = heart.views["sax"]
middle = sax.image.shape[2] // 2

# %%
films = {VIEW_NAMES[view]: heart.views[view].image[:, :, middle if view == "sax" else 0] for view in VIEWS}
HTML(page.cine(films, cycle_ms=60000 / person.heart.heart_rate_bpm))

# %% [markdown]
# Played at the person's own heart rate. The same four views stand still below, at end diastole (ED, the ventricles
# full) and end systole (ES, emptied). The outlines are the masks: of the tissue in the long axes, and in the short axis
# as a human reader would draw it. Crosses mark the two hinges of the mitral valve, the plus sign the apex. Papillary
# muscles and trabeculae lie *inside* the cavity outline, as in the public data sets: counting them as blood is a
# convention, and one that changes every volume. Notebook 01 shows others, and what they do to the ejection fraction.

# %%
fig, axes = page.figure(columns=2, height=3.8, rows=2, cols=4)
for column, view in zip(axes.T, VIEWS):
    for ax, frame in zip(column, (heart.ed_frame, heart.es_frame)):
        images.labelled(ax, heart.views[view], frame, title=VIEW_NAMES[view] if ax is column[0] else "")
        if view in LAX_VIEWS:
            images.landmarks(ax, heart.views[view].landmarks[frame])
images.name_rows(axes[:, 0], ("ED", "ES"))
images.structure_legend(fig)
page.save(fig, "00_four_views")

# %% [markdown]
# *Reading.* The bars are 50 mm long. Between the rows the mitral valve moves toward the apex while the apex hardly
# moves, and the wall thickens. Look at the SAX column: the right ventricle wraps round the left one like a crescent,
# which is why it is the harder one to outline.
#
# How empty does the heart get? The volume over one beat says so. It is the volume of the tissue, known from geometry.

# %%
fig, ax = page.figure()
curves.volumes(ax, sax.frame_times_ms, {"LV": heart.truth["lv_volume_ml"], "RV": heart.truth["rv_volume_ml"]})
page.save(fig, "00_volume_curve")

# %%
truth = heart.truth
page.record("00_lv_ef", truth["lv_ef_percent"], n=1, unit="%")
Markdown(
    f"*Reading.* The left ventricle holds {truth['lv_edv_ml']:.0f} ml when full and {truth['lv_esv_ml']:.0f} ml "
    f"when emptied, so it ejects {truth['lv_ef_percent']:.0f} % of its content: the ejection fraction (EF). The "
    f"right one ejects {truth['rv_ef_percent']:.0f} %. Both pump the same amount of blood per beat."
)

# %% [markdown]
# The last sentence can be checked, and so can the curve: its first point is the end-diastolic volume.

# %%
strokes = [truth[f"{side}_edv_ml"] - truth[f"{side}_esv_ml"] for side in ("lv", "rv")]
assert np.isclose(*strokes, rtol=1e-6)
assert np.isclose(truth["lv_volume_ml"][heart.ed_frame], truth["lv_edv_ml"], rtol=1e-3)

# %% [markdown]
# ## The model's idea in one picture
#
# *What can be learnt without labels?* Outlines cost an expert many minutes a patient; images are plentiful. CineMA's
# answer is a game. Cut every view into patches, hide three quarters of them at random, give the rest of *all* views
# to a transformer, and let it paint what was hidden. It is scored only on the hidden patches. To play well it has to
# know how hearts look and how one view relates to another: where 4C is hidden, a SAX slice through the same muscle
# may be visible.
#
# Hiding is four lines. This is the function that the model itself calls:

# %%
Code(inspect.getsource(random_mask), language="python")

# %% [markdown]
# Below it is applied to one frame with patches of 16 mm, the size used in the paper (there 16 pixels of 1 mm, here 8
# of 2 mm).

# %%
patch, n_side = 8, 96 // 8
generator = torch.Generator().manual_seed(seed)
hidden = {}
for view in VIEWS:
    chosen = random_mask(1, n_side**2, 0.75, generator=generator)[0].numpy().reshape(n_side, n_side)
    hidden[view] = chosen.repeat(patch, axis=0).repeat(patch, axis=1)

# %%
fig, axes = page.figure(columns=2, height=5.2, rows=3, cols=4)
for column, view in zip(axes.T, VIEWS):
    picture = heart.views[view].image[:, :, middle if view == "sax" else 0, heart.ed_frame]
    images.game(column, picture / np.percentile(picture, 99), hidden[view])
    column[0].set_title(VIEW_NAMES[view])
images.name_rows(axes[:, 0], ("image", "given", "to be painted"))
page.save(fig, "00_masking")

# %%
share = float(np.mean([mask.mean() for mask in hidden.values()]))
page.record("00_hidden_share", share, n=1, claim="C1")
Markdown(
    f"*Reading.* {share:.0%} of the patches are hidden. Try to outline the heart from the second row alone, going "
    "back and forth between the columns: that is what the encoder is asked to learn. After pretraining, the "
    "painting half of the network is thrown away and the encoder is kept."
)

# %% [markdown]
# The encoder then meets tasks that somebody did label: outlines, ejection fraction, disease. Whether it does better
# for having played the game is the paper's claim, and notebooks 02 to 10 look at it piece by piece.
#
# ## A minute of training
#
# *How hard is the task itself?* Before judging any pretraining, see what a plain convolutional network learns from
# scratch. A small UNet gets the SAX stacks of a few people (ED and ES, 2.5 mm pixels) with their masks, drawn as
# readers draw, and a minute. The people imitate the ACDC data set: normal hearts, infarcts, dilated and thick left
# ventricles, abnormal right ones.

# %%
folder = tempfile.TemporaryDirectory()
people = [cohort.person("acdc", index, seed) for index in range(n_train + n_test)]
paths = [cohort.save(somebody, folder.name) for somebody in people]
frames = partial(StudyFrames, views=("sax",), grid=SMALL_GRID, seed=seed)
train_set, test_set = frames(paths[:n_train]), frames(paths[n_train:])
pd.Series([somebody.attributes["disease"] for somebody in people]).value_counts().to_frame("people")

# %% [markdown]
# The loop below is the one used everywhere in this project; it can be interrupted and resumed with the same result.
# Its length is counted in optimiser steps, two images each. The loss is cross entropy plus one minus Dice, where Dice
# is twice the overlap of two masks over their summed size: 1 for equal masks, 0 for disjoint ones.

# %%
torch.manual_seed(seed)
model = UNet(3, 1, 4, chans=(8, 16, 32), patch_size=(2, 2, 1), scale_factor=(2, 2, 1), n_blocks=1)
config = loop.TrainConfig(learning_rate=3e-3, batch_size=2, seed=seed)
config = loop.in_steps(config, len(train_set), n_steps, warmup_steps=n_steps // 12)
history = loop.fit(model, segmentation.TASK, train_set, None, config, f"{folder.name}/run")
scores = evaluate.table(model, test_set, segmentation.TASK)

# %% [markdown]
# People in the test set were never shown to the network. A person is one observation: the Dice values of ED and ES
# are averaged first, and the intervals come from resampling people.

# %%
per_person = scores.groupby(["study", "structure"], as_index=False)["dice"].mean().assign(model="UNet")
dice = {
    (structure, "UNet"): page.mean(per_person.loc[per_person.structure == structure, "dice"])
    for structure in STRUCTURES
}
for (structure, _), estimate in dice.items():
    page.record(f"00_dice_{structure.lower()}", *estimate)

# %%
fig, (left, right) = page.figure(columns=2, height=2.5, cols=2)
curves.losses(left, history, {"loss": "training"}, x="epoch")
distributions.scores(right, per_person, dice)
right.set_ylim(0, 1)
page.save(fig, "00_training")

# %%
efs = evaluate.ef_table(scores).set_index("study")
error = page.mean(efs.ef_error_percent)
page.record("00_ef_mae", *error, unit="EF points")
Markdown(
    "*Reading.* Mean Dice on unseen people is "
    + "; ".join(f"{structure} {estimate.text()}" for (structure, _), estimate in dice.items())
    + f". The ejection fraction from these masks is off that of the labels by {error.text(1, ' points')} on average."
)

# %% [markdown]
# Numbers hide where the mistakes are. The first person of the test set, slice by slice from base to apex at end
# systole: above what the network drew, below the labels.

# %%
case = cohort.study(people[n_train])
view = case.views["sax"]
found = evaluate.segment_volume(model, view.image, "sax", SMALL_GRID["sax"][0])
fig, axes = page.figure(columns=2, height=2.0, rows=2, cols=view.image.shape[2])
images.stack(axes[0], view, case.es_frame, found[..., case.es_frame])
images.stack(axes[1], view, case.es_frame, view.label_at(case.es_frame))
images.name_rows(axes[:, 0], ("network", "labels"))
images.structure_legend(fig)
page.save(fig, "00_prediction")

# %% [markdown]
# *Reading.* Compare the rows from left to right. The left cavity is round and bright and is found first. Look for
# gaps in the thin wall and for missing or surplus right ventricle, above all at the base, where the ventricle ends
# between two slices. The base is hard for people as well: which slice is the last one is a matter of judgement, and
# a whole slice of volume hangs on it. The labels here follow one rule without exception; readers do not.
#
# The check below asks only for what a minute must give: the loss fell.

# %%
assert history["loss"].iloc[-1] < history["loss"].iloc[0]

# %% [markdown]
# ## What this page could not settle
#
# - Virtual hearts have less variety than patients, and labels without slips; a Dice value here says nothing about
#   hospitals.
# - Whether pretraining helps is not touched: this network started from random numbers. See notebooks 02 and 03.
# - One minute and a few dozen people favour small networks. The published model has a hundred times the parameters
#   and was pretrained on 74,916 studies.
#
# ## Exercises
#
# **1.** A point of the heart is seen in three views, and each hides 75 % of its patches independently. How often is the
# point hidden everywhere? Write the share, a number between 0 and 1, in place of the dots, and run this cell and the
# next one.

# %% tags=["exercise", "lesson"]
answer = ...  # share, 0 to 1

# %% [markdown]
# The check draws a hundred thousand such points and counts.

# %% tags=["check", "lesson"]
drawn = np.random.default_rng(seed).random((100_000, 3)) < 0.75
page.check(
    answer,
    drawn.all(axis=1).mean(),
    {
        0.75: "That is one view. All three have to hide it.",
        0.25**3: "That is how often it is seen in all three.",
        1 - 0.25**3: "That is how often at least one view hides it.",
    },
)

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# ```python
# answer = 0.75**3
# ```
#
# The views draw independently, so the shares are multiplied. In more than half of all cases another view still shows
# what is hidden here, which is why the views are given to the network together.
# </details>

# %% [markdown]
# **2.** How many of the 144 patches of a long-axis view does the encoder get when 75 % are hidden, and how many when
# 90 % are? *(Check: 36 and 14; call `random_mask` and count.)*
#
# **3.** The network predicts volumes 10 % too small at ED and at ES alike. What happens to the ejection fraction?
# *(Check: nothing; it is a ratio. Now make only ES 10 % too small.)*
#
# ## Recorded numbers

# %%
folder.cleanup()
page.table()
