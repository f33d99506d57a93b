"""What a training run leaves in its folder, so that it can be resumed and traced.

resume.safetensors  weights, optimiser state and progress in one file, so that they can never disagree
best.safetensors    weights of the best evaluation;  last.safetensors  weights at the end
metrics.csv         one row per epoch;  run.json  what ran, on what, with which seeds, for how long
"""

import hashlib
import json
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from cinema.files import whole_or_not
from cinema.models import weights
from cinema.training.task import on_cuda

RESUME, BEST, LAST = "resume.safetensors", "best.safetensors", "last.safetensors"
METRICS, RUN = "metrics.csv", "run.json"
UNNAMED = {"schedule": "cosine"}  # what runs did that come from before there was a choice
PACKAGES = ("torch", "timm", "numpy", "scipy", "h5py", "safetensors")


def save_state(out: str | Path, model: nn.Module, optimiser: torch.optim.Optimizer, progress: dict) -> None:
    """Write everything a run needs to go on: `progress` is what JSON can hold."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
    weights.save(tensors, Path(out) / RESUME, progress)


def load_state(out: str | Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> dict | None:
    """Put a saved state back into model and optimiser; returns its progress, or None where there is none."""
    path = Path(out) / RESUME
    if not path.exists():
        return None
    tensors = weights.read(path)
    moments: dict[int, dict] = {}
    progress = weights.metadata_of(path)
    for name in [name for name in tensors if name.startswith("optimiser.")]:
        _, index, part = name.split(".")
        moments.setdefault(int(index), {})[part] = tensors.pop(name)
    model.load_state_dict({name.removeprefix("model."): value for name, value in tensors.items()})
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    return progress


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole or not at all."""
    try:
        with whole_or_not(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OSError(f"{path} could not be written ({error.strerror}); make room or choose another folder") from None


def write_metrics(out: str | Path, history: list[dict]) -> None:
    """metrics.csv from a list of rows (dicts); numbers keep every digit."""
    write_text(Path(out) / METRICS, pd.DataFrame(history).to_csv(index=False))


def read_run(out: str | Path) -> dict:
    """run.json, or {} where there is none. ValueError if it is damaged."""
    path = Path(out) / RUN
    try:
        return json.loads(path.read_bytes()) if path.exists() else {}
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged ({error}); delete the folder and train again") from None


def write_run(out: str | Path, what: dict, device: str, seconds: float, finished: bool) -> None:
    """run.json: `what` ran (see loop.fit), and the surroundings it ran in."""
    name = torch.cuda.get_device_name(device) if on_cuda(device) else platform.processor() or platform.machine()
    where = {"git_commit": git_commit(), "python": platform.python_version(), "system": platform.platform()}
    where |= {"versions": {package: version(package) for package in PACKAGES}, "device": name}
    where |= {"threads": torch.get_num_threads(), "seconds": round(seconds, 1), "finished": finished, "what": what}
    write_text(Path(out) / RUN, json.dumps(where, indent=1) + "\n")


class AnotherRun(ValueError):
    """A folder holds another run than the one that would be written there."""


def check_same_run(out: str | Path, what: dict) -> None:
    """Raise AnotherRun, naming the first difference, if the folder holds another run than `what`."""
    now = json.loads(json.dumps(what))
    earlier = UNNAMED | read_run(out).get("what", now)
    for key in now:
        if earlier.get(key) != now[key]:
            raise AnotherRun(
                f"{out} holds a run with {key} = {earlier.get(key)}, this one has {now[key]}; "
                "choose another folder, or delete that one to start again"
            )


def digest(model: nn.Module) -> str:
    """Hash of all that a model is before it is trained: layers, what of them learns, every number, its `standard`."""
    standard = getattr(model, "standard", None)
    tensors = model.state_dict() | (standard.mean | standard.deviation if standard else {})
    learns = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    hashed = hashlib.sha256(said([model, getattr(model, "arguments", None), learns]).encode())
    for name, value in tensors.items():
        hashed.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        hashed.update(value.detach().cpu().flatten().view(torch.uint8).numpy().data)
    return hashed.hexdigest()[:16]


def said(value: object) -> str:
    """What Python shows of a value, without places in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def git_commit() -> str | None:
    """Commit of the package's repository, with + if tracked files differ from it; None outside a repository."""
    command, here = "git describe --always --abbrev=40 --exclude=* --dirty=+".split(), Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, encoding="utf-8", check=True, timeout=10)
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
