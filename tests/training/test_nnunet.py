"""nnU-Net: what is exported, how its masks are scored, and a toy run where the extra is installed."""

import dataclasses
import json
from functools import partial
from itertools import product
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import tiny

from cinema.cli import main
from cinema.data.loaders import StudyFrames
from cinema.data.nifti import write_nifti
from cinema.data.study import Study, load_study, save_study, study_table
from cinema.stats.metrics import dice
from cinema.terms import LABELS, STRUCTURES
from cinema.training import launch, nnunet, segmentation
from cinema.training.task import evaluated

SPLITS = ("train", "train", "val", "test")
TURNED = np.array([[0, -2.5, 0, 40.0], [2.5, 0, 0, -7.0], [0, 0, 10.0, 3.0], [0, 0, 0, 1.0]])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Prepared ACDC (ED and ES of four frames), M&Ms-2 (four chambers) and MyoPS (three sequences, scar and oedema)."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(3)
    for k, split in enumerate(SPLITS):
        whole = tiny.view(rng, "sax", 4, size=(20, 16, 3))
        two = dataclasses.replace(whole, affine=TURNED, labels=whole.labels[..., [0, 2]], label_frames=(0, 2))
        labels = np.ascontiguousarray(whole.labels[..., :1])
        labels[8, 8] = 4
        labels[9, 8] = 6
        three = dataclasses.replace(whole, image=whole.image[..., :3], labels=labels, label_frames=(0,))
        four = tiny.view(rng, "lax_4c", 2)
        for dataset, views in (("acdc", {"sax": two}), ("mnms2", {"lax_4c": four}), ("myops", {"sax": three})):
            cine = {} if dataset == "myops" else {"ed_frame": 0, "es_frame": 2 if dataset == "acdc" else 1}
            save_study(Study(f"p{k}", dataset, views, {"split": split, "dataset": dataset}, **cine), folder / dataset)
    return folder


def exported(root, out, name="acdc", view="sax"):
    return nnunet.export(name, out, study_table(root / name), view)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def read(folder):
    return json.loads((folder / "dataset.json").read_bytes())


def test_export_has_the_layout_of_nnu_net(root, tmp_path):
    folder = exported(root, tmp_path)
    assert folder == tmp_path / "raw" / "Dataset501_acdc"
    train = [f"p{k}_{frame:02d}" for k in range(3) for frame in (0, 2)]
    assert names(folder / "imagesTr") == [f"{case}_0000.nii.gz" for case in train]
    assert names(folder / "labelsTr") == [f"{case}.nii.gz" for case in train]
    assert names(folder / "imagesTs") == ["p3_00_0000.nii.gz", "p3_02_0000.nii.gz"]
    said = {"labels": {"background": 0, "RV": 1, "MYO": 2, "LV": 3}, "channel_names": {"0": "cine"}}
    assert read(folder).items() >= (said | {"numTraining": 6, "file_ending": ".nii.gz"}).items()
    assert json.loads((folder / "splits_final.json").read_bytes()) == [{"train": train[:4], "val": train[4:]}]
    cases = pd.read_csv(folder / "cases.csv", keep_default_na=False)
    assert cases.phase.tolist() == ["ED", "ES"] * 4 and cases.split.tolist() == sorted(SPLITS * 2, key=SPLITS.index)


def test_exported_images_lie_where_the_study_lies(root, tmp_path):
    folder = exported(root, tmp_path)
    view = load_study(root / "acdc" / "p1.h5", ["sax"]).views["sax"]
    image = sitk.ReadImage(str(folder / "imagesTr" / "p1_02_0000.nii.gz"))
    assert np.allclose(sitk.GetArrayFromImage(image).T, view.image[..., 2])
    assert np.allclose(image.GetSpacing(), (2.5, 2.5, 10.0))
    index = np.array([3, 5, 1])
    here = np.diag([-1, -1, 1]) @ (TURNED[:3, :3] @ index + TURNED[:3, 3])  # RAS to LPS
    assert np.allclose(image.TransformIndexToPhysicalPoint(index.tolist()), here, atol=1e-4)
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "labelsTr" / "p1_02.nii.gz"))).T
    assert np.array_equal(mask, view.label_at(2)) and mask.dtype == np.uint8


