"""`convscale doctor`: facts about the machine, and what would fail on it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from convscale import diagnosis, machine
from convscale.cli import doctor
from convscale.cli import main as cli_main

KEYS = ["cores", "threads", "spin", "load", "memory", "disk", "versions", "gpu", "extras", "problems"]


def report(capsys: pytest.CaptureFixture[str]) -> Any:
    assert cli_main.run(["doctor", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is idle and has what it needs, whatever else runs on it."""
    monkeypatch.setattr(machine, "load_average", lambda: (0.01, 0.02, 0.03))
    monkeypatch.setattr(machine, "core_quota", lambda: None)
    monkeypatch.setattr(machine, "memory_available_bytes", lambda: 8 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**11, 0, 10**11))  # type: ignore[attr-defined]


def test_a_machine_without_problems(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    had_torchvision = "torchvision" in sys.modules  # a test of this process that asks an oracle imports it
    monkeypatch.setenv("GOMP_SPINCOUNT", "0")
    monkeypatch.setenv("A_SECRET", "not for the report")
    found = report(capsys)
    assert list(found) == KEYS and found["problems"] == []
    assert found["cores"] == machine.cores() and found["threads"] >= 1
    assert found["spin"] == {"GOMP_SPINCOUNT": "0", "OMP_WAIT_POLICY": None, "spins": False, "advice": ""}
    assert found["load"] == {"minutes_1": 0.01, "minutes_5": 0.02, "minutes_15": 0.03, "busy": False}
    assert found["memory"] == {"total_bytes": machine.memory_bytes(), "available_bytes": 8 * 10**9}
    assert found["disk"] == {"folder": str(Path.cwd()), "free_bytes": 10**11, "writable": True}
    assert found["versions"]["torch"] == metadata.version("torch") and "pillow" in found["versions"]
    assert found["extras"]["digits"] == {"needs": ["scikit-learn"], "missing": [], "install": None}
    assert "dev" not in found["extras"] and ("torchvision" in sys.modules) == had_torchvision
    assert cli_main.run(["doctor"]) == 0
    out = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "problems none" in lines and "not for the report" not in out and "extra digits installed" in lines


@pytest.mark.parametrize(
    ("count", "policy", "spins"),
    [(None, None, True), ("0", None, False), (None, "passive", False), (None, " PASSIVE ", False),
     ("100", "passive", True), (None, "active", True), ("0", "active", False)],
)  # fmt: skip
def test_spin(count: str | None, policy: str | None, spins: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("GOMP_SPINCOUNT", count), ("OMP_WAIT_POLICY", policy)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    found = diagnosis.diagnose(doctor._look_at_torch).spin
    assert found["spins"] is spins and ("GOMP_SPINCOUNT=0" in found["advice"]) is spins


def test_what_would_fail_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "load_average", lambda: (9.5, 3.0, 1.0))
    monkeypatch.setattr(machine, "cores", lambda: 4)
    monkeypatch.setattr(machine, "core_quota", lambda: 0.5)
    monkeypatch.setattr(machine, "memory_available_bytes", lambda: 10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 5 * 10**6))  # type: ignore[attr-defined]
    monkeypatch.setattr(os, "access", lambda *_: False)
    installed = metadata.version

    def version(name: str) -> str:
        if name in ("torch", "scikit-learn", "click"):
            raise metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(metadata, "version", version)
    found = report(capsys)
    expected = ["cannot be written", "little disk space: 5MB", "little memory: 100MB", "grants 0.5 cores",
                "load 9.50", "not installed: torch, click (pip install torch click)"]  # fmt: skip
    assert len(found["problems"]) == len(expected)
    for text, problem in zip(expected, found["problems"], strict=True):
        assert text in problem
    assert "GOMP_SPINCOUNT=0" in found["problems"][4] and found["gpu"] == []
    assert found["extras"]["digits"] == {
        "needs": ["scikit-learn"], "missing": ["scikit-learn"], "install": "pip install 'convscale[digits]'",
    }  # fmt: skip
    assert cli_main.run(["doctor"]) == 0
    assert "scikit-learn missing: pip install 'convscale[digits]'" in capsys.readouterr().out


@pytest.mark.parametrize(("quota", "usable"), [(None, 4), (0.5, 1), (1.0, 1), (1.9, 1), (2.0, 2), (4.0, 4), (64.0, 4)])
def test_cores_that_a_container_grants(monkeypatch: pytest.MonkeyPatch, quota: float | None, usable: int) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 4)
    monkeypatch.setattr(machine, "core_quota", lambda: quota)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert machine.usable_cores() == usable
    problems = diagnosis.diagnose(doctor._look_at_torch).problems
    assert any("this container grants" in problem for problem in problems) == (usable < 4)


def test_threads_beyond_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64,2")
    monkeypatch.setattr(machine, "cores", lambda: 2)
    assert any(
        "OMP_NUM_THREADS is 64, but there are 2 cores" in problem
        for problem in diagnosis.diagnose(doctor._look_at_torch).problems
    )
    for value in ("", "many", "0"):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert diagnosis._threads() == 2


def test_a_broken_pytorch_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def broken() -> bool:
        raise RuntimeError("driver\n  too old")

    monkeypatch.setattr(torch.cuda, "is_available", broken)
    assert report(capsys)["problems"] == ["PyTorch does not work: driver too old"]
    monkeypatch.setitem(sys.modules, "torch", None)  # as an import that fails
    (problem,) = report(capsys)["problems"]
    assert problem.startswith("PyTorch does not work: ") and "\n" not in problem


def test_a_gpu_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Device:
        name, total_memory = "Some GPU", 80 * 10**9

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Device)
    assert report(capsys)["gpu"] == [{"name": "Some GPU", "memory_bytes": 80 * 10**9}] * 2
    assert cli_main.run(["doctor"]) == 0 and "Some GPU, 80" in capsys.readouterr().out


def test_extras_by_the_package_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = [
        "numpy>=1", "nosuch-package[x]>=2; extra == 'one'", 'numpy ; python_version > "3" and extra == "one"',
        "numpy; extra == 'one-more'", "nothing; extra == 'dev'",
    ]  # fmt: skip
    monkeypatch.setattr(metadata, "requires", lambda _: requirements)
    names = ["one", "one-more", "dev"]
    monkeypatch.setattr(metadata, "metadata", lambda _: type("M", (), {"get_all": lambda self, key: names})())
    extras, packages = diagnosis._extras()
    assert extras["one"] == {
        "needs": ["nosuch-package", "numpy"], "missing": ["nosuch-package"], "install": "pip install 'convscale[one]'",
    }  # fmt: skip
    assert extras["one-more"]["needs"] == ["numpy"] and set(extras) == {"one", "one-more"}
    assert packages == ["nosuch-package", "numpy", "numpy"]

    def absent(_: str) -> None:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "metadata", absent)
    assert diagnosis._extras() == ({}, [])
