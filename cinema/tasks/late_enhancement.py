"""Segmentation of scar and oedema: the loss of segmentation, scored by merged masks."""

from cinema.late_enhancement import REGIONS, classes, region_rows
from cinema.tasks import segmentation
from cinema.tasks.task import Task, identity
from cinema.transforms import crop_to


def task(dataset):
    """The Task of "emidec" or "myops". Items: StudyFrames(frames="channels", classes=late_enhancement.classes(..))."""
    classes(dataset)  # an unknown name is refused here

    def evaluate(model, batch, window=None):
        """A row per study, view and merged region; padding is cut off first."""
        rows = []
        for view, logits in segmentation.predict(model, batch["image"], window).items():
            predicted, true = logits.argmax(1).cpu().numpy(), batch["label"][view].cpu().numpy()
            for i in range(len(predicted)):
                size, spacing = batch["size"][view][i].tolist(), batch["spacing_mm"][view][i].tolist()
                scores = region_rows(crop_to(predicted[i], size), crop_to(true[i], size), spacing, dataset)
                rows += [{**identity(batch, i), "view": view, **score} for score in scores]
        return rows

    def summary(table):
        """Means over items: mean_dice (over the regions of each item first), and per region."""
        per_item = table.groupby(["study", "frame", "view"])["dice"].mean()  # undefined ones are skipped
        result = {"mean_dice": float(per_item.mean())}
        for region in REGIONS[dataset]:
            rows = table[table.structure == region]
            result |= {f"dice_{region}": float(rows.dice.mean()), f"hd95_mm_{region}": float(rows.hd95_mm.mean())}
        return result

    return Task(f"segmentation_{dataset}", segmentation.loss, evaluate, summary, monitor="mean_dice", maximise=True)
