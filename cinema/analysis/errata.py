"""What is odd in the authors' release, and how much it matters: one small measurement each.

The list is data/oddities.csv. Restated from the description of the release, not from its code; where this package has
the release's way as an option, the measurement turns it on.
"""

import math

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy import ndimage

from cinema.data.loaders import StudyFrames, epoch_order
from cinema.data.study import load_study
from cinema.data.transforms import min_max, varied
from cinema.models import UNet, finetuned
from cinema.models.small import shipped_cinema
from cinema.models.standard import standardised
from cinema.stats.metrics import dice
from cinema.terms import LABELS, SMALL_GRID, STRUCTURES
from cinema.training.arms import model_of, stacks
from cinema.training.landmarks import SHARPNESS, heatmaps, soft_argmax
from cinema.training.recipe import learning_rate, step_groups
from cinema.training.segmentation import predict

GREYS, NOISE = 255, 0.1  # an image's grey levels, and the largest SD of the noise that is added to them
# Mean and SD of the targets "ef"; method, section 9.
EF_CONSTANTS = {name: finetuned.MEAN_STD["regression_ef", name] for name in ("acdc", "mnms", "mnms2")}
UNET = dict(chans=(32, 64, 128, 256, 512), patch_size=(2, 2, 1), scale_factor=(2, 2, 1))  # method, section 10


class RepeatedDraws(StudyFrames):
    """Augmented as by the release's loaders, whose workers all start from copies of one generator, every epoch anew."""

    batch_size, workers = 2, 4

    def set_epoch(self, epoch):
        super().set_epoch(epoch)
        self.draw = np.empty(len(self), int)
        self.draw[epoch_order(len(self), self.seed, epoch)] = draw_numbers(len(self), self.batch_size, self.workers)

    def __getitem__(self, index):
        self.index = index
        return super().__getitem__(index)

    def _view(self, view, name, rng):
        return super()._view(view, name, np.random.default_rng((self.seed, int(self.draw[self.index]))))


class Stretched(StudyFrames):
    """Labelled short-axis stacks of hearts that are `factors` times as large along x and y."""

    def __init__(self, paths, factors):
        super().__init__(paths, ("sax",), "labelled", SMALL_GRID)
        self.factors = factors

    def _view(self, view, name, rng):
        item = super()._view(view, name, rng)
        scale = np.diag((1 / self.factors[0], 1 / self.factors[1], 1.0))
        middle = (np.array(item["label"].shape) - 1) / 2
        for key, order in (("image", 1), ("label", 0)):
            whole = item[key].numpy().reshape(item["label"].shape)
            moved = ndimage.affine_transform(whole, scale, middle - scale @ middle, order=order)
            item[key] = torch.from_numpy(moved).reshape(item[key].shape)
        return item


def draw_numbers(n_items, batch_size, workers):
    """Which draw of a worker's generator each place of an epoch gets, batches being dealt out in turn: (n_items,)."""
    place = np.arange(n_items)
    return place // batch_size // workers * batch_size + place % batch_size


def x_only(paths, augment=None, seed=0):
    """arms.stacks, scaled along the x axis alone: a scalar range fills the first axis only."""
    return stacks(paths, augment and varied(augment, scale=(0.2, 0.0)), seed)


def repeated(paths, augment=None, seed=0):
    """arms.stacks with the release's repeated draws."""
    return RepeatedDraws(paths, ("sax",), "labelled", SMALL_GRID, augment, seed=seed) if augment else stacks(paths)


@torch.inference_mode()
def scores(run, sizes, paths):
    """Dice of a finished run on test studies made larger or smaller: a row per size, study, frame and structure.
    sizes: name -> factors along x and y."""
    torch.set_num_threads(1)
    model, rows = model_of(run), []
    for size, factors in sizes.items():
        data = Stretched(paths, factors)
        for item in map(data.__getitem__, range(len(data))):
            found = predict(model, {"sax": item["image"]["sax"][None]})["sax"][0].argmax(0).numpy()
            true, about = item["label"]["sax"].numpy(), (run.arm.name, run.seed, size, item["id"])
            rows += [(*about, name, dice(found == LABELS[name], true == LABELS[name])) for name in STRUCTURES]
    return pd.DataFrame(rows, columns=["arm", "seed", "size", "study", "structure", "dice"])


