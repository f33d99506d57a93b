"""Checks of the golden cases of what models are made of, and of transfer from pretraining.

HANDLERS maps a helper case to a function of its folder; `transfer_case` checks the transfer cases.
"""

import json

import torch
from golden_models import agree, agree_all, config_of, tensors, views, watch
from safetensors.torch import load_file

from cinema.models.config import build
from cinema.models.mae import reconstruction_loss
from cinema.models.patches import patchify, position_table, random_mask, resize_table, unpatchify, upsample_mask
from cinema.models.vit import Attention, rotate
from cinema.models.weights import transfer


def transfer_case(case):
    """What is copied, repeated, dropped, left as initialised and frozen, and what the encoder then gives."""
    config, mapping = config_of(case), json.loads((case / "mapping.json").read_bytes())
    source = load_file(case.parent / config["source_weights"] / "weights.safetensors")
    model = build(config["model"], {**config["kwargs"], **config["defaults"]})
    before = {key: value.clone() for key, value in model.state_dict().items()}
    copied = transfer(source, model)
    after, rules = model.state_dict(), mapping["target"]
    assert set(after) == set(rules) and set(copied) == {key for key, rule in rules.items() if "from" in rule}
    for key, rule in rules.items():
        expected = before[key] if rule.get("init") else source[rule["from"]]
        if "repeat_dim1" in rule:
            expected = torch.cat([expected] * rule["repeat_dim1"], dim=1)
        assert torch.equal(after[key], expected), key
    used = {rule["from"] for rule in rules.values() if "from" in rule}
    assert set(source) - used == set(mapping["dropped_source_keys"])
    parameters = dict(model.named_parameters())
    assert {k for k, p in parameters.items() if p.requires_grad} == set(mapping["trainable_when_not_frozen"])
    transfer(source, model, freeze=True)
    assert {k for k, p in parameters.items() if not p.requires_grad} == set(mapping["frozen_parameters_when_freeze"])
    check_encoder(model.eval(), config, views(config, tensors(case, "inputs"), "image"), tensors(case, "outputs"))


def check_encoder(model, config, images, reference):
    seen = watch(model)
    if config["model"] == "ConvViT":
        ours = {f"feature.{name}": value for name, value in model.feature_forward(images).items()}
    else:
        model(images)
        ours = {"encoder": seen["encoder"][-1]}
        for view in images:
            skips = seen[f"enc_down_dict.{view}"][-1][0]
            ours.update({f"enc_down.{view}.skip{i}": skip for i, skip in enumerate(skips)})
    agree_all(ours, reference)


def specs(case):
    """(index, spec) of a helper case, its inputs and its outputs."""
    cases = [(spec["index"], spec) for spec in config_of(case)["specs"]]
    return cases, tensors(case, "inputs"), tensors(case, "outputs")


def check_patchify(case):
    cases, inputs, outputs = specs(case)
    for i, spec in cases:
        patches = patchify(inputs[f"image.{i}"], spec["patch_size"])
        assert torch.equal(patches, outputs[f"patches.{i}"])
        assert torch.equal(unpatchify(patches, spec["patch_size"], spec["grid_size"]), inputs[f"image.{i}"])


def check_pos_embed(case):
    cases, _, outputs = specs(case)
    for i, spec in cases:
        agree(position_table(spec["embed_dim"], spec["grid_size"]), outputs[f"pos_embed.{i}"], f"table {spec}")


def check_pos_embed_resize(case):
    cases, inputs, outputs = specs(case)
    for i, spec in cases:
        table = resize_table(inputs[f"pos_embed.{i}"], spec["from_grid"], spec["to_grid"])
        agree(table, outputs[f"pos_embed.{i}"], f"table {spec}")


def check_random_mask(case):
    cases, _, outputs = specs(case)
    for i, spec in cases:
        generator = torch.Generator().manual_seed(spec["torch_seed"])
        mask = random_mask(spec["batch"], spec["n_patches"], spec["mask_ratio"], generator=generator)
        assert torch.equal(mask, outputs[f"mask.{i}"])
        assert (~mask).sum(dim=1).tolist() == [spec["n_keep"]] * spec["batch"]


def check_rotary(case):
    cases, inputs, outputs = specs(case)
    for i, spec in cases:
        for name in ("q", "k"):
            agree(rotate(inputs[f"{name}.{i}"]), outputs[f"{name}.{i}"], f"{name} {spec}")
        attention = Attention(spec["n_heads"] * spec["head_dim"], spec["n_heads"], rotary=True)
        prefix = f"attention.{i}."
        attention.load_state_dict({k.removeprefix(prefix): v for k, v in inputs.items() if k.startswith(prefix)})
        agree(attention(inputs[f"x.{i}"]), outputs[f"x.{i}"], f"attention {spec}")


def check_upsample_mask(case):
    cases, inputs, outputs = specs(case)
    for i, spec in cases:
        assert torch.equal(upsample_mask(inputs[f"mask.{i}"], spec["scale_factor"]), outputs[f"mask.{i}"])


def check_mae_loss(case):
    cases, inputs, outputs = specs(case)
    for i, spec in cases:
        pred, target, mask = (inputs[f"{name}.{i}"] for name in ("pred", "target", "enc_mask"))
        loss, metrics = reconstruction_loss(pred, target, mask, spec["norm_target"])
        agree(loss, outputs[f"loss.{i}"], f"loss {i}")
        assert set(metrics) == set(spec["metrics"])
        for name, value in metrics.items():
            agree(value, outputs[f"metric.{i}.{name}"], f"{name} {i}")


_CHECKS = (check_patchify, check_pos_embed, check_pos_embed_resize, check_random_mask, check_rotary)
_CHECKS += (check_upsample_mask, check_mae_loss)
HANDLERS = {check.__name__.replace("check_", "helper_"): check for check in _CHECKS}
