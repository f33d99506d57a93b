# ---
# jupyter:
#   cinema:
#     needs: []
# ---

# %% [markdown]
# # Your own study: a scanner's folder in, masks, volumes and a report out
#
# **After this page you can** run `python3 -m cinema segment` on a folder of your own, check each of its steps by eye,
# and say how far its volumes, ejection fraction (EF, the share of the blood that a ventricle ejects) and long-axis
# numbers are off where the truth is known.
#
# **Question.** Can the companion read a study from my scanner, and how far can its numbers be trusted?
#
# **Claim.** None of the paper's. The page goes once through everything that `python3 -m cinema segment` does, and
# measures each step where the truth is known.
#
# **Time.** Less than a minute in the `ci` profile, two in the `laptop` profile, on two cores; `paper` equals `laptop`.
#
# **Not for clinical use.** The small model behind this page was trained on virtual hearts only. How far it is off on
# 125 labelled patients stands in `MODEL_CARD.md`; that is no clinical validation, and nothing here replaces a reader.
#
# By default a *virtual* person is scanned and written as a DICOM folder, so that every number can be held against the
# truth. To see your own study instead, set `data` below to its folder of DICOM files or to a NIfTI file, for example
# `data = "../my_study"`, and run all cells. Parts that need the truth then fall away; the experiments at the end are
# about virtual people in any case. Nothing is sent anywhere; figures and masks of your patient go to the work folder,
# which git ignores, but pictures of them also stay in the cells' output.

# %% tags=["parameters"]
profile = "laptop"
data = "virtual"
data_root = "../data"
seed = 0
out = "../figures"

# %%
import inspect
import shutil
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import torch
from IPython.display import HTML, Code, Markdown, display
from joblib import Parallel, delayed
from scipy import stats

# %%
from cinema import plots, runner
from cinema.data.inputs import DATASETS, read_input
from cinema.data.views import ANGLES_DEG, axis_of_stack
from cinema.inference import measures
from cinema.inference.reader import PIXEL_MM, SIZE, OwnReader
from cinema.inference.segment import measured, read_views, segment
from cinema.phantom import cohort
from cinema.phantom.dicom_export import write_dicom
from cinema.stats import estimates, metrics
from cinema.terms import LAX_VIEWS, VIEW_NAMES, VIEWS

# %% [markdown]
# `own` is your study if you named one (names of public data sets mean many patients; this page is about one). What the
# page writes besides figures goes to a work folder under `data_root`.

# %%
own = None if data in ("virtual", *DATASETS) else Path(data)
called = "own study" if own else "virtual"
work = Path(data_root) / "work" / "11_own_study" / ("own" if own else f"{profile}-seed{seed}")
shutil.rmtree(work, ignore_errors=True)
out = work / "figures" if own else Path(out)
page = runner.start("11_your_own_study", profile, "virtual", data_root, seed, out)
save = partial(page.save, cohort=called)
pd.set_option("display.max_rows", 100)
n_frames, n_pixels, pixel_mm, n_people = (10, 128, 2.2, 3) if page.small else (25, 208, 1.4, 12)

# %% [markdown]
# ## A folder from the scanner
#
# *What does a scanner hand over?* One file per picture, in folders and names that mean nothing, with headers in which
# somebody typed a description. The virtual person below lies in a virtual scanner with a field of view as large as in
# hospitals, so that the heart is a small part of every picture. Each slice has its own breath-hold, its own shift, and
# becomes a series of its own.

# %%
person = cohort.person("population", 0, seed)
plane = ((n_pixels, n_pixels), (pixel_mm, pixel_mm))
grid = {"sax": ((*plane[0], 11), (*plane[1], 10.0)), **dict.fromkeys(LAX_VIEWS, plane)}
study = None if own else cohort.study(person, n_frames, grid)
source = own or work / "dicom"
who = ("sex", "age_years", "height_cm", "weight_kg", "heart_rate_bpm", "vendor", "field_t")
"your own study" if own else pd.Series({name: person.attributes[name] for name in who}).to_frame("virtual person")

# %% [markdown]
# `write_dicom` is the door in the other direction. It shuffles the series, calls all of them the same, and adds what
# every examination contains: scouts, and a slice that had to be repeated because the first attempt was spoiled by
# breathing. Here is what one header says that matters to the reader; there is no view among it.

# %%
if study:
    n_files = write_dicom(study, source, np.random.default_rng(seed), person.acquisition.slice_thickness_mm)
    header = pydicom.dcmread(next(source.glob("*.dcm")), stop_before_pixels=True)
    told = "SeriesDescription SeriesNumber ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness"
    page.record("11_dicom_files", n_files, n=1)
    display(
        pd.Series({name: str(header[name].value) for name in (*told.split(), "TriggerTime")}).to_frame(
            "one of the files"
        )
    )

# %% [markdown]
# ## Which series is which view?
#
# *How can a program tell a four-chamber view without reading its name?* By geometry. Parallel planes that many other
# planes stand across are the short-axis stack; their normal is the long axis of the heart. Long-axis views contain
# that axis and differ by their angle about it. The angles expected, in degrees, from the lateral wall over the
# anterior wall:

# %%
Markdown(
    ", ".join(f"{VIEW_NAMES[view]} {angle:.0f}" for view, angle in ANGLES_DEG.items())
    + ". Hearts are rotated in their chests, so all angles may be off together; the best naming of all planes wins."
)

# %% [markdown]
# The table says of every series what it was taken for, and why. What is not needed is set aside with a reason.

