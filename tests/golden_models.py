"""Checks of the golden model cases: outputs, inner stages, gradients, optimiser steps. `model_case` does one."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from cinema.models.config import build
from cinema.models.patches import upsample_mask


def agree(ours, reference, what, rtol=1e-4, atol=None):
    """The README's rule: |ours - reference| <= 1e-5 * max(1, std) + 1e-4 * |reference|, NaN where NaN; integers and
    booleans are equal. ours, reference: tensors, arrays or numbers."""
    ours, reference = (np.asarray(x.detach() if isinstance(x, torch.Tensor) else x) for x in (ours, reference))
    assert ours.shape == reference.shape, f"{what}: shape {ours.shape}, reference {reference.shape}"
    exact = np.full(reference.shape, reference.dtype.kind in "iub") | ~np.isfinite(reference)
    np.testing.assert_array_equal(ours[exact], reference[exact], err_msg=what)
    ours, reference = ours[~exact].astype(float), reference[~exact].astype(float)
    if reference.size:
        allowed = (1e-5 * max(1.0, reference.std()) if atol is None else atol) + rtol * np.abs(reference)
        share = np.max(np.abs(ours - reference) / allowed)
        assert share <= 1, f"{what}: {share:.3g} times the tolerance"


def agree_all(ours, reference, prefix=""):
    """Every reference tensor has its counterpart and nothing is left over."""
    assert set(ours) == set(reference), f"names differ: {sorted(set(ours) ^ set(reference))}"
    for name, tensor in reference.items():
        agree(ours[name], tensor, f"{prefix}{name}")


def tensors(case, name):
    path = case / f"{name}.safetensors"
    return load_file(path) if path.exists() else {}


def content_of(case, name="config"):
    return json.loads((case / f"{name}.json").read_bytes())


def views(config, inputs, kind):
    """view -> tensor of a kind (image, mask ..) in the case's order; empty if the case has none."""
    return {v: inputs[f"{kind}.{v}"] for v in config["view_order"] if f"{kind}.{v}" in inputs}


def loaded(case):
    """The case's model in evaluation mode, every key of its weights matched."""
    config = content_of(case)
    model = build(config["model"], {**config["kwargs"], **config.get("defaults", {})})
    state = load_file(case.parent / (config.get("weights_from") or case.name) / "weights.safetensors")
    model.load_state_dict(state, strict=True)
    return model.eval()


def model_case(case):
    config, inputs, model = content_of(case), tensors(case, "inputs"), loaded(case)
    seen = watch(model)
    outputs, masks = RUN[config["model"]](model, config, inputs)
    agree_all(outputs, tensors(case, "outputs"))
    check_intermediates(model, seen, tensors(case, "intermediates"), masks)
    if (case / "grads.safetensors").exists():
        check_gradients(model, config, outputs["loss"], tensors(case, "grads"))
    if (case / "train_steps.json").exists():
        check_steps(loaded(case), config, inputs, content_of(case, "train_steps"))


def run_cinema(model, config, inputs):
    images, masks = views(config, inputs, "image"), views(config, inputs, "enc_mask")
    if config["call"] == "feature_forward":
        return {f"feature.{k}": v for k, v in model.feature_forward(images).items()}, {}
    if "mask_seed" in config:
        torch.manual_seed(config["mask_seed"])
        drawn = model(images, config["enc_mask_ratio"])[2]
        assert all(torch.equal(drawn[v], masks[v]) for v in masks), "masks drawn from the seed differ"
    loss, predictions, _, metrics = model(images, config["enc_mask_ratio"], enc_mask_dict=masks)
    outputs = {f"pred.{k}": v for k, v in predictions.items()} | {f"metric.{k}": v for k, v in metrics.items()}
    return {"loss": loss, **outputs}, masks


def run_convvit(model, config, inputs):
    images, masks, outputs = views(config, inputs, "image"), views(config, inputs, "mask"), {}
    for prefix, mask in [*([("masked.", masks)] if masks else []), ("", None)]:
        features = model.feature_forward(images, mask)
        outputs.update({f"{prefix}feature.{name}": value for name, value in features.items()})
        logits = {r: model(images, mask, reduce=r) for r in config.get("reduce") or ()}  # none of an encoder only
        outputs.update({f"{prefix}logits.{r}": value for r, value in logits.items()})
        if config.get("default_reduce") in logits:
            assert torch.equal(model(images, mask), logits[config["default_reduce"]])
    return outputs, {}


