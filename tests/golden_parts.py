"""Checks of the golden cases of what models are made of, and of transfer from pretraining.

HANDLERS maps a helper case to a function of its folder; `transfer_case` checks the transfer cases.
"""

import torch
from golden_models import agree, agree_all, content_of, tensors, views, watch
from safetensors.torch import load_file

from cinema.models.config import build
from cinema.models.mae import reconstruction_loss
from cinema.models.patches import patchify, position_table, random_mask, resize_table, unpatchify, upsample_mask
from cinema.models.vit import Attention, rotate
from cinema.models.weights import transfer


def transfer_case(case):
    """What is copied, repeated, dropped, left as initialised and frozen, and what the encoder then gives."""
    config, mapping = content_of(case), content_of(case, "mapping")
    source = load_file(case.parent / config["source_weights"] / "weights.safetensors")
    model = build(config["model"], {**config["kwargs"], **config.get("defaults", {})})
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


def each_spec(check):
    """A function of a helper case that calls check(spec, its inputs, its outputs) for each of the case's specs."""

    def of(found, spec):  # image.0, attention.0.proj.weight -> image, attention.proj.weight
        words = [(name.split("."), tensor) for name, tensor in found.items()]
        return {".".join([head, *rest]): t for (head, index, *rest), t in words if index == str(spec["index"])}

    def of_case(case):
        inputs, outputs = tensors(case, "inputs"), tensors(case, "outputs")
        for spec in content_of(case)["specs"]:
            check(spec, of(inputs, spec), of(outputs, spec))

    return of_case


def patchify_(spec, inputs, outputs):
    patches = patchify(inputs["image"], spec["patch_size"])
    assert torch.equal(patches, outputs["patches"])
    assert torch.equal(unpatchify(patches, spec["patch_size"], spec["grid_size"]), inputs["image"])


def pos_embed(spec, _, outputs):
    agree(position_table(spec["embed_dim"], spec["grid_size"]), outputs["pos_embed"], f"table {spec}")


def pos_embed_resize(spec, inputs, outputs):
    table = resize_table(inputs["pos_embed"], spec["from_grid"], spec["to_grid"])
    agree(table, outputs["pos_embed"], f"table {spec}")


def random_mask_(spec, _, outputs):
    generator = torch.Generator().manual_seed(spec["torch_seed"])
    mask = random_mask(spec["batch"], spec["n_patches"], spec["mask_ratio"], generator=generator)
    assert torch.equal(mask, outputs["mask"])
    assert (~mask).sum(dim=1).tolist() == [spec["n_keep"]] * spec["batch"]


def rotary(spec, inputs, outputs):
    for name in ("q", "k"):
        agree(rotate(inputs[name]), outputs[name], f"{name} {spec}")
    attention, prefix = Attention(spec["n_heads"] * spec["head_dim"], spec["n_heads"], rotary=True), "attention."
    attention.load_state_dict({k.removeprefix(prefix): v for k, v in inputs.items() if k.startswith(prefix)})
    agree(attention(inputs["x"]), outputs["x"], f"attention {spec}")


def upsample_mask_(spec, inputs, outputs):
    assert torch.equal(upsample_mask(inputs["mask"], spec["scale_factor"]), outputs["mask"])


def mae_loss(spec, inputs, outputs):
    loss, metrics = reconstruction_loss(inputs["pred"], inputs["target"], inputs["enc_mask"], spec["norm_target"])
    agree(loss, outputs["loss"], f"loss {spec}")
    assert set(metrics) == set(spec["metrics"])
    for name, value in metrics.items():
        agree(value, outputs[f"metric.{name}"], f"{name} {spec}")


_CHECKS = (patchify_, pos_embed, pos_embed_resize, random_mask_, rotary, upsample_mask_, mae_loss)
HANDLERS = {f"helper_{check.__name__.rstrip('_')}": each_spec(check) for check in _CHECKS}
