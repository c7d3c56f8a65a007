"""Checkpoints: a folder each, whole or absent, with the sha256 of what it holds.

    checkpoints/step-000001200/tensors.safetensors   weights, EMA, optimizer
                               state.json            where training stands
                               manifest.json         format version, size and sha256 of both, written last

A checkpoint is written under a hidden name, flushed to the disk, and renamed: what has a name is complete. The two
newest are kept; what does not agree with its manifest is passed over for the one before. No pickle anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from convscale.errors import ConfigError, RunError, TrainingError
from convscale.files import flush_folder, parse_json
from convscale.formats import FORMAT_VERSION, require_version
from convscale.units import format_bytes

KEPT = 2
_NAME = re.compile(r"step-\d{9}(-evaluated)?")
_TENSORS, _STATE, _MANIFEST = "tensors.safetensors", "state.json", "manifest.json"


class Checkpoint(NamedTuple):
    """What a checkpoint holds, and the messages of newer ones that were passed over."""

    path: Path
    tensors: dict[str, Tensor]
    state: dict[str, Any]
    damaged: list[str]


def checkpoint_name(step: int, *, evaluated: bool = False) -> str:
    """What the checkpoint after `step` steps is called; names sort as the states follow each other."""
    return f"step-{step:09d}" + ("-evaluated" if evaluated else "")


def save_checkpoint(folder: Path, name: str, tensors: dict[str, Tensor], state: dict[str, Any]) -> Path:
    """Write a checkpoint into `folder` and remove all but the two newest.

    Raises TrainingError where it cannot be written, a full disk say; older checkpoints are untouched then.
    """
    target = folder / name
    temporary = folder / f".{target.name}.{secrets.token_hex(8)}.tmp"
    contents = {_TENSORS: safetensors.torch.save(tensors), _STATE: json.dumps(state, allow_nan=False).encode()}
    files = {file: {"bytes": len(data), "sha256": _sha256(data)} for file, data in contents.items()}
    contents[_MANIFEST] = json.dumps({"format_version": FORMAT_VERSION, "files": files}, indent=2).encode()
    try:
        temporary.mkdir(parents=True)
        for file, data in contents.items():
            _write_flushed(temporary / file, data)
        flush_folder(temporary)
        temporary.rename(target)
        flush_folder(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        needed = sum(map(len, contents.values()))
        raise TrainingError(
            f"{target}: the checkpoint cannot be written: {error.strerror}; {format_bytes(needed)} are needed, "
            f"{format_bytes(free_bytes(folder))} are free",
            hint=f"make room, then: convscale resume {folder.parent}",
        ) from None
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for old in list_checkpoints(folder)[:-KEPT]:
        shutil.rmtree(_hide(old), ignore_errors=True)
    return target


def load_newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that agrees with its manifest, None where there is none at all.

    Raises RunError where there are some and none is whole.
    """
    damaged: list[str] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            tensors, state = _read(path)
            return Checkpoint(path, tensors, state, damaged)
        except RunError as error:
            damaged.append(error.message)
    if damaged:
        raise RunError(f"{folder}: no checkpoint is whole: {'; '.join(damaged)}", hint="train again")
    return None


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())


def remove_newer(checkpoint: Path) -> None:
    """Remove the checkpoints that follow this one: damaged ones that were passed over."""
    for path in list_checkpoints(checkpoint.parent):
        if path.name > checkpoint.name:
            shutil.rmtree(_hide(path), ignore_errors=True)


def remove_leftovers(folder: Path) -> int:
    """Remove what a crash left half written in `folder` and the folders in it; how many there were."""
    leftovers = [*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp")]
    for path in leftovers:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(leftovers)


def free_bytes(folder: Path) -> int:
    """Free space where `folder` is or would be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        manifest = parse_json((path / _MANIFEST).read_text(encoding="utf-8"), str(path / _MANIFEST))
        require_version(path, manifest["format_version"])
        contents = {}
        for name in (_TENSORS, _STATE):
            data, stated = (path / name).read_bytes(), manifest["files"][name]
            if len(data) != stated["bytes"] or _sha256(data) != stated["sha256"]:
                raise RunError(f"{path / name}: damaged: it does not agree with its manifest")
            contents[name] = data
        state = parse_json(contents[_STATE].decode("utf-8"), str(path / _STATE))
        return safetensors.torch.load(contents[_TENSORS]), dict(state)
    except (OSError, ConfigError, SafetensorError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"{path}: damaged: {error}") from None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write_flushed(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _hide(path: Path) -> Path:
    """Take a checkpoint's name away, in one step: it is a leftover from now on."""
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    return path.rename(hidden)
