"""What a notebook opens with: `page = start(...)` holds its figures, records, random numbers, folders and cores."""

import math
import os
import shutil
import warnings
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd

from cinema import results
from cinema.data.inputs import DATASETS
from cinema.data.public import cards, prepared
from cinema.files import ROOT
from cinema.parallel import count_cores
from cinema.plots import style
from cinema.runner import ledger, lessons
from cinema.runner.for_data import VIRTUAL
from cinema.runner.run import PROFILES
from cinema.stats.estimates import FEW, LEVEL, Estimate, bca, paired_difference


@dataclass(frozen=True)
class Page:
    """One notebook being run.

    data:  "virtual", or the dataset whose patients it is about. out: where figures and records go.
    rng:   the page's random numbers, from its seed. work: folder of what pages make for each other; profiles, data and
           seeds never share one. jobs: processes at once, the cores this page was given.
    least: fewest patients that get an interval (stats.estimates); None for virtual people, who are never too few.
    """

    name: str
    profile: str
    data: str
    data_root: Path
    seed: int
    out: Path
    rng: np.random.Generator
    work: Path
    jobs: int
    least: int | None

    figure = staticmethod(style.figure)
    cine = staticmethod(style.cine)
    table = staticmethod(results.table)
    paper = staticmethod(ledger.read_paper)
    check = staticmethod(lessons.check)

    @property
    def virtual(self) -> bool:
        return self.data == VIRTUAL

    @property
    def small(self) -> bool:
        """True in the profile that only checks that everything runs."""
        return self.profile == "ci"

    def save(self, fig, name: str, cohort: str | None = None) -> None:
        """Write figure `name` ("04_mae") as plots.style.save does."""
        style.save(fig, name, self.out, self.seed, cohort)

    def record(self, key: str, value, *interval, **about) -> None:
        """results.record of a number, or of a stats.estimates.Estimate; one without a value is left out."""
        if not isinstance(value, tuple):
            results.record(key, value, *interval, **about)
        elif math.isfinite(value.value):
            results.record(key, *value, **about)

    def mean(self, values) -> Estimate:
        """Mean over people, one value each, with its BCa interval (stats.estimates.bca)."""
        return bca(values, np.mean, self.rng, least=self.least)

    def paired(self, first, second, level: float = LEVEL) -> Estimate:
        """Mean difference of values of the same people, first - second (stats.estimates.paired_difference)."""
        return paired_difference(first, second, self.rng, level=level, least=self.least)

    def own_folder(self, empty: bool = True) -> Path:
        """work/NN_seedS, for this page alone; emptied unless told otherwise."""
        folder = self.work / f"{self.name[:2]}_seed{self.seed}"
        if empty:
            shutil.rmtree(folder, ignore_errors=True)
        return folder

    def lacks(self, what: str) -> bool:
        """True if the page's people do not have `what` ("scan-rescan pairs"), a word of the dataset's card (`has`).
        Virtual people lack only what makes patients: "patients"."""
        return what == "patients" if self.virtual else what not in ("patients", *cards.card(self.data).has)

    def studies(self) -> pd.DataFrame:
        """The prepared studies of the page's dataset (prepared.studies); no rows where people are virtual."""
        if self.virtual:
            return pd.DataFrame(columns=["id", "path", "split"], dtype=object)
        return prepared.studies(self.data, self.data_root)

    def unlabelled(self, n_learn: int, n_held: int) -> tuple[list, list]:
        """Files to learn from and files held out: prepared studies with all four views (prepared.unlabelled)."""
        return prepared.unlabelled(self.data, self.data_root, self.work, n_learn, n_held, self.jobs)


def start(name, profile, data, data_root, seed, out, paper="", virtual_only=False) -> Page:
    """Begin a notebook: its records are empty from here on.

    name:  "04_ejection_fraction". The next five: the notebook's parameters. With `out` figures/, as in a page run by
           hand, figures and records go to report/by_hand/figures, and a line says so.
    paper: what to do instead of a page in the profile paper of virtual people or, with virtual_only, of any patients,
           which is refused with a ValueError of one line. Without it every page is made.
    Raises ValueError, in one line, for a parameter that cannot be.
    """
    data_root, seed, out = _checked(profile, data, data_root, seed, out)
    if paper and (virtual_only or data == VIRTUAL) and (profile == "paper" or data != VIRTUAL):
        raise ValueError(f"profile {profile!r} with data {data!r}: {paper}")
    if Path(out).resolve() == ROOT / "figures":  # a page by hand: only the runner brings figures there
        out = ROOT / "report" / "by_hand" / "figures"
        print(f"figures and numbers of this page go to {os.path.relpath(out)}")
    try:
        results.begin(name, out, data, data if data == VIRTUAL else prepared.stamp(data))
    except OSError as error:
        raise ValueError(
            f"out is {_short(out)} and cannot be written ({error.strerror}); name another folder"
        ) from None
    words = (profile, "" if data == VIRTUAL else data, f"seed{seed}" if seed else "")
    work = data_root / "work" / "-".join(filter(None, words))
    told = os.environ.get("OMP_NUM_THREADS", "")  # which the runner sets
    jobs = int(told) if told.isdigit() else count_cores()
    rng, least = np.random.default_rng(seed), None if data == VIRTUAL else FEW
    pd.set_option("display.max_colwidth", None)
    warnings.filterwarnings("ignore", message="IProgress not found")  # a library's wish for a widget we do not use
    return Page(name, profile, data, data_root, seed, Path(out), rng, work, jobs, least)


def _checked(profile, data, data_root, seed, out):
    """(data_root, seed, out) of a parameters cell as paths and a number; ValueError for a value that cannot be."""
    for name, value, choices in (("profile", profile, PROFILES), ("data", data, (VIRTUAL, *DATASETS))):
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{name} is {_short(value)}; choose from {', '.join(choices)}")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed is {_short(seed)}; give a whole number, 0 or more")
    for name, value in (("data_root", data_root), ("out", out)):
        if not isinstance(value, (str, Path)) or str(value).strip() == "" or "\0" in str(value):
            raise ValueError(f"{name} is {_short(value)}; name a folder")
    return Path(data_root), int(seed), Path(out)


def _short(value):
    return " ".join(repr(value).split())[:80]