def run_dense(model, config, inputs):
    images = views(config, inputs, "image")
    if str(config.get("input_of_other_size")).startswith("raises"):
        with pytest.raises(ValueError, match="size"):
            model({view: torch.cat([image, image], dim=2) for view, image in images.items()})
    return {f"logits.{view}": logits for view, logits in model(images).items()}, {}


def run_resnet(model, config, inputs):
    return {"logits": model(views(config, inputs, "image"))}, {}


RUN = {"CineMA": run_cinema, "ConvViT": run_convvit, "ConvUNetR": run_dense, "UNet": run_dense}
RUN |= {"ResNet2d": run_resnet, "ResNet3d": run_resnet}


def watch(model):
    """Outputs of every module by name, kept as they come; the last call's are at the end."""
    seen = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _, __, output, name=name: seen.setdefault(name, []).append(output))
    return seen


def check_intermediates(model, seen, reference, masks):
    """enc_down.<view>.skip<i>, .tokens; dec_linear (all tokens joined); others by the module's name."""
    for name, tensor in reference.items():
        head, *rest = name.split(".")
        if head == "enc_down":
            view, part = rest
            skips, tokens = seen[f"enc_down_dict.{view}"][-1]
            ours = tokens if part == "tokens" else skips[int(part[4:])]
            if masks:  # hidden positions reach nothing and may differ
                visible = visible_positions(masks[view], model.enc_down_dict[view].grid_size, ours)
                ours, tensor = ours * visible, tensor * visible
        elif head == "dec_linear":
            parts, width = seen["dec_linear"], tensor.shape[1]
            ours = torch.cat(parts, dim=1)[:, -width:]
        elif rest:
            ours = seen[name if name in seen else ".".join([f"{head}_dict", *rest])][-1]
        else:
            ours = seen[head][-1][:, -tensor.shape[1] :]
        agree(ours, tensor, f"intermediate {name}")


def visible_positions(mask, grid_size, like):
    """1 where visible, shaped to multiply tokens (b, n, e) or a skip (b, c, x, y[, z])."""
    if like.ndim == 3:
        return (~mask).float().unsqueeze(2)
    factor = [fine // coarse for fine, coarse in zip(like.shape[2:], grid_size)]
    return (~upsample_mask(mask.unflatten(1, grid_size), factor)).float().unsqueeze(1)


def check_gradients(model, config, loss, reference):
    model.zero_grad()
    loss.backward()
    parameters = dict(model.named_parameters())
    if "frozen_parameters" in config:
        assert {k for k, p in parameters.items() if not p.requires_grad} == set(config["frozen_parameters"])
    without = {k for k, p in parameters.items() if p.requires_grad and p.grad is None}
    assert without == set(config.get("parameters_without_grad", ()))
    for name, figures in reference.items():
        grad = parameters[name].grad
        agree(torch.stack([grad.norm(), grad.sum()]), figures, f"gradient of {name}", rtol=1e-3, atol=1e-5)


def check_steps(model, config, inputs, reference):
    """Losses and gradient norms over AdamW steps with the same masks."""
    decay, parameters = reference["weight_decay"], dict(model.named_parameters())
    groups = [{"params": [p], "weight_decay": decay[k]} for k, p in parameters.items() if p.requires_grad]
    told = re.search(r"lr (\S+) betas ([^,]+),(\S+) eps ([^;\s]+).*clipped at ([\d.]+)", reference["optimiser"])
    lr, *betas, eps, clip = map(float, told.groups())
    optimiser = torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps)
    images, masks = views(config, inputs, "image"), views(config, inputs, "enc_mask")
    for step, expected in enumerate(zip(reference["loss"], reference["grad_norm"])):
        loss = model(images, config["enc_mask_ratio"], enc_mask_dict=masks)[0]
        optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
        agree(torch.stack([loss, norm]), torch.tensor(expected), f"step {step}", rtol=1e-3, atol=1e-5)
