"""What would go wrong on this machine or with this installation, found before it does.

What only PyTorch knows, its threads and GPUs, is passed in by whoever has imported it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from convscale import machine
from convscale.units import format_bytes

PACKAGES = (*machine.PACKAGES, "pyarrow", "click", "tomlkit")
MIN_FREE_BYTES = 1_000_000_000  # memory or disk: below, even small trainings may fail
BUSY_SHARE = 0.25  # of the cores: timings beside such a load mean little


@dataclass
class Diagnosis:
    """Named facts, never the environment; `problems` in plain words with what to do."""

    cores: int
    threads: int
    spin: dict[str, Any]
    load: dict[str, Any]
    memory: dict[str, int | None]
    disk: dict[str, Any]
    versions: dict[str, str]
    gpu: list[dict[str, Any]] = field(default_factory=list)
    extras: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def diagnose(look_at_torch: Callable[[Diagnosis], None]) -> Diagnosis:
    """Examine the machine. `look_at_torch` adds what PyTorch knows, last, so that it cannot hide the rest; it is not
    called where PyTorch is not installed."""
    extras, packages = _extras()
    report = Diagnosis(
        cores=machine.cores(),
        threads=_threads(),
        spin=_spin(),
        load=_load(),
        memory={"total_bytes": machine.memory_bytes(), "available_bytes": machine.memory_available_bytes()},
        disk=_disk(Path.cwd()),
        versions=machine.versions(dict.fromkeys((*PACKAGES, *packages))),
        extras=extras,
    )
    _find_problems(report)
    if report.versions["torch"] != "not installed":
        look_at_torch(report)
    return report


def _threads() -> int:
    """Threads that PyTorch would start with: OMP_NUM_THREADS, else one per core."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else machine.cores()


def _spin() -> dict[str, Any]:
    """Whether OpenMP's threads keep a core busy while they wait, which ruins other processes on the same cores."""
    count, policy = (os.environ.get(name) for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"))
    spins = count != "0" and not (count is None and (policy or "").strip().lower() == "passive")
    advice = "set GOMP_SPINCOUNT=0 where several processes share the cores" if spins else ""
    return {"GOMP_SPINCOUNT": count, "OMP_WAIT_POLICY": policy, "spins": spins, "advice": advice}


def _load() -> dict[str, Any]:
    load = machine.load_average()
    minutes = dict(zip(("minutes_1", "minutes_5", "minutes_15"), load or (None, None, None), strict=True))
    return minutes | {"busy": load is not None and load[0] > BUSY_SHARE * machine.usable_cores()}


def _disk(folder: Path) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "free_bytes": shutil.disk_usage(folder).free,
        "writable": os.access(folder, os.W_OK | os.X_OK),
    }


def _extras() -> tuple[dict[str, dict[str, Any]], list[str]]:
    """For each optional part of the package what it needs, what is missing and how to get it; all that they need."""
    try:
        named = metadata.metadata("convscale").get_all("Provides-Extra") or []
        requirements = metadata.requires("convscale") or []
    except metadata.PackageNotFoundError:
        return {}, []
    extras: dict[str, dict[str, Any]] = {}
    for extra in named:
        if extra == "dev":
            continue
        marker = re.compile(rf"""\bextra\s*==\s*['"]{re.escape(extra)}['"]""")
        needs = [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in requirements if marker.search(text)]
        missing = [package for package in needs if not _installed(package)]
        extras[extra] = {"needs": needs, "missing": missing}
        extras[extra]["install"] = f"pip install 'convscale[{extra}]'" if missing else None
    return extras, [package for found in extras.values() for package in found["needs"]]


def _installed(package: str) -> bool:
    return machine.versions([package])[package] != "not installed"


def _find_problems(report: Diagnosis) -> None:
    problems = report.problems
    if not report.disk["writable"]:
        problems.append(f"{report.disk['folder']} cannot be written: runs need -o with another folder")
    if report.disk["free_bytes"] < MIN_FREE_BYTES:
        problems.append(f"little disk space: {format_bytes(report.disk['free_bytes'])} free in {report.disk['folder']}")
    available = report.memory["available_bytes"]
    if available is not None and available < MIN_FREE_BYTES:
        problems.append(f"little memory: {format_bytes(available)} available; use a small --batch and --workers 0")
    quota, usable = machine.core_quota(), machine.usable_cores()
    if quota is not None and usable < min(report.cores, report.threads):
        problems.append(f"this container grants {quota:g} cores, but {report.threads} threads: set OMP_NUM_THREADS")
    elif report.threads > usable:
        problems.append(f"OMP_NUM_THREADS is {report.threads}, but there are {report.cores} cores")
    if report.load["busy"]:
        advice = f": {report.spin['advice']}" if report.spin["spins"] else ""
        problems.append(f"the machine is busy (load {report.load['minutes_1']:.2f}), so timings mean little{advice}")
    if report.versions["convscale"] == "not installed":
        problems.append("convscale is not installed as a package, so its extras are unknown (pip install it)")
    missing = [name for name in PACKAGES[1:] if report.versions[name] == "not installed"]
    if missing:
        problems.append(f"not installed: {', '.join(missing)} (pip install {' '.join(missing)})")
