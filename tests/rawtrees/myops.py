"""A raw folder as MyoPS 2020 is delivered: three sequences of one grid, grey values for labels, test without masks."""

import numpy as np

from rawtrees import late

FLAWS = ("value", "unreadable", "no_sequence", "no_mask", "twice", "both", "shape", "spacing", "empty")
VALUES = {late.RV: 600, late.LV: 500, late.MYO: 200, late.OEDEMA: 1220, late.SCAR: 2221, late.NO_REFLOW: 2221}
DE = {late.LV: 420, late.RV: 400, late.MYO: 60, late.OEDEMA: 90, late.SCAR: 700, late.NO_REFLOW: 600}
T2 = {late.LV: 30, late.RV: 35, late.MYO: 90, late.OEDEMA: 190, late.SCAR: 170, late.NO_REFLOW: 150}


def build(folder, n=6, seed=0, flaws=(), size=(223, 208)):
    """n patients: the last in test20 under each name in turn, the others in train25; one more for each of `flaws`.

    size: pixels in plane, at most 224 x 208. Returns {"train", "test", "flawed": {flaw: id reported}}.
    """
    n_test = max(1, n // 6)
    facts = {
        "train": [f"{101 + k}" for k in range(n - n_test)],
        "test": [f"{201 + k}" for k in range(n_test)],
        "flawed": {},
    }
    for heart, number in enumerate(facts["train"] + facts["test"]):
        _patient(folder, number, heart, seed, size, word=("test", "training")[int(number) % 2])
    for number, flaw in enumerate(flaws, start=151):
        _patient(folder, str(number), 0, seed, size, flaw)
        facts["flawed"][flaw] = {"both": f"{number}-train", "twice": f"2{number}"}.get(flaw, str(number))
    return facts


def _patient(folder, number, heart, seed, size, flaw=None, word="test"):
    cine, labels, affine = late.case(heart, seed)
    rng, box = np.random.default_rng([seed, int(number)]), tuple(slice(n) for n in size)
    cine, labels = cine[box], labels[box]
    mask = np.zeros(labels.shape, np.int16)
    for ours, value in VALUES.items():
        mask[labels == ours] = value
    sequences = {"C0": cine, "DE": late.enhanced(cine, labels, DE, rng), "T2": late.enhanced(cine, labels, T2, rng)}
    training = number.startswith("1")
    stem = f"train25/myops_training_{number}" if training else f"test20/myops_{word}_{number}"
    for name, image in sequences.items():
        where, pixels = affine, image
        if name == "T2" and flaw == "spacing":
            where = affine @ np.diag([1.1, 1.1, 1, 1])
        if name == "T2" and flaw == "shape":
            pixels = image[:, :-1]
        if not (name == "DE" and flaw == "no_sequence"):
            late.write(folder / f"{stem}_{name}.nii.gz", pixels, where)
    if flaw == "unreadable":
        path = folder / f"{stem}_C0.nii.gz"
        path.write_bytes(path.read_bytes()[:4000])
    if flaw == "both":
        late.write(folder / f"test20/myops_test_{number}_C0.nii.gz", cine, affine)
    if flaw == "value":
        mask[0, 0, 0] = 601
    if flaw == "empty":
        mask[:] = 0
    if training and flaw != "no_mask":
        late.write(folder / f"train25_myops_gd/myops_training_{number}_gd.nii.gz", mask, affine)
    if flaw == "twice":
        twin = folder / f"test20/myops_test_2{number}"
        for kind in ("test", "training"):
            for name, image in sequences.items():
                late.write(twin.parent / f"myops_{kind}_2{number}_{name}.nii.gz", image, affine)
