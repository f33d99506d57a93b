"""Whom notebooks 02 and 03 learn from and test on, and what is drawn on their hearts.

Patients are those of a prepared dataset, copied to the small grid, dealt in three parts. The published split is kept.
Where a part has nobody with masks (MyoPS keeps its test masks, a small subset lacks a part), the next one lends some,
and `describe_split` says so on the page.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cinema.data import late_enhancement
from cinema.data.loaders import StudyFrames
from cinema.data.public import prepared
from cinema.data.study import load_study, open_study, save_study, study_table
from cinema.data.transforms import crop_to, min_max, pad_end
from cinema.inference.published import predict
from cinema.models import finetuned
from cinema.models.finetuned import SEEDS
from cinema.models.published import PUBLISHED
from cinema.models.standard import save_standard, standard_of
from cinema.phantom import cohort
from cinema.terms import LABELS, SMALL_GRID, STRUCTURES
from cinema.training import arms, evaluate, segmentation
from cinema.training.segmentation import late_enhancement_task as late_task
from cinema.training.task import Task

SPLITS = ("train", "val", "test")
CI = {"train": 8, "val": 4, "test": 6}  # at most, in the profile that only checks that everything runs
SHARE = 5  # one patient of so many in training is lent to a part that has none


def split_studies(data, data_root, folder, profile, jobs=1):
    """Prepared studies with short-axis masks, on SMALL_GRID: columns of study.study_table, `split` and `role`.

    split: "train", "val" or "test", each of them with somebody in it. role: the dataset's name. whole: the path of the
           study on the published grid.
    Copies on the small grid go to folder/<data>. ValueError where fewer than two are left for training.
    """
    table = prepared.studies(data, data_root)
    table = table[[prepared.has(path, "labels") for path in table["path"]]]
    table, lent = fill_empty_splits(table.assign(role=data, whole=table["path"]).reset_index(drop=True))
    learn = int((table["split"] == "train").sum())
    if learn < 2:
        raise ValueError(
            f"{len(table)} studies of {data} in {data_root} have short-axis masks, {learn} for training; "
            "prepare at least four, two of them for training"
        )
    if profile == "ci":
        table = pd.concat([table[table["split"] == name].head(CI[name]) for name in SPLITS], ignore_index=True)
    table = prepared.on_grid(table, {"sax": SMALL_GRID["sax"]}, Path(folder) / data, jobs)
    table.attrs["lent"] = lent
    return table


def virtual_studies(roles, seed, folder, jobs=1):
    """Virtual people in the columns of split_studies, without `whole`. roles: cohort's role -> how many of SPLITS."""
    tables = []
    for role, counts in roles.items():
        made = cohort.write(role, sum(counts), seed, Path(folder) / role, jobs=jobs)
        tables.append(study_table(made).assign(role=role, split=np.repeat(SPLITS, counts)))
    return pd.concat(tables, ignore_index=True)


def scan_again(person, folder, phases=("ED", "ES"), **changed):
    """Scan a virtual person with fields of the Acquisition changed; path of the study, with masks at ED and ES."""
    scan = replace(person.acquisition, **changed)
    study = cohort.study(replace(person, acquisition=scan), phases)
    view, kept = study.views["sax"], (study.ed_frame, study.es_frame)
    view = replace(view, labels=view.labels[..., kept], label_frames=kept)
    return str(save_study(replace(study, views={"sax": view}), folder))


def fill_empty_splits(table):
    """(the table with nobody missing in a part, lent: (from, to) -> how many). Every SHARE-th of training is lent."""
    table, lent = table.copy(), {}
    of = lambda name: table.index[table["split"] == name]
    take = slice(SHARE - 1, None, SHARE) if len(of("train")) >= 2 * SHARE else slice(-1, None)
    for source, target, some in (("val", "test", slice(None)), ("train", "test", take), ("train", "val", take)):
        if not len(of(target)) and len(of(source)[some]):
            rows = of(source)[some]
            table.loc[rows, "split"] = target
            lent[source, target] = len(rows)
    return table, lent


def describe_split(table):
    """How many people are where, in one sentence or two."""
    counts, purposes = table["split"].value_counts(), zip(SPLITS, ("training", "validation", "testing"))
    text = ", ".join(f"{counts.get(name, 0)} for {purpose}" for name, purpose in purposes)
    said = [f"{n} of {source} serve as {target}" for (source, target), n in table.attrs.get("lent", {}).items()]
    lack = f" A part of the published split had none with masks: {'; '.join(said)}." if said else ""
    return f"Patients with masks: {text}.{lack}"


