"""What a notebook records, beyond what the runner's tests hold."""

import numpy as np

from cinema import runner
from cinema.stats import estimates


def test_what_is_not_known_is_not_recorded(tmp_path):
    page = runner.start("04_test", "ci", "virtual", tmp_path, 0, tmp_path)
    page.record("04_nothing", estimates.without_interval(np.nan, 0))
    page.record("04_single", estimates.without_interval(3.0, 1), unit="points")
    (row,) = page.table().to_dict("records")
    assert (row["key"], row["value"], row["lower"], row["n"]) == ("04_single", 3.0, None, 1)
