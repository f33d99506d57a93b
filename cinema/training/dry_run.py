"""A dry run of cinema.training.finetune, which needs no data: a training step on random images is timed, and multiplied."""

from datetime import timedelta
from time import perf_counter

import torch

from cinema.data.public.cards import card
from cinema.training import finetune, published
from cinema.training.landmarks import LANDMARKS
from cinema.training.recipe import step_groups
from cinema.training.task import private_seeds, to_device

PATIENT_SECONDS = 10.0  # a step that took longer is not repeated


def estimate(task, name, profile="paper", data_root=None, model="cinema", like_release=False, seed=0, device="cpu"):
    """Lines of text: samples, parameters, steps, seconds of a step on this device, and of all of them.

    Samples are counted where the data set is prepared; elsewhere its card says how many studies there are. ValueError
    for a task, name, profile or model that does not exist.
    """
    setting = finetune.checked(task, name, profile, model)
    lines = [f"{setting.task} {setting.name}, model {model}, profile {profile}"]
    if setting.evaluation_only:
        return [*lines, "evaluation only: nothing is trained"]
    try:
        planned = finetune.plan(task, name, profile, data_root, model, like_release, seed)
        n_items, source = len(planned.data(planned.tables["train"])), "of the prepared data"
    except FileNotFoundError:
        planned = finetune.Plan(setting, profile, model, like_release, seed, {}, 0, z_score=(0.0, 1.0))
        frames = 1 if setting.frames != "labelled" else 50 if setting.dataset == "rescan" else 2  # of a study
        n_items, source = card(setting.dataset).counts.get("train", 0) * frames, "by its card; none is prepared"
    if not n_items:
        n_items, source = planned.config(1).batch_size, "assumed, their number is unknown"
    config = planned.config(n_items)
    size, steps = min(config.batch_size, n_items), round(config.epochs * len(step_groups(range(n_items), config)))
    network, on_cuda = published.build(setting, model, profile), torch.device(device).type == "cuda"
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    at_once = min(config.micro_batch_size or size, size) if on_cuda else 1
    seconds = step_seconds(network, planned.task, random_batch(setting, at_once), device) * size / at_once
    return [
        *lines,
        f"samples: {n_items} an epoch ({source})",
        f"parameters: {trained / 1e6:.1f} million to be trained",
        f"training: {config.epochs:g} epochs = {steps} steps of {size} samples"
        + "; early stopping may end it sooner" * bool(config.patience),
        f"time on {device}: {seconds:.3g} s a step (measured on {at_once} of its samples), "
        f"{timedelta(seconds=round(steps * seconds))} in all"
        + f"; {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB of memory"
        * on_cuda,
    ]


def random_batch(setting, n):
    """n items of the shapes the setting's grid asks for, as loaders.StudyFrames gives them; every target is zero."""
    shapes = {view: setting.grid[view][0] for view in setting.views}
    return {
        "image": {view: torch.rand(n, setting.channels, *shape) for view, shape in shapes.items()},
        "label": {view: torch.zeros(n, *shape, dtype=torch.int64) for view, shape in shapes.items()},
        "points": {view: torch.zeros(n, len(LANDMARKS), 2) for view in shapes},
        "target": torch.zeros(n, dtype=torch.int64),
    }


def step_seconds(model, task, batch, device):
    """Seconds of a training step on a batch, the faster of two if they are short; mixed precision as in loop.fit."""
    on_cuda, taken = torch.device(device).type == "cuda", []
    model, batch = model.to(device).train(), to_device(batch, device)
    optimiser = torch.optim.AdamW(model.parameters())
    with private_seeds(device):
        torch.manual_seed(0)
        while len(taken) < 2 and sum(taken) < PATIENT_SECONDS:
            start = perf_counter()
            with torch.autocast("cuda", torch.bfloat16, enabled=on_cuda):
                loss, _ = task.loss(model, batch)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            if on_cuda:
                torch.cuda.synchronize()
            taken.append(perf_counter() - start)
    return min(taken)
