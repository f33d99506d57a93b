"""A dry run of cinema.training.finetune, which trains nothing: the data there is, what a model would see, what it would cost."""

import torch

from cinema.data.public.cards import card
from cinema.training import cost, finetune, published
from cinema.training.landmarks import LANDMARKS
from cinema.training.recipe import step_groups

GIB = 2**30
FRAMES_PER_STUDY = {"rescan": 50}  # labelled ones; elsewhere ED and ES
WORST_ASSUMED = 0.7  # share of free memory that a measurement may take


def rehearse(task, name, profile="paper", data_root=None, model="cinema", like_release=False, seed=0, device="cpu"):
    """Lines of text; shapes and numbers of studies come from the data set's card where nothing is prepared.

    Raises ValueError for what does not exist in the table.
    """
    setting = finetune.checked(task, name, profile, model)
    lines = [
        f"{setting.task} {setting.name}, model {model}, profile {profile}"
        + (", as the release" if like_release else "")
    ]
    try:
        planned = finetune.plan(task, name, profile, data_root, model, like_release, seed)
        counts = {split: len(rows) for split, rows in planned.tables.items()}
        lines.append(
            "data: "
            + ", ".join(f"{n} {split}" for split, n in counts.items())
            + f" studies, {planned.left_out} left out"
        )
        items = planned.data(planned.tables.get("train", next(iter(planned.tables.values()))), training=True)
        item, n_items = items[0], len(items)
    except FileNotFoundError as error:
        planned = finetune.Plan(setting, profile, model, like_release, seed, {}, 0, (0.0, 1.0))
        counts = card(setting.dataset).counts
        said = ", ".join(f"{n} {split}" for split, n in counts.items()) or "an unknown number of"
        lines.append(f"data: none prepared ({error}); by its card {said} studies, and shapes as published")
        item = invented_item(setting)
        n_items = counts.get("train", counts.get("all", 0)) * items_per_study(setting)
    lines += [
        f"{view}: {tuple(image.shape)} {str(image.dtype).removeprefix('torch.')}, "
        f"{' x '.join(f'{mm:g}' for mm in setting.grid[view][1])} mm"
        for view, image in item["image"].items()
    ]
    if setting.kind in ("segmentation", "classification"):
        lines.append(f"classes: {setting.outputs}" + f" ({', '.join(setting.classes)})" * bool(setting.classes))
    if like_release:
        lines += [f"the release's, not reproduced: {text}" for text in published.UNREPRODUCED]
    if setting.evaluation_only:
        return [*lines, "evaluation only: nothing is trained"]
    return lines + price(planned, item, n_items, device)


def items_per_study(setting):
    return FRAMES_PER_STUDY.get(setting.dataset, 2) if setting.frames == "labelled" else 1


def invented_item(setting):
    """An item of the shapes the grid asks for, as loaders.StudyFrames gives it, full of zeros."""
    views = setting.views
    item = {
        "id": "none",
        "frame": 0,
        "phase": "",
        "image": {view: torch.zeros(setting.channels, *setting.grid[view][0]) for view in views},
    }
    if setting.kind == "segmentation":
        item["label"] = {view: torch.zeros(setting.grid[view][0], dtype=torch.int64) for view in views}
    elif setting.column:
        item["target"] = 0
    elif setting.kind.startswith("landmark"):
        item["points"] = {view: torch.zeros(len(LANDMARKS), 2) for view in views}
    return item


def price(plan, item, n_items, device):
    """Lines on parameters, steps, memory and time."""
    unknown = n_items == 0
    n_items = n_items or plan.config(1).batch_size
    config = plan.config(n_items)
    per_epoch = len(step_groups(range(n_items), config))
    steps = round(config.epochs * per_epoch)
    micro = min(config.micro_batch_size or config.batch_size, config.batch_size, n_items)
    counted = counted_cost(plan, item)
    bytes_needed = counted.bytes_needed(micro)
    lines = [
        f"parameters: {counted.trainable / 1e6:.1f} million trainable of {counted.total / 1e6:.1f}",
        f"training: {config.epochs:g} epochs of {per_epoch} steps of {min(config.batch_size, n_items)} items "
        f"({micro} at a time) = {steps} steps, {n_items} items an epoch"
        + (" (assumed: their number is unknown)" if unknown else "")
        + ("; early stopping may end it sooner" if config.patience else ""),
        "memory: "
        + ", ".join(f"{what} {n / GIB:.2f}" for what, n in bytes_needed.items())
        + f" = {sum(bytes_needed.values()) / GIB:.2f} GiB in float32 (activations counted on one item, "
        "bf16 on a GPU takes about half of them)",
        f"operations: {counted.operations / 1e9:.3g} GFLOP an item, forward and backward",
    ]
    size = min(config.batch_size, n_items)
    seconds, how = time_of_step(plan, counted, item, size, micro, device)
    lines.append(f"time on {device}: {seconds:.3g} s a step, {duration(steps * seconds)} in all ({how})")
    if plan.profile == "paper" and torch.device(device).type != "cuda":
        seconds, how = cost.on_named_gpu(counted.operations * size)
        lines.append(f"time on a GPU: {seconds:.3g} s a step, {duration(steps * seconds)} in all ({how})")
    return lines


def counted_cost(plan, item):
    """cost.Cost of one item: on the meta device, but for pretraining, whose random masks need real numbers."""
    if plan.setting.kind == "pretraining":
        return cost.cost_of(
            published.build(plan.setting, plan.model, plan.profile),
            batch_of(item, 1),
            lambda model, batch: plan.task.loss(model, batch)[0],
        )
    with torch.device("meta"):
        model = published.build(plan.setting, plan.model, plan.profile)
    images = {view: image[None].to("meta") for view, image in item["image"].items()}
    return cost.cost_of(model, {"image": images}, cost.output_loss)


def batch_of(item, n):
    """n times the same item, as a batch."""
    return torch.utils.data.default_collate([item] * n)


def time_of_step(plan, counted, item, size, micro, device):
    """(seconds of an optimiser step over `size` items, how they were found) on the device at hand.

    Measured where one item (a micro-batch on a GPU) fits into memory and takes no longer than cost.LONGEST_SECONDS;
    otherwise from the operations and the speed of one convolution.
    """
    n = micro if torch.device(device).type == "cuda" else 1
    speed = cost.speed(device)
    fits = sum(counted.bytes_needed(n).values()) < WORST_ASSUMED * cost.free_bytes(device)
    if not fits or n * counted.operations / speed > cost.LONGEST_SECONDS:
        why = "takes too long" if fits else "does not fit"
        return size * counted.operations / speed, f"from its operations; measuring {why}: {speed / 1e9:.0f} GFLOP/s"
    model = published.build(plan.setting, plan.model, plan.profile)
    return (
        cost.step_seconds(model, plan.task, batch_of(item, n), size, device),
        f"measured on {n} item{'s' * (n > 1)} at a time",
    )


def duration(seconds):
    """A length of time in the unit that suits it."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
