"""What a notebook records, beyond what the runner's tests hold."""

import numpy as np

from cinema import results
from cinema.stats import estimates


def test_what_is_not_known_is_not_recorded(tmp_path):
    results.begin("04_test", tmp_path)
    results.record_estimate("04_nothing", estimates.without_interval(np.nan, 0))
    results.record_estimate("04_single", estimates.without_interval(3.0, 1), unit="points")
    (row,) = results.table().to_dict("records")
    assert (row["key"], row["value"], row["lower"], row["n"]) == ("04_single", 3.0, None, 1)
