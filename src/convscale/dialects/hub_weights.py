"""pretrained: weights that are published on the Hugging Face hub, fetched once, converted, checked and kept.

Downloads are kept in the hub's own cache, converted files in ~/.cache/convscale/weights (XDG_CACHE_HOME moves it).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convscale.catalog import CATALOG
from convscale.dialects.conversion import convert
from convscale.dialects.meaning import Choices
from convscale.dialects.names import given, unknown_weights
from convscale.dialects.published_weights import Published, published
from convscale.errors import MissingExtraError, RunError, UnknownNameError
from convscale.files import sha256_of
from convscale.nn import Model, load
from convscale.progress import print_note

FILE = "model.safetensors"


def pretrained(name: str, *, hub_cache: str | Path | None = None) -> Model:
    """A network with published weights, in eval mode, with its `preprocessing` and `classes`.

    name: a network of the catalog, for its usual weights, or of published ones, as tf_efficientnet_b0.ns_jft_in1k.
    hub_cache: the hub's cache, where it is not in its usual place. Raises as `get_weights` does.
    """
    return load(get_weights(name, hub_cache=hub_cache))


def get_weights(name: str, *, hub_cache: str | Path | None = None) -> Path:
    """The Convscale file of published weights: the one that is kept, or one made from what is in the hub's cache or
    is fetched.

    Raises UnknownNameError for a name without published weights, RunError if the file cannot be fetched or differs
    from the hub's record, MissingExtraError without huggingface_hub.
    """
    row = find_weights(name)
    kept = cache_folder() / f"{row.name}.safetensors"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        convert(_fetch(row, hub_cache), kept, dialect=row.dialect, choices=Choices(network=row.name))
    return kept


def cache_folder() -> Path:
    """Where converted weights are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "convscale" / "weights"


def find_weights(name: str) -> Published:
    """The row of published weights that are on the hub, by their name, an older one, or that of an architecture or a
    network, for its usual ones. Raises UnknownNameError."""
    rows = hub_rows()
    named = given(name, "timm")
    if named is not None and named.row.dialect == "timm":
        return named.row
    for row in rows:
        if name == row.network:
            return row
    if name in CATALOG:
        hint = "no weights are published for it; convscale weights list shows all"
        raise UnknownNameError("weights", name, (), hint=hint)
    raise unknown_weights(name, rows)


def list_weights() -> list[str]:
    """The names of published weights that `pretrained` knows."""
    return [row.name for row in hub_rows()]


def hub_rows() -> list[Published]:
    """What is on the hub: what timm publishes there."""
    return [row for row in published() if row.dialect == "timm"]


def _fetch(row: Published, hub_cache: str | Path | None) -> Path:
    """The file as it is published. The name of a blob in the hub's cache is its sha256, which is compared."""
    hub = _hub()
    options: dict[str, Any] = {"repo_id": row.repository, "filename": FILE, "cache_dir": hub_cache}
    try:
        path = hub.hf_hub_download(**options, local_files_only=True)
    except (FileNotFoundError, ValueError):  # not there yet
        path = _download(hub, row, options)
    blob = Path(path).resolve()
    if len(blob.name) == 64 and (found := sha256_of(blob)) != blob.name:
        raise RunError(
            f"{blob}: damaged: its sha256 is {found}, which differs from its name", hint="delete it and fetch it again"
        )
    return Path(path)


def _download(hub: Any, row: Published, options: dict[str, Any]) -> str:
    from huggingface_hub import constants

    print_note(f"fetching {row.repository} from the Hugging Face hub")
    try:
        with _errors_alone():
            _require_reachable(hub.hf_hub_url(row.repository, FILE))
            return str(hub.hf_hub_download(**options))
    except (OSError, ValueError) as error:  # no network, no such repository, offline mode
        cache = Path(options["cache_dir"] or constants.HF_HUB_CACHE)
        place = cache / f"models--{row.repository.replace('/', '--')}" / "snapshots" / "main" / FILE
        raise RunError(
            f"{row.name} cannot be fetched: {str(error).splitlines()[0]}",
            hint=f"on a machine with network access, download {hub.hf_hub_url(row.repository, FILE)} and put it "
            f"at {place}, or convert it: convscale convert {FILE} --network {row.name} -o FILE",
        ) from None


def _require_reachable(url: str) -> None:
    """Raise OSError within seconds where the hub cannot be reached: hf_hub_download tries for half a minute."""
    from huggingface_hub import get_hf_file_metadata

    try:
        get_hf_file_metadata(url, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError):
        raise
    except Exception as error:  # of the HTTP client, which is another one in each of the hub's versions
        raise OSError(f"the Hugging Face hub cannot be reached: {error}") from None


_CONNECT_SECONDS = 5


@contextmanager
def _errors_alone() -> Iterator[None]:
    """While entered, the hub's client logs no retries: their outcome is reported at the end."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise MissingExtraError("huggingface_hub", "hub", "fetching published weights") from None
    return huggingface_hub
