"""M&Ms-2's folders from virtual hearts: SAX and 4C at ED and ES, masks, a table with gaps."""

from rawtrees import pairs
from rawtrees.hearts import hearts

NUMBERS = (1, 2, 17, 160, 161, 201)
VENDORS = {"Siemens": "SIEMENS", "Philips": "Philips Medical Systems", "GE": "GE MEDICAL SYSTEMS"}
HEAD = "SUBJECT_CODE,DISEASE,VENDOR,SCANNER,FIELD"


def build(folder, n=6, seed=0, faults=()):
    """Write n subjects (4 train, 1 val, 1 test, and so on), an incomplete row, an empty row, a row without files, a
    folder without a row and one numbered beyond the split; returns {"ids", "bad", "studies"}.

    faults: one more test subject for each: pairs.damage on the SAX at ED, "4D", "other grid" (ES), "two rows", and
            "4C label" (a wrong value in the other view). bad: id -> fault.
    """
    root, rows, studies, bad = folder / "MnM2", [], {}, {}
    found = hearts("mnms2", n, seed, ("ED", "ES"), pairs.GRID)
    numbers = [NUMBERS[k] if k < 6 else 20 + k for k in range(n)]
    for k, (number, study) in enumerate(zip(numbers, found, strict=True)):
        studies[f"{number:03d}"] = study
        subject(root / "dataset" / f"{number:03d}", study, k)
        rows.append(row(number, study))
    for k, fault in enumerate(faults):
        pid = f"{301 + k}"
        bad[pid], home = fault, root / "dataset" / pid
        subject(home, found[0], 0)
        rows += [row(pid, found[0])] * (2 if fault == "two rows" else 1)
        view = found[0].views["sax"]
        if fault == "4D":
            pairs.store(home / f"{pid}_SA_ED.nii.gz", view.image, view.affine)
        elif fault == "other grid":
            pairs.store(home / f"{pid}_SA_ES.nii.gz", view.image[2:, ..., 1], view.affine)
        elif fault == "4C label":
            pairs.damage("label", None, home / f"{pid}_LA_ES_gt.nii.gz")
        elif fault != "two rows":
            pairs.damage(fault, home / f"{pid}_SA_ED.nii.gz", home / f"{pid}_SA_ED_gt.nii.gz")
    subject(root / "dataset/359", found[0], 0)
    subject(root / "dataset/361", found[0], 0)
    (root / "dataset/358").mkdir()
    rows += [f"359,{found[0].attributes['disease']},,Avanto,1.5", ",,,,", row(361, found[0]), row(357, found[0])]
    bad |= {"359": "incomplete", "361": "beyond", "358": "no row", "357": "no files"}
    (root / "dataset_information.csv").write_text("\n".join([HEAD, *rows]) + "\n", encoding="utf-8")
    return {"ids": sorted(studies), "bad": bad, "studies": studies}


def subject(home, study, k):
    """Write one folder; a cine, as delivered, lies beside the eight files and is not used."""
    for name, short in (("sax", "SA"), ("lax_4c", "LA")):
        view = study.views[name]
        image, masks = pairs.scanner_grey(view.image, k), pairs.SWAPPED[view.labels]
        for frame, phase in enumerate(("ED", "ES")):
            pairs.store(home / f"{home.name}_{short}_{phase}.nii.gz", image[..., frame], view.affine)
            pairs.store(home / f"{home.name}_{short}_{phase}_gt.nii.gz", masks[..., frame], view.affine)
        (home / f"{home.name}_{short}_CINE.nii.gz").write_bytes(b"not opened")


def row(number, study):
    """A line of the table; numbers come without leading zeros."""
    who = study.attributes
    return f"{number},{who['disease']},{VENDORS[who['vendor']]},{who['scanner']},{who['field_t']}"
