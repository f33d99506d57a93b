"""Time to render one virtual study of four views at 64 pixels on one core: ED and ES, and 16 frames.

    OMP_NUM_THREADS=1 python tests/bench/phantom.py

Each study is another heart, so nothing is read from a cache. Prints median and range over studies, and the
ratio of the two, which is what a noisy machine leaves comparable.
"""

import time

import numpy as np

from cinema.phantom import cohort


def seconds(phases, n=20, first=0):
    """Seconds per study of `n` different people."""
    people = [cohort.person("pretraining", first + index) for index in range(n)]
    spent = []
    for person in people:
        start = time.perf_counter()
        cohort.study(person, phases)
        spent.append(time.perf_counter() - start)
    return np.array(spent)


def main():
    seconds(("ED", "ES"), 3, first=1000)  # the noise volumes and libraries are loaded once per process
    pair, cine = seconds(("ED", "ES")), seconds(16, first=500)
    for name, spent in (("ED + ES", pair), ("16 frames", cine)):
        low, middle, high = np.percentile(spent, (0, 50, 100)) * 1000
        print(f"{name:10s} median {middle:6.1f} ms  ({low:.1f} to {high:.1f}, n {len(spent)})")
    print(f"16 frames cost {np.median(cine) / np.median(pair):.1f} times ED + ES")


if __name__ == "__main__":
    main()