def left_out(n_items, config):
    """Items of an epoch that reach no optimiser step."""
    return n_items - sum(len(micro) for step in step_groups(range(n_items), config) for micro in step)


def shrinkage(weight_decay, n_items, config):
    """Factor that weight decay alone puts on a weight in the course of a training: product of 1 - rate * decay."""
    per_epoch = len(step_groups(range(n_items), config))
    plan = config.learning_rate, config.min_learning_rate, config.warmup_epochs, config.epochs, config.schedule
    rates = [learning_rate(step / per_epoch, *plan) for step in range(round(config.epochs * per_epoch))]
    return float(np.prod(1 - weight_decay * np.array(rates)))


def expected_dropped_branches(rate, depth, ramp):
    """Expected number of residual branches that drop-path leaves out, two a block; ramp: from 0 up to the rate."""
    return float(2 * np.sum(np.linspace(0, rate, depth) if ramp else np.full(depth, rate)))


def blood_contrast(paths):
    """Mean of blood minus mean of muscle in grey levels at ED, a number a study."""
    found = []
    for path in paths:
        view = load_study(path, ("sax",)).views["sax"]
        image = GREYS * min_max(np.asarray(view.image[..., view.label_frames[0]], np.float32))
        labels = view.labels[..., 0]
        found.append(image[labels == LABELS["LV"]].mean() - image[labels == LABELS["MYO"]].mean())
    return np.array(found, float)


def joint_range(paths):
    """Share of 0..1 that the ES channel keeps when ED and ES are scaled together, a number a study."""
    studies = (load_study(path, ("sax",)) for path in paths)
    pairs = (study.views["sax"].image[..., [study.ed_frame, study.es_frame]] for study in studies)
    return np.array([np.ptp(min_max(np.asarray(pair, np.float32))[..., 1]) for pair in pairs], float)


def soft_argmax_errors(rng, n, size=64, dtype=torch.float32):
    """Found minus true position (n, 2) in pixels, of noise-free bumps at random places.
    dtype: in which the weighted mean is computed; bfloat16 is what mixed precision leaves."""
    points = torch.from_numpy(rng.uniform(size * 0.25, size * 0.75, (n, 1, 2)))
    heat = heatmaps(points.float(), (size, size))
    if dtype == torch.float32:
        return (soft_argmax(heat)[:, 0] - points[:, 0]).numpy()
    weights = (heat.to(dtype) * SHARPNESS).flatten(2).softmax(-1).unflatten(2, (size, size))
    at = torch.arange(size, dtype=dtype)
    found = torch.stack([(weights.sum(3) * at).sum(2), (weights.sum(2) * at).sum(2)], -1).long()
    return (found[:, 0] - points[:, 0]).numpy()


