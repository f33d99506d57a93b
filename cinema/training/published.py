"""The published experiments as a table: which task on which data set, what it learns, and how it is trained.

`setting(task, name)` looks one up; `config`, `augmentation` and `build` give its training settings, augmentation and
model, either in the fixed version (default) or to the letter of the release (like_release). UNREPRODUCED lists what
of the letter is not a matter of values. Source: method, sections 9, 10 and 12.
"""

from dataclasses import dataclass, replace

from torch import nn

from cinema.data.late_enhancement import ORDER
from cinema.data.transforms import CLASSIFICATION, LANDMARKS, PRETRAINING, SEGMENTATION, varied
from cinema.models.config import build as build_model
from cinema.models.config import per_view
from cinema.models.finetuned import CLASSES, MEAN_STD, N_OUTPUTS, TRUTH
from cinema.models.published import DENSE, NAMES, resolve
from cinema.models.small import small_cinema, small_convunetr, small_convvit, small_unet
from cinema.models.vit import SIZES
from cinema.terms import PUBLISHED_GRID, SMALL_GRID
from cinema.training.recipe import PAPER, TrainConfig
from cinema.training.tasks import TASKS as KINDS

COLUMNS = TRUTH | {"regression_ef": "lv_ef_percent", "regression_bmi": "bmi_kg_m2", "regression_age": "age_years"}
SEQUENCES = {"myops": 3}  # image channels; one elsewhere
SPACING_MM = {"emidec": (1.458, 1.458, 10.0)}  # that of terms.PUBLISHED_GRID elsewhere
EVALUATION_ONLY = ("kaggle",)
PROFILES = ("ci", "paper")
# kind -> what an item is (frames of loaders.StudyFrames), and how it is augmented
ITEMS = {
    "pretraining": ("random", PRETRAINING),
    "segmentation": ("labelled", SEGMENTATION),
    **dict.fromkeys(("classification", "regression"), ("ed_es", CLASSIFICATION)),
    **dict.fromkeys(("landmark_heatmap", "landmark_coordinate"), ("landmarks", LANDMARKS)),
}
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

    task, name: as published; kind: name in training.tasks.TASKS. dataset: name of the prepared data set.
    frames:     what an item is, see loaders.StudyFrames. channels: of an image, all frames and sequences together.
    outputs:    classes, heatmaps or numbers that the model gives.
    grid:       view -> (size, spacing_mm), published, or small in profile "ci", which trains small models.
    column:     attribute of a study that is the target, or None; classes: its values in output order.
    z_score:    published mean and standard deviation of the target, or None.
    model:      "cinema", "scratch", "unet" or "resnet"; all but "cinema" start from random weights.
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
    column: str | None
    classes: tuple
    z_score: tuple | None
    profile: str
    model: str
    like_release: bool
    seed: int

    @property
    def evaluation_only(self):
        return self.dataset in EVALUATION_ONLY

    @property
    def n_frames(self):
        return 2 if self.frames == "ed_es" else 1


def setting(
    task: str, name: str, profile: str = "paper", model: str = "cinema", like_release: bool = False, seed: int = 0
) -> Setting:
    """The Setting of a task and a name; both may be short (classification acdc, landmark lax_2c, segmentation myops).

    ValueError naming the choices for anything unknown, and for a model that the task has not.
    """
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    task, name = resolve(task, name, model)
    dataset, views = NAMES[name]
    kind = task if task in KINDS else task.split("_")[0]
    frames = "channels" if dataset in ORDER else "all" if dataset in EVALUATION_ONLY else ITEMS[kind][0]
    channels = 2 if frames == "ed_es" else SEQUENCES.get(dataset, 1)
    classes = CLASSES.get((task, dataset), ())
    outputs = N_OUTPUTS | {"classification": len(classes), "regression": 1, "pretraining": 0}
    n_outputs = len(ORDER[dataset]) if dataset in ORDER else outputs[kind]
    grid = {view: (PUBLISHED_GRID[view][0], SPACING_MM.get(dataset, PUBLISHED_GRID[view][1])) for view in views}
    grid = grid if profile == "paper" else {view: SMALL_GRID[view] for view in views}
    shown = (views, frames, channels, n_outputs, grid)
    target = (COLUMNS.get(task), classes, MEAN_STD.get((task, dataset)))
    return Setting(task, name, kind, dataset, *shown, *target, profile, model, like_release, seed)


