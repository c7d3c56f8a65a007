"""The digits that tests of Hugging Face `datasets` read, and their files in several layouts."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

COUNT = 120
NAMES = tuple(f"digit {number}" for number in range(10))
STREAMED = ("saved", "parquet", "numbers", "tar", "json")


def table_of(hub: Any, digits: list[tuple[bytes, int]], names: tuple[str, ...] | None = NAMES, **columns: Any) -> Any:
    label = hub.Value("int64") if names is None else hub.ClassLabel(names=list(names))
    features = hub.Features({"picture": hub.Image(), "label": label})
    stored = [{"bytes": content, "path": None} for content, _ in digits]
    return hub.Dataset.from_dict({"picture": stored, "label": [y for _, y in digits]} | columns, features=features)


def write_parquet(table: Any, folder: Path, files: int = 4, rows: int = 15) -> Path:
    folder.mkdir()
    for index in range(files):
        table.shard(files, index).to_parquet(folder / f"train-{index:05d}-of-{files:05d}.parquet", batch_size=rows)
    return folder


def write_tars(digits: list[tuple[bytes, int]], folder: Path, files: int = 3, label: str = "cls") -> Path:
    folder.mkdir()
    size = len(digits) // files
    for file in range(files):
        with tarfile.open(folder / f"train-{file}.tar", "w") as tar:
            for index in range(file * size, (file + 1) * size):
                content, number = digits[index]
                text = str(number) if label == "cls" else json.dumps({"label": number, "width": 8})
                for suffix, data in (("png", content), (label, text.encode())):
                    member = tarfile.TarInfo(f"{index:05d}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return folder
