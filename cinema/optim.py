"""How weights are updated: groups of parameters, the learning rate over time, when to stop. Method, section 10."""

import math
import re


def learning_rate(epoch, peak, minimum, warmup, total):
    """Learning rate at a fractional epoch: linear from 0 to `peak`, then half a cosine down to `minimum`.

    warmup, total: in epochs.
    """
    if epoch < warmup:
        return peak * epoch / warmup
    return minimum + (peak - minimum) / 2 * (1 + math.cos(math.pi * (epoch - warmup) / (total - warmup)))


def parameter_groups(model, weight_decay, layer_decay=None, decay_everything=False):
    """Trainable parameters in groups for an optimiser: [{params, weight_decay, lr_scale}].

    layer_decay:      learning rate is scaled by layer_decay per layer below the top; None for 1 everywhere.
    decay_everything: decay 1-D parameters and biases as well, as the release does from scratch.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise ValueError("the model has no trainable parameter; was everything frozen?")
    top = _encoder_depth(model) + 1
    groups = {}
    for name, p in named:
        scale = 1.0 if layer_decay is None else layer_decay ** (top - _layer(name, top))
        decay = weight_decay if decay_everything or not (p.ndim <= 1 or name.endswith(".bias")) else 0.0
        groups.setdefault((scale, decay), {"params": [], "lr_scale": scale, "weight_decay": decay})["params"].append(p)
    return list(groups.values())


def _encoder_depth(model):
    blocks = (re.match(r"encoder\.blocks\.(\d+)\.", name) for name, _ in model.named_parameters())
    return max((int(block[1]) + 1 for block in blocks if block), default=0)


def _layer(name, top):
    """0 for what stands before the transformer, 1 + i for its block i, `top` for everything after it."""
    if name.startswith("enc_") or any(part in name for part in ("cls_token", "pos_embed", "patch_embed", "view_embed")):
        return 0
    block = re.match(r"encoder\.blocks\.(\d+)\.", name)
    return int(block[1]) + 1 if block else top


def patience_left(value, reference, waited, min_delta):
    """Early stopping on a minimised value: (new reference, evaluations waited).

    A gain of min_delta moves the reference and starts the count again; anything less, or NaN, adds one.
    """
    return (value, 0) if reference - value >= min_delta else (reference, waited + 1)