def test_sequences_are_channels_and_labels_have_no_gaps(root, tmp_path):
    folder = exported(root, tmp_path, "myops")
    assert names(folder / "imagesTs") == [f"p3_00_{k:04d}.nii.gz" for k in range(3)]
    assert read(folder)["channel_names"] == {"0": "bSSFP", "1": "LGE", "2": "T2"}
    labels, numbers = read(folder)["labels"], np.asarray(nib.load(folder / "labelsTs" / "p3_00.nii.gz").dataobj)
    assert sorted(labels.values()) == list(range(6))
    assert (numbers[8, 8] == labels["scar"]).all() and (numbers[9, 8] == labels["oedema"]).all()


def found(true):
    """A prediction: everything one voxel further along x."""
    return np.roll(true, 1, axis=0)


def predictions(folder, out):
    target = out / "predictions" / folder.name
    target.mkdir(parents=True)
    for path in (folder / "labelsTs").iterdir():
        mask = nib.load(path)
        write_nifti(found(np.asarray(mask.dataobj)), mask.affine, target / path.name)
    model = out / "results" / folder.name / "ours" / nnunet.CHECKPOINT
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_bytes(b"weights")
    (target / nnunet.MADE_FROM).write_text(nnunet._origin(folder, model), encoding="utf-8")
    return target


def test_scores_are_those_of_the_masks(root, tmp_path):
    folder = exported(root, tmp_path)
    predictions(folder, tmp_path)
    rows, numbers = nnunet.scores("acdc", tmp_path)
    view = load_study(root / "acdc" / "p3.h5", ["sax"]).views["sax"]
    indexed = rows.set_index(["study", "frame", "phase", "structure"])
    for (frame, phase), name in product(((0, "ED"), (2, "ES")), STRUCTURES):
        row, true = indexed.loc["p3", frame, phase, name], view.label_at(frame) == LABELS[name]
        assert row.dice == dice(found(true), true)
        assert row.true_volume_ml == pytest.approx(true.sum() * 0.0625) == row.volume_ml
    assert numbers["lv_ef_mae"] == 0.0 and 0 < numbers["mean_dice"] < 1
    grid = {"sax": ((20, 16, 4), (2.5, 2.5, 10.0))}
    items = StudyFrames([root / "acdc" / "p3.h5"], ("sax",), "labelled", grid)
    ours = evaluated(tiny.Pixelwise(), items, segmentation.TASK)
    assert list(rows) == list(ours) and len(rows) == len(ours)  # the same table as any other model's


def test_long_axis_and_late_enhancement_are_scored_in_their_own_way(root, tmp_path):
    predictions(exported(root, tmp_path, "mnms2", "lax_4c"), tmp_path)
    rows, numbers = nnunet.scores("mnms2", tmp_path, "lax_4c")
    assert set(rows.view) == {"lax_4c"} and "lv_ef_mae" not in numbers
    predictions(exported(root, tmp_path, "myops"), tmp_path)
    rows, _ = nnunet.scores("myops", tmp_path)
    assert rows.structure.tolist() == ["RV", "LV", "MYO", "oedema", "scar"]
    assert rows.set_index("structure").dice["scar"] == 0.0  # one voxel wide, one voxel off


