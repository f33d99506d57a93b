"""The same function for many items, in processes beside each other; and processes that end with what started them."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil


def count_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_parallel(function: Callable, items: Iterable, jobs: int = 1, description: str | None = None) -> list:
    """[function(item) for item in items], `jobs` at once in processes of their own; 1 takes none but this one.
    description: before a progress bar, which only a terminal shows."""
    from joblib import Parallel, delayed
    from tqdm import tqdm

    items = list(items)
    watched = {} if jobs == 1 else {"initializer": end_with, "initargs": (os.getpid(),)}
    results = Parallel(jobs, return_as="generator", **watched)(delayed(function)(item) for item in items)
    return list(tqdm(results, total=len(items), desc=description, disable=None))


def end_with(parent: int) -> None:
    """From now on this process ends, with all it has started, when the one that started it (its number) has ended,
    however that was: within half a second."""

    def watch() -> None:
        while os.getppid() == parent and psutil.pid_exists(parent):
            time.sleep(0.3)
        end_family(os.getpid())

    threading.Thread(target=watch, daemon=True).start()


def end_family(number: int) -> None:
    """End a process and all its descendants, these first: a kernel and its workers sit in other groups."""
    try:
        parent = psutil.Process(number)
        family = [*reversed(parent.children(recursive=True)), parent]
    except psutil.NoSuchProcess:
        return
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=5)
