"""Checks of the golden helper cases: what is not a model. HANDLERS maps a case to a function of its folder."""

import re

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from golden_models import agree, content_of, loaded, tensors
from golden_parts import each_spec

from cinema.data.late_enhancement import REGIONS
from cinema.data.transforms import crop_to, min_max, pad_end
from cinema.models.config import build
from cinema.stats import metrics
from cinema.training import classification, landmarks, regression, segmentation, windows
from cinema.training.evaluate import ef_table
from cinema.training.recipe import learning_rate, parameter_groups


@each_spec
def segmentation_metrics(spec, inputs, outputs):
    logits, labels = inputs["logits"], inputs["labels"][:, 0]
    loss, parts = segmentation.dice_and_cross_entropy(logits, labels)
    agree(loss, outputs["loss"], f"loss {spec}")
    agree(parts["dice_loss"], outputs["loss.mean_dice_loss"], f"dice loss {spec}")
    agree(parts["cross_entropy"], outputs["loss.cross_entropy"], f"cross entropy {spec}")
    ours = [_mask_metrics(spec, item, true) for item, true in zip(logits, labels, strict=True)]
    for name in spec.get("metric_names", ()):
        if "stability" not in name:  # how much a mask depends on the threshold: not taken over from the release
            agree([one[name] for one in ours], outputs[f"metric.{name}"], f"{name} {spec}")


def _mask_metrics(spec, logits, labels):
    predicted, labels, result = logits.argmax(0).numpy(), labels.numpy(), {}
    default = spec["metrics"] == "default"
    regions = {c: (c,) for c in range(1, len(logits))}
    if not default:  # of a late-enhancement data set: masks merged over classes
        regions = dict(enumerate(REGIONS[spec["metrics"].removesuffix("2020")].values(), 1))
    for c, values in regions.items():
        a, b = np.isin(predicted, values), np.isin(labels, values)
        result[f"class_{c}_dice_score"] = (metrics.dice if default else metrics.dice_counting_empty)(a, b)
        result[f"class_{c}_iou_score"] = metrics.iou(a, b)
        result[f"class_{c}_hausdorff_distance_95"] = metrics.hd95_mm(a, b, spec["spacing"])
        result[f"class_{c}_pred_volume"] = metrics.volume_ml(a, spec["spacing"])
        result[f"class_{c}_true_volume"] = metrics.volume_ml(b, spec["spacing"])
    mean = np.mean if default else np.nanmean
    for name in ("dice_score", "iou_score", "hausdorff_distance_95"):
        result[f"mean_{name}"] = mean([result[f"class_{c}_{name}"] for c in regions])
    return result


@each_spec
def intensity_padding(spec, inputs, outputs):
    x = min_max(inputs["x"].numpy())
    agree(x if spec["padded_size"] is None else pad_end(x, spec["padded_size"]), outputs["x"], f"input {spec}")


def given(output):
    """In the place of a model: its output is given."""
    return lambda images: output


def volumes_ef(folder):
    inputs, outputs, ef = tensors(folder, "inputs"), tensors(folder, "outputs"), content_of(folder, "ef")
    n_classes = outputs["volumes_ml"].shape[1]
    volumes = [metrics.volumes_ml(labels[0], ef["spacing_mm"], n_classes) for labels in inputs["labels"].numpy()]
    agree(volumes, outputs["volumes_ml"], "volumes")
    for row in ef["volumes_ed_es"]:
        agree(metrics.ejection_fraction_percent(row["edv"], row["esv"]), row["ef"], "EF")
    columns = {"pid": "study", "true": "true_volume_ml", "pred": "volume_ml"}
    rows = pd.DataFrame(ef["table_rows"]).rename(columns=columns)
    rows = rows.assign(phase=np.where(rows.is_ed, "ED", "ES"), structure="LV", view="sax")
    names = {"true_edv": "true_edv_ml", "pred_edv": "edv_ml", "true_esv": "true_esv_ml", "pred_esv": "esv_ml"}
    names |= {"true_ef": "true_ef_percent", "pred_ef": "ef_percent", "ef_error": "ef_error_percent"}
    table = ef_table(rows).set_index("study")
    for study, expected in ef["table_result"].items():
        for theirs, ours in names.items():
            agree(table.loc[study, ours], expected[theirs], f"{study} {theirs}")
    for row in ef["ef_regions"]:
        assert metrics.ef_band(row["ef"]) == row["region"], row
    pair = ef["coefficient_of_variance"]
    agree(metrics.coefficient_of_variation_percent(pair["x"], pair["y"]) / 100, pair["value"], "CV")


