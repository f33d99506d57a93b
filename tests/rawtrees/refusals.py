"""What an adapter leaves out of a raw folder with faults, for the tests of all of them."""

import pytest


def refusals(adapter, raw, bad):
    """{id: reason} of a folder: what `subjects` skips and what `read` refuses, in one line each.

    bad: ids of the faulty subjects; all others must be read.
    """
    found, skipped = adapter.subjects(raw)
    reasons = {one.id: one.reason for one in skipped}
    for subject in found:
        if subject.id not in bad:
            adapter.read(subject)
            continue
        with pytest.raises((ValueError, OSError)) as error:
            adapter.read(subject)
        reasons[subject.id] = str(error.value)
    assert not any("\n" in reason for reason in reasons.values())
    return reasons
