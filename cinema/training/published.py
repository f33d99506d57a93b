"""The published experiments as a table: which task on which data set, what it learns, and how it is trained.

`setting(task, name)` looks one up; `config`, `augmentation` and `build` give its training settings, augmentation and
model, either in the fixed version (default) or to the letter of the release (like_release). UNREPRODUCED lists what
of the letter is not a matter of values. `small` gives the same at a laptop's size.
Source: method, sections 9, 10 and 12.
"""

from dataclasses import dataclass, replace

from cinema.data.late_enhancement import ORDER
from cinema.data.transforms import CLASSIFICATION, LANDMARKS, PRETRAINING, SEGMENTATION, varied
from cinema.models.config import build as build_model
from cinema.models.finetuned import CLASSES, MEAN_STD
from cinema.models.small import small_encoder
from cinema.models.vit import SIZES
from cinema.terms import LABELS, PUBLISHED_GRID, SMALL_GRID, VIEWS
from cinema.training import regression, segmentation
from cinema.training.recipe import PAPER
from cinema.training.tasks import TASKS as KINDS

NAMES = {  # published name -> (data set, views)
    "acdc_sax": ("acdc", ("sax",)),
    "mnms_sax": ("mnms", ("sax",)),
    "mnms2_sax": ("mnms2", ("sax",)),
    "mnms2_lax_4c": ("mnms2", ("lax_4c",)),
    "rescan_sax": ("rescan", ("sax",)),
    "rescan_lax_4c": ("rescan", ("lax_4c",)),
    "emidec_sax": ("emidec", ("sax",)),
    "myops2020_sax": ("myops", ("sax",)),
    "kaggle_sax": ("kaggle", ("sax",)),
    "lax_2c": ("landmark", ("lax_2c",)),
    "lax_4c": ("landmark", ("lax_4c",)),
    "ukb": ("ukb", VIEWS),
}
_LABELLED, _LANDMARK = ("acdc_sax", "mnms_sax", "mnms2_sax", "mnms2_lax_4c"), ("lax_2c", "lax_4c")
TASKS = {  # published task -> names
    "segmentation": (*_LABELLED, "rescan_sax", "rescan_lax_4c", "emidec_sax", "myops2020_sax", "kaggle_sax"),
    "classification_cvd": _LABELLED,
    "classification_sex": ("mnms_sax",),
    "classification_vendor": ("mnms2_sax", "mnms2_lax_4c"),
    "regression_ef": _LABELLED,
    "regression_bmi": ("acdc_sax",),
    "regression_age": ("mnms_sax",),
    "landmark_heatmap": _LANDMARK,
    "landmark_coordinate": _LANDMARK,
    "pretraining": ("ukb",),
}
SHORT = {"classification": "classification_cvd", "regression": "regression_ef", "landmark": "landmark_heatmap"}
COLUMNS = {
    "classification_cvd": "disease",
    "classification_sex": "sex",
    "classification_vendor": "vendor",
    "regression_ef": "lv_ef_percent",
    "regression_bmi": "bmi_kg_m2",
    "regression_age": "age_years",
}
SEQUENCES = {"myops": 3}  # image channels; one elsewhere
SPACING_MM = {"emidec": (1.458, 1.458, 10.0)}  # that of terms.PUBLISHED_GRID elsewhere
EVALUATION_ONLY = ("kaggle",)
UNREPRODUCED = (
    "all workers draw the same augmentations, and the same ones every epoch (here: by seed, epoch and item)",
    "in pretraining the same random frame every epoch, and the same order on every GPU",
    "the learning rate moves within an accumulated step (here: once per step)",
    "two interpolations, one per MONAI transform (here: one affine map), and their order of random draws",
    "bf16 with a gradient scaler (here: bf16 without one)",
)