def classification_regression(folder):
    inputs, outputs, expected = tensors(folder, "inputs"), tensors(folder, "outputs"), content_of(folder, "metrics")
    for case in [name.removesuffix(".logits") for name in inputs if name.endswith(".logits")]:
        logits, labels = inputs[f"{case}.logits"], inputs[f"{case}.labels"]
        loss, _ = classification.loss(given(logits), {"image": None, "target": labels})
        agree(loss, outputs[f"{case}.loss"], f"{case} loss")
        ours = metrics.classification_metrics(logits.softmax(1), labels)
        for name, value in expected[case].items():
            agree(ours[name], value, f"{case} {name}")
    if "regression" not in expected:
        return
    predicted, true = inputs["regression.preds"], inputs["regression.labels"]
    loss, parts = regression.TASK.loss(given(predicted), {"image": None, "target": true[:, 0]})
    agree(loss, outputs["regression.loss"], "regression loss")
    agree(parts["mae"], expected["regression_loss_parts"]["mae_loss"], "regression mae")
    ours = metrics.regression_metrics(predicted, true)
    for name, value in expected["regression"].items():
        agree(ours[name], value, f"regression {name}")


def landmarks_(folder):
    inputs, outputs, config = tensors(folder, "inputs"), tensors(folder, "outputs"), content_of(folder)
    size, spacing = config["size"], config["spacing"]
    # what a case may set and the package does not
    ours = (landmarks.SIGMA_PIXELS, landmarks.SHARPNESS, landmarks.WING_WIDTH, landmarks.WING_CURVE)
    assert ours == (config["sigma"], config["soft_argmax_beta"], config["wing"]["w"], config["wing"]["epsilon"])
    points = inputs["coords"].reshape(-1, 3, 2)
    n = len(points)
    heat = landmarks.heatmaps(points, size)
    agree(heat, outputs["heatmap"], "heatmap")
    for name, image in (("heatmap", heat), ("noisy", inputs["noisy"])):
        agree(landmarks.soft_argmax(image).flatten(1), outputs[f"soft_argmax.{name}"], f"soft argmax {name}")
    for name in outputs:
        if found := re.fullmatch(r"soft_argmax_beta([\d.]+)\.(\w+)", name):
            image = heat if found[2] == "heatmap" else inputs[found[2]]
            agree(landmarks.soft_argmax(image, float(found[1])).flatten(1), outputs[name], name)
    batch = {"id": [str(i) for i in range(n)], "frame": torch.zeros(n), "phase": [""] * n, "points": {"lax_4c": points}}
    batch |= {"image": {"lax_4c": torch.zeros(n, 1, *size)}, "spacing_mm": {"lax_4c": torch.tensor([spacing] * n)}}
    model = given({"lax_4c": inputs["logits"]})
    loss, parts = landmarks.HEATMAP.loss(model, batch)
    agree(loss, outputs["heatmap.loss"], "heatmap loss")
    for name, value in parts.items():
        agree(value, outputs[f"heatmap.loss.{name}"], name)
    rows = landmarks.HEATMAP.evaluate(model, batch)
    _landmark_rows(rows, outputs, "heatmap")
    scale = torch.tensor(size)
    predicted = inputs["pred"].reshape(-1, 3, 2) * scale
    agree(landmarks.wing(predicted, points), outputs["wing"], "wing")
    agree(F.l1_loss(predicted, points.float()), outputs["regression.landmark_mae"], "mae")
    relation = landmarks.relative(points.float())
    agree(relation.flatten(1), outputs["relative"], "relative")
    agree(F.l1_loss(landmarks.relative(predicted), relation), outputs["regression.relative_distance_mae"], "mae")
    agree((points / scale).flatten(1), outputs["coords.normalised"], "normalised")
    model = given(inputs["pred"])
    loss, parts = landmarks.COORDINATE.loss(model, batch)
    agree(loss, outputs["regression.loss"], "coordinate loss")
    agree(parts["wing"], outputs["regression.landmark_wing_loss"], "wing loss")
    agree(parts["relative_wing"], outputs["regression.relative_distance_wing_loss"], "relative wing loss")
    _landmark_rows(landmarks.COORDINATE.evaluate(model, batch), outputs, "coords")


