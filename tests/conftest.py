"""Options of the test suite."""


def pytest_addoption(parser):
    parser.addoption("--golden", metavar="DIR", help="folder of reference cases; all of them must pass, none skipped")
