"""What a notebook records, beyond what the runner's tests hold."""

import numpy as np
import pytest

from cinema import runner
from cinema.stats import estimates


def test_what_is_not_known_is_not_recorded(tmp_path):
    page = runner.start("04_test", "ci", "virtual", tmp_path, 0, tmp_path)
    page.record("04_nothing", estimates.without_interval(np.nan, 0))
    page.record("04_single", estimates.without_interval(3.0, 1), unit="points")
    (row,) = page.table().to_dict("records")
    assert (row["key"], row["value"], row["lower"], row["n"]) == ("04_single", 3.0, None, 1)


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"profile": "huge"}, "profile is 'huge'; choose from ci, laptop, paper"),
        ({"profile": np.zeros(2)}, "profile is array([0., 0.]); choose"),
        ({"data": "acddc"}, "data is 'acddc'; choose from virtual, acdc"),
        ({"data": None}, "data is None; choose"),
        ({"seed": "7"}, "seed is '7'; give a whole number"),
        ({"seed": -1}, "seed is -1; give"),
        ({"seed": 1.0}, "seed is 1.0; give"),
        ({"seed": True}, "seed is True; give"),
        ({"out": ""}, "out is ''; name a folder"),
        ({"out": "a\0b"}, "out is 'a\\x00b'; name a folder"),
        ({"data_root": 3}, "data_root is 3; name a folder"),
        ({"out": "a" * 300}, "cannot be written (File name too long); name another folder"),
    ],
)
def test_wrong_parameters_are_one_line(tmp_path, monkeypatch, changed, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as error:
        runner.start(
            "04_test", **({"profile": "ci", "data": "virtual", "data_root": "d", "seed": 0, "out": "o"} | changed)
        )
    assert words in str(error.value) and "\n" not in str(error.value) and not list(tmp_path.iterdir())
