"""What this machine is: cores, memory, versions. Only named facts are recorded, never the environment."""

from __future__ import annotations

import itertools
import os
import platform
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

MOST_LOADING = 8  # processes for one GPU
PACKAGES = ("convscale", "torch", "numpy", "pillow", "safetensors")


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Physical memory, None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def memory_available_bytes() -> int | None:
    """Memory that this process can still get without swapping: the machine's, or less where a container or a limit on
    the process grants less. None where the system does not say (Linux does)."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None
    return max(0, min([free, *_limits()]))


def _limits() -> Iterator[int]:
    """What the limits on this process leave: on its address space, and a container's (cgroup v2)."""
    import resource  # Unix only, as /proc is

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        yield limit - pages * resource.getpagesize()
    try:
        group = Path("/sys/fs/cgroup")
        used = int((group / "memory.current").read_text(encoding="ascii"))
        yield int((group / "memory.max").read_text(encoding="ascii")) - used
    except (OSError, ValueError):  # "max" is no number
        return


def core_quota() -> float | None:
    """Cores' worth of time that a container grants (cgroup v2, cpu.max), None where there is no limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # "max" is no number
        return None


def usable_cores() -> int:
    """Cores that processes of one thread each keep busy here: `cores`, or the whole ones of a container's quota where
    it grants less; at least 1."""
    quota = core_quota()
    return cores() if quota is None else max(1, min(cores(), int(quota)))


def gpus(driver: Path = Path("/proc/driver/nvidia/gpus")) -> tuple[str, ...]:
    """What CUDA_VISIBLE_DEVICES calls the NVIDIA GPUs that this process may use; asking needs no PyTorch."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        listed = [name.strip() for name in named.split(",")]
        return tuple(itertools.takewhile(lambda name: name not in ("", "-1"), listed))
    try:
        return tuple(map(str, range(len(list(driver.iterdir())))))
    except OSError:
        return ()


def loading_workers() -> int:
    """Processes that load images, where nobody says how many: none without a GPU, which a single one would starve."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(MOST_LOADING, max(0, usable_cores() // here - 1)) if gpus() else 0


def has_fast_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies in bfloat16 (AMX, AVX512-BF16); False where the system does not say."""
    return bool({"amx_bf16", "avx512_bf16"} & set(processor_flags(cpuinfo)))


def processor_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """What the processor can do, in the system's words ("avx2", "asimd"); none where the system does not say."""
    try:
        text = cpuinfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ()
    lines = (line.partition(":") for line in text.splitlines())
    return next((tuple(words.split()) for name, _, words in lines if name.strip() in ("flags", "Features")), ())


def load_average() -> tuple[float, float, float] | None:
    """Processes that ran or waited, mean over 1, 5 and 15 minutes; None where the system does not say."""
    try:
        return os.getloadavg()
    except (OSError, AttributeError):
        return None


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Installed versions of Python and of `packages`: by default those that results depend on."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def launched_processes() -> int:
    """How many processes torchrun started for one training; 1 where it did not."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def speaks() -> bool:
    """Whether this process is the one, of those that torchrun started, that prints."""
    return os.environ.get("RANK", "0") == "0"


def cache_folder() -> Path:
    """Where Convscale keeps what can be made again: $XDG_CACHE_HOME/convscale, else ~/.cache/convscale."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "convscale"


def processor() -> str:
    """The processor's model, such as "AMD EPYC 7B13"; "" where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def environment() -> dict[str, Any]:
    """What a run records about where it ran."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": processor(),
        "cores": cores(),
        "memory_bytes": memory_bytes(),
        "versions": versions(),
    }
