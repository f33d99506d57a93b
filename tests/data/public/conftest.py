"""One raw tree for each test file of a data set."""

from importlib import import_module
from types import SimpleNamespace

import pytest

from cinema.data.inputs import DATASETS


@pytest.fixture(scope="module")
def tree(request, tmp_path_factory):
    """The raw tree of the data set that test_NAME.py is about, built with its OPTIONS, and what its adapter finds.

    raw: the folder. facts: of the builder. found: id -> Subject. skipped: id -> reason.
    """
    name = request.module.__name__.rpartition("test_")[2]
    raw = tmp_path_factory.mktemp(name)
    facts = import_module(f"rawtrees.{name}").build(raw, **getattr(request.module, "OPTIONS", {}))
    found, skipped = import_module(DATASETS[name]).subjects(raw)
    return SimpleNamespace(
        raw=raw, facts=facts, found={one.id: one for one in found}, skipped={one.id: one.reason for one in skipped}
    )
