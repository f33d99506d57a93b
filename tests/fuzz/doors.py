"""The doors: how a small sound input of each is made, how it is spoilt, and what is called with it."""

import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module

import dicom_writer
import nibabel as nib
import numpy as np
import pandas as pd
import tiny
import torch
import yaml
from rawtrees import acdc, hearts, landmark, late, mnms, pairs

from cinema import cli, runner
from cinema.analysis import cox, fairness, survival
from cinema.data.inputs import DATASETS, read_input
from cinema.data.loaders import StudyFrames
from cinema.data.public import prepare, prepared
from cinema.data.study import load_study, study_table
from cinema.models import weights
from cinema.models.config import build, describe
from cinema.runner import run
from cinema.stats import classification, estimates, metrics
from tests.fuzz import spoil

for lazy in ("cinema.runner.page", "cinema.data.dicom", "lifelines.statistics", "statsmodels.api", *DATASETS.values()):
    import_module(lazy)  # once, not in every child


@dataclass(frozen=True)
class Door:
    """make(home): a sound input in home/given. call(home) -> ({part: what came out}, sentences said).

    spoil(home, rng) -> words: changes the input. words: what an error may name instead of a file.
    neighbour: part that must come out whatever is wrong with the files that hold `own` in their path.
    """

    make: Callable
    call: Callable
    spoil: Callable = lambda home, rng: spoil.folder(home / "given", rng)
    words: tuple = ()
    own: str = ""
    neighbour: str = ""


def digest(value):
    """The same text for equal values, whatever they are made of."""
    value = vars(value) if hasattr(value, "__dataclass_fields__") else value
    if isinstance(value, (np.ndarray, torch.Tensor)):
        array = np.ascontiguousarray(value)
        return f"{array.dtype}{array.shape}{hashlib.sha256(array.tobytes()).hexdigest()[:16]}"
    if isinstance(value, dict):
        return str(
            sorted((str(key), digest(entry)) for key, entry in value.items() if key not in ("prepared_from", "notes"))
        )
    return str([digest(one) for one in value]) if isinstance(value, (list, tuple)) else repr(value)


def reading(home, name=""):
    found = read_input(home / "given" / name)
    return {"study": digest(found.study)}, [*found.notes, *(one["reason"] for one in found.table)]


def make_dicom(home):
    small = dict(slices=3, step=24.0, frames=8, spacing=(7, 7), shape=(32, 30))
    dicom_writer.write_study(home / "given", angles=(10, 130), **small)


def make_nifti(home):
    (home / "given").mkdir()
    for name in ("sax.nii.gz", "lax_4c.nii.gz", "lax_2c.nii"):
        held = tiny.view(np.random.default_rng(0), name.split(".")[0])
        image = nib.Nifti1Image((held.image * 200).astype(np.int16), held.affine)
        image.header.set_xyzt_units("mm", "sec")
        image.header["pixdim"][4] = 0.2
        nib.save(image, home / "given" / name)


def stored(home):
    studies = [digest(load_study(path)) for path in sorted((home / "given").glob("*.h5"))]
    rows = study_table(home / "given").drop(columns="path").to_dict("list")
    return {"studies": digest(studies), "read": reading(home, "p000.h5")[0], "table": digest(rows)}, []


def loaded(home):
    """What a training sees: the table of studies, copies on a grid, and the first item of each kind of frames."""
    table, dropped = prepared.usable(prepared.studies("acdc", home / "given"), ("sax", "lax_4c"))
    paths = prepared.on_grid(table, tiny.GRID, home / "work")["path"]
    kinds = ("labelled", "random", "ed_es", "all")
    items = {kind: StudyFrames(paths, ("sax",), kind, tiny.GRID) for kind in kinds}
    items["landmarks"] = StudyFrames(paths, ("lax_4c",), "landmarks", tiny.GRID)
    about = digest(table.drop(columns="path").to_dict("list"))
    return {"table": about, **{kind: digest([one[0], len(one)]) for kind, one in items.items()}}, [
        f"{dropped} are left out"
    ]


