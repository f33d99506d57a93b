"""Runs the notebooks, publishes what they made, and is what a notebook opens with: `runner.start`."""


def __getattr__(name):
    if name != "start":
        raise AttributeError(f"module 'cinema.runner' has no attribute {name!r}; it has start")
    from cinema.runner.page import start  # figures come with it, which the command line does without

    return start
