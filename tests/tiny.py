"""Small random studies and models for tests of loaders, tasks and training."""

import gzip
import json

import numpy as np
import torch
from places import KEPT
from torch import nn

from cinema.data.study import Study, View, save_study
from cinema.terms import LAX_VIEWS

torch.set_num_threads(1)  # these tensors are too small to share
GRID = {"sax": ((16, 16, 4), (2.5, 2.5, 10.0))} | dict.fromkeys(LAX_VIEWS, ((16, 16), (2.5, 2.5)))


def view(rng, name, n_frames=4, size=None):
    """A view with a bright disc whose radius changes over frames: LV inside, MYO around, RV beside."""
    x, y, z = size or ((16, 16, 4) if name == "sax" else (16, 16, 1))
    spacing = (2.5, 2.5, 10.0)
    i, j = np.meshgrid(np.arange(x), np.arange(y), indexing="ij")
    labels = np.zeros((x, y, z, n_frames), np.uint8)
    for t in range(n_frames):
        distance = np.hypot(i - x / 2 + rng.normal(0, 0.5), j - y / 2) + t / 2
        labels[distance < 6, :, t] = 2
        labels[distance < 4, :, t] = 3
        labels[:3, :, :, t] = 1
    image = labels / 3 + rng.normal(0, 0.1, labels.shape)
    landmarks = None if name == "sax" else rng.uniform(3, 12, (n_frames, 3, 2)).astype(np.float32)
    return View(image.astype(np.float32), np.diag([*spacing, 1.0]), labels, tuple(range(n_frames)), landmarks)


def write(folder, n=4, views=("sax", "lax_4c"), n_frames=4, size=None, seed=0):
    """n studies in a folder; returns their paths. ED is frame 0, ES the last."""
    rng, paths = np.random.default_rng(seed), []
    for k in range(n):
        seen = {v: view(rng, v, n_frames, size) for v in views}
        study = Study(f"p{k:03d}", "test", seen, {"sex": "FM"[k % 2]}, ed_frame=0, es_frame=n_frames - 1)
        paths.append(save_study(study, folder))
    return paths


class Pixelwise(nn.Module):
    """Logits per pixel for one view, with dropout so that a run's random state shows."""

    def __init__(self, n_dims=3, classes=4):
        super().__init__()
        conv = (nn.Conv2d, nn.Conv3d)[n_dims - 2]
        first, second = conv(1, 8, 3, padding=1), conv(8, classes, 3, padding=1)
        self.layers = nn.Sequential(first, nn.GELU(), nn.Dropout(0.1), second)

    def forward(self, images):
        return {name: self.layers(image) for name, image in images.items()}


class Whole(nn.Module):
    """n numbers per image, all views averaged."""

    def __init__(self, channels=2, n=2):
        super().__init__()
        self.scale, self.head = nn.Linear(channels, 4), nn.Linear(4, n)

    def forward(self, images):
        means = [self.scale(image.flatten(2).mean(2)) for image in images.values()]
        return self.head(torch.tanh(torch.stack(means).mean(0)))


class Denoiser(nn.Module):
    """Stands in for CineMA: hides values at random and predicts them by one number per view."""

    def __init__(self, views):
        super().__init__()
        self.level = nn.ParameterDict({name: nn.Parameter(torch.zeros(1)) for name in views})

    def forward(self, images, ratio):
        metrics = {}
        for name, image in images.items():
            hidden = torch.rand(image.shape) < ratio
            metrics[f"{name}_mse_loss"] = ((image - self.level[name])[hidden] ** 2).mean()
        return torch.stack(list(metrics.values())).mean(), None, None, metrics


MANIFESTS = json.loads(gzip.decompress((KEPT / "manifests.json.gz").read_bytes()))
RELEASED = {m["published"]: m for m in MANIFESTS.values() if m["published"]}


def small_config(manifest):
    """A manifest's configuration with the fields of a model that takes milliseconds."""
    config = json.loads(json.dumps({key: manifest[key] for key in ("model", "data")}))
    for view, size in (("sax", [32, 32, 2]), ("lax", [32, 32])):
        config["data"].get(view, {})["patch_size"] = size
    for section in (config["model"], config["model"].get("convvit", {}), config["model"].get("convunetr", {})):
        section.update({k: v for k, v in (("size", "tiny"), ("enc_conv_chans", [2, 3])) if k in section})
    if "convunetr" in config["model"]:
        config["model"]["convunetr"]["dec_chans"] = [2, 2, 3, 4, 5]
    return {**config, "grad_ckpt": True}
