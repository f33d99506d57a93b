"""Coverage of every interval and level of every test, on simulated studies whose truth is known.

    python3 tests/bench/validity.py [--studies 1000] [--resamples 500] [--only WORD]

tests/test_validity.py asserts the same numbers for 1000 studies.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import simulations  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=simulations.N_STUDIES)
    parser.add_argument("--resamples", type=int, default=simulations.N_RESAMPLES)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    simulations.N_RESAMPLES = asked.resamples
    print(f"{'interval (nominal 95 %)':42s} covers   above   below  seconds   ({asked.studies} studies)")
    for name, (interval, truth) in simulations.INTERVALS.items():
        if asked.only in name:
            start = time.process_time()
            shares = simulations.covered(interval, truth, asked.studies)
            percent = "".join(f"{100 * share:6.1f}  " for share in shares)
            print(f"{name:42s}{percent}{time.process_time() - start:6.1f}", flush=True)
    for n in (50, 100, 150):
        shares = [simulations.wilson(n, p) for p in np.linspace(0.5, 0.95, 91)]
        name, covers = f"Wilson, n {n}, p 0.5..0.95 (exact)", 100 * np.mean(shares)
        print(f"{name:42s}{covers:6.1f}  from {100 * min(shares):.1f} to {100 * max(shares):.1f}")
    print(f"\n{'test (nominal 5 %)':42s} false findings")
    for name, p_of in simulations.NULLS.items():
        if asked.only in name:
            print(f"{name:42s}{100 * simulations.false_findings(p_of, asked.studies):6.1f}", flush=True)


if __name__ == "__main__":
    main()
