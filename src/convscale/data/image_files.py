"""What counts as an image file, decided once for folders, tables and predictions; files of a folder, through links."""

from __future__ import annotations

import importlib
import os
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from convscale.data.bands import array_shape

with suppress(ImportError):  # a plug-in that teaches Pillow HEIC, where it is installed
    importlib.import_module("pillow_heif").register_heif_opener()

# Pictures that a decoder reads from pixels alone: no vector graphics, no films, no arrays of measurements.
_FORMATS = frozenset({
    "AVIF", "BMP", "DDS", "DIB", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "PSD", "QOI",
    "SGI", "TGA", "TIFF", "WEBP",
})  # fmt: skip
# Those that a file's first bytes tell for sure: for the others the name has to say it.
_TOLD_BY_CONTENT = (
    "AVIF", "BMP", "DDS", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "PSD", "QOI", "TIFF", "WEBP",
)  # fmt: skip
_MORE_SUFFIXES = frozenset({".mpo", ".pjpeg", ".pjp"})  # of formats that Pillow registers without them
# Names that say that it is no image, or not a whole one, whatever the content looks like.
_NEVER_TEXT = (
    ".txt .md .json .jsonl .xml .csv .tsv .yaml .yml .toml .html .htm .log .py .ipynb .npz .pkl .mat .parquet "
    ".zip .tar .gz .7z .pdf .svg .eps .mp4 .mov .avi .mkv .webm .mp3 .wav .dng .cr2 .cr3 .nef .arw .raf .orf .rw2 "
    ".pef .srw .raw .part .crdownload .tmp .bak"
)
_NEVER = frozenset(_NEVER_TEXT.split())
_CLUTTER = frozenset(
    {
        "@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found", "__macosx",
        "__pycache__", "thumbs.db", "desktop.ini",
    }
)  # fmt: skip
_EXAMPLES = 3
_ARRAY_HEADER = 4096  # bytes: more than one of numbers takes


UNOPENED = "cannot be opened"  # the kind of links that lead nowhere, and of what may not be read


@dataclass(frozen=True, slots=True)
class NotUsed:
    """Files of one kind in the data's folder that are not used. kind: a suffix, or a description of the problem;
    examples: the first few."""

    kind: str
    count: int
    examples: tuple[str, ...]


class Scan(NamedTuple):
    """What is in a folder and below: images, in order of their paths, and the rest with its kind."""

    images: list[Path]
    others: list[tuple[str, Path]]


def is_image_file(path: Path) -> bool:
    """Whether a file is treated as an image: by its suffix if Pillow knows it as an image format (whether it can
    be decoded shows when it is read), else by its first bytes. An array is an image if it has two or three axes."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _may_be_image_array(path)
    if suffix in _MORE_SUFFIXES or Image.registered_extensions().get(suffix) in _FORMATS:
        return True
    return suffix not in _NEVER and not suffix.endswith("~") and _opens(path)


def _may_be_image_array(path: Path) -> bool:
    """Whether a .npy file has two or three axes, as images do, or cannot be read, which is seen when it is."""
    try:
        with path.open("rb") as file:
            shape = array_shape(file.read(_ARRAY_HEADER))
    except OSError:
        return True
    return shape is None or len(shape) in (2, 3)


def _opens(path: Path) -> bool:
    """Whether Pillow knows the content's format."""
    known = [name for name in _TOLD_BY_CONTENT if name in Image.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=known):
                return True
    except Image.DecompressionBombError:
        return True  # one, and refused by its name when it is read
    except Exception:  # decoders raise anything
        return False


