"""ACDC's folders from virtual hearts: cine, ED and ES frames, masks, Info.cfg, each patient with a quirk of its own."""

import nibabel as nib
import numpy as np

from rawtrees import pairs
from rawtrees.hearts import hearts

FRAMES, ROLLED = 8, 3  # the cine starts somewhere in the cycle, so that ED is not the first frame
CONFIG_FAULTS = {
    "no key": lambda text: text.replace("ES:", "End systole:"),
    "no group": lambda text: text.replace("Group:", ""),
    "beyond": lambda text: text.replace("NbFrame: 8", "NbFrame: 2"),
    "no number": lambda text: text.replace("Height: ", "Height: tall "),
    "zero": lambda text: text.replace("ED: ", "ED: 0\nwas: "),
    "same": lambda text: text.replace("ED: ", "ED: 2\nwas: ").replace("ES: ", "ES: 2\nwas: "),
    "infinite": lambda text: text.replace("NbFrame: ", "NbFrame: inf\nwas: "),
    "empty": lambda text: "",
    "height": lambda text: text.replace("Height: 1", "Height: -1"),
}


def build(folder, n=6, seed=0, faults=()):
    """Write n patients, every sixth in testing; returns {"ids", "bad", "studies", "frames"}.

    faults: one more patient of testing for each, spoilt so (pairs.damage, CONFIG_FAULTS,
            "no config", "twice" (in training, too), "no cine" (one frame), "short cine" (2 frames),
            "other cine" (fewer slices)). bad: id -> fault.
    studies: id -> the virtual study whose labels are in the files; frames: id -> (ED, ES), counted from 1.
    """
    root, studies, frames, bad = folder / "database", {}, {}, {}
    found = hearts("acdc", n, seed, FRAMES, pairs.GRID)
    for k, study in enumerate(found):
        pid = f"patient{k + 1:03d}" if k % 6 != 1 else f"patient{101 + k // 6:03d}"
        studies[pid] = study
        frames[pid] = patient(root / ("testing" if k % 6 == 1 else "training") / pid, study, k)
    for k, fault in enumerate(faults):
        pid = f"patient{141 + k:03d}"
        bad[pid], home = fault, root / "testing" / pid
        ed, _ = patient(home, found[0], k)
        spoil(home, fault, ed)
        if fault == "twice":
            patient(root / "training" / pid, found[0], k)
    (root / "training" / "notes.txt").write_text("not a patient", encoding="utf-8")
    (root / "MANDATORY_CITATION.md").write_text("cite it", encoding="utf-8")
    return {"ids": sorted(studies), "bad": bad, "studies": studies, "frames": frames}


def patient(home, study, k):
    """Write one folder; returns (ED, ES) counted from 1. Subject 3 has an affine without sizes, subject 4 a Mac's file
    beside the others; heights have digits, as they come."""
    view, rolled = study.views["sax"], ROLLED + k % 2
    spacing = view.spacing_mm
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    order = np.roll(np.arange(FRAMES), rolled)
    ed, es = (int(np.flatnonzero(order == frame)[0]) for frame in (study.ed_frame, study.es_frame))
    cine = pairs.scanner_grey(view.image, k)[..., order]
    pairs.store(home / f"{home.name}_4d.nii.gz", cine, affine, k == 3)
    for frame, source in ((ed, study.ed_frame), (es, study.es_frame)):
        name = f"{home.name}_frame{frame + 1:02d}"
        pairs.store(home / f"{name}.nii.gz", cine[..., frame], affine, k == 3)
        pairs.store(home / f"{name}_gt.nii.gz", view.label_at(source), affine, k == 3)
    who = study.attributes
    group = {"ARV": "RV"}.get(who["disease"], who["disease"])
    size = f"Height: {who['height_cm']:.1f}\nNbFrame: {FRAMES}\nWeight: {who['weight_kg']:.1f}\n"
    (home / "Info.cfg").write_text(f"ED: {ed + 1}\nES: {es + 1}\nGroup: {group}\n{size}", encoding="utf-8")
    if k == 4:
        (home / f"._{home.name}_4d.nii.gz").write_bytes(b"\0" * 64)
    return ed + 1, es + 1


def spoil(home, fault, ed):
    frame, cine, config = home / f"{home.name}_frame{ed:02d}.nii.gz", home / f"{home.name}_4d.nii.gz", home / "Info.cfg"
    if fault in CONFIG_FAULTS:
        before = config.read_text(encoding="utf-8")
        config.write_text(CONFIG_FAULTS[fault](before), encoding="utf-8")
        assert config.read_text(encoding="utf-8") != before
    elif fault == "no config":
        config.unlink()
    elif fault == "no cine":
        cine.write_bytes(frame.read_bytes())
    elif fault in ("short cine", "other cine"):
        held = nib.load(cine)
        array = np.asarray(held.dataobj)
        array = array[..., :2] if fault == "short cine" else array[:, :, 1:]
        nib.save(nib.Nifti1Image(array, held.affine, held.header), cine)
    elif fault != "twice":
        pairs.damage(fault, frame, frame.with_name(frame.name.replace(".nii.gz", "_gt.nii.gz")))