def windowed_heatmaps(rng, n, background_sd, size=64):
    """Three landmarks read from logits after sigmoid, or softmax over the three: name -> distance in pixels (n,).

    background_sd: SD, over channels and places 8 pixels apart, of the logits where no landmark is; their mean is -8,
    a bump rises to +4.
    """
    points = torch.from_numpy(rng.uniform(size * 0.2, size * 0.8, (n, 3, 2))).float()
    coarse = torch.from_numpy(rng.normal(0, background_sd, (n, 3, size // 8, size // 8))).float()
    field = F.interpolate(coarse, (size, size), mode="bilinear")
    logits = torch.maximum(field - 8, 12 * heatmaps(points, (size, size)) - 8)
    away = lambda heat: (soft_argmax(heat) - points).norm(dim=-1).mean(1).numpy().astype(float)
    return {"sigmoid": away(logits.sigmoid()), "softmax": away(logits.softmax(1))}


def wrong_components(paths, rng, structure="LV", radius=(2, 5)):
    """A false piece is added to four-chamber masks: does clean-up keep it? rule -> (n,) booleans, True for wrong.

    Rules: "last", the last piece in scan order, as the release ends up with; "nearest" to the right ventricle in L1,
    as meant; "largest".
    """
    wrong = {"last": [], "nearest": [], "largest": []}
    for path in paths:
        labels = load_study(path, ("lax_4c",)).views["lax_4c"].labels[:, :, 0, 0]
        true, rv = labels == LABELS[structure], np.argwhere(labels == LABELS["RV"]).mean(0)
        away, radius_px = ndimage.distance_transform_edt(~true), rng.uniform(*radius)
        free = np.argwhere(away > radius_px + 1.5)  # centres of discs that do not touch the mask
        x, y = free[rng.integers(len(free))]
        i, j = np.indices(true.shape)
        pieces, count = ndimage.label(true | ((i - x) ** 2 + (j - y) ** 2 <= radius_px**2))
        centres = np.array(ndimage.center_of_mass(pieces > 0, pieces, range(1, count + 1)))
        sizes = ndimage.sum_labels(pieces > 0, pieces, range(1, count + 1))
        right = int(np.bincount(pieces[true]).argmax())  # the structure itself may lie in pieces
        kept = {"last": count, "nearest": 1 + int(np.abs(centres - rv).sum(1).argmin()), "largest": 1 + sizes.argmax()}
        for rule, piece in kept.items():
            wrong[rule].append(piece != right)
    return {rule: np.array(values) for rule, values in wrong.items()}


def window_pixels(first, last, length, clamped):
    """How many pixels of an axis lie in a box enlarged by one at both ends, as a slice finds them."""
    start, stop = first - 1, last + 2
    return len(range(length)[max(start, 0) if clamped else start : stop])


@torch.inference_mode()
def padding_ml(model, paths, n_empty):
    """LV volume in ml that a model finds in the last n_empty slices, which hold zeros only: (n,)."""
    voxel_ml, found = math.prod(SMALL_GRID["sax"][1]) / 1000, []
    for item in map(stacks(paths).__getitem__, range(0, 2 * len(paths), 2)):
        image = item["image"]["sax"][None].clone()
        image[..., -n_empty:] = 0
        labels = predict(model, {"sax": image})["sax"].argmax(1)
        found.append(voxel_ml * int((labels[..., -n_empty:] == LABELS["LV"]).sum()))
    return np.array(found, float)


def tiling_change(paths):
    """Relative change of the first stage's output when weights tiled for ED and ES are halved, a number a study.
    The stage (convolution, norm, GELU) is that of the project's own pretrained CineMA."""
    model, standard = shipped_cinema()
    first, changes = model.enc_down_dict["sax"].conv_blocks[0].patch_embed, []
    for item in map(StudyFrames(paths, ("sax",), "ed_es", SMALL_GRID).__getitem__, range(len(paths))):
        image = standardised({"sax": item["image"]["sax"][None]}, standard)["sax"]
        with torch.inference_mode():
            weight, bias, stride = first.conv.weight.repeat(1, 2, 1, 1, 1), first.conv.bias, first.conv.stride
            tiled, halved = (F.gelu(first.norm(F.conv3d(image, k * weight, bias, stride))) for k in (1, 0.5))
        changes.append(float((halved - tiled).norm() / tiled.norm()))
    return np.array(changes)


def misplaced_share(grid):
    """Share of tokens whose row of the position table encodes another place even after x and y are exchanged.
    Rows run over the second axis of the grid first, tokens over the first; see method, section 3."""
    row, rest = np.arange(math.prod(grid)), math.prod(grid[2:])
    x, y = row // rest % grid[0], row // (grid[0] * rest)
    token = np.stack(np.unravel_index(row, grid))[:2]
    return float(np.mean((token != np.stack([y, x])).any(0)))


def idle_parameters():
    """(parameters of the published UNet that no forward pass uses, all of its parameters)."""
    with torch.device("meta"):
        model = UNet(3, 1, len(LABELS), **UNET)
    return tuple(sum(p.numel() for p in part.parameters()) for part in (model.decoder.in_conv, model))