@dataclass(frozen=True)
class Setting:
    """One published experiment.

    task, name: as published; kind: name in tasks.TASKS. dataset: name of the prepared data set.
    frames:     what an item is, see loaders.StudyFrames. channels: of an image, all frames and sequences together.
    outputs:    classes, heatmaps or numbers that the model gives.
    column:     attribute of a study that is the target, or None; classes: its values in output order.
    z_score:    published mean and standard deviation of the target, or None.
    grid:       view -> (size, spacing_mm).
    """

    task: str
    name: str
    kind: str
    dataset: str
    views: tuple
    frames: str
    channels: int
    outputs: int
    grid: dict
    column: str | None = None
    classes: tuple = ()
    z_score: tuple | None = None

    @property
    def evaluation_only(self):
        return self.dataset in EVALUATION_ONLY


def setting(task, name):
    """The Setting of a task and a name; both may be short (classification acdc, landmark lax_2c, segmentation myops).

    ValueError naming the choices otherwise.
    """
    task = SHORT.get(task, task)
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}; choose one of {', '.join(TASKS)}")
    full = [one for one in TASKS[task] if one == name] or [one for one in TASKS[task] if NAMES[one][0] == name]
    if not full:
        raise ValueError(f"{task} has no {name!r}; choose one of {', '.join(TASKS[task])}")
    name, (dataset, views) = full[0], NAMES[full[0]]
    kind = task if task in KINDS else task.split("_")[0]
    classes = CLASSES.get((task, dataset), ())
    frames = {"segmentation": "labelled", "pretraining": "random"}.get(kind, "ed_es")
    frames = "landmarks" if kind.startswith("landmark") else "channels" if dataset in ORDER else frames
    frames = "all" if dataset in EVALUATION_ONLY else frames
    outputs = {
        "segmentation": len(ORDER.get(dataset, LABELS)),
        "classification": len(classes),
        "regression": 1,
        "landmark_heatmap": 3,
        "landmark_coordinate": 6,
        "pretraining": 0,
    }[kind]
    channels = 2 if frames == "ed_es" else SEQUENCES.get(dataset, 1)
    grid = {view: (PUBLISHED_GRID[view][0], SPACING_MM.get(dataset, PUBLISHED_GRID[view][1])) for view in views}
    return Setting(
        task,
        name,
        kind,
        dataset,
        views,
        frames,
        channels,
        outputs,
        grid,
        COLUMNS.get(task),
        classes,
        MEAN_STD.get((task, dataset)),
    )


def small(setting):
    """The same experiment on terms.SMALL_GRID, for the small models."""
    return replace(setting, grid={view: SMALL_GRID[view] for view in setting.views})


def config(setting, model="cinema", like_release=False, seed=0):
    """TrainConfig of the published recipe. model: "cinema", "scratch", "unet" or "resnet"; all but "cinema" start
    from random weights.

    Fixed: no item of an epoch is left out; weight decay is .05 from scratch too, and spares biases and norms.
    """
    key = "segmentation_rescan" if setting.dataset == "rescan" else setting.kind
    result = replace(PAPER[key], seed=seed, drop_remainder=like_release or setting.kind == "pretraining")
    if model == "cinema" or setting.kind == "pretraining":
        return result
    scratch = replace(result, layer_decay=None)
    return replace(scratch, weight_decay=0.01, decay_everything=True) if like_release else scratch


def augmentation(setting, like_release=False):
    """{"sax": Augment, "lax": Augment} of the published recipe.

    Fixed: scale varies along both axes, and noise has its size on images in [0, 1]. To the letter, lengths are voxels.
    """
    chosen = {"segmentation": SEGMENTATION, "pretraining": PRETRAINING}.get(
        setting.kind, LANDMARKS if setting.kind.startswith("landmark") else CLASSIFICATION
    )
    if not like_release or setting.kind == "pretraining":
        return chosen
    noise = 0.1 if setting.dataset == "rescan" else 0.1 / 255  # only Rescan's inputs are 0..1 where noise is added
    letter = varied(chosen, scale=(0.2, 0.0), noise=noise)
    pixel_mm = setting.grid[setting.views[0]][1][0]
    return {
        kind: replace(one, translation_mm=one.translation_mm * pixel_mm, hole_mm=one.hole_mm * pixel_mm)
        for kind, one in letter.items()
    }


