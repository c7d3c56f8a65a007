"""Which published weights a text means: a name, or the name of a file, a folder or a repository on a hub.

Nothing is matched by similarity: a text is the name of weights ("tf_efficientnet_b0.ap_in1k", any separators), that of
the file that they are published as, an older name of theirs, or holds their hash. A text that is an architecture, or
only begins with a name, says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from convscale.catalog import CATALOG
from convscale.dialects.published_weights import Published, published
from convscale.errors import UnknownNameError, suggestion

_SUFFIXES = re.compile(r"(\.(safetensors|pth|pt|th|bin|tar|ckpt|weights|h5|hdf5|keras))+$", re.IGNORECASE)
_COPY = re.compile(r"\s*\(\d+\)$")  # what browsers put behind the second download of a name
_OWNER = re.compile(r"^(hf[-_]hub:)?(models--)?(timm|torchvision)(/|--)")
_TAG = re.compile(r"in1k|in12k|in21k|in22k|imagenet1k", re.IGNORECASE)


class Named(NamedTuple):
    """The weights that a text means. exact: it names them; else an architecture, whose usual weights they are. rest:
    what else the text says."""

    row: Published
    exact: bool
    rest: str = ""


def named(text: str, rows: Iterable[Published]) -> Named | None:
    """The weights among `rows` that `text` means or begins with; None for none."""
    spelled, keys, hashes = _spelled(text), *_keys(tuple(rows))
    for part in spelled.split("_"):
        if part in hashes:
            return Named(hashes[part], True)
    if spelled in keys:
        row, exact = keys[spelled]
        return Named(row, exact)
    begun = max((key for key in keys if spelled.startswith(f"{key}_")), key=len, default=None)
    if begun is None:
        return None
    return Named(keys[begun][0], False, spelled.removeprefix(f"{begun}_"))


def named_file(text: str, rows: Iterable[Published]) -> Named | None:
    """As `named`, of a file's name. Raises UnknownNameError for ARCHITECTURE.TAG where the tag is of no weights that
    are known, as in tf_efficientnet_b0.zz_in1k.safetensors: their preprocessing is not known either."""
    rows = list(rows)
    found = named(text, rows)
    if found is not None and found.rest and not found.exact:
        stem = _SUFFIXES.sub("", text)
        head, _, tag = stem.partition(".")
        if _spelled(head) == _spelled(found.row.architecture) and _TAG.search(tag):
            raise unknown_weights(stem, rows)
    return found


def by_sha256(sha256: str, rows: Iterable[Published]) -> Published | None:
    """The weights whose published file this is."""
    return next((row for row in rows if row.hash and sha256.startswith(row.hash)), None)


def given(name: str, dialect: str | None = None) -> Named | None:
    """The weights that a user names, or the usual ones of an architecture; None where `name` is neither.

    dialect: of which an architecture is where several have it. A path is no name.
    """
    if _SUFFIXES.search(name) or ("/" in name and not _OWNER.match(name)):
        return None
    rows = sorted(published(), key=lambda row: row.dialect != dialect)
    found = named(name, rows)
    return None if found is None or found.rest else found


def in_catalog(name: str) -> str:
    """The catalog's own spelling of MobileNet-V1, mobilenet_v1 and the like; other names as they are."""
    plain = name.lower().replace("_", "-")
    return plain if plain in CATALOG and not Path(name).exists() and given(name) is None else name


def unknown_weights(name: str, rows: Sequence[Published] = ()) -> UnknownNameError:
    """The error for a name that is of no weights, with those that it is nearest to: of its architecture, if it has
    one."""
    begun = named(name, rows or published())
    if begun is None:
        every = {row.name for row in published()} | {row.architecture for row in published()}
        return UnknownNameError("network or weights", name, every | set(CATALOG))
    same = [row.name for row in published() if row.architecture == begun.row.architecture]
    return UnknownNameError("weights", name, same, hint=suggestion(name, same) or f"one of {', '.join(same)}")


def _spelled(text: str) -> str:
    """As all names are compared: lower case, one kind of separator."""
    stem = _COPY.sub("", _SUFFIXES.sub("", _OWNER.sub("", text.strip())))
    return re.sub("[^a-z0-9]+", "_", stem.lower()).strip("_").removesuffix("_weights").replace("_weights_", "_")


@cache
def _keys(rows: tuple[Published, ...]) -> tuple[dict[str, tuple[Published, bool]], dict[str, Published]]:
    """Every spelling of every row, and whether it names the weights and not their architecture alone; the hashes."""
    keys: dict[str, tuple[Published, bool]] = {}
    for row in rows:
        tagged = (row.name,) if "." in row.name else ()
        for name in (*tagged, row.file, *row.aliases):
            if name:
                keys.setdefault(_spelled(name), (row, True))
    for row in rows:
        keys.setdefault(f"{_spelled(row.architecture)}_default", (row, True))
        keys.setdefault(_spelled(row.architecture), (row, False))
    hashes: dict[str, Published] = {}
    for row in rows:
        if row.hash:
            hashes.setdefault(row.hash, row)
    return keys, hashes
