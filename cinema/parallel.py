"""The same function for many items, in processes beside each other."""

from collections.abc import Callable, Iterable


def in_parallel(function: Callable, items: Iterable, jobs: int = 1, description: str | None = None) -> list:
    """[function(item) for item in items], `jobs` at once in processes of their own; 1 takes none but this one.

    description: before a progress bar, which only a terminal shows.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    items = list(items)
    results = Parallel(jobs, return_as="generator")(delayed(function)(item) for item in items)
    return list(tqdm(results, total=len(items), desc=description, disable=None))
