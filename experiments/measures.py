"""What the project's readers measure in the virtual people of notebooks 08 to 10, who are thousands.

Readers are shipped, and people depend on role, index and seed alone, so that numbers are the same at every run. They
are made once; `analysis.features.measures_on_record` measures a sample again wherever the table is used.
"""

import pandas as pd

from cinema.analysis import features
from cinema.phantom import cohort

RECIPES = {"ci": {"population": 4, "fairness": 2}, "laptop": {"population": 2000, "fairness": 1200}}


def run(profile, jobs, seed, work):
    """Tables by file name. measures: one row a person, study id and the columns of features.measures."""
    parts = []
    for role, n in RECIPES[profile].items():
        folder = cohort.write(role, n, seed, work / "experiments" / f"measures_{role}_seed{seed}", jobs=jobs)
        parts.append(features.measures(folder, jobs))
    return {"measures": pd.concat(parts).rename_axis("study").reset_index()}
