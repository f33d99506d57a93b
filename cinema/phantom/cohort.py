"""Virtual cohorts: sub-cohorts that play the roles of the paper's data sets, person by person.

`person(role, index, seed)` depends on nothing else, so a cohort can grow, be made in parallel, or be interrupted, and
every study stays the same. `write` renders a cohort into a folder of study files.
"""

import hashlib
import json
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cinema.data.study import SUFFIX, Study, save_study, study_table
from cinema.files import PACKAGE, digest, write_text
from cinema.parallel import in_parallel
from cinema.phantom import ceilings, diseases, drawing, image, outcomes, people, shape
from cinema.phantom.heart import Heart
from cinema.phantom.roles import ROLES, acquisition, rescanned
from cinema.terms import SMALL_GRID, VIEWS

MANIFEST, TRUTH = "manifest.json", "truth.json"
N_CEILING = 3000  # other people of the same role, simulated for the ceilings


@dataclass(frozen=True)
class Person:
    """One virtual person in one scanner. truth: planted scores, beside shape.truth."""

    id: str
    role: str
    attributes: dict
    heart: Heart
    acquisition: image.Acquisition
    truth: dict


def check_role(role):
    """ROLES[role]; otherwise ValueError naming the choices."""
    if role not in ROLES:
        raise ValueError(f"unknown role {role!r}; choose one of {', '.join(ROLES)}")
    return ROLES[role]


def person_id(role, index):
    """The id of person(role, index, seed) without drawing it."""
    number = f"{index // 2:05d}_{'AB'[index % 2]}" if check_role(role).paired else f"{index:05d}"
    return f"virtual_{role}_{number}"


def person(role, index, seed=0):
    """The `index`-th person of a sub-cohort, the same whatever else is drawn. In paired roles 2k and 2k + 1 are
    scan and rescan of one patient."""
    spec = check_role(role)
    patient = index // 2 if spec.paired else index
    stream = lambda number, purpose: np.random.default_rng([seed, zlib.crc32(role.encode()), number, purpose])
    disease = _even_choice(spec.classes, patient, seed, role)
    rng = stream(patient, 0)
    who = people.demographics(rng, spec.population)
    shift, sbp_shift, heart_rate_shift = 0.0, 15.0 if disease == "HHD" else 0.0, 0.0
    if spec.prevalence is not None:
        exposed = outcomes.expose(rng, who, spec.prevalence)
        shift, sbp_shift, heart_rate_shift = outcomes.total_shift(exposed)
        who |= exposed
    who |= people.circulation(rng, who, sbp_shift, heart_rate_shift)
    heart = diseases.patient(rng, disease, spec.rules, who, shift)
    attributes, truth = {**who, "disease": disease, "patient": f"virtual_{role}_{patient:05d}"}, {}
    if spec.prevalence is not None:
        truth = ceilings.oracle_scores(who, heart)
        attributes |= outcomes.survive(stream(patient, 1), truth["log_hazard"], spec.death_share)
    shares = [share for *_, share in spec.scanners]
    site, scanner, _ = spec.scanners[stream(patient, 2).choice(len(shares), p=shares)]
    if spec.paired:
        heart = rescanned(stream(index, 3), heart, who["sex"])
        if index % 2:
            attributes["rescan_of"] = person_id(role, index - 1)
    scan = acquisition(stream(index, 4), spec, scanner, attributes)
    attributes |= {"site": site, "scanner": scanner, "vendor": scan.vendor, "field_t": scan.field_t}
    return Person(person_id(role, index), role, attributes, heart, scan, truth)


def _even_choice(shares, number, seed, role):
    """A class of `shares` per number such that every stretch of numbers holds them (golden-ratio sequence)."""
    names, weights = list(shares), list(shares.values())
    start = zlib.crc32(f"{role} {seed}".encode()) / 2**32
    where = (start + number * 0.6180339887498949) % 1.0
    return names[min(int(np.searchsorted(np.cumsum(weights) / sum(weights), where, "right")), len(names) - 1)]


def phase_list(heart, phases):
    """("ED", "ES") or a number of frames -> (phases in [0, 1), ED frame, ES frame)."""
    if isinstance(phases, int) and phases > 0:
        even = np.arange(phases) / phases
        return even, 0, int(np.argmin(np.abs(even - heart.es_fraction)))
    if tuple(phases) == ("ED", "ES"):
        return np.array([0.0, heart.es_fraction]), 0, 1
    raise ValueError(f"phases are {phases!r}; give ('ED', 'ES') or a positive number of frames")


def study(person, phases=("ED", "ES"), grid=SMALL_GRID):
    """Scan a person: a Study with the views, masks and landmarks that the role's model data set has. Images are uint8
    (as stored by scanners, one scale per view); volumes, EF and the rest are in `truth`, of the tissue and as drawn."""
    spec = check_role(person.role)
    where, ed, es = phase_list(person.heart, phases)
    views = image.acquire(person.heart, person.acquisition, where, grid, spec.views)
    for name, view in views.items():
        top = np.percentile(view.image, 99.5)  # the brightest fat may saturate, as it does in clinical images
        stored = np.clip(view.image * (255.0 / top) + 0.5, 0, 255).astype(np.uint8)
        labels, frames = (view.labels, view.label_frames) if name in spec.masks else (None, ())
        marks = view.landmarks if name in spec.landmarks else None
        views[name] = replace(view, image=stored, labels=labels, label_frames=frames, landmarks=marks)
    truth = shape.truth(person.heart, where) | drawing.truth(person.heart) | person.truth
    return Study(person.id, f"virtual {person.role}", views, person.attributes, truth, ed, es)


