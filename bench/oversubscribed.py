"""What training keeps of its speed beside processes that use every core: FAULTS of busy machines.

    python bench/oversubscribed.py

Two trainings of one thread each, alone and beside two processes that compute without end; the share is what matters.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from convscale.machine import cores, load_average

ROUNDS = 3


def spin() -> None:
    """Keep a core busy."""
    while True:
        sum(range(100_000))


def seconds_of_two_trainings() -> float:
    """Two at once, each on one thread, as trials of a study run."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "0"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "convscale", "train", "small-mbconv", "--data", "digits", "--recipe", "digits"]
        started = time.monotonic()
        trials = [
            subprocess.Popen([*command, "--epochs", "1", "-o", str(Path(folder) / str(index))], env=environment,
                             stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            for index in range(2)
        ]  # fmt: skip
        if any(trial.wait() for trial in trials):
            raise SystemExit("a training failed")
        return time.monotonic() - started


def main() -> None:
    load = load_average()
    if load is not None and load[0] > 0.5:
        print(f"busy: load {load[0]:.1f} before anything began; the share below would mean little")
    shares = []
    for _ in range(ROUNDS):
        alone = seconds_of_two_trainings()
        others = [multiprocessing.Process(target=spin, daemon=True) for _ in range(2)]
        for other in others:
            other.start()
        beside = seconds_of_two_trainings()
        for other in others:
            other.kill()
        shares.append(alone / beside)
    shares.sort()
    print(f"{cores()} cores, two trainings beside two busy processes: {shares[1]:.0%} of their speed alone "
          f"({shares[0]:.0%} to {shares[-1]:.0%}, {ROUNDS} rounds)")  # fmt: skip


if __name__ == "__main__":
    main()