def task_of(setting, z_score=None):
    """The tasks.Task of a setting; z_score: (mean, standard deviation) of a regression's target."""
    if setting.dataset in ORDER:
        return segmentation.late_enhancement_task(setting.dataset)
    return regression.task(*z_score) if setting.kind == "regression" else KINDS[setting.kind]


def description(setting, model="cinema"):
    """(class name, constructor arguments) of the published model; ValueError if the task has no such model."""
    dense = setting.kind in ("segmentation", "landmark_heatmap")
    check_model(setting, model)
    flat, views = setting.views[0] != "sax", setting.views
    n_frames = 2 if setting.frames == "ed_es" else 1
    if model == "unet":
        factor = (2, 2, 1)[: 2 if flat else 3]
        return "UNet", dict(
            n_dims=len(factor),
            in_chans=setting.channels,
            out_chans=setting.outputs,
            chans=(32, 64, 128, 256, 512),
            dropout=0.1,
            patch_size=factor,
            scale_factor=factor,
            grad_ckpt=True,
        )
    if model == "resnet":
        return f"ResNet{2 if flat else 3}d", dict(
            depth=50, in_chans=setting.channels, out_chans=setting.outputs, layer_inplanes=(64, 128, 256, 512)
        )
    encoder = dict(
        image_size_dict={view: setting.grid[view][0] for view in views},
        in_chans_dict=dict.fromkeys(views, setting.channels // n_frames),
        enc_patch_size_dict=_per_view(views, (4, 4, 1)),
        enc_scale_factor_dict=_per_view(views, (2, 2, 1)),
        enc_conv_chans=(64, 128),
        enc_conv_n_blocks=2,
        grad_ckpt=True,
        **SIZES["base"],
    )
    if setting.kind == "pretraining":
        return "CineMA", encoder
    encoder = {key: value for key, value in encoder.items() if not key.startswith("dec_")}
    if dense:
        return "ConvUNetR", dict(
            encoder,
            out_chans=setting.outputs,
            dec_chans=(32, 64, 128, 256, 512),
            dec_patch_size_dict=_per_view(views, (2, 2, 1)),
            dec_scale_factor_dict=_per_view(views, (2, 2, 1)),
            dropout=0.1,
            drop_path=0.1,
        )
    return "ConvViT", dict(encoder, n_frames=n_frames, out_chans=setting.outputs, drop_path=0.1)


def small_description(setting, model="cinema"):
    """The same for the small models of presets, which the ci profile trains."""
    name, published = description(setting, model)
    if model == "unet":
        return name, dict(published, chans=(12, 24, 48), n_blocks=1, grad_ckpt=False)
    if model == "resnet":
        return name, dict(published, depth=10, layer_inplanes=(8, 16, 24, 32))
    views = setting.views
    encoder = dict(small_encoder(views), **{key: published[key] for key in ("image_size_dict", "in_chans_dict")})
    if name == "CineMA":
        return name, dict(encoder, dec_embed_dim=96, dec_depth=2, dec_n_heads=4)
    if name == "ConvViT":
        return name, dict(encoder, n_frames=published["n_frames"], out_chans=setting.outputs)
    factor = {view: (2, 2, 2) if view == "sax" else (2, 2) for view in views}
    return name, dict(
        encoder,
        out_chans=setting.outputs,
        dec_chans=(16, 32, 64),
        dec_patch_size_dict=factor,
        dec_scale_factor_dict=_per_view(views, (2, 2, 1)),
    )


def build(setting, model="cinema", profile="paper"):
    """The model of a setting with random weights. Under torch.device("meta") it costs no memory."""
    return build_model(*(description if profile == "paper" else small_description)(setting, model))


def check_model(setting, model):
    """ValueError unless `model` is one of those the task has."""
    dense = setting.kind in ("segmentation", "landmark_heatmap")
    fitting = ("cinema",) if setting.kind == "pretraining" else ("cinema", "scratch", "unet" if dense else "resnet")
    if model not in fitting:
        raise ValueError(f"model is {model!r}; {setting.task} has {', '.join(fitting)}")


def _per_view(views, value):
    return {view: value if view == "sax" else value[:2] for view in views}
