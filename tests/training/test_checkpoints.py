"""Checkpoints: whole or absent, verified before they are used, and what a full or read-only disk leads to."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import convscale as cs
from convscale.errors import RunError, TrainingError
from convscale.recipes import Recipe, recipe
from convscale.runs import Run
from convscale.training import checkpoint
from convscale.training.checkpoint import (
    checkpoint_name,
    list_checkpoints,
    load_newest,
    remove_leftovers,
    save_checkpoint,
)

FULL = bool(os.environ.get("CONVSCALE_FAULTS"))
TINY = replace(cs.network("small-resnet"), resolution=8, input_channels=1)
QUICK = Recipe(note="a test", epochs=2, batch=64, learning_rate=0.05)


def tensors(seed: int, millions: float = 0.02) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(int(millions * 1e6), generator=generator) for name in ("a.b", "c")}


def test_round_trip(tmp_path: Path) -> None:
    for step in (1, 2, 30):
        save_checkpoint(tmp_path, checkpoint_name(step), tensors(step), {"step": step})
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-000000002", "step-000000030"]
    found = load_newest(tmp_path)
    assert found is not None and found.state == {"step": 30} and not found.damaged
    assert all(torch.equal(value, found.tensors[name]) for name, value in tensors(30).items())
    manifest = json.loads((tmp_path / "step-000000030" / "manifest.json").read_text())
    data = (tmp_path / "step-000000030" / "tensors.safetensors").read_bytes()
    assert manifest["files"]["tensors.safetensors"] == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert load_newest(tmp_path / "none") is None


@pytest.mark.long
def test_killed_while_writing(tmp_path: Path) -> None:
    """FAULTS 1: the newest or the one before it loads, always, and leftovers are removed."""
    contents = [tensors(seed, 6.0 if FULL else 1.0) for seed in range(3)]

    def save_for_ever(first: int) -> None:
        step = first
        while True:
            save_checkpoint(tmp_path, checkpoint_name(step), contents[step % 3], {"step": step})
            step += 1

    attempts, leftovers, last = (200 if FULL else 20), 0, -1
    for attempt in range(attempts):
        process = multiprocessing.get_context("fork").Process(target=save_for_ever, args=(last + 1,))
        process.start()
        time.sleep(random.Random(attempt).uniform(0, 0.3))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        leftovers += remove_leftovers(tmp_path)
        found = load_newest(tmp_path)
        if found is None:
            assert last == -1
            continue
        assert not found.damaged and found.state["step"] >= last
        last = found.state["step"]
        assert all(torch.equal(value, found.tensors[name]) for name, value in contents[last % 3].items())
        assert {path.name for path in tmp_path.iterdir()} == {path.name for path in list_checkpoints(tmp_path)}
    assert last > 0 and leftovers > 0  # some of the kills did strike while a checkpoint was written


def test_bit_rot_and_truncation(tmp_path: Path) -> None:
    """FAULTS 2: noticed before training, and the one before it serves."""
    save_checkpoint(tmp_path, checkpoint_name(1), tensors(1), {"step": 1})
    good = save_checkpoint(tmp_path, checkpoint_name(2), tensors(2), {"step": 2})
    kept = tmp_path.parent / f"{tmp_path.name}-good"
    shutil.copytree(good, kept)
    chance = random.Random(0)
    for attempt in range(100):
        name = chance.choices(["tensors.safetensors", "state.json", "manifest.json"], [8, 1, 1])[0]
        data = bytearray((kept / name).read_bytes())
        at = chance.randrange(len(data))
        if attempt % 2:
            data[at] ^= 1 << chance.randrange(8)
        else:
            del data[at:]
        (good / name).write_bytes(data)
        found = load_newest(tmp_path)
        assert found is not None
        if found.state["step"] == 2:  # a flipped space in the manifest changes nothing that it says
            assert (
                name == "manifest.json" and json.loads(data)["files"] == json.loads((kept / name).read_text())["files"]
            )
        else:
            assert len(found.damaged) == 1 and "step-000000002" in found.damaged[0]
        shutil.copy(kept / name, good / name)
    for path in tmp_path.iterdir():
        (path / "state.json").write_text("{}")
    with pytest.raises(RunError, match="no checkpoint is whole"):
        load_newest(tmp_path)


@pytest.mark.long
def test_a_damaged_checkpoint_is_passed_over_by_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"

    def child() -> None:
        from convscale.training.step import Stepper

        take = Stepper.take

        def fatal(self: Stepper, batch: Any) -> Any:
            if self.state.position.total_steps == 30:
                os.kill(os.getpid(), signal.SIGKILL)
            return take(self, batch)

        Stepper.take = fatal  # type: ignore[method-assign]
        cs.train(TINY, "digits", QUICK, run, pictures=False, quiet=True, checkpoint_seconds=0.0)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    newest = list_checkpoints(run / "checkpoints")[-1] / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:-9])
    cs.resume(run)
    assert "passed over" in capsys.readouterr().err
    cs.train(TINY, "digits", QUICK, tmp_path / "whole", pictures=False, quiet=True)
    states = [Run(path).result().state_sha256 for path in (run, tmp_path / "whole")]  # type: ignore[union-attr]
    assert states[0] == states[1]


def test_checkpoints_of_others_are_refused(tmp_path: Path) -> None:
    """Nothing but safetensors and JSON with the right hashes, names and shapes is read; never a pickle."""
    path = save_checkpoint(tmp_path, checkpoint_name(1), tensors(1), {"step": 1})
    import pickle

    class Payload:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'executed'}",)

    data = pickle.dumps(Payload())
    (path / "tensors.safetensors").write_bytes(data)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["tensors.safetensors"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="no checkpoint is whole"):
        load_newest(tmp_path)
    assert not (tmp_path / "executed").exists()
    manifest["format_version"] = 99
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="newer than this convscale"):
        load_newest(tmp_path)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_order_of_a_save(tmp_path: Path) -> None:
    """FAULTS 3: contents on the disk before the name, the name before it is relied on."""
    code = (
        "import sys, pathlib, torch; from convscale.training.checkpoint import save_checkpoint; "
        "save_checkpoint(pathlib.Path(sys.argv[1]), 'step-000000001', {'a': torch.zeros(9)}, {})"
    )
    log = tmp_path / "log"
    calls = "trace=openat,write,fsync,rename,renameat,renameat2,mkdir"
    command = ["strace", "-f", "-y", "-e", calls, "-o", str(log), sys.executable, "-c", code, str(tmp_path / "c")]
    subprocess.run(command, check=True, capture_output=True)
    lines = [line for line in log.read_text().splitlines() if str(tmp_path / "c") in line]

    def position(call: str, name: str) -> int:
        found = [index for index, line in enumerate(lines) if f" {call}" in line and name in line]
        assert found, f"{call} {name} not seen:\n" + "\n".join(lines)
        return found[-1]

    rename = position("rename", "step-000000001")
    for name in ("tensors.safetensors", "state.json", "manifest.json"):
        assert position("write(", name) < position("fsync(", name) < rename
    assert rename < max(index for index, line in enumerate(lines) if "fsync(" in line and f"{tmp_path / 'c'}>" in line)


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS 8: the old checkpoint stays, nothing half-written does, and the message says how much is needed."""
    save_checkpoint(tmp_path, checkpoint_name(1), tensors(1), {"step": 1})
    real = checkpoint._write_flushed

    def full(path: Path, data: bytes) -> None:
        real(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "_write_flushed", full)
    with pytest.raises(TrainingError, match=r"step-000000002.*No space left.*160kB are needed, .* are free.*resume"):
        save_checkpoint(tmp_path, checkpoint_name(2), tensors(2), {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]
    found = load_newest(tmp_path)
    assert found is not None and found.state == {"step": 1}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """FAULTS 8 on a real file system of 20 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no mount is allowed here")
    try:
        save_checkpoint(disk / "c", checkpoint_name(1), tensors(1), {"step": 1})
        with pytest.raises(TrainingError, match=r"No space left.*24MB are needed, \d.* are free"):
            save_checkpoint(disk / "c", checkpoint_name(2), tensors(2, 3.0), {"step": 2})
        assert [path.name for path in (disk / "c").iterdir()] == ["step-000000001"]
        with pytest.raises(RunError, match=r"checkpoints and weights need up to .*, \d.* are free"):
            cs.train(
                cs.network("efficientnet-b0"), "digits", recipe("digits"), disk / "run", pictures=False, quiet=True
            )
        assert not (disk / "run").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("output", ["/proc/nowhere/run", "file/run"])
def test_no_place_to_write(tmp_path: Path, output: str) -> None:
    """FAULTS 9: told at once, before PyTorch is loaded or data read."""
    (tmp_path / "file").write_text("")
    command = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "convscale",
        "train",
        "small-resnet",
        "--data",
        "digits",
        "-o",
        output,
    ]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "torch" not in result.stderr.replace("torchrun", "")
    assert "cannot be written" in result.stderr and "-o" in result.stderr.splitlines()[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user to be refused as")
def test_a_read_only_folder(tmp_path: Path) -> None:
    """FAULTS 9: as a user without the right to write."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    (tmp_path / "closed").mkdir(mode=0o555)

    def child() -> None:
        os.setuid(65534)
        from convscale.runs import require_writable

        try:
            require_writable(tmp_path / "closed" / "run")
        except RunError as error:
            os._exit(7 if "the run cannot be written: Permission denied" in error.message else 8)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == 7