def is_hidden(name: str) -> bool:
    """Whether a file or folder is not a user's: hidden, or what a system or NAS puts next to images."""
    return name.startswith(".") or name.casefold() in _CLUTTER


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, links to folders among them, in the order of their names."""
    with os.scandir(folder) as found:
        return sorted(folder / entry.name for entry in found if not is_hidden(entry.name) and _is_folder(entry))


def holds_image(folder: Path, *, or_suffixes: Collection[str] = ()) -> bool:
    """Whether there is an image, or a file with one of these suffixes, in a folder or below."""
    return any(whole and (path.suffix.lower() in or_suffixes or is_image_file(path)) for path, whole in _walk(folder))


def scan(folder: Path, *, below: bool = True) -> Scan:
    """The files in a folder, and below it unless `below` is false."""
    return _sorted_out(_walk(folder, below))


def scan_files(paths: Iterable[Path]) -> Scan:
    """These files, as `scan` finds those of a folder."""
    return _sorted_out((path, path.is_file()) for path in paths)


def _sorted_out(files: Iterable[tuple[Path, bool]]) -> Scan:
    images: list[Path] = []
    others: list[tuple[str, Path]] = []
    for path, whole in files:
        if whole and is_image_file(path):
            images.append(path)
        else:
            others.append((_kind(path) if whole else UNOPENED, path))
    return Scan(sorted(images), sorted(others))


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    return suffix if suffix and len(suffix) <= 12 and suffix.isprintable() else "no suffix"


def _walk(folder: Path, below: bool = True) -> Iterator[tuple[Path, bool]]:
    """(path, whether it is a file that can be read) of what is in a folder and below.

    Links to folders are followed last, none that leads back up and no folder twice.
    """
    entered: set[str] = set()
    waiting = [(folder, os.path.realpath(folder))]
    links: list[tuple[Path, str]] = []
    while waiting or links:
        place, real = waiting.pop() if waiting else links.pop(0)
        if real in entered:
            continue
        entered.add(real)
        try:
            with os.scandir(place) as found:
                entries = [entry for entry in found if not is_hidden(entry.name)]
        except PermissionError:
            yield place, False
            continue
        for entry in entries:
            path = place / entry.name
            if not _is_folder(entry):
                yield path, path.is_file() if entry.is_symlink() else entry.is_file()
            elif not below:
                continue
            elif not entry.is_symlink():
                waiting.append((path, os.path.join(real, entry.name)))  # noqa: PTH118 - real paths are text here
            elif not _leads_up(path, real):
                links.append((path, os.path.realpath(path)))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; broken links and links to themselves do not count."""
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()


def _leads_up(link: Path, real_parent: str) -> bool:
    """Whether a link leads to a folder that it lies in, by its path or really."""
    target = os.path.realpath(link)
    above = {os.path.realpath(parent) for parent in link.absolute().parents}
    return target in above or Path(target) in (Path(real_parent), *Path(real_parent).parents)


def count_kinds(items: Iterable[tuple[str, Path | str]]) -> tuple[NotUsed, ...]:
    """How many there are of each kind, the most first."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for kind, name in items:
        by_kind[kind].append(str(name))
    rows = sorted(by_kind.items(), key=lambda row: (-len(row[1]), row[0]))
    return tuple(NotUsed(kind, len(names), tuple(names[:_EXAMPLES])) for kind, names in rows)


def describe_unused(not_used: Iterable[NotUsed]) -> list[str]:
    """What is not used, in sentences: one for files that are not read, one for each other problem."""
    rows = list(not_used)
    files = [row for row in rows if row.kind.startswith(".") or row.kind == "no suffix"]
    lines = []
    if files:
        count = sum(row.count for row in files)
        kinds = ", ".join(f"{row.kind} ({row.count:,})" for row in files)
        help_ = "; Pillow reads HEIC with pillow-heif" if any(row.kind in (".heic", ".heif") for row in files) else ""
        lines.append(f"{count:,} {'file' if count == 1 else 'files'} not read: {kinds}{help_}")
    for row in rows:
        if row not in files:
            more = ", ..." if row.count > len(row.examples) else ""
            lines.append(f"not used, {row.kind}: {row.count:,} ({', '.join(row.examples)}{more})")
    return lines
