"""Figures. Functions draw on the axes they are given and return nothing; style.save alone writes files.

A page that draws in many ways says `from cinema import plots`, then plots.forest.differences and so on.
"""

from importlib import import_module


def __getattr__(name):
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error
