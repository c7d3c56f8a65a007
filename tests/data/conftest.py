"""Fixtures of several files: kornia, Hugging Face `datasets`, and the digits in each of its layouts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convscale import open_dataset
from tests.data.hub_copies import COUNT, NAMES, table_of, write_parquet, write_tars


@pytest.fixture(scope="module")
def kornia() -> Any:
    return pytest.importorskip("kornia")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`datasets` with its cache in a temporary folder."""
    home = tmp_path_factory.mktemp("hf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(home))
        package = pytest.importorskip("datasets")
        patch.setattr(package.config, "HF_DATASETS_CACHE", home / "datasets")
        patch.setattr(package.config, "DOWNLOADED_DATASETS_PATH", home / "downloads")
        patch.setattr(package.config, "EXTRACTED_DATASETS_PATH", home / "extracted")
        package.disable_progress_bars()
        yield package
        package.enable_progress_bars()


@pytest.fixture(scope="module")
def digits() -> list[tuple[bytes, int]]:
    """(PNG, label) of some digits."""
    data = open_dataset("digits")
    found = []
    for index in range(COUNT):
        file = io.BytesIO()
        data.train.image(index).save(file, "PNG")
        found.append((file.getvalue(), int(data.train.labels[index])))
    assert len({content for content, _ in found}) == COUNT
    return found


@pytest.fixture(scope="module")
def copies(hub: Any, digits: list[tuple[bytes, int]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The digits in every layout."""
    root = tmp_path_factory.mktemp("copies")
    table = table_of(hub, digits)
    table.save_to_disk(root / "saved")
    hub.DatasetDict(train=table.select(range(90)), val=table.select(range(90, COUNT))).save_to_disk(root / "splits")
    write_parquet(table, root / "parquet")
    write_parquet(table_of(hub, digits, names=None), root / "numbers")
    write_tars(digits, root / "tar")
    write_tars(digits, root / "json", label="json")
    for index, (content, label) in enumerate(digits):
        path = root / "folder" / NAMES[label] / f"{index:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return {path.name: path for path in root.iterdir()}