def make_weights(home):
    unet = build("UNet", dict(n_dims=2, in_chans=1, out_chans=2, chans=(2, 3), norm="layer"))
    weights.save(unet, home / "given/own/unet.safetensors")
    torch.save({"model": unet.state_dict()}, home / "given/own/plain.pt")
    config = tiny.small_config(next(one for name, one in tiny.RELEASED.items() if "segmentation/acdc_sax" in name))
    weights.save(build(*describe(config)).state_dict(), home / "given/published/acdc_sax_0.safetensors")
    (home / "given/published/config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def models(home):
    found = {name: weights.from_file(home / "given" / name).state_dict() for name in WEIGHTS}
    return {name: digest(dict(state)) for name, state in found.items()} | {"pt": digest(weights.read(home / PLAIN))}, []


WEIGHTS, PLAIN = ("own/unet.safetensors", "published/acdc_sax_0.safetensors"), "given/own/plain.pt"
RAW = {  # part of the paths of a subject's files, and the subject beside it
    "acdc": ("patient001", "patient101"),
    "mnms": ("A0S9V9", "A1D9Z7"),
    "mnms2": ("dataset/001/", "002"),
    "emidec": ("P001", "Case_P002"),
    "myops": ("_101_", "201"),
    "landmark": ("900_a", "901_a_lax_4c"),
    "rescan": ("s_0053/", "H_s_0054"),
    "kaggle": ("/1/", "2"),
    "ukb": ("1000001_", "1000002_2"),
}


def raw_door(name):
    """The smallest raw tree of a dataset; of its subjects `prepare` has done all but one already."""
    own, neighbour = RAW[name]

    def make(home):
        views = dict.fromkeys(("lax_2c", "lax_3c", "lax_4c"), ((24, 22), (7.0, 7.0)))
        small = views | {"sax": ((24, 22, 3), (7.0, 7.0, 24.0))}
        for module in (hearts, pairs, late, landmark):
            module.GRID = {view: small[view] for view in module.GRID}
        acdc.FRAMES = mnms.FRAMES = 4
        options = {"rescan": {"frames": 4}} | dict.fromkeys(("kaggle", "ukb"), {"grid": small, "frames": 8})
        import_module(f"rawtrees.{name}").build(home / "given", n=2, **options.get(name, {}))
        call(home)
        for path in (home / "out").iterdir():
            if own.strip("/_").split("/")[-1] in path.stem:
                path.unlink()

    def call(home):
        with redirect_stdout(io.StringIO()):
            prepare.command(name, home / "given", home / "out")
        record = json.loads((home / "out" / prepare.MANIFEST).read_text(encoding="utf-8"))
        studies = {path.stem: load_study(path) for path in sorted((home / "out").glob("*.h5"))}
        notes = [str(study.attributes.get("notes", "")) for study in studies.values()]
        said = [*record["skipped"].values(), *record.get("notes", ()), *notes]
        return {key: digest(study) for key, study in studies.items()}, said

    def change(home, rng):
        mine = rng.random() < 0.8
        return spoil.folder(home / "given", rng, lambda path: (own in f"/{path}") == mine)

    return Door(make, call, change, (name,), own, neighbour)


def make_table(home):
    rng, n = np.random.default_rng(0), 60
    table = pd.DataFrame({"time": rng.exponential(5, n).round(2) + 0.1, "event": rng.integers(0, 2, n)})
    table = table.assign(risk=rng.uniform(0.05, 0.95, n).round(3), ill=rng.integers(0, 2, n))
    table = table.assign(
        age=rng.normal(60, 9, n).round(1), sex=rng.choice(["F", "M"], n), ef=rng.normal(58, 8, n).round(1)
    )
    (home / "given").mkdir()
    table.to_csv(home / "given/patients.csv", index=False)


def spoil_table(home, rng):
    """Some or all of a column become a value, or another column."""
    path = home / "given/patients.csv"
    table = pd.read_csv(path)
    name, other = rng.choice(table.columns, 2, replace=False)
    value, some = (
        spoil.pick(rng, (*spoil.TEXTS, *spoil.NUMBERS)),
        rng.random(len(table)) < spoil.pick(rng, (0.05, 0.5, 2)),
    )
    table[name] = table[other] if rng.random() < 0.2 else table[name].astype(object).where(~some, value)
    table.to_csv(path, index=False)
    return f"{name} of {some.sum()} is {value!r} or {other}"


def statistics(home):
    """Functions that take columns of patients, on those of the file; what one refuses, it says."""
    table, rng = pd.read_csv(home / "given/patients.csv"), np.random.default_rng(0)
    time, event, risk, ill, age, sex, ef = (table[name] for name in "time event risk ill age sex ef".split())
    calls = {
        "c_index": lambda: survival.c_index(time, event, risk),
        "kaplan_meier": lambda: survival.kaplan_meier(time, event, [1, 3]).to_dict("list"),
        "log_rank": lambda: survival.log_rank(time, event, sex),
        "survival calibration": lambda: survival.calibration(time, event, risk, 4.0),
        "hazard_ratios": lambda: cox.hazard_ratios(time, event, table[["age", "ef"]]),
        "auc": lambda: classification.auc(ill, risk),
        "calibration": lambda: classification.calibration(ill, risk, rng, 200),
        "bca": lambda: estimates.bca(ef.to_numpy(), np.mean, rng, 200),
        "bland_altman": lambda: tuple(estimates.bland_altman(ef, age)),
        "regression": lambda: metrics.regression_metrics(ef.to_numpy(), age.to_numpy()),
        "gap": lambda: fairness.gap(ef, sex == "F"),
    }
    found, said = {}, []
    for name, function in calls.items():
        try:
            found[name] = digest(function())
        except ValueError as error:
            said.append(str(error))
    return found, said


LINES = [  # nothing here starts long work: data are missing, or `accept` stands in its place
    "info acdc",
    "prepare acdc given/raw --out out",
    "segment given/sax.nii.gz --out out --view sax --device cpu",
    "finetune segmentation acdc --profile ci --data-root given --seed 0 --proportion 0.5 --device cpu --out o",
    "nnunet export acdc --profile ci --data-root given --view sax --configuration 2d --out out",
    "reproduce --profile ci --data virtual --only 02 --jobs 1 --seed 0 --data-root given --out out",
    "train reader_sax --profile ci --seed 0 --jobs 1",
    "experiment labels --profile ci --jobs 1 --seed 0",
]
LONG = ("train", "experiment", "expected", "notebooks", "test")
PARAMETERS = {"profile": "ci", "data": "virtual", "data_root": "data", "seed": 0, "out": "out"}


def chosen(choose):
    """What spoils arguments: kept beside the files for the call. An empty list stands for sound ones."""

    def change(home, rng):
        (home / "chosen.pickle").write_bytes(pickle.dumps(found := choose(rng)))
        return " ".join(found) if isinstance(found, list) else str(found)

    return change


def given(home, sound):
    os.chdir(home)
    os.environ["CINEMA_DATA"] = str(home / "data")
    return pickle.loads((home / "chosen.pickle").read_bytes()) if (home / "chosen.pickle").exists() else sound


def accept(*_, **__):
    raise SystemExit(0)


def command_line(home):
    words, said, errors = given(home, ["info"]), io.StringIO(), io.StringIO()
    run.read_notebooks = accept
    for name in LONG:
        cli.COMMANDS[name][0] = ("tests.fuzz.doors:accept", "")
    try:
        with redirect_stdout(said), redirect_stderr(errors):
            code = cli.main(words)
    except SystemExit as end:
        code = end.code
    if code:
        raise ValueError(errors.getvalue().removesuffix("\n") or f"exit code {code} without a word")
    return {"code": 0}, [" ".join(words)]


def changed_parameters(rng):
    found = {name: spoil.pick(rng, spoil.VALUES) for name in rng.choice(list(PARAMETERS), 2).tolist()}
    return found | ({"data": spoil.pick(rng, ("acdc", "ACDC", "virtual "))} if rng.random() < 0.2 else {})


def notebook(home):
    """What a notebook opens with; a name that is none, a seed that is no number or no folder may not come through."""
    changes = given(home, {})
    page = runner.start("04_test", **PARAMETERS | changes)
    right = page.profile in run.PROFILES and page.data in ("virtual", *DATASETS) and type(page.seed) is int
    if not right or page.seed < 0 or "." in (str(page.out), str(page.data_root)):
        raise AssertionError("accepted")
    return {"page": digest([page.data, page.seed, page.rng.random()])}, [str(changes)]


READ = ("series", "plane", "DICOM", "slices", "frames", "patient", "study", "view", "picture")
COLUMNS = ("patients", "values", "event", "time", "score", "risk", "true", "outcome", "column", "group", "cases")
DOORS = {
    "dicom": Door(make_dicom, reading, words=READ),
    "nifti": Door(make_nifti, reading, words=READ),
    "hdf5": Door(lambda home: tiny.write(home / "given", n=2), stored),
    "prepared": Door(lambda home: tiny.write(home / "given/acdc", n=3), loaded, words=("prepare", "studies")),
    "weights": Door(make_weights, models),
    **{name: raw_door(name) for name in RAW},
    "tables": Door(make_table, statistics, spoil_table, COLUMNS),
    "commands": Door(
        make_nifti,
        command_line,
        chosen(lambda rng: spoil.arguments(spoil.pick(rng, LINES).split(), rng)),
        (*cli.COMMANDS, "cinema"),
    ),
    "parameters": Door(lambda home: None, notebook, chosen(changed_parameters), tuple(PARAMETERS)),
}
