"""Start a model from the pretrained encoder."""

import re

# what pretraining needs and no other model has; position tables stay as the target initialised them
_DROPPED = ("mask", "decoder", "_head", "dec_linear", "pos_embed")
_OWN = re.compile(r"enc_down_dict\.\w+\.pos_embed|.*_head.*|dec_.*|decoder.*")
_FIRST_CONV = re.compile(r"enc_down_dict\.\w+\.conv_blocks\.0\.patch_embed\.conv\.weight")


def transfer(source_state, target_model, freeze=False):
    """Copy CineMA's encoder into a ConvViT or ConvUNetR.

    source_state: CineMA's state dict (weights.read of a file, or model.state_dict()).
    target_model: changed in place. Views it lacks are left out; its heads, decoder and position tables stay.
    freeze:       stop the gradients of exactly the copied parameters.
    Returns the names of the copied parameters, in the target's order. Raises ValueError, before anything is copied, if
    the target is no such model, or if a key or shape does not fit.
    A first convolution with more channels than the source repeats the source's weights, not rescaled, as published.
    Source: method, section 9.
    """
    target = target_model.state_dict()
    views = {key.split(".")[1] for key in target if key.startswith("enc_down_dict.")}
    if not views:
        raise ValueError(f"{type(target_model).__name__} has no CineMA encoder; transfer needs a ConvViT or ConvUNetR")
    dropped = _DROPPED if any("fusion" in key for key in target) else (*_DROPPED, "fusion")
    unused = {key.split(".")[1] for key in source_state if key.startswith("enc_down_dict.")} - views
    state = {key: _tiled(key, value, target.get(key)) for key, value in source_state.items()
             if not any(word in key for word in (*dropped, *unused))}
    check(state, target, _OWN.fullmatch)
    target_model.load_state_dict(state, strict=False)
    parameters = [(name, p) for name, p in target_model.named_parameters() if name in state]
    for _, parameter in parameters:
        parameter.requires_grad_(parameter.requires_grad and not freeze)
    return [name for name, _ in parameters]


def _tiled(key, value, like):
    if like is None or not _FIRST_CONV.fullmatch(key) or value.shape[1] == like.shape[1]:
        return value
    return value.repeat(1, like.shape[1], *[1] * (value.ndim - 2))


def check(state, target, may_lack=lambda key: False, where="source"):
    """Raise a one-line ValueError unless `state` fits the state dict `target`: names, shapes, finite values.

    may_lack: tells of a target key whether the state may do without it; where: names the state in the error.
    """
    missing = [key for key in target if key not in state and not may_lack(key)]
    surplus = [key for key in state if key not in target]
    if missing or surplus:
        kinds = {"missing": missing, "surplus": surplus}
        found = " and ".join(f"{len(keys)} {kind} ({keys[0]})" for kind, keys in kinds.items() if keys)
        raise ValueError(f"{where} does not fit the model: keys {found}; build the model it was saved from")
    for key, value in state.items():
        if value.shape != target[key].shape:
            raise ValueError(f"{where}: {key} has shape {tuple(value.shape)}, the model needs "
                             f"{tuple(target[key].shape)}; build the model it was saved from")
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"{where}: {key} holds NaN or infinity; use an earlier or an undamaged file")
