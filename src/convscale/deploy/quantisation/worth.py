"""What int8 gains on this machine: the files side by side, one image on one thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from convscale import machine
from convscale.deploy.timing import interleaved
from convscale.exported.network import open_exported
from convscale.exported.openvino_runtime import OpenVino

WORTH = 1.1  # times as fast as what needs no calibration
SECONDS = 1.0


def measured_worth(float32: Path, int8: Path, dtype: type[np.generic]) -> tuple[dict[str, float], str]:
    """Median milliseconds by numbers, and what they say; no medians where something else was running.

    bfloat16 is OpenVINO's, of the float32 file, where this processor computes in it.
    """
    size = open_exported(int8).header.preprocessing
    image = np.zeros((1, size.channels, size.size, size.size), dtype)
    runtimes: dict[str, Callable[[Any], Any]] = {
        "float32": open_exported(float32, threads=1).runtime,
        "int8": open_exported(int8, threads=1).runtime,
    }
    if int8.suffix == ".xml" and machine.has_fast_bf16():
        runtimes["bfloat16"] = OpenVino(float32, 1, "bf16")
    timings = interleaved({name: _once(run, image) for name, run in runtimes.items()}, seconds=SECONDS)
    if any(one.busy for one in timings.values()):
        return {}, "could not be timed: the machine did something else meanwhile"
    medians = {name: one.median_ms for name, one in timings.items()}
    return medians, worth_in_words(medians)


def _once(run: Callable[[Any], Any], image: Any) -> Callable[[], Any]:
    return lambda: run(image)


def worth_in_words(medians_ms: dict[str, float]) -> str:
    """What the medians say, "int8" among them."""
    others = {name: value for name, value in medians_ms.items() if name != "int8"}
    fastest = min(others, key=lambda name: others[name])
    gain = others[fastest] / medians_ms["int8"]
    if gain < WORTH:
        return f"not worth it here: {gain:.2f} times as fast as {fastest}, which needs no calibration"
    return f"{gain:.2f} times as fast as {fastest} here"
