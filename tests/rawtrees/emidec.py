"""A raw folder as EMIDEC is delivered: late enhancement, contours, text files in Latin-1 with escapes."""

import numpy as np

from rawtrees import late, pairs

VALUES = {late.LV: 1, late.MYO: 2, late.OEDEMA: 2, late.SCAR: 3, late.NO_REFLOW: 4}  # of the files
LEVELS = {late.LV: 420, late.RV: 400, late.MYO: 60, late.OEDEMA: 70, late.SCAR: 700, late.NO_REFLOW: 40}
TEXT = (
    "Sex : {sex}\nAge : {age}\nTobacco : {tobacco}\nOverweight : {overweight}\nArterial hypertension : N\n"
    "Diabetes : Y\nFamilial history of coronary artery disease : N\nECG (ST +) : Y\nTroponin : 23.5\n"
    "Killip Max : 2\nFEVG : {ef}\nNTProBNP : 1200\nRemarque : h\xe9t\xe9rog\xe8ne\\x21\n"
)


def build(folder, n=6, seed=0, faults=()):
    """n cases, one in six normal, plus one for each fault: of pairs.damage, "no text", "copy" and "twice" (folders).

    Returns {"ids", "bad": {id reported: fault}, "texts": {id: written values}}; a case that was copied is sound.
    """
    root, texts, bad = folder / "emidec-dataset-1.0.1", {}, {}
    ids = [_case(root, "N" if k % 6 == 5 else "P", k + 1, k, seed, texts) for k in range(n)]
    for number, fault in enumerate(faults, start=901):
        case = _case(root, "P", number, 0, seed, texts)
        reported = {"copy": f"{case}_copy", "twice": f"Case_P{number:05d}"}.get(fault, case)
        bad[reported] = fault
        if fault == "no text":
            (root / f"{case.replace('_', ' ')}.txt").unlink()
        elif reported != case:
            (root / reported).mkdir()
            ids += [case] * (fault == "copy")
        else:
            pairs.damage(fault, *(root / case / part / f"{case}.nii.gz" for part in ("Images", "Contours")))
    return {"ids": sorted(ids), "bad": bad, "texts": texts}


def _case(root, kind, number, heart, seed, texts):
    case, rng = f"Case_{kind}{number:03d}", np.random.default_rng([seed, number])
    cine, labels, affine = late.case(heart, seed, kind == "P")
    texts[case] = {
        "sex": "FM"[number % 2],
        "age": 50 + number,
        "tobacco": "YNF"[number % 3],
        "overweight": "NY"[number % 2],
        "ef": 30.5 + number,
    }
    pairs.store(root / case / "Images" / f"{case}.nii.gz", late.enhanced(cine, labels, LEVELS, rng), affine)
    pairs.store(root / case / "Contours" / f"{case}.nii.gz", late.values(labels, VALUES, np.uint8), affine)
    (root / f"{case.replace('_', ' ')}.txt").write_bytes(TEXT.format(**texts[case]).encode("latin-1"))
    return case
