"""A raw folder as EMIDEC is delivered: late enhancement, contours, text files in Latin-1 with escapes."""

import numpy as np

from rawtrees import late

FLAWS = ("value", "unreadable", "no_contour", "no_text", "copy", "twice", "shape", "spacing", "empty")
VALUES = {late.LV: 1, late.MYO: 2, late.OEDEMA: 2, late.SCAR: 3, late.NO_REFLOW: 4}  # of the files
LEVELS = {late.LV: 420, late.RV: 400, late.MYO: 60, late.OEDEMA: 70, late.SCAR: 700, late.NO_REFLOW: 40}
TEXT = (
    "Sex : {sex}\nAge : {age}\nTobacco : {tobacco}\nOverweight : {overweight}\nArterial hypertension : N\n"
    "Diabetes : Y\nFamilial history of coronary artery disease : N\nECG (ST +) : Y\nTroponin : 23.5\n"
    "Killip Max : 2\nFEVG : {ef}\nNTProBNP : 1200\nRemarque : h\xe9t\xe9rog\xe8ne\\x21\n"
)


def build(folder, n=6, seed=0, flaws=()):
    """n cases, one in six normal, plus one for each of `flaws` (of FLAWS) that has it.

    Returns {"pids", "texts": {pid: written values}, "flawed": {flaw: id reported}}.
    """
    root, facts = folder / "emidec-dataset-1.0.1", {"pids": [], "texts": {}, "flawed": {}}
    for index in range(n):
        kind = "N" if index % 6 == 5 else "P"
        facts["pids"].append(_case(root, kind, index + 1, index, seed, facts["texts"]))
    for number, flaw in enumerate(flaws, start=901):
        pid = _case(root, "P", number, 0, seed, {}, flaw)
        facts["flawed"][flaw] = {"copy": f"{pid}_copy", "twice": f"Case_P{number:05d}"}.get(flaw, pid)
    return facts


def _case(root, kind, number, heart, seed, texts, flaw=None):
    pid, rng = f"Case_{kind}{number:03d}", np.random.default_rng([seed, number])
    cine, labels, affine = late.case(heart, seed, kind == "P")
    mask = np.zeros(labels.shape, np.uint8)
    for ours, value in VALUES.items():
        mask[labels == ours] = value
    texts[pid] = {
        "sex": "FM"[number % 2],
        "age": 50 + number,
        "tobacco": "YNF"[number % 3],
        "overweight": "NY"[number % 2],
        "ef": 30.5 + number,
    }
    root.mkdir(parents=True, exist_ok=True)
    if flaw != "no_text":
        content = TEXT.format(**texts[pid]).encode("latin-1")
        (root / f"{pid.replace('_', ' ')}.txt").write_bytes(content)
    image, contour = root / pid / "Images" / f"{pid}.nii.gz", root / pid / "Contours" / f"{pid}.nii.gz"
    late.write(image, late.enhanced(cine, labels, LEVELS, rng), affine)
    if flaw == "unreadable":
        image.write_bytes(image.read_bytes()[:4000])
    if flaw == "value":
        mask[0, 0, 0] = 7
    if flaw == "empty":
        mask[:] = 0
    if flaw == "shape":
        mask = mask[:-1]
    if flaw == "spacing":
        affine = affine @ np.diag([1.1, 1.1, 1, 1])
    if flaw == "copy":
        (root / f"{pid}_copy").mkdir()
    if flaw == "twice":
        (root / f"Case_P{number:05d}").mkdir()
    if flaw != "no_contour":
        late.write(contour, mask, affine)
    return pid
