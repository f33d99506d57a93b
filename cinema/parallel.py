"""The same function for many items, in processes beside each other."""

import os
from collections.abc import Callable, Iterable


def count_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_parallel(function: Callable, items: Iterable, jobs: int = 1, description: str | None = None) -> list:
    """[function(item) for item in items], `jobs` at once in processes of their own; 1 takes none but this one.
    description: before a progress bar, which only a terminal shows."""
    from joblib import Parallel, delayed
    from tqdm import tqdm

    items = list(items)
    results = Parallel(jobs, return_as="generator")(delayed(function)(item) for item in items)
    return list(tqdm(results, total=len(items), desc=description, disable=None))
