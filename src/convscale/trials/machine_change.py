"""A trial's training resumes only on a machine that computes as the one it began on; elsewhere it begins anew.

So every result comes from one kind of device, and paired seeds stay paired. Cores, memory and threads may differ.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from convscale.files import write_text
from convscale.machine import processor
from convscale.runs import Run


def leave_what_resumes_here(run: Path) -> None:
    """Remove an unfinished run from `run` that is half made, or that began on a machine that computes otherwise; the
    reason for that is written beside it, as RUN.anew, for the coordinator to show."""
    if not run.exists():
        return
    if not (run / "environment.json").exists():
        Run(run).discard()  # half made by a process that was killed
    elif Run(run).result() is None and (changes := machine_changes(Run(run).environment())):
        write_text(note_of(run), "; ".join(changes))
        Run(run).discard()


def note_of(run: Path) -> Path:
    """The file that says why an attempt in `run` began anew."""
    return run.with_name(f"{run.name}.anew")


def machine_changes(before: dict[str, Any]) -> list[str]:
    """What of this machine differs from the one that environment.json describes, as far as that says."""
    from convscale.nn.device import device_facts  # which brings PyTorch

    now = {"system": platform.system(), "machine": platform.machine(), "processor": processor()} | device_facts()
    kinds = [str(facts.get("device", now["device"])).partition(":")[0] for facts in (before, now)]
    if kinds[0] != kinds[1]:
        return [f"its device was {before.get('gpu') or kinds[0]}, is {now['gpu'] or kinds[1]} here"]
    names = ("system", "machine", "processor") if kinds[1] == "cpu" else ("gpu",)
    return [
        f"its {name} was {before[name]}, is {now[name]} here"
        for name in names
        if before.get(name, now[name]) != now[name]
    ]
