"""Reading and writing files: TOML and JSON that refuse duplicates, and writes that are whole or absent.

A write goes to a temporary file beside its target, is flushed to the disk, takes the target's place in one
step, and the folder is flushed too: a crash leaves the old file or the new one, never half of either.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from convscale.errors import ConfigError

MAX_CONFIG_BYTES = 1_000_000


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file. Raises ConfigError when it is missing, too large or malformed."""
    return read_toml_text(read_text(path), str(path))


def read_toml_text(text: str, where: str) -> dict[str, Any]:
    """The table in TOML `text`; `where` names it in messages. Raises ConfigError."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid TOML: {error}", hint="see docs/concepts.md for a whole file") from None


def read_json(path: Path, most_bytes: int = MAX_CONFIG_BYTES) -> Any:
    """The value in a JSON file; a key given twice is refused. Raises ConfigError."""
    return parse_json(read_text(path, most_bytes), str(path))


def parse_json(text: str, where: str) -> Any:
    """The value in JSON `text`; a key given twice, NaN and infinities are refused. Raises ConfigError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise ConfigError(f"{where}: a key is given twice: {[key for key, _ in pairs]}")
        return table

    def no_constant(name: str) -> Any:
        raise ConfigError(f"{where}: {name} is not a valid JSON number")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
    except ConfigError:
        raise
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid JSON: {error}") from None


def read_text(path: Path, most_bytes: int = MAX_CONFIG_BYTES) -> str:
    """The text of a file that people write. Raises ConfigError when it is missing, too large or not UTF-8."""
    try:
        if path.stat().st_size > most_bytes:
            raise ConfigError(f"{path}: larger than {most_bytes:,} bytes, too large to be read")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def format_toml(table: dict[str, Any]) -> str:
    """`table` as TOML; lists of tables inside a list of tables are written as one inline table per line,
    so that the stages of a network read like the table of a paper."""
    import tomlkit

    def inline(value: Any) -> Any:
        if isinstance(value, dict):
            row = tomlkit.inline_table()
            row.update({key: inline(item) for key, item in value.items()})
            return row
        if isinstance(value, list):
            rows = tomlkit.array()
            rows.extend(inline(item) for item in value)
            return rows.multiline(bool(value) and isinstance(value[0], dict))
        return value

    document = tomlkit.document()
    tables = {key: value for key, value in table.items() if _is_table(value)}
    for key, value in table.items():
        if key not in tables:
            document.add(key, inline(value))
    for key, value in tables.items():
        items = value if isinstance(value, list) else [value]
        written = [tomlkit.table() for _ in items]
        for section, item in zip(written, items, strict=True):
            for name, field in item.items():
                section.add(name, inline(field))
        document.add(key, tomlkit.aot() if isinstance(value, list) else written[0])
        if isinstance(value, list):
            for section in written:
                document[key].append(section)
    return re.sub(r"(?<=\S)\n\[", "\n\n[", tomlkit.dumps(document))  # a blank line before each table


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def write_atomic(path: Path, write: Callable[[BinaryIO], object], *, durable: bool = True) -> None:
    """Call `write` with a binary file that takes `path`'s place when it is complete and, if `durable`, on the disk.

    Without `durable` it costs a hundredth: readers still find the file whole, but a crash of the machine may
    lose it. A link is followed; a device or pipe, which nothing can take the place of, is written to.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            write(file)
        return
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            write(file)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        flush_folder(path.parent)


def write_together(folder: Path, names: Sequence[str], write: Callable[[Path], object]) -> None:
    """Have `write` put files, or folders of them, of these `names` into a temporary folder; they are flushed to the
    disk and take their places in `folder`, one after the other in this order, when all of them are complete.

    For what others write by themselves, under names of their own. Raises OSError where `write` leaves one out.
    """
    folder = folder.resolve()
    temporary = folder / f".{names[0][:100]}.{secrets.token_hex(8)}.tmp"
    temporary.mkdir()
    try:
        write(temporary)
        for name in names:
            whole = temporary / name
            for path in [one for one in whole.rglob("*") if one.is_file()] if whole.is_dir() else [whole]:
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        for name in names:
            if (folder / name).is_dir():  # which nothing can take the place of in one step
                (folder / name).replace(temporary / f"{name}.before")
            (temporary / name).replace(folder / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    flush_folder(folder)


def sha256_of(*paths: Path) -> str:
    """Of the files one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()


def flush_folder(path: Path) -> None:
    """Have the disk take the names in a folder, as it took the files' contents."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    write_atomic(path, lambda file: file.write(text.encode("utf-8")), durable=durable)


def write_toml(path: Path, table: dict[str, Any]) -> None:
    """Write `table` as TOML, whole or not at all."""
    write_text(path, format_toml(table))


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write `value` as indented JSON, whole or not at all. NaN and infinities are refused (ValueError)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n", durable=durable)
