"""A process of its own that opens an engine and runs one batch: `python -m convscale.deploy.one_batch SPEC`.

It prints the most memory that it held. What it imports is what the engine needs, and no more: of exported files no
PyTorch.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np

from convscale.deploy.engines import Engine, has_engine, open_engine, open_file
from convscale.deploy.engines.kinds import engine_kind


def run_one_batch(spec: dict[str, Any]) -> int:
    """`spec`: engine, dtype, threads, a weights file or an exported one, the shape of the images and their numbers. The
    process's peak in bytes."""
    engine = _open(spec)
    engine(np.zeros(spec["shape"], spec["numbers"]))
    return peak_bytes()


def _open(spec: dict[str, Any]) -> Engine:
    if has_engine(spec["file"]):
        return open_file(spec["file"], threads=spec["threads"], dtype=spec["dtype"])
    engine_kind(spec["engine"])  # before PyTorch is loaded in vain
    from convscale.nn import load

    return open_engine(spec["engine"], load(spec["file"]), threads=spec["threads"], dtype=spec["dtype"])


def peak_bytes() -> int:
    """The most memory that this process held since it began.

    What getrusage says counts the process that began this one too, on Linux, where /proc does not.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


if __name__ == "__main__":
    print(run_one_batch(json.loads(sys.argv[1])))