# %%
reading = read_input(source)
found = reading.study.views
if "sax" not in found:
    raise ValueError(f"{data} has no short-axis stack; this page needs one, `python3 -m cinema segment` does not")
table = pd.DataFrame(reading.table).set_index("series")
table["view"] = table["view"].map(VIEW_NAMES).fillna("set aside")
table

# %% [markdown]
# What the reader noticed about the input, in its own words:

# %%
Markdown("\n".join(f"- {note}" for note in reading.notes) or "Nothing was lacking.")

# %% [markdown]
# Is it right? For the virtual person that is a fact: each view must return with the pixels that were scanned, at the
# place where they were scanned. Only the end from which slices are counted may differ.

# %%
if study:
    steps = {name: np.linalg.inv(view.affine) @ found[name].affine for name, view in study.views.items()}
    order = {name: slice(None, None, int(np.sign(step[2, 2]))) for name, step in steps.items()}
    right = [
        np.array_equal(found[name].image[:, :, order[name]], view.image)
        and np.allclose(steps[name][:2], np.eye(4)[:2], atol=1e-3)
        for name, view in study.views.items()
    ]
    page.record("11_views_right", sum(right), n=1)
    assert all(right)

# %% [markdown]
# *Do the planes cross where they should?* The picture shows what the decision rests on. Every view is crossed by the
# lines along which the others cut it, as on the planning screen of the scanner: the stack in white, the long axes in
# the colour of their frame.

