"""The header of a weights file."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from convscale.display import Display, Displayed
from convscale.errors import ConfigError, RunError
from convscale.files import MAX_CONFIG_BYTES, parse_json
from convscale.formats import FORMAT_VERSION, read_kept, require_version
from convscale.networks import ConvNet
from convscale.preprocessing import Preprocessing
from convscale.schema import check, from_table, to_table
from convscale.version import __version__

_HEADER_LIMIT = 100 * MAX_CONFIG_BYTES
UNTRAINED = ("untrained",)  # the one class of a trunk without a classifier of its own
RESTORE = "restore the file, or copy it again"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Origin of converted weights: the file's name or the hub's, its sha256, its dialect,
    the licence if known, and the notes of the conversion."""

    source: str
    sha256: str
    dialect: str
    licence: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, repr=False)
class WeightsHeader(Displayed):
    """What a weights file says about itself: enough to predict, evaluate, explain and export."""

    JSON: ClassVar = (
        "format_version", "preprocessing", "padding=network.padding", "norm_eps=network.norm_eps", "classes",
        "provenance",
    )  # fmt: skip

    network: ConvNet
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    provenance: Provenance | None = None
    format_version: int = field(default=FORMAT_VERSION, compare=False)  # of the file that it was read from

    def __post_init__(self) -> None:
        check(self)
        if self.preprocessing.channels != self.network.input_channels:
            channels = self.preprocessing.channels, self.network.input_channels
            raise RunError(f"preprocessing of {channels[0]} channels for a network of {channels[1]}")
        if len(set(self.classes)) < len(self.classes):
            raise RunError("a class is named twice")
        if len(self.classes) != self.network.num_classes:
            raise RunError(f"{len(self.classes)} class names for a network of {self.network.num_classes} classes")

    def _display(self) -> Display:
        """In a few lines."""
        origin = self.provenance
        rows = [
            ("preprocessing", self.preprocessing.in_words()),
            ("classes", f"{len(self.classes):,}: {', '.join(self.classes[:10])}{', ...' * (len(self.classes) > 10)}"),
        ]
        rows += [] if origin is None else [("from", f"{origin.source}, {origin.dialect}")]
        return Display(f"WeightsHeader of {self.network.name}", rows=tuple(rows))

    def as_metadata(self) -> dict[str, str]:
        """The header as the strings that safetensors keeps."""
        metadata = {
            "format_version": str(FORMAT_VERSION),
            "convscale": __version__,
            "network": json.dumps(to_table(self.network, complete=True)),
            "preprocessing": json.dumps(to_table(self.preprocessing, complete=True)),
            "classes": json.dumps(self.classes, ensure_ascii=False),
        }
        if self.provenance is not None:
            metadata["provenance"] = json.dumps(to_table(self.provenance, complete=True), ensure_ascii=False)
        return metadata


def is_safetensors(path: Path) -> bool:
    """Whether a file of any name begins as those of safetensors do."""
    try:
        with path.open("rb") as file:
            begin = file.read(9)
    except OSError:
        return False
    return len(begin) == 9 and begin[8:] == b"{" and struct.unpack("<Q", begin[:8])[0] <= path.stat().st_size - 8


def has_header(path: str | Path) -> bool:
    """Whether a file is a weights file of Convscale, damaged or not."""
    try:
        return "format_version" in _metadata(Path(path))
    except RunError:
        return False


def read_header(path: str | Path) -> WeightsHeader:
    """The header of a weights file, without reading its weights.

    Raises RunError for a file that is missing, damaged, not Convscale's, or from a newer version.
    """
    path = Path(path)
    metadata = _metadata(path)
    if "format_version" not in metadata:
        raise RunError(
            f"{path}: weights without Convscale's header", hint=f"if another library's: convscale convert {path} -o OUT"
        )
    return header_from(metadata, path)


def header_from(metadata: Mapping[str, str], path: Path) -> WeightsHeader:
    """The header that `as_metadata` wrote into a file, of weights or exported. Raises RunError where it is damaged or
    from a newer version."""
    require_version(path, metadata.get("format_version", ""))
    try:
        return WeightsHeader(
            read_kept(ConvNet, parse_json(metadata["network"], "network"), "network"),
            read_kept(Preprocessing, parse_json(metadata["preprocessing"], "preprocessing"), "preprocessing"),
            from_table(tuple[str, ...], parse_json(metadata["classes"], "classes"), "classes"),
            read_kept(Provenance, parse_json(metadata["provenance"], "provenance"), "provenance")
            if "provenance" in metadata
            else None,
            format_version=int(metadata["format_version"]),
        )
    except (KeyError, ValueError) as error:
        raise RunError(f"{path}: the header is damaged: {error}", hint=RESTORE) from None


def _metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file. Raises RunError."""
    try:
        with path.open("rb") as file:
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else _HEADER_LIMIT + 1
            if length > min(_HEADER_LIMIT, path.stat().st_size):
                raise RunError(
                    f"{path}: not a safetensors file, or cut short",
                    hint=f"if another library's: convscale convert {path} -o OUT; else {RESTORE}",
                )
            text = file.read(length).decode("utf-8")
        return from_table(dict[str, str], parse_json(text, str(path)).get("__metadata__", {}))
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, ConfigError, AttributeError):
        raise RunError(f"{path}: the header is damaged", hint=RESTORE) from None
