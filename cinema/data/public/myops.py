"""MyoPS 2020: cine, late enhancement and T2 of 45 patients on one grid. Source, licence, differences: cards/myops.yaml.

RAW holds train25/myops_training_ID_{C0,DE,T2}.nii.gz, train25_myops_gd/myops_training_ID_gd.nii.gz, and
test20/myops_test_ID_{C0,DE,T2}.nii.gz (some copies say myops_training_ there, too), which has no masks.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cinema.data.nifti import check_grid
from cinema.data.public.common import Cases, Skipped, Subject, heart_of, sorted_out, still
from cinema.data.study import Study, View

NAME = "myops"
SEQUENCES = ("C0", "DE", "T2")
FILE = re.compile(r"myops_(training|test)_(\d+)_(C0|DE|T2|gd)\.nii(\.gz)?")
FOLDERS = {"train25": "train", "train25_myops_gd": "train", "test20": "test"}
N_VAL = 5


@sorted_out
def subjects(raw: Path) -> Cases:
    """Patients with all sequences (and in training a mask). Validation is drawn from all training numbers."""
    cases: dict[tuple[str, str], dict[str, list[Path]]] = {}
    for folder, part in FOLDERS.items():
        for path in sorted((raw / folder).glob("*.nii*")):
            match = FILE.fullmatch(path.name)
            if match and (part == "test" or match[1] == "training") and (match[3] == "gd") == folder.endswith("gd"):
                cases.setdefault((part, match[2]), {}).setdefault(match[3], []).append(path)
    if not cases:
        raise FileNotFoundError(f"{raw} holds no train25/myops_training_ID_C0.nii.gz or test20; name their folder")
    validation = drawn(sorted(number for part, number in cases if part == "train"))
    for (part, number), paths in sorted(cases.items(), key=lambda item: (item[0][1], item[0][0])):
        wanted = SEQUENCES + ("gd",) * (part == "train")
        lacking = [name for name in wanted if name not in paths]
        twice = [name for name in wanted if len(paths.get(name, ())) > 1]
        if {("train", number), ("test", number)} <= set(cases):
            yield Skipped(f"{number}-{part}", f"patient {number} is in training and test; remove one of them")
        elif lacking:
            yield Skipped(number, f"{lacking[0]} of {number} is missing in {part}; download it again")
        elif twice:
            copies = ", ".join(path.name for path in paths[twice[0]])
            yield Skipped(number, f"{twice[0]} of {number} is there twice: {copies}; remove one of them")
        else:
            split = "val" if part == "train" and number in validation else part
            yield Subject(number, split, tuple(paths[name][0] for name in wanted), {"sequences": "C0,DE,T2"})


def drawn(numbers: Sequence[str]) -> set[str]:
    """The validation patients: pandas' sample(n=5, random_state=0); of fewer than ten patients, a fifth."""
    n = N_VAL if len(numbers) >= 2 * N_VAL else len(numbers) // 5 or min(len(numbers) - 1, 1)
    return set(pd.Series(numbers, dtype=object).sample(n=max(n, 0), random_state=0))


def read(subject: Subject) -> Study:
    """The Study of a patient: the three sequences as frames, the mask (training) at the first of them."""
    volumes = [still(path) for path in subject.files[:3]]
    for path, one in zip(subject.files[:3], volumes, strict=True):
        check_grid(*one, volumes[0], path.name)
    image, affine, labels = np.stack([pixels for pixels, _ in volumes], -1), volumes[0][1], None
    if len(subject.files) > 3:
        labels = heart_of(subject.files[3], volumes[0], NAME, subject.files[3].name)[..., None]
    view = View(image, affine, labels, () if labels is None else (0,))
    return Study(subject.id, NAME, {"sax": view}, subject.attributes)
