"""Parity with the authors' release: every case and every manifest of a golden folder.

`pytest tests/test_golden.py --golden DIR` checks DIR; without it ../shared/golden is used where present. The copies in
tests/golden are always checked.
"""

import gzip
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import golden_helpers
import golden_models
import golden_parts
import pytest
import torch
from places import KEPT
from safetensors.torch import load_file, save_file

from cinema.models.config import build, describe

SHARED = KEPT.parent.parent.parent / "shared" / "golden"
HANDLERS = {**golden_helpers.HANDLERS, **golden_parts.HANDLERS}


def golden_folders(config):
    """Folders of golden cases by label: the one given or found beside the repository, and the copies kept here."""
    given = config.getoption("--golden")
    found = Path(given) if given else SHARED
    if given and not any(found.glob("*/config.json")):
        raise pytest.UsageError(f"--golden {given} holds no cases (*/config.json); give the folder of the golden data")
    return {**({"golden": found} if found.is_dir() else {}), "kept": KEPT}


def pytest_generate_tests(metafunc):
    folders = golden_folders(metafunc.config)
    listers = {"case": cases, "manifest": manifests}
    for name in listers.keys() & set(metafunc.fixturenames):
        found = {f"{label}-{key}": one for label, at in folders.items() for key, one in listers[name](at).items()}
        metafunc.parametrize(name, found.values(), ids=found.keys())


def cases(folder):
    """Folders of a golden folder's cases by name."""
    return {path.parent.name: path.parent for path in sorted(folder.glob("*/config.json"))}


def manifests(folder):
    """Manifests of a golden folder by name: one file each, or all in manifests.json.gz."""
    packed = folder / "manifests.json.gz"
    if packed.exists():
        return json.loads(gzip.decompress(packed.read_bytes()))
    return {path.stem: json.loads(path.read_bytes()) for path in sorted((folder / "manifests").glob("manifest_*.json"))}


def handler_of(case):
    """The check of a case, or None."""
    config = json.loads((case / "config.json").read_bytes())
    if "source_weights" in config:
        return golden_parts.transfer_case
    if config.get("model") in golden_models.RUN:
        return golden_models.model_case
    alike = [name for name in HANDLERS if config["case"].startswith(name)]  # helper_landmarks_5 is one of landmarks
    return HANDLERS[max(alike, key=len)] if alike else None


def test_case(case):
    handler = handler_of(case)
    assert handler is not None, f"nothing here checks the case {case.name}; add it to HANDLERS"
    handler(case)


def halved(values):
    return {name: tensor / 2 for name, tensor in values.items()}


def other_batch(case):
    case.inputs = {name: torch.cat([x, x]) for name, x in case.inputs.items()}
    case.outputs = {
        name: torch.cat([x, x]) if x.ndim and "scales" not in name else x for name, x in case.outputs.items()
    }


def fewer_classes(case):
    case.inputs = {"labels": case.inputs["labels"].clamp(max=2)}
    rest = case.outputs["volumes_ml"]
    case.outputs = {"volumes_ml": torch.cat([rest[:, :2], rest[:, 2:].sum(1, keepdim=True)], 1)}


def other_names(case):
    for of in (case.inputs, case.outputs):
        for name in [name for name in of if name.startswith("five")]:
            of[name.replace("five", "vendor")] = of.pop(name)
        for name in [name for name in of if name.startswith("binary")]:
            del of[name]
    case.json["metrics"]["vendor"] = case.json["metrics"].pop("five")
    del case.json["metrics"]["binary"]


def spared_names(case):
    for one in case.json["groups"].values():
        one["no_weight_decay_list"] = ["encoder.cls_token", "of.another.model"]
        one["parameters"]["encoder.cls_token"]["weight_decay"] = 0.0


def other_scale(case):
    for course in case.json["schedule"]["learning_rate"]:
        for sample in course["samples"]:
            sample["lr_of_group_with_scale_0.6"] = 2 * sample.pop("lr_of_group_with_scale_0.3")


def other_view(case):
    for of in (case.inputs, case.outputs):
        for name in [name for name in of if name.endswith("lax_4c")]:
            of[name.replace("lax_4c", "lax_2c")] = of.pop(name)


def fewer_reductions(case):
    case.json["config"] |= {"reduce": ["cls"], "default_reduce": "all"}
    case.outputs = {name: x for name, x in case.outputs.items() if not name.endswith((".all", ".patch"))}


def encoder_only(case):
    config = case.json["config"]
    config["kwargs"]["head_layer"] = None
    del config["reduce"], config["default_reduce"], config["defaults"]["head_layer"], config["weights_from"]
    case.weights = {name: x for name, x in case.weights.items() if "_head" not in name}
    case.outputs = {name: x for name, x in case.outputs.items() if "logits" not in name}


VARIED = {  # kept case -> what is changed of it, such that the release's own numbers still say what is right
    "helper_landmarks": (other_batch,),
    "helper_volumes_ef": (fewer_classes,),
    "helper_classification_regression": (other_names,),
    "helper_lr_groups": (spared_names,),
    "helper_lr_schedule": (other_scale,),
    "helper_sliding_window": (other_view,),
    "convvit_sax_2frames": (fewer_reductions, encoder_only),
}


@pytest.mark.parametrize("name, vary", [(name, vary) for name, ways in VARIED.items() for vary in ways])
def test_a_case_that_differs_is_checked_by_its_own_numbers(name, vary, tmp_path):
    shutil.copytree(KEPT, tmp_path / "cases")
    folder, files = tmp_path / "cases" / f"{name}_varied", {path.stem: path for path in (KEPT / name).iterdir()}
    case = SimpleNamespace(json={k: json.loads(p.read_bytes()) for k, p in files.items() if p.suffix == ".json"})
    for part in ("inputs", "outputs", "weights"):
        setattr(case, part, load_file(files[part]) if part in files else {})
    vary(case)
    case.json["config"]["case"] = folder.name
    folder.mkdir()
    for stem, content in case.json.items():
        (folder / f"{stem}.json").write_text(json.dumps(content), encoding="utf-8")
    for part in ("inputs", "outputs", "weights"):
        if tensors := getattr(case, part):
            save_file(tensors, folder / f"{part}.safetensors")
    handler_of(folder)(folder)
    if case.outputs:  # and numbers that are wrong are found
        save_file(halved(case.outputs), folder / "outputs.safetensors")
        with pytest.raises(AssertionError):
            handler_of(folder)(folder)


def test_manifest(manifest):
    """The full-size model has the release's keys, shapes, buffers and parameter counts."""
    with torch.device("meta"):
        model = build(*describe(manifest, manifest["name"]))
    assert {key: list(value.shape) for key, value in model.state_dict().items()} == manifest["keys"]
    assert len(manifest["keys"]) == manifest["n_keys"]
    assert {name for name, _ in model.named_buffers()} == set(manifest["buffers"])
    counts = [sum(p.numel() for p in model.parameters() if p.requires_grad or total) for total in (True, False)]
    assert counts == [manifest["parameters_total"], manifest["parameters_trainable"]]


def test_golden_folder_is_there(request):
    if "golden" not in golden_folders(request.config):
        pytest.skip("no --golden DIR given and no ../shared/golden found; only the copies in tests/golden were checked")


def test_kept_copies_are_small():
    kept = [path for path in KEPT.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in kept) <= 3_000_000
