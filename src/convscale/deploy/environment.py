"""Where something is measured."""

from __future__ import annotations

import platform

from convscale import machine
from convscale.records import Environment

# What computes, and what turns networks into what it reads.
PACKAGES = ("convscale", "torch", "onnxruntime", "openvino", "nncf", "onnx")
_VECTORS = ("sse4", "avx", "fma", "f16c", "amx", "asimd", "neon", "sve", "sme2", "bf16", "i8mm")  # beginnings of flags


def environment_here() -> Environment:
    """This machine and this installation."""
    flags = tuple(sorted(flag for flag in machine.processor_flags() if flag.startswith(_VECTORS)))
    return Environment(
        system=platform.system(), machine=platform.machine(), processor=machine.processor(), flags=flags,
        cores=machine.cores(), memory_bytes=machine.memory_bytes(), versions=machine.versions(PACKAGES),
    )  # fmt: skip
