"""Which studies of a prepared data set take part: those that have what a task needs, and fewer where asked for.

The random choices are the release's, row for row (data.md, section 11), given the same order of rows.
"""

import h5py

MAX_SEED = 0  # the release's random state of max_n_samples, whatever the run's seed


def for_training(table, n):
    """At most n training rows, as data.max_n_samples chooses them: by share, random state 0."""
    return table if n >= len(table) else table.sample(frac=n / len(table), random_state=MAX_SEED)


def for_evaluation(table, n):
    """At most n validation or test rows, as data.max_n_samples chooses them: by number, random state 0."""
    return table if n >= len(table) else table.sample(n=n, random_state=MAX_SEED)


def share(table, proportion, seed):
    """int(proportion * rows) of the training rows, as data.proportion chooses them with the run's seed.

    ValueError if that leaves none.
    """
    if not 0 < proportion <= 1 or int(proportion * len(table)) == 0:
        raise ValueError(f"proportion is {proportion} of {len(table)} studies; it must lie in (0, 1] and leave "
                         "at least one")
    return table if proportion == 1 else table.sample(n=int(proportion * len(table)), random_state=seed)


def usable(table, views, needed=None, column=None, classes=()):
    """(rows that have the views, what is needed in them, and a target if one is asked for; how many have not).

    table:  with a column path. needed: "labels" or "landmarks" of every view, or None.
    column: attribute that is the target; classes: its admissible values, any if empty.
    ValueError if nothing is left.
    """
    kept = table[[_has(path, views, needed or "image") for path in table.path]]
    if column is not None:
        if column not in kept:
            raise ValueError(f"no study has the attribute {column}; this task needs it: prepare the data set again")
        target = kept[column]
        kept = kept[target.isin(classes) if classes else target.notna()]
    if kept.empty:
        wanted = [*views, *filter(None, (needed, column))]
        raise ValueError(f"none of {len(table)} studies has {', '.join(wanted)}; was the right data set prepared?")
    return kept, len(table) - len(kept)


def _has(path, views, part):
    with h5py.File(path) as file:
        return all(f"views/{view}/{part}" in file for view in views)