def kinds(table):
    """The column that tells patients apart best: scanner, vendor, disease, or else the part of the split."""
    known = [name for name in ("scanner", "vendor", "disease", "split") if name in table and table[name].notna().all()]
    return next(name for name in known if table[name].nunique() > 1)


@dataclass(frozen=True)
class Drawing:
    """What is drawn on the short-axis stacks of people, and how a network learns and is scored.

    data: "virtual" or the dataset. regions: structure -> the labels of the store that it takes together (late
    enhancement is scored by merged masks). channels: of an image. classes: a network's outputs; to_labels: from class
    numbers to labels of the store. task, stacks: as arms.Run's task and data.
    """

    data: str
    regions: dict
    channels: int
    classes: int
    task: Task
    stacks: Callable
    to_labels: Callable

    @property
    def shape(self):
        """Arguments of the small networks of cinema.models.small."""
        return {"in_chans": self.channels, "out_chans": self.classes}

    def standard(self, paths, folder):
        """Path of these people's own mean image (models.standard), written to folder: Arm's `standard`."""
        path = str(Path(folder) / "standard.safetensors")
        save_standard(standard_of(self.stacks(paths)), path)
        return path

    def read(self, path):
        """A study's short-axis View; of a cine only the frames that have masks, ED before ES."""
        with open_study(path) as file:
            frames = [int(frame) for frame in file["views/sax"].attrs["label_frames"]]
        return load_study(path, ["sax"], frames if self.task is segmentation.TASK else None).views["sax"]

    @torch.inference_mode()
    def draw(self, model, view):
        """The model's label maps for the masks of a view, terms.LABELS: (x, y, z, k) uint8."""
        if self.task is segmentation.TASK:
            return evaluate.segment_volume(model, view.image, "sax", SMALL_GRID["sax"][0])
        image = np.moveaxis(np.asarray(view.image, np.float32), -1, 0)
        given = {"sax": torch.from_numpy(pad_end(min_max(image), SMALL_GRID["sax"][0]))[None]}
        numbers = segmentation.predict(model.eval(), given)["sax"][0].argmax(0).numpy()
        return self.to_labels(crop_to(numbers, view.image.shape[:3]))[..., None]

    def published(self, table, data_root):
        """(rows of the published models on the patients of a table of `split_studies`, one sentence)."""
        rows, why = ask_published("segmentation", self.data, table, data_root)
        return rows, why or f"Read by the published models, {rows['seed'].nunique()} seeds, n = {len(table)}."


def ask_published(task, data, table, data_root, seeds=SEEDS):
    """(rows of the published models of a task on a table of patients, ""), or (no rows, why not).
    table: with a column `whole`, the paths on the published grid. rows: as inference.published.predict."""
    name, source = f"{data}_sax", finetuned.source(data_root)
    if name not in PUBLISHED[task]:
        return pd.DataFrame(), f"The authors publish no weights of {task} for {data}."
    if source is None:
        return pd.DataFrame(), finetuned.missing(task, name)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return predict(task, name, table["whole"].tolist(), source, seeds, device), ""


def averaged(rows, ids):
    """(people, numbers or classes): what a model says of some people (`value`, or p_0 ..), its seeds averaged.
    NaN of those it was not asked about."""
    columns = ["value"] if "value" in rows else list(rows.filter(regex=r"^p_\d+$"))
    return rows.groupby("study")[columns].mean().reindex(ids).to_numpy()


def drawing(data):
    """The Drawing of "virtual" or of a dataset with masks."""
    if data not in late_enhancement.ORDER:
        regions = {structure: (LABELS[structure],) for structure in STRUCTURES}
        return Drawing(data, regions, 1, len(LABELS), segmentation.TASK, arms.stacks, np.asarray)
    order, numbers = late_enhancement.ORDER[data], late_enhancement.REGIONS[data]
    regions = {name: tuple(late_enhancement.STORE[order[k]] for k in chosen) for name, chosen in numbers.items()}
    back, channels = partial(late_enhancement.to_labels, dataset=data), 3 if data == "myops" else 1
    return Drawing(data, regions, channels, len(order), late_task(data), partial(_sequences, data), back)


def _sequences(dataset, paths, augment=None, seed=0):
    """Late enhancement as arms.stacks: one item a study, its sequences as channels, class numbers as masks."""
    classes = late_enhancement.classes(dataset)
    return StudyFrames(paths, ("sax",), "channels", SMALL_GRID, augment, seed=seed, classes=classes)


def shown_slice(labels):
    """Index of the third slice from the base that holds left ventricle, or the last one. labels: (x, y, z)."""
    return min(int(np.flatnonzero((labels == LABELS["LV"]).any(axis=(0, 1)))[0]) + 2, labels.shape[2] - 1)