# %%
looks = [("white", "-"), *[plots.style.SERIES[k][:2] for k in (0, 2, 3)]]
colours = dict(zip(VIEWS, looks))
fig, axes = page.figure(columns=2, height=2.0, cols=len(found), squeeze=False)
for ax, (name, view) in zip(axes[0], found.items()):
    plots.images.panel(ax, view, title=VIEW_NAMES[name])
    others = [(found[other], *colours[other]) for other in found if other != name]
    plots.images.cuts(ax, view, others, view.image.shape[2] // 2, colours[name][0] if name != "sax" else None)
save(fig, "11_geometry")

# %% [markdown]
# *Reading.* In the short-axis picture the long-axis lines should cross in the left ventricle, one of them pointing at
# the right ventricle's corner. In the long-axis pictures the white lines should lie square to the ventricle, from
# behind the valve to beyond the apex. If a line misses the heart, the patient was moved between scans, or a view was
# taken for another.
#
# ## Where is the heart?
#
# *A picture of the whole chest has many bright round things. Which one is the heart?* A first pass of the network over
# the whole picture says what looks like heart; what moves over the cycle says what beats; their product is cut at 40 %
# of its peak, and the centre of the largest piece is taken. Two more passes look closer, in a window about that centre.
# The lines that do it:

# %%
Code(inspect.getsource(OwnReader.find_heart) + inspect.getsource(OwnReader._refined), language="python")

# %%
reader = OwnReader()
centres = {
    name: reader.find_heart("sax" if name == "sax" else "lax", view.image, view.spacing_mm)
    for name, view in found.items()
}
true_centres = {
    name: np.argwhere(view.labels > 0)[:, :2].mean(axis=0) for name, view in (study.views.items() if study else ())
}

# %%
fig, axes = page.figure(columns=2, height=2.1, cols=len(found), squeeze=False)
for ax, (name, view) in zip(axes[0], found.items()):
    width_mm = PIXEL_MM * SIZE["sax" if name == "sax" else "lax"]
    plots.cine.search(ax, view, centres[name], width_mm, true_centres.get(name), title=VIEW_NAMES[name])
fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
save(fig, "11_heart_found")

# %%
text = "The square is all that the network sees in its second, careful pass; it should hold the whole heart."
if study:
    off = {name: float(np.linalg.norm((centres[name] - true_centres[name]) * pixel_mm)) for name in centres}
    page.record("11_centre_error_mm", max(off.values()), n=1, unit="mm")
    text += (
        f" The centre is off by {max(off.values()):.0f} mm at most. What that costs shows in the overlap of masks "
        f"below: a square {PIXEL_MM * SIZE['lax']:.0f} mm wide in the long axes forgives some centimetres."
    )
Markdown(f"*Reading.* {text}")

# %% [markdown]
# ## Masks
#
# One call does what the command does: it reads the folder, finds the heart, segments every frame of every view in the
# eight rotations and mirrors of a square, averages, keeps one piece per structure, and writes all files together at the
# end. The short-axis network sees each slice between its neighbours: whether a bright round thing is ventricle or
# atrium is easier to say when one knows what lies below. Where the long axis shows the mitral valve, the left ventricle
# ends there, frame by frame: of the most basal slice as much counts as lies below the valve. The masks below are read
# back from those files, as you would.
#
# *Would you have drawn these lines?*

# %%
found_numbers = segment(source, work / "out")
masks = {name: np.asanyarray(nib.load(work / "out" / f"{name}.nii.gz").dataobj) for name in found}
ed, es = found_numbers["ed_frame"], found_numbers["es_frame"]
sax = found["sax"]
towards_apex = axis_of_stack(sax.affine) @ sax.affine[:3, 2] > 0
base_to_apex = range(sax.image.shape[2])[:: 1 if towards_apex else -1]

# %%
seen = [z for z in base_to_apex if masks["sax"][:, :, z][..., [ed, es]].any()]
n_rows = -(-len(seen) // 6)  # for each of ED and ES
fig, axes = page.figure(columns=2, height=0.3 + 2.2 * n_rows, rows=2 * n_rows, cols=-(-len(seen) // n_rows))
for rows, frame in zip((axes[:n_rows], axes[n_rows:]), (ed, es)):
    plots.cine.slices(rows, sax.image[..., frame], masks["sax"][..., frame], sax.spacing_mm, seen)
plots.images.name_rows(axes[::n_rows, 0], ("ED", "ES"))
plots.images.structure_legend(fig)
save(fig, "11_sax_masks")

# %% [markdown]
# *Reading.* From base to apex, row by row; slices without any outline are left out. Ask of every slice what a
# reader would ask: is the blue outline the whole cavity, papillary muscles included? Does the ventricle begin and end
# on the right slice, also at end systole, when the base has moved toward the apex? Does the orange outline keep inside
# the thin wall of the right ventricle?

# %% [markdown]
# *Do the marks sit on the hinges and the apex?* The long-axis views at both ends of the beat:

# %%
marks = {name: np.array(points) for name, points in found_numbers["landmarks"].items()}
at = {name: [round(frame / sax.n_frames * found[name].n_frames) for frame in (ed, es)] for name in marks}
if marks:
    fig, axes = page.figure(columns=2, height=4.4, rows=2, cols=len(marks), squeeze=False)
    for column, name in zip(axes.T, marks):
        view = found[name]
        plots.cine.still(
            column, view.image, masks[name], view.spacing_mm, at[name], (VIEW_NAMES[name], ""), marks[name]
        )
    plots.images.name_rows(axes[:, 0], ("ED", "ES"))
    plots.images.structure_legend(fig)
    save(fig, "11_lax_masks")

# %% [markdown]
# Crosses are the hinges of the mitral valve, the plus sign the apex. In motion, with the outlines of every frame:

# %%
middle = {name: view.image.shape[2] // 2 for name, view in found.items() if view.n_frames == sax.n_frames}
cut = {name: plots.cine.window(masks[name], found[name].spacing_mm) for name in middle}
films, outlines = (
    {VIEW_NAMES[name]: stack[name][cut[name]][:, :, z] for name, z in middle.items()}
    for stack in ({name: view.image for name, view in found.items()}, masks)
)
HTML(page.cine(films, outlines, height=170))

# %% [markdown]
# *How good is it?* Dice is twice the overlap of two masks over their summed size. For the virtual person it is known.
# Short-axis masks of virtual people are drawn as readers of patients draw (`cinema/phantom/drawing.py`), and readers do
# not look where the valve is. So that like is compared with like, the drawn ventricle is first ended at the exact
# valve, by the rule that `segment` used with the valve it found.


# %%
def exactly(study, positions):
    """Masks as drawn, of what counts as left ventricle; distance to the exact valve; the share of each slice."""
    marks, planes = ({name: getattr(study.views[name], what) for name in LAX_VIEWS} for what in ("landmarks", "affine"))
    return measures.lv_extent(study.views["sax"].labels, study.views["sax"].affine, positions, marks, planes)


if study:
    drawn_masks, _, counts = exactly(study, reading.sax_positions_mm[order["sax"]])

# %%
if study:
    theirs = {name: view.labels for name, view in study.views.items()} | {"sax": drawn_masks}
    rows = [
        {"view": VIEW_NAMES[name], "frame": phase} | row
        for name, view in study.views.items()
        for phase, frame in (("ED", ed), ("ES", es))
        for row in metrics.segmentation_rows(
            masks[name][:, :, order[name], frame], theirs[name][..., frame], view.spacing_mm
        )
    ]
    overlap = pd.DataFrame(rows)
    for structure, dice in overlap[overlap["view"] == "SAX"].groupby("structure")["dice"].mean().items():
        page.record(f"11_dice_sax_{structure.lower()}", dice, n=1)
    display(overlap.pivot_table("dice", ["view", "frame"], "structure", sort=False).round(2))

# %% [markdown]
# ## Volume over the cycle
#
# *How much blood is in the ventricles at each moment?* The area of each mask times the distance to the next slice,
# summed. The frame of the largest left ventricle is end diastole, that of the smallest end systole.
#
# *And what is the truth?* This heart has two. That **of the tissue** is what geometry encloses, up to the valve. That
# **as drawn** is what readers would outline on endlessly thin slices. They go half a millimetre into the muscle with
# the contour of the cavity, leave a part of the right ventricle's trabeculae out, and at end systole keep basal slices
# from which the ventricle has already moved away. `segment` ends the left ventricle at the valve, so its volumes and
# ejection fraction are held against the tissue's. Mass and the right ventricle hang on contours and on where drawing
# starts, and are held against the drawn truth; so is whatever comes of simply summed slices.

# %%
if sax.frame_times_ms is None:
    times, unit = np.arange(sax.n_frames), "Frame"
else:
    times, unit = sax.frame_times_ms, "Time after the R wave (ms)"
truth = study.truth if study else {}
true_curves = {"LV": truth["lv_volume_ml"]} if study else None

# %%
fig, ax = page.figure()
curves = {side: found_numbers[f"{side.lower()}_volumes"] for side in ("LV", "RV")}
plots.cine.against_truth(ax, times, curves, true_curves, "Volume (ml)", unit)
plots.style.mark_places(ax, {"ED": times[ed], "ES": times[es]}, va="bottom")
if study:
    ends_ml = [truth["drawn_rv_edv_ml"], truth["drawn_rv_esv_ml"]]
    ax.plot(times[[study.ed_frame, study.es_frame]], ends_ml, "k+", label="RV, as drawn, true")
    ax.legend()
ax.set_ylim(0)
save(fig, "11_volume_curve")

# %% [markdown]
# Three things come together in the distance between the two lines of the left ventricle: what the network got wrong,
# what the slices cannot show, and what is by definition. To separate them the masks *as drawn* on the same slices are
# measured the same way, up to the exact mitral valve. What is wrong with those is no network's fault. Half a millimetre
# of muscle all round adds some millilitres to each volume, at ED and at ES, and most of that cancels in the ejection
# fraction.

# %%
LV = {
    "LVEDV": ("lv_edv_ml", "ml"),
    "LVESV": ("lv_esv_ml", "ml"),
    "LVEF": ("lv_ef_percent", "%"),
    "LVM": ("lv_mass_g", "g"),
}
RV = {"RVEDV": ("rv_edv_ml", "ml"), "RVESV": ("rv_esv_ml", "ml"), "RVEF": ("rv_ef_percent", "%")}
NAMES = LV | RV
ALL = NAMES | {"MAPSE": ("mapse_mm", "mm"), "GLshortening": ("shortening_percent", "%")}
numbers = {"unit": {name: unit for name, (_, unit) in NAMES.items()}, "measured": {n: found_numbers[n] for n in NAMES}}
numbers = pd.DataFrame(numbers)


# %%
def true(truth, name, summed=False):
    """The truth of a number: of the tissue for what ends at the valve or lies on the long axis, else as drawn."""
    key, of_tissue = ALL[name][0], name in ("LVEDV", "LVESV", "LVEF", "MAPSE", "GLshortening") and not summed
    return truth[key if of_tissue else f"drawn_{key}"]


numbers["all slices summed"] = pd.Series(found_numbers.get("all_slices", {}), dtype=float)
if study:
    exact = measures.sax_metrics(drawn_masks, sax.spacing_mm, reading.sax_positions_mm[order["sax"]], coverage=counts)
    numbers["masks as drawn"] = {name: exact[name] for name in NAMES}
    for whose, prefix in (("of the tissue", ""), ("as drawn", "drawn_")):
        numbers[f"true, {whose}"] = {name: truth[prefix + key] for name, (key, _) in NAMES.items()}
numbers.round(1)

# %%
for name, (_, unit) in NAMES.items():
    page.record(f"11_{name.lower()}", found_numbers[name], n=1, unit=unit)
    if study:
        page.record(f"11_{name.lower()}_error", found_numbers[name] - true(truth, name), n=1, unit=unit)
text = f"The left ventricle ejects {found_numbers['LVEF']:.0f} % of {found_numbers['LVEDV']:.0f} ml."
if study:
    text += (
        f" In truth it is {truth['lv_ef_percent']:.0f} % of {truth['lv_edv_ml']:.0f} ml; masks as drawn on these "
        f"slices give {exact['LVEF']:.0f} % of {exact['LVEDV']:.0f} ml. A reader who sums thin slices would say "
        f"{truth['drawn_lv_ef_percent']:.0f} %. One person is an example, no measurement."
    )
Markdown(f"*Reading.* {text} The curve should fall to one minimum near a third of the cycle and rise in two steps.")

# %% [markdown]
# ## Long-axis function: landmarks, MAPSE, shortening
#
# *How far does the base of the heart move?* MAPSE (mitral annular plane systolic excursion) is the mean travel of the
# two mitral hinges toward the apex, along the long axis from ED to ES; long-axis shortening is the change of the
# ventricle's length (middle of the hinges to apex) as a share of that at ED. In the figure each view has a curve that
# should fall once and come back; a constant distance from the true one is an offset and does no harm to either number.
# The paper calls the shortening "GLS"; it is not a strain along the wall. The published formulas take extremes over all
# frames instead (page 05, and below).


# %%
def in_order(exact, found):
    """Exact landmarks with the two hinges in the order found: in 2C nothing says which is the first."""
    swapped = exact[:, [1, 0, 2]]
    return min((exact, swapped), key=lambda points: np.linalg.norm(points - found, axis=-1).mean())


lengths = {VIEW_NAMES[name]: metrics.lv_lengths_mm(points, found[name].spacing_mm) for name, points in marks.items()}
true_marks = {name: in_order(study.views[name].landmarks, marks[name]) for name in marks} if study else {}

# %%
if marks:
    fig, ax = page.figure()
    part = np.arange(sax.n_frames) / sax.n_frames
    alike = {name: length for name, length in lengths.items() if len(length) == len(part)}
    plots.cine.against_truth(ax, part, alike, None, "Length of the LV (mm)", "Part of the cycle after the R wave")
    if study:
        ax.plot(part, truth["lv_length_mm"], color=plots.style.GREY, lw=1.4, label="heart, true")
    ax.set_title("n = 1 person; each view as read", **plots.style.NOTE)
    ax.legend()
    save(fig, "11_lv_length")

# %% [markdown]
# The table sets what was measured beside the exact landmarks of the same planes and beside the heart itself. The
# middle column differs from the right one because a plane is never quite true, and because the hinges also move
# sideways as the valve's ring narrows.

# %%
spacings = {name: found[name].spacing_mm for name in marks}
in_plane = measures.lax_metrics(true_marks, spacings, ed / sax.n_frames, es / sax.n_frames)
function = pd.DataFrame(
    {
        f"{what}, {VIEW_NAMES[name]}": {"measured": found_numbers[what][name]}
        | ({"exact landmarks": in_plane[what][name], "heart": truth[key]} if study else {})
        for what, key in (("MAPSE", "mapse_mm"), ("GLshortening", "shortening_percent"))
        for name in marks
    }
).T
function.round(1)

# %%
if study:
    apart = {name: metrics.landmark_distances_mm(marks[name], true_marks[name], spacings[name]) for name in marks}
    distance = float(np.mean([values.mean() for values in apart.values()]))
    jitter = float(np.mean([((marks[name] - true_marks[name]) * pixel_mm).std(axis=0).mean() for name in marks]))
    page.record("11_landmark_distance_mm", distance, n=1, unit="mm")
    page.record("11_landmark_jitter_mm", jitter, n=1, unit="mm")
    display(
        Markdown(
            f"*Reading.* The landmarks lie {distance:.1f} mm from the exact ones on average. A constant "
            f"offset would cancel; what changes from frame to frame is {jitter:.1f} mm (standard deviation)."
        )
    )

# %% [markdown]
# ### Extremes read too high
#
# *Is largest minus smallest a fair measure?* With noise it is not: among many frames, the largest value is one whose
# error happened to be positive, the smallest one whose error was negative. So the shortening of a heart comes out too
# large, by an amount that grows with the noise and not with the heart. The truth is known, so the noise can be added:
# to the exact landmarks of the virtual person, independently in every frame, 300 times for each amount. For scale: 2 mm
# in each coordinate put a landmark 2.5 mm from its place on average; human readers differ by 2 to 3.5 mm (Xue 2021).

# %%
points = cohort.plane_landmarks(person, "lax_4c", grid, np.arange(25) / 25)
still_es = int(np.argmin(np.abs(np.arange(25) / 25 - person.heart.es_fraction)))
rng = page.rng
length_of = partial(metrics.lv_lengths_mm, spacing_mm=(pixel_mm, pixel_mm))


# %%
def shortening(noisy):
    """Mean shortening over (draws, 25, 3, 2) landmarks by three rules, in percent."""
    raw, smooth = length_of(noisy), length_of(np.moveaxis(measures.smooth(np.moveaxis(noisy, 1, 0)), 0, 1))
    return {
        "largest − smallest": np.mean(1 - raw.min(1) / raw.max(1)) * 100,
        "the same, smoothed over time": np.mean(1 - smooth.min(1) / smooth.max(1)) * 100,
        "ED − ES frame": np.mean(1 - raw[:, still_es] / raw[:, 0]) * 100,
    }


noise_mm = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
drawn = [shortening(points + rng.normal(0, sd / pixel_mm, (300, 25, 3, 2))) for sd in noise_mm]
bias = pd.DataFrame(drawn, index=noise_mm) - drawn[0]["largest − smallest"]

# %%
fig, ax = page.figure()
plots.cine.against_truth(
    ax, noise_mm, bias.to_dict("list"), None, "Bias of shortening (points)", "Noise of each coordinate (mm, SD)"
)
ax.axhline(0, color=plots.style.GREY, lw=0.5)
if study:
    plots.style.mark_places(ax, {"this reader": jitter}, va="bottom")
page.save(fig, "11_bias_of_extremes")

# %%
for rule, key in zip(bias.columns, ("extremes", "smoothed", "fixed")):
    page.record(f"11_shortening_bias_{key}", bias.loc[2.0, rule], n=1, unit="points")
assert bias["largest − smallest"].is_monotonic_increasing
Markdown(
    f"*Reading.* With noise of 2 mm in each coordinate the extremes add "
    f"{bias.loc[2.0, 'largest − smallest']:.1f} points to a shortening of "
    f"{drawn[0]['largest − smallest']:.1f} %. "
    f"Smoothing over time leaves {bias.loc[2.0, 'the same, smoothed over time']:+.1f}, frames fixed beforehand "
    f"{bias.loc[2.0, 'ED − ES frame']:+.1f}: `segment` goes from ED to ES. Smoothing has its price, too: without any "
    f"noise it reads {bias.loc[0.0, 'the same, smoothed over time']:+.1f}, since it rounds the extremes off."
)

# %% [markdown]
# ## More than one person
#
# *How far are the numbers off in other people?* The same reader, the same rules, on virtual people it has not met: half
# with normal hearts, the others with infarcts, dilated or thick ventricles; three vendors, two field strengths; some
# with poor images. Two frames each, ED and ES, which are given here and not searched for. Four ways are compared: the
# network as `segment` uses it, up to the mitral valve seen in the long axis; the same masks, all slices simply
# summed; and the masks as drawn, both ways.
#
# Is the error the same for small and large values? In a *Bland-Altman plot* (measured minus true over the true value) a
# tilt of the cloud says that it is not; the dashed *limits of agreement* hold 95 % of people.
#
# The network has learnt to draw as readers do, so that masks as drawn are what it aims at. Each number is held against
# the truth named above: up to the valve against the tissue's volumes and ejection fraction, summed slices, mass and
# right ventricle against what is drawn on thin slices. How far the two truths lie apart is shown, too, since it is by
# convention and not by mistake.

# %%
coarse = ((128, 128), (2.0, 2.0))
people_grid = {"sax": ((*coarse[0], 11), (*coarse[1], 10.0)), **dict.fromkeys(LAX_VIEWS, coarse)}
Code(inspect.getsource(measures.lv_extent) + inspect.getsource(measures.valve_coverage), language="python")


# %%
def read_one(index):
    torch.set_num_threads(1)
    one = read_input(cohort.save(cohort.person("fairness", index, seed), work / "people", grid=people_grid))
    labels, landmarks, *_ = read_views(one.study, dict.fromkeys(VIEWS, reader), one.sax_positions_mm)
    values, labels, _ = measured(one, labels, landmarks)
    values |= {what: np.mean(list(values[what].values())) for what in ("MAPSE", "GLshortening")}
    stack, (masks_of, _, counts) = one.study.views["sax"], exactly(one.study, one.sax_positions_mm)
    where = (stack.spacing_mm, one.sax_positions_mm, 0, 1)
    ended, plain = (
        measures.sax_metrics(some, *where, share) for some, share in ((masks_of, counts), (stack.labels, 1.0))
    )
    summed = {name: values[name] for name in LV} | values.get("all_slices", {})
    read = {"network": values, "network, summed": summed, "as drawn": ended, "as drawn, summed": plain}
    return read | {"of": one, "labels": (labels["sax"], masks_of)}


# %%
people = Parallel(torch.get_num_threads())(delayed(read_one)(index) for index in range(1, n_people + 1))

# %% [markdown]
# What each way says of each person, minus the truth it is held against; a row for every person, way and number.

# %%
ways = {"network": "", "network, summed": "summed_", "as drawn": "exact_", "as drawn, summed": "exact_summed_"}
rows = [
    (one["of"].study.id, which, name, one[which][name] - true(one["of"].study.truth, name, "summed" in which))
    for one in people
    for which in ways
    for name in ALL
    if name in one[which]
]
errors = pd.DataFrame(rows, columns=["study", "masks", "number", "error"])
by_person = errors.pivot(index="study", columns=["masks", "number"], values="error")

# %%
fig, axes = page.figure(columns=2, height=2.5, cols=3)
for ax, name in zip(axes, ("LVEF", "LVEDV", "LVM")):
    unit, aim = NAMES[name][1], np.array([true(one["of"].study.truth, name) for one in people])
    plots.agreement.bland_altman(ax, aim, aim + by_person["network", name], name, "points" if unit == "%" else unit)
    ax.set_title(f"n = {len(people)}", loc="left")
page.save(fig, "11_people")

# %% [markdown]
# Each dot is a person. The solid line is the mean difference, the dashed ones hold 95 % of differences if these are
# normal; the bands are 95 % confidence intervals of the three, wide because people are few. In numbers, with
# bootstrap intervals over people (biases for the network, mean absolute errors for all four):

# %%
summary = {}
for (which, name), values in by_person.items():
    size = page.mean(values.abs())
    page.record(f"11_people_{ways[which]}{name.lower()}_mae", *size, unit=ALL[name][1])
    summary[name, f"mean |error|, {which}"] = size.text(1)
    if which == "network":
        bias = page.mean(values)
        page.record(f"11_people_{name.lower()}_bias", *bias, unit=ALL[name][1])
        summary[name, "bias"] = bias.text(1)
columns = ["bias", *[f"mean |error|, {which}" for which in ways]]
pd.Series(summary).unstack().loc[list(ALL), columns].fillna("")

# %% [markdown]
# The ejection fraction once more, now each way against *both* truths: mean absolute errors in points. A way that is far
# from one truth and near the other is not worse for it. It answers another question.


# %%
def ef_off(which, prefix):
    """Ejection fraction of a way minus a truth, one number a person."""
    return np.array([one[which]["LVEF"] - one["of"].study.truth[f"{prefix}lv_ef_percent"] for one in people])


whose = {"tissue": "", "drawn": "drawn_"}
off = {(which, of): ef_off(which, prefix) for which, (of, prefix) in product(ways, whose.items())}
ef = {key: page.mean(np.abs(values)) for key, values in off.items()}
for (which, of), estimate in ef.items():
    page.record(f"11_people_{ways[which]}lvef_mae_of_{of}", *estimate, unit="points")
apart = page.mean(off["network", "tissue"] - off["network", "drawn"])
page.record("11_people_ef_drawn_less_tissue", *apart, unit="points")
pd.Series({key: estimate.text(1) for key, estimate in ef.items()}).unstack().loc[list(ways), list(whose)]

# %%
gain = {}
for part, key in (("network", "network"), ("as drawn", "exact")):
    gain[part] = page.paired(*(np.abs(off[which, "tissue"]) for which in (part, f"{part}, summed")))
    page.record(f"11_people_ef_valve_gain_{key}", *gain[part], unit="points")
worst = np.abs(off["network", "tissue"]).max()
Markdown(
    f"*Reading.* Up to the valve, the network's ejection fraction is off the tissue's by "
    f"{ef['network', 'tissue'].text(1, ' points')} on average and by {worst:.0f} points in the worst case; masks as "
    f"drawn with the exact valve are off by {ef['as drawn', 'tissue'].text(1, ' points')}. The drawn truth minus the "
    f"tissue's is {apart.text(1, ' points')} in these people: so much is convention."
)

# %%
Markdown(
    f"*Reading.* Summed, the network's slices are off what is drawn on thin slices by "
    f"{ef['network, summed', 'drawn'].text(1, ' points')}. Whoever wants the ejection fraction of the tissue gains by "
    f"ending the ventricle at the valve: the error changes by {gain['network'].text(1, ' points')} for the network and "
    f"by {gain['as drawn'].text(1, ' points')} for masks as drawn (below zero it helps, an interval across zero leaves "
    "it open). Whoever compares with readers who sum slices takes `all_slices` from `metrics.json`."
)

# %% [markdown]
# The mass panel shows what a mean hides: thin walls are read too thick and thick ones too thin, if the dots fall from
# left to right. The slope of error over truth says how much.

# %%
slopes = {}
for name in ("LVEDV", "LVM"):
    aim = [true(one["of"].study.truth, name) for one in people]
    fit = stats.linregress(aim, by_person["network", name])
    reach = stats.t.ppf(0.975, len(people) - 2) * fit.stderr
    slopes[name] = estimates.Estimate(*(100 * np.array([fit.slope, fit.slope - reach, fit.slope + reach])), len(people))
    page.record(f"11_people_{name.lower()}_slope", *slopes[name], unit="per 100")
Markdown(
    f"*Reading.* For each 100 g of true mass, as drawn, the error changes by {slopes['LVM'].text(1, ' g')}; for each "
    f"100 ml of the tissue's EDV by {slopes['LVEDV'].text(1, ' ml')}. An interval below zero means that the reader "
    "draws everyone toward the middle."
)

# %% [markdown]
# *What went wrong in the worst case?* The person with the largest error of the ejection fraction, at ED or ES,
# whichever volume is further off: the outlines that were measured, and below them those drawn, both ended at the valve.

# %%
worst_one = people[int(by_person["network", "LVEF"].abs().to_numpy().argmax())]
told, (found_by, drawn_by) = worst_one["of"].study, worst_one["labels"]
volumes_off = by_person.loc[told.id, "network"][["LVEDV", "LVESV"]].abs()
frame = int(volumes_off["LVESV"] > volumes_off["LVEDV"])
stack = told.views["sax"]
both = np.maximum(found_by, drawn_by)
shown = [z for z in range(both.shape[2]) if both[:, :, z, frame].any()]

# %%
n_columns = -(-len(shown) // 2)
fig, axes = page.figure(columns=2, height=0.4 + 26 / max(n_columns, 5), rows=4, cols=n_columns, squeeze=False)
for rows, labels in zip((axes[:2], axes[2:]), (found_by, drawn_by)):
    plots.cine.slices(rows, stack.image[..., frame], labels[..., frame], stack.spacing_mm, shown, both, width=0.7)
plots.images.name_rows(axes[::2, 0], ("measured", "as drawn"))
plots.images.structure_legend(fig)
page.save(fig, "11_worst_case")

# %%
scanner = f"{told.attributes['vendor']} {told.attributes['field_t']:.1f} T"
ef_of = {which: f"{worst_one[which]['LVEF']:.0f} %" for which in ways}
Markdown(
    f"*Reading.* {told.attributes['disease']}, {scanner}, at {('ED', 'ES')[frame]}. Ejection fraction measured: "
    f"{ef_of['network']}, from masks as drawn {ef_of['as drawn']}, in truth {told.truth['lv_ef_percent']:.0f} %; by "
    f"summed slices {ef_of['network, summed']}, where thin ones would give "
    f"{told.truth['drawn_lv_ef_percent']:.0f} %. Compare the first slices first: there a whole slice is in "
    "or out. Then compare the size of the cavity in the middle. Slices run on in the second line of each."
)

# %% [markdown]
# For scale: between expert readers of patients, ejection fractions differ by 4.6 to 7.5 points, end-diastolic volumes
# by 15 to 28 ml (Suinesiaputra 2015, seven core laboratories). That is a yardstick and not a comparison, since these
# people are not patients.
#
# ## What the distance between slices does
#
# *My protocol has thick slices far apart. Does it matter?* Leave out every second slice, or two of three, starting at
# each possible slice, and measure again. Nothing else changes: same masks, same heart. First this study, all slices
# simply summed: the network is asked once more for ED and ES, since the files above hold what is left up to the valve.
# Then the people above with masks as drawn, so that the effect is that of the slices alone, once summed and once up to
# the mitral valve.


# %%
def thinned(labels, positions, spacing, n, frames, distance=None):
    """Numbers from every n-th slice, once for each of the n possible first slices;
    distance: of the slices to the valve."""
    parts = [slice(start, None, n) for start in range(n)]
    share = [1.0 if distance is None else measures.valve_coverage(distance[part], positions[part]) for part in parts]
    return [
        measures.sax_metrics(labels[:, :, part], spacing, positions[part], *frames, counts)
        for part, counts in zip(parts, share)
    ]


# %%
two = replace(sax, image=sax.image[..., [ed, es]], labels=None, label_frames=(), landmarks=None, frame_times_ms=None)
ends = replace(reading.study, views={"sax": two}, ed_frame=0, es_frame=1)
here = {"network": read_views(ends, {"sax": reader}, reading.sax_positions_mm)[0]["sax"]}
if study:
    here["as drawn"] = study.views["sax"].labels[:, :, order["sax"]][..., [ed, es]]
spread = pd.DataFrame(
    [
        {"masks": which, "distance_mm": round(n * sax.spacing_mm[2], 1)} | row
        for which, stack in here.items()
        for n in (1, 2, 3)
        for row in thinned(stack, reading.sax_positions_mm, sax.spacing_mm, n, (0, 1))
    ]
)

# %% [markdown]
# The same for the people above, with masks as drawn: what is left is the error that the distance alone makes. Summed
# slices are held against what is drawn on endlessly thin ones, slices up to the valve against the tissue.

# %%
alone = []
for one, n in product(people, (1, 2, 3)):
    study_of, positions = one["of"].study, one["of"].sax_positions_mm
    view = study_of.views["sax"]
    closed, distance, _ = exactly(study_of, positions)
    for how, labels, to_valve in (("summed", view.labels, None), ("up to the valve", closed, distance)):
        aim = true(study_of.truth, "LVEF", how == "summed")
        rows = thinned(labels, positions, view.spacing_mm, n, (0, 1), to_valve)
        error = np.mean([abs(row["LVEF"] - aim) for row in rows])
        alone.append({"distance": f"{10 * n} mm", "slices": how, "error": error})
alone = pd.DataFrame(alone)
of_slices = {group: page.mean(rows["error"]) for group, rows in alone.groupby(["distance", "slices"])}

# %%
fig, axes = page.figure(columns=2, height=2.8, cols=3)
for ax, name, label in zip(axes, ("LVEDV", "LVEF"), ("This study: LV EDV (ml)", "This study: LVEF (%)")):
    plots.cine.by_distance(ax, spread, name, label, true(truth, name, summed=True) if study else None)
plots.distributions.scores(axes[2], alone, of_slices, "error", "distance", "slices", "People: |LVEF error| (points)")
axes[2].set_xlabel("Distance between slices")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
save(fig, "11_slice_distance")

# %%
for (distance, how), estimate in of_slices.items():
    key = f"{distance} {how}".replace(" ", "_")
    page.record(f"11_slices_ef_mae_{key}", *estimate, unit="points")
reach = spread.groupby(["masks", "distance_mm"], sort=False)["LVEDV"].agg(np.ptp)["network"]
cost = {key: estimate.value for key, estimate in of_slices.items()}
display(pd.Series(of_slices).map(lambda found: found.text(1)).unstack(sort=False).rename_axis("|LVEF error| (points)"))
Markdown(
    f"*Reading.* In this study EDV depends on where the first slice lies by {reach.iloc[1]:.0f} ml at twice the "
    f"distance and by {reach.iloc[2]:.0f} ml at three times. In the people, slices alone "
    f"put the ejection fraction off by {cost['10 mm', 'summed']:.1f} points at 10 mm and by "
    f"{cost['30 mm', 'summed']:.1f} at 30 mm if summed, and up to the valve by {cost['30 mm', 'up to the valve']:.1f}."
)

# %% [markdown]
# Each dot on the left is a protocol that could have been: same distance, another place of the first slice; the dashed
# line is what is drawn on endlessly thin slices. The mean of the dots hardly moves, since every slice belongs to
# exactly one of them; it is the luck that grows, and in an examination nobody knows which dot they got. What lies
# between two slices no short-axis network can give back. The long axis can, as the panel on the right shows: where
# slices lie far apart, most of the luck lies at the base, and one look at the valve takes most of it away. These are
# masks as drawn and exact landmarks. What a network's landmarks gain at 10 mm the section above measured; at larger
# distances it was not measured.

# %% [markdown]
# ## The report
#
# All of this is in one folder. Masks lie on the scanner's own grid, with its geometry, and open in any viewer beside
# the images. `report.html` needs nothing but a browser, and holds no name, date or file name of yours. What no heart
# can have (an EF below 0, a volume of 4 ml, a slice without ventricle between two with one) stands as a warning on top
# of it, and of what the command prints; the bounds are a table in `cinema/inference/plausibility.py`.

# %%
files = sorted((work / "out").iterdir())
pd.Series({file.name: round(file.stat().st_size / 1000) for file in files}).to_frame("kB")

# %%
if study:
    shutil.copyfile(work / "out" / "report.html", page.out / "11_report.html")
link = "../figures/11_report.html" if study else (work / "out" / "report.html").as_posix()
HTML(
    f'<a href="{link}">The report</a>: numbers, what was read and what was lacking, every view in motion with its '
    "outlines, the same at ED and ES, and the sentence that it is not for clinical use."
)

# %% [markdown]
# ## On your own data
#
# ```
# python3 -m cinema segment INPUT --out OUT
# ```
#
# INPUT is a folder of DICOM files, a NIfTI file, or a folder of NIfTI files of one patient. A NIfTI of one plane does
# not say which view it is: add `--view lax_4c`. `--weights` takes another model, such as the published ones, and
# `--device cuda` a GPU. `--dicom-seg` writes the short axis's masks at ED and ES as anonymous DICOM-SEG as well, for
# viewers such as 3D Slicer that lay them beside the images by coordinates. What cannot be read is refused in one line
# that says what to do.
#
# Before you believe a number: look at the outlines on every slice at ED and ES, look at the volume curve, and compare a
# few patients with your own contours. If they differ, the contours are right.
#
# ## What this page could not settle
#
# - Whether the numbers hold in patients. Virtual hearts have exact truth and less variety; pathology outside the
#   generator (masses, devices, operated hearts, congenital disease) has never been seen by the model.
# - Which slice is the most basal one is a matter of convention at end systole. The truth of the tissue ends at the
#   valve, the drawn one where ACDC's readers stopped; your own readers may do either, and their numbers differ for it.
# - Bias and spread come from few people; the intervals say how few. A model's error is not the same in every scanner.
# - The bias of extremes was shown for noise that is independent from frame to frame; a network's errors are not.
#
# ## Exercises
#
# 1. Delete one file of a short-axis slice in the work folder's `dicom` and call `read_input` again. *(Check: one line
#    names the series, what is missing, and the remedy; nothing is guessed.)*
# 2. The masks are all right but the header's slice distance is 8 mm where 10 mm was scanned. By how much do EDV, mass
#    and EF of summed slices change? *(Check: EDV and mass by 20 %, EF not at all.)*
# 3. How large is the expected bias of largest minus smallest of 25 independent values of SD s without any motion?
#    *(Check: the expected range, 3.93 s; draw `rng.normal` and see.)*
#
# ## Recorded numbers

# %%
page.table()
