"""The run folder: everything that one training leaves behind, enough for every later command.

weights.safetensors   weights; the header holds network, preprocessing, class names, format version
network.toml          the network
recipe.toml           how it was trained
data.json             the data: where from, which split was held out, seed
metrics.jsonl         one line an epoch
evaluation.json       accuracy on the held-out images
environment.json      versions and machine
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convscale.errors import ConfigError, RunError
from convscale.files import MAX_CONFIG_BYTES, parse_json, read_json, write_json, write_text, write_toml
from convscale.machine import environment
from convscale.networks import ConvNet
from convscale.preprocessing import Preprocessing
from convscale.recipes import Recipe
from convscale.records import DataRecord, EpochRecord, Evaluation
from convscale.schema import from_table, to_table
from convscale.version import __version__

FORMAT_VERSION = 1
WEIGHTS = "weights.safetensors"
_FILES = ("network.toml", "recipe.toml", "data.json", "metrics.jsonl", "evaluation.json", "environment.json")
_HEADER_LIMIT = 100 * MAX_CONFIG_BYTES


@dataclass(frozen=True, slots=True)
class WeightsHeader:
    """What a weights file says about itself: enough to predict, evaluate, explain and export."""

    network: ConvNet
    preprocessing: Preprocessing
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.preprocessing.channels != self.network.input_channels:
            channels = self.preprocessing.channels, self.network.input_channels
            raise RunError(f"preprocessing of {channels[0]} channels for a network of {channels[1]}")
        if len(set(self.classes)) < len(self.classes):
            raise RunError("a class is named twice")
        if len(self.classes) != self.network.num_classes:
            raise RunError(f"{len(self.classes)} class names for a network of {self.network.num_classes} classes")

    def as_metadata(self) -> dict[str, str]:
        """The header as the strings that safetensors keeps."""
        return {
            "format_version": str(FORMAT_VERSION),
            "convscale": __version__,
            "network": json.dumps(to_table(self.network)),
            "preprocessing": json.dumps(to_table(self.preprocessing)),
            "classes": json.dumps(self.classes, ensure_ascii=False),
        }


def read_header(path: Path) -> WeightsHeader:
    """The header of a weights file, without reading its weights.

    Raises RunError for a file that is missing, damaged, not Convscale's, or from a newer version.
    """
    try:
        with path.open("rb") as file:
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else _HEADER_LIMIT + 1
            if length > min(_HEADER_LIMIT, path.stat().st_size):
                raise RunError(f"{path}: not a safetensors file, or cut short")
            text = file.read(length).decode("utf-8")
        metadata = from_table(dict[str, str], parse_json(text, str(path)).get("__metadata__", {}))
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, ConfigError, AttributeError):
        raise RunError(f"{path}: the header is damaged") from None
    if "format_version" not in metadata:
        raise RunError(f"{path}: weights without Convscale's header", hint="train with convscale to make such a file")
    require_version(path, metadata["format_version"])
    try:
        return WeightsHeader(
            from_table(ConvNet, parse_json(metadata["network"], "network"), "network"),
            from_table(Preprocessing, parse_json(metadata["preprocessing"], "preprocessing"), "preprocessing"),
            from_table(tuple[str, ...], parse_json(metadata["classes"], "classes"), "classes"),
        )
    except (KeyError, ValueError) as error:
        raise RunError(f"{path}: the header is damaged: {error}") from None


def require_version(path: Path, found: str | int) -> None:
    """Raise RunError unless a file of this format version can be read."""
    version = int(found) if str(found).isdecimal() and len(str(found)) < 10 else 0
    if version > FORMAT_VERSION:
        raise RunError(
            f"{path}: format version {version} is newer than this convscale {__version__} knows ({FORMAT_VERSION})",
            hint="pip install --upgrade convscale",
        )
    if version < 1:
        raise RunError(f"{path}: format version {found!r} is not one of Convscale's")


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder."""

    path: Path

    @property
    def weights(self) -> Path:
        """The weights file."""
        return self.path / WEIGHTS

    def data(self) -> DataRecord | None:
        """What data.json says of the images, None where it is missing. Raises ConfigError where it is damaged."""
        path = self.path / "data.json"
        return from_table(DataRecord, read_json(path), str(path)) if path.exists() else None

    def discard(self) -> None:
        """Remove the folder's files of a run that has nothing to keep."""
        for name in (WEIGHTS, *_FILES):
            (self.path / name).unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def append_metrics(self, record: EpochRecord) -> None:
        """Add a line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record.as_dict()) + "\n")

    def has_metrics(self) -> bool:
        """Whether an epoch was finished."""
        return (self.path / "metrics.jsonl").stat().st_size > 0

    def write_evaluation(self, evaluation: Evaluation) -> None:
        """Write evaluation.json."""
        write_json(self.path / "evaluation.json", evaluation.as_dict())


def create_run(path: Path, network: ConvNet, recipe: Recipe, data: DataRecord, settings: dict[str, Any]) -> Run:
    """Make a run folder and write what is known before training; `settings` (seed, threads, device) join the
    environment.

    Raises RunError where the folder holds something already, or cannot be made.
    """
    try:
        require_free(path)
        path.mkdir(parents=True, exist_ok=True)
        write_toml(path / "network.toml", to_table(network))
        write_toml(path / "recipe.toml", to_table(recipe))
        write_json(path / "data.json", data.as_dict())
        write_json(path / "environment.json", {"format_version": FORMAT_VERSION} | settings | environment())
        write_text(path / "metrics.jsonl", "")
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}", hint="choose another with -o") from None
    return Run(path)


def require_free(path: Path) -> None:
    """Raise RunError where a folder holds something already: no run overwrites another."""
    if path.is_dir() and any(path.iterdir()):
        raise RunError(f"{path}: the folder is not empty", hint="choose another folder with -o")


def open_run(path: Path) -> Run:
    """An existing run folder. Raises RunError where it is none, unfinished, or from a newer version."""
    if not path.is_dir():
        raise RunError(f"{path}: no such run folder")
    if not (path / "environment.json").exists():
        raise RunError(f"{path}: not a run folder: it has no environment.json")
    environment = read_json(path / "environment.json")
    require_version(path, environment.get("format_version", 0) if isinstance(environment, dict) else 0)
    if not (path / WEIGHTS).exists():
        raise RunError(f"{path}: the run has no weights yet", hint="its training did not finish; train again")
    return Run(path)


def weights_file(run_or_file: Path) -> Path:
    """The weights file of a run folder, or the file itself. Raises RunError where there is none."""
    if run_or_file.is_dir():
        return open_run(run_or_file).weights
    if not run_or_file.exists():
        raise RunError(f"{run_or_file}: no such run folder or weights file")
    return run_or_file


def next_run_path(parent: Path, name: str) -> Path:
    """The first of parent/name-1, name-2, ... that does not exist."""
    index = 1
    while (parent / f"{name}-{index}").exists():
        index += 1
    return parent / f"{name}-{index}"