def _landmark_rows(rows, outputs, kind):
    for k, name in enumerate(landmarks.LANDMARKS, 1):
        mine = [row for row in rows if row["landmark"] == name]
        names = {"x": f"pred_x{k}", "y": f"pred_y{k}", "true_x": f"true_x{k}", "true_y": f"true_y{k}"}
        names |= {"distance_mm": f"distance{k}", "dice": f"landmark_{k}_dice_score"}
        for ours, theirs in names.items():
            if f"{kind}.metric.{theirs}" in outputs:
                agree([row[ours] for row in mine], outputs[f"{kind}.metric.{theirs}"], f"{kind} {theirs}")
    mean = np.reshape([row["distance_mm"] for row in rows], (-1, len(landmarks.LANDMARKS))).mean(axis=1)
    agree(mean, outputs[f"{kind}.metric.mean_distance"], f"{kind} mean distance")


def lr_groups(folder):
    for case in content_of(folder, "groups").values():
        model, spared = build(case["model"], case["kwargs"] | case.get("defaults", {})), case["no_weight_decay_list"]
        groups = parameter_groups(model, case["weight_decay"], case["layer_decay"], undecayed=spared)
        found = {id(p): group for group in groups for p in group["params"]}
        ours = {name: found[id(p)] for name, p in model.named_parameters() if id(p) in found}
        assert set(ours) == set(case["parameters"])
        for name, expected in case["parameters"].items():
            agree(ours[name]["lr_scale"], expected["lr_scale"], f"{name} scale")
            agree(ours[name]["weight_decay"], expected["weight_decay"], f"{name} decay")


def lr_schedule(folder):
    schedule = content_of(folder, "schedule")
    for case in schedule["learning_rate"]:
        for sample in case["samples"]:
            ours = learning_rate(sample["step"], case["lr"], case["min_lr"], case["warmup"], case["total"])
            agree(ours, sample["lr"], f"step {sample['step']}")
            for name, value in sample.items():
                if name.startswith("lr_of_group_with_scale_"):
                    agree(ours * float(name.rpartition("_")[2]), value, f"{name}, step {sample['step']}")
    table = schedule["cosine_table"]
    left = table["total"] - table["freeze"] - table["warmup"]
    ours = [*[0.0] * table["freeze"], *np.linspace(table["start"], table["base"], table["warmup"])]
    ours += [learning_rate(i, table["base"], table["final"], 0, left) for i in range(left)]
    ours += [table["final"]] * (len(table["values"]) - len(ours))
    agree(ours, table["values"], "cosine table")


def sliding_window(folder):
    inputs, outputs, sliding = tensors(folder, "inputs"), tensors(folder, "outputs"), content_of(folder, "sliding")
    for grid in sliding["grids"]:
        ours = windows.corners(grid["image"], grid["patch"], grid["overlap"])
        assert [list(corner) for corner in ours] == grid["starts"], grid
    image, window, overlap = inputs["aggregate.image"], sliding["aggregate"]["patch"], sliding["aggregate"]["overlap"]
    patches = windows.split(image, window, overlap)
    agree(patches, outputs["aggregate.patches"], "patches")
    agree(crop_to(image, outputs["crop"].shape[1:]), outputs["crop"], "crop")
    mean = windows.merge(patches + inputs["aggregate.noise"], image.shape[1:], overlap)
    agree(mean, outputs["aggregate.mean"], "mean")
    with torch.no_grad():
        for name, reference in outputs.items():
            kind, _, rest = name.partition(".")
            if kind in WINDOWED:
                given, read = WINDOWED[kind]
                head, images = f"{given}.image.", {}
                images = {key.removeprefix(head): image for key, image in inputs.items() if key.startswith(head)}
                patch = sliding[given]["patch"]
                sizes = patch if isinstance(patch, dict) else dict.fromkeys(images, patch)
                found = read(loaded(folder.parent / sliding[given]["weights_from"]), images, sizes)
                view = rest.partition(".")[2]  # logits.VIEW; no view where all are read for one answer
                agree(found[view] if view else found, reference, name)


# what is read through windows -> (whose image, model and patch it has in the case, how it is read)
WINDOWED = {
    "segmentation": ("segmentation", segmentation.predict),
    "landmark": ("segmentation", lambda *x: {v: p.logit() for v, p in windows.dense(*x, torch.sigmoid).items()}),
    "classification": ("classification", lambda *x: classification.predict(*x).log()),
    "regression": ("classification", regression.predict),
}


_CHECKS = (volumes_ef, classification_regression, landmarks_, lr_groups, lr_schedule, sliding_window)
HANDLERS = {f"helper_{check.__name__.rstrip('_')}": check for check in _CHECKS}
HANDLERS |= {"helper_segmentation_metrics": segmentation_metrics, "helper_intensity_padding": intensity_padding}
