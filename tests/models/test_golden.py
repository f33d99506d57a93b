"""Parity with the authors' release: every case and every manifest of a golden folder.

`pytest tests/test_golden.py --golden DIR` checks DIR; without it ../shared/golden is used where present. The copies in
tests/golden are always checked.
"""

import gzip
import json
from pathlib import Path

import golden_helpers
import golden_models
import golden_parts
import pytest
import torch
from places import KEPT

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
    return golden_models.model_case if config.get("model") in golden_models.RUN else HANDLERS.get(config["case"])


def test_case(case):
    handler = handler_of(case)
    assert handler is not None, f"nothing here checks the case {case.name}; add it to HANDLERS"
    handler(case)


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
