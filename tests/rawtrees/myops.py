"""A raw folder as MyoPS 2020 is delivered: three sequences of one grid, grey values for labels, test without masks."""

import numpy as np

from rawtrees import late, pairs

VALUES = {late.RV: 600, late.LV: 500, late.MYO: 200, late.OEDEMA: 1220, late.SCAR: 2221, late.NO_REFLOW: 2221}
DE = {late.LV: 420, late.RV: 400, late.MYO: 60, late.OEDEMA: 90, late.SCAR: 700, late.NO_REFLOW: 600}
T2 = {late.LV: 30, late.RV: 35, late.MYO: 90, late.OEDEMA: 190, late.SCAR: 170, late.NO_REFLOW: 150}


def build(folder, n=6, seed=0, faults=()):
    """n patients: the last in test20 under each name in turn, the others in train25; one more for each fault.

    faults: of pairs.damage (of C0 and the mask; "spacing" and "shape" of T2), "no sequence", "both" (in training and
            test), "twice" (in test under both names, beside a sound one of training).
    Returns {"ids", "bad": {id reported: fault}}.
    """
    n_test = max(1, n // 6)
    ids = [str(101 + k) for k in range(n - n_test)] + [str(201 + k) for k in range(n_test)]
    for heart, number in enumerate(ids):
        _patient(folder, number, heart, seed, "training" if number < "200" or int(number) % 2 else "test")
    bad = {}
    for k, fault in enumerate(faults):
        number = str(151 + k)
        stem = _patient(folder, number, 0, seed)
        bad[{"both": f"{number}-train", "twice": f"2{number}"}.get(fault, number)] = fault
        if fault == "no sequence":
            (folder / f"{stem}_DE.nii.gz").unlink()
        elif fault == "both":
            _patient(folder, number, 0, seed, "test")
        elif fault == "twice":
            ids.append(number)
            for word in ("test", "training"):
                _patient(folder, f"2{number}", 0, seed, word)
        else:
            other = f"{stem}_T2" if fault in ("spacing", "shape") else f"train25_myops_gd/myops_training_{number}_gd"
            pairs.damage(fault, folder / f"{stem}_C0.nii.gz", folder / f"{other}.nii.gz")
    return {"ids": sorted(ids), "bad": bad}


def _patient(folder, number, heart, seed, word="training"):
    """Write a patient, of training if the number begins with 1 and `word` says so; how its files' names begin."""
    cine, labels, affine = late.case(heart, seed)
    rng, box = np.random.default_rng([seed, int(number)]), (slice(223), slice(208))
    cine, labels = cine[box], labels[box]
    sequences = {"C0": cine, "DE": late.enhanced(cine, labels, DE, rng), "T2": late.enhanced(cine, labels, T2, rng)}
    training = number.startswith("1") and word == "training"
    stem = f"{'train25' if training else 'test20'}/myops_{word}_{number}"
    for name, image in sequences.items():
        pairs.store(folder / f"{stem}_{name}.nii.gz", image, affine)
    if training:
        mask = late.values(labels, VALUES, np.int16)
        pairs.store(folder / f"train25_myops_gd/myops_training_{number}_gd.nii.gz", mask, affine)
    return stem