def save(person, folder, phases=("ED", "ES"), grid=SMALL_GRID):
    """Scan a person and store the Study in a folder; returns its path."""
    return save_study(study(person, phases, grid), folder)


def write(role, n, seed, folder, phases=("ED", "ES"), grid=SMALL_GRID, jobs=1):
    """Render the first n people of a role into folder/<id>.h5, with manifest.json and truth.json; return the folder.

    Studies already there are kept if the manifest says that role, seed, phases, grid and the generator's sources are
    the same; otherwise the cohort is made anew, with one line saying so. ValueError if the folder holds studies of
    another role or of unknown origin.
    """
    phase_list(person(role, 0, seed).heart, phases)  # refuse before anything is touched
    lacking = [view for view in ROLES[role].views if view not in grid]
    if lacking or n < 1:
        raise ValueError(f"n is {n}, the grid lacks {lacking or 'nothing'}; give n >= 1 and a grid for every view")
    folder = Path(folder)
    wanted = {"role": role, "seed": seed, "phases": phases if isinstance(phases, int) else list(phases)}
    wanted["grid"] = {view: [list(map(float, part)) for part in value] for view, value in grid.items()}
    wanted["sources"] = source_hash()
    _clear_stale(folder, wanted)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / MANIFEST, json.dumps(wanted | {"n": n}, indent=1) + "\n")
    paths = [folder / f"{person_id(role, index)}{SUFFIX}" for index in range(n)]
    for path in set(folder.glob(f"*{SUFFIX}")) - set(paths):
        path.unlink()  # a cohort of n holds n studies
    missing = [index for index, path in enumerate(paths) if not path.exists()]
    render = lambda index: save(person(role, index, seed), folder, phases, grid)
    in_parallel(render, missing, jobs, f"virtual {role}")
    if not (folder / TRUTH).exists():
        others = [person(role, index, seed + 1_000_003) for index in range(N_CEILING)]
        planted = {"role": role} | ceilings.planted(ROLES[role], others)
        write_text(folder / TRUTH, json.dumps(planted, indent=1) + "\n")
    return folder


def table(role, n, seed, folder, **how):
    """study.study_table of what `write` renders, with the same arguments."""
    return study_table(write(role, n, seed, folder, **how))


def _clear_stale(folder, wanted):
    studies, manifest = list(folder.glob(f"*{SUFFIX}")), folder / MANIFEST
    if not manifest.exists():
        if studies:
            raise ValueError(f"{folder} holds studies but no {MANIFEST}; name an empty folder")
        return
    found = json.loads(manifest.read_bytes())
    if found["role"] != wanted["role"]:
        raise ValueError(f"{folder} holds the role {found['role']!r}, not {wanted['role']!r}; name another folder")
    changed = [key for key, value in wanted.items() if found.get(key) != value]
    if changed:
        print(f"{folder}: {', '.join(changed)} changed since it was written; making it anew")
        for path in [*studies, folder / TRUTH, manifest]:
            path.unlink(missing_ok=True)


def source_hash():
    """Hash of the generator's sources: what a written cohort depends on beside its arguments."""
    beside = ("terms.py", "data/geometry.py", "data/study.py", "stats/metrics.py")
    return digest([*sorted(Path(__file__).parent.glob("*.py")), *(PACKAGE / name for name in beside)])


def split(table, shares=(("train", 0.6), ("val", 0.2), ("test", 0.2)), by="disease", seed=0):
    """A split name per row of `table`, by patient and within each value of `by` (None: all together).

    The shares hold within every stratum to the nearest patient; rows' order does not matter, and both scans of a
    patient go the same way. table: columns `patient` (or `id`) and `by`.
    """
    import pandas as pd

    patient = table["patient" if "patient" in table else "id"]
    stratum = table[by].astype(str) if by is not None else pd.Series("all", index=table.index)
    first = pd.DataFrame({"patient": patient, "stratum": stratum}).drop_duplicates("patient")
    first["key"] = [hashlib.sha256(f"{seed} {name}".encode()).hexdigest() for name in first["patient"]]
    first = first.sort_values("key")
    rank = (first.groupby("stratum").cumcount() + 0.5) / first.groupby("stratum")["patient"].transform("size")
    names, parts = zip(*shares)
    edges = np.cumsum(parts) / sum(parts)
    chosen = np.asarray(names)[np.minimum(np.searchsorted(edges, rank), len(names) - 1)]
    return patient.map(dict(zip(first["patient"], chosen))).rename("split")


def plane_affines(person):
    """view -> affine (4, 4) of the plane or stack the person is scanned in, without a picture."""
    return {view: image.place(person.heart, person.acquisition, view).affine(person.heart) for view in VIEWS}


def plane_landmarks(person, view, grid, phases):
    """Exact landmarks (phases, 3, 2) of a long-axis plane, in pixels of the grid: two mitral hinges and the apex."""
    return image.landmarks(person.heart, image.place(person.heart, person.acquisition, view, grid), phases)


def exact_heart(person):
    """shape.truth of a person at end diastole: volumes, EF, mass, wall thickness .. as exact numbers."""
    return shape.truth(person.heart, [0.0])