def config(setting: Setting) -> TrainConfig:
    """TrainConfig of the published recipe.

    Fixed: no item of an epoch is left out; weight decay is .05 from scratch too, and spares biases and norms.
    """
    key = "segmentation_rescan" if setting.dataset == "rescan" else setting.kind
    whole_batches = setting.like_release or setting.kind == "pretraining"
    result = replace(PAPER[key], seed=setting.seed, drop_remainder=whole_batches)
    if setting.model == "cinema":
        return result
    scratch = replace(result, layer_decay=None)
    return replace(scratch, weight_decay=0.01, decay_everything=True) if setting.like_release else scratch


def augmentation(setting: Setting) -> dict:
    """{"sax": Augment, "lax": Augment} of the published recipe.

    Fixed: scale varies along both axes, and noise has its size on images in [0, 1]. To the letter, lengths are voxels.
    """
    chosen = ITEMS[setting.kind][1]
    if not setting.like_release or setting.kind == "pretraining":
        return chosen
    noise = 0.1 if setting.dataset == "rescan" else 0.1 / 255  # only Rescan's inputs are 0..1 where noise is added
    letter = varied(chosen, scale=(0.2, 0.0), noise=noise)
    pixel_mm = setting.grid[setting.views[0]][1][0]
    return {
        kind: replace(one, translation_mm=one.translation_mm * pixel_mm, hole_mm=one.hole_mm * pixel_mm)
        for kind, one in letter.items()
    }


def description(setting: Setting) -> tuple[str, dict]:
    """(class name, constructor arguments) of the published model."""
    views = setting.views
    n_dims = 3 if views[0] == "sax" else 2
    ends, chans = dict(in_chans=setting.channels, out_chans=setting.outputs), (32, 64, 128, 256, 512)
    if setting.model == "unet":
        factor = (2, 2, 1)[:n_dims]
        shape = dict(n_dims=n_dims, chans=chans, patch_size=factor, scale_factor=factor)
        return "UNet", dict(**ends, **shape, dropout=0.1, grad_ckpt=True)
    if setting.model == "resnet":
        return f"ResNet{n_dims}d", dict(depth=50, **ends, layer_inplanes=(64, 128, 256, 512))
    finer = per_view(views, (2, 2, 1))
    encoder = dict(
        image_size_dict={view: setting.grid[view][0] for view in views},
        in_chans_dict=dict.fromkeys(views, setting.channels // setting.n_frames),
        enc_patch_size_dict=per_view(views, (4, 4, 1)),
        enc_scale_factor_dict=finer,
        enc_conv_chans=(64, 128),
        enc_conv_n_blocks=2,
        grad_ckpt=True,
        **SIZES["base"],
    )
    if setting.kind == "pretraining":
        return "CineMA", encoder
    encoder = {key: value for key, value in encoder.items() if not key.startswith("dec_")}
    encoder |= dict(out_chans=setting.outputs, drop_path=0.1)
    if setting.kind in DENSE:
        decoder = dict(dec_chans=chans, dec_patch_size_dict=finer, dec_scale_factor_dict=finer)
        return "ConvUNetR", dict(encoder, **decoder, dropout=0.1)
    return "ConvViT", dict(encoder, n_frames=setting.n_frames)


def build(setting: Setting) -> nn.Module:
    """The model of a setting with random weights. Under torch.device("meta") it costs no memory."""
    views, channels, outputs = setting.views, setting.channels, setting.outputs
    if setting.profile == "paper":
        return build_model(*description(setting))
    if setting.model == "unet":
        return small_unet(views[0], outputs, dropout=0.1, in_chans=channels)
    if setting.model == "resnet":
        name, published = description(setting)
        return build_model(name, dict(published, depth=10, layer_inplanes=(8, 16, 24, 32)))
    if setting.kind == "pretraining":
        return small_cinema(views)
    if setting.kind in DENSE:
        return small_convunetr(views, outputs, in_chans=channels)
    return small_convvit(views, setting.n_frames, outputs)