@pytest.mark.parametrize("action", ["train", "predict", "scores"])
def test_actions_out_of_order_are_one_line(action, tmp_path, capsys):
    assert main(["nnunet", action, "acdc", "--out", str(tmp_path), "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert "nnunet export acdc first" in error and error.count("\n") == 1


def test_what_is_missing_is_named(root, tmp_path, monkeypatch):
    folder = exported(root, tmp_path)
    with pytest.raises(FileNotFoundError, match="nnunet train acdc first"):
        nnunet.predict("acdc", tmp_path)
    with pytest.raises(FileNotFoundError, match="p3_00.nii.gz does not exist; .* predict acdc first"):
        nnunet.scores("acdc", tmp_path)
    target = predictions(folder, tmp_path)
    write_nifti(np.zeros((4, 4, 4), np.uint8), np.eye(4), target / "p3_00.nii.gz")
    with pytest.raises(ValueError, match=r"shape \(4, 4, 4\), its reference \(20, 16, 3\)"):
        nnunet.scores("acdc", tmp_path)
    with pytest.raises(ValueError, match="kaggle has no masks"):
        nnunet.dataset_name("kaggle")
    monkeypatch.setattr(nnunet, "is_installed", lambda: False)
    with pytest.raises(ModuleNotFoundError, match=r"\[nnunet\]"):
        nnunet.train("acdc", tmp_path)


def test_each_step_is_of_the_one_before(root, tmp_path, monkeypatch):
    """A new export asks for a new training and prediction, a new training for a new prediction."""
    folder, trainings = exported(root, tmp_path), iter(range(9))

    def stand_in(out, program, *arguments):
        if program.endswith("preprocess"):
            (out / "preprocessed" / folder.name).mkdir(parents=True, exist_ok=True)
        elif program.endswith("train"):
            path = out / "results" / folder.name / f"{nnunet.TOY}__nnUNetPlans__2d" / nnunet.CHECKPOINT
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"training %d" % next(trainings))
        else:
            predictions(folder, out)

    monkeypatch.setattr(nnunet, "_call", stand_in)
    steps = {name: partial(getattr(nnunet, name), "acdc", tmp_path) for name in ("train", "predict", "scores")}
    [step() for step in steps.values()]
    steps["train"]()
    with pytest.raises(ValueError, match="from another export or training; .* predict acdc again"):
        steps["scores"]()
    steps["predict"]()
    steps["scores"]()
    study = load_study(root / "acdc" / "p0.h5")
    sax = dataclasses.replace(study.views["sax"], image=study.views["sax"].image + 1)
    other = save_study(dataclasses.replace(study, views={"sax": sax}), tmp_path / "acdc")
    nnunet.export("acdc", tmp_path, study_table(root / "acdc").assign(path=lambda t: [str(other), *t.path[1:]]))
    for name in ("scores", "predict"):
        with pytest.raises(ValueError, match="another export"):
            steps[name]()
    [step() for step in steps.values()]


@pytest.mark.skipif(not nnunet.is_installed(), reason='the extra is not installed (pip install -e ".[nnunet]")')
def test_a_toy_run_goes_from_studies_to_scores(root, tmp_path, capsys):
    """Two epochs of ten steps; half a minute or more on a CPU."""
    arguments = ["acdc", "--profile", "ci", "--data-root", str(root), "--out", str(tmp_path), "--device", "cpu"]
    assert main(["nnunet", "all", *arguments]) == 0, capsys.readouterr().err
    scores = pd.read_csv(tmp_path / "scores" / "Dataset501_acdc" / "scores.csv")
    assert scores.structure.tolist() == ["RV", "MYO", "LV"] * 2 and np.isfinite(scores.volume_ml).all()
    summary = json.loads((tmp_path / "scores" / "Dataset501_acdc" / "summary.json").read_bytes())
    assert summary["model"] == "nnunet" and summary["n_studies"] == 1 and summary["notice"]


def test_timm_is_imported_again_only_after_the_known_failure(monkeypatch):
    attempts, declared, loaded = [], [], {"timm": 1, "timm.layers": 1, "torchvision.ops": 1, "os": 1}

    def importing(name, failure="operator torchvision::nms does not exist"):
        attempts.append(name)
        if len(attempts) == 1:
            raise RuntimeError(failure)
        return "layers"

    monkeypatch.setattr(launch, "sys", SimpleNamespace(modules=loaded))
    monkeypatch.setattr(launch.torch.library, "Library", lambda *_: SimpleNamespace(define=declared.append))
    monkeypatch.setattr(launch, "importlib", SimpleNamespace(import_module=importing))
    assert launch.import_timm()[0] == "layers" and loaded == {"os": 1}
    assert [schema.split("(")[0] for schema in declared] == ["nms", "qnms"]
    attempts.clear()
    monkeypatch.setattr(launch, "importlib", SimpleNamespace(import_module=lambda name: importing(name, "other")))
    with pytest.raises(RuntimeError, match="other"):
        launch.import_timm()
