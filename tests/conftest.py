"""Options of the test suite, and no windows for its figures."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_addoption(parser):
    parser.addoption("--golden", metavar="DIR", help="folder of reference cases; all of them must pass, none skipped")
