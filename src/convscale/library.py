"""Files that ship with the package: tables of one kind, each with a name; and others of that kind, by their path."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Generic, TypeVar

from convscale.errors import UnknownNameError
from convscale.files import read_text, read_toml_text
from convscale.schema import from_table

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Library(Generic[T]):
    """The TOML files of `folder`, known by their names; each holds a `kind`, which messages call `noun`."""

    noun: str
    kind: type[T]
    folder: Traversable

    def names(self) -> list[str]:
        """The names, in their order."""
        return sorted(file.name.removesuffix(".toml") for file in self.folder.iterdir() if file.name.endswith(".toml"))

    def text(self, name_or_file: str | Path) -> str:
        """A file as it is written, comments and all: one of the names, or any other that ends in .toml.

        Raises UnknownNameError for neither, ConfigError where it cannot be read.
        """
        name, path = str(name_or_file), Path(name_or_file)
        if name in self.names():
            return (self.folder / f"{name}.toml").read_text(encoding="utf-8")
        if path.suffix == ".toml" or path.is_file():
            return read_text(path)
        raise UnknownNameError(self.noun, name, self.names())

    def read(self, name_or_file: str | Path) -> T:
        """What a file holds. Raises as `text`, and ConfigError naming the file and the key that is wrong."""
        where = str(name_or_file)
        return from_table(self.kind, read_toml_text(self.text(name_or_file), where), where)
