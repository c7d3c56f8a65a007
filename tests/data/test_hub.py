"""Data through Hugging Face `datasets`: local copies of every layout, failures, and the hub itself."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convscale.data.hub import read_hub
from convscale.data.hub_source import parse_spec
from convscale.data.stream import open_streams
from convscale.errors import DataError
from tests.data.hub_copies import COUNT, NAMES, STREAMED, table_of, write_parquet, write_tars

NUMBERED = ("numbers", "tar", "json")  # no class names: labels are numbers


@pytest.mark.parametrize("layout", [*STREAMED, "folder"])
def test_a_local_copy_is_read_by_index_with_its_bytes(
    layout: str, copies: dict[str, Path], digits: list[tuple[bytes, int]]
) -> None:
    splits, classes, skipped, *_ = read_hub(f"hf:{copies[layout]}", "label")
    (name,) = splits
    images = splits[name]
    assert name == ("all" if layout == "saved" else "train")
    assert classes == (tuple(str(number) for number in range(10)) if layout in NUMBERED else NAMES)
    assert skipped == () and len(images) == len(images.labels) == COUNT and images.labels.dtype == np.int64
    found = {images.content(index): int(label) for index, label in enumerate(images.labels)}
    assert found == dict(digits)
    if layout != "folder":
        assert list(found.items()) == digits
    assert images.image(17).size == (8, 8)
    assert str(copies[layout]) in images.name(17) and images.name(17).endswith("[17]")


def test_splits_take_their_usual_names(copies: dict[str, Path], digits: list[tuple[bytes, int]]) -> None:
    splits, classes, *_ = read_hub(f"hf:{copies['splits']}", "label")
    assert {name: len(images) for name, images in splits.items()} == {"train": 90, "validation": 30}
    assert classes == NAMES
    assert splits["validation"].content(0) == digits[90][0]
    streams = open_streams(f"hf-stream:{copies['splits']}", "label")
    assert {name: len(stream) for name, stream in streams.items()} == {"train": 90, "validation": 30}
    assert [item.content for item in streams["validation"].read(None, 0)] == [content for content, _ in digits[90:]]


def test_a_single_file_is_read_too(copies: dict[str, Path]) -> None:
    for file in (copies["parquet"] / "train-00000-of-00004.parquet", copies["tar"] / "train-0.tar"):
        splits, *_ = read_hub(f"hf:{file}", "label")
        assert sum(map(len, splits.values())) in (30, 40)


def test_splits_that_name_their_classes_in_another_order(hub: Any, digits: list[Any], tmp_path: Path) -> None:
    turned = tuple(reversed(NAMES))
    held = table_of(hub, [(content, 9 - label) for content, label in digits[90:]], turned)
    hub.DatasetDict(train=table_of(hub, digits[:90]), test=held).save_to_disk(tmp_path / "data")
    splits, classes, *_ = read_hub(f"hf:{tmp_path / 'data'}", "label")
    assert classes == NAMES
    assert splits["test"].labels.tolist() == [label for _, label in digits[90:]]
    stream = open_streams(f"hf-stream:{tmp_path / 'data'}", "label")["test"]
    assert [item.label for item in stream.read(None, 0)] == [label for _, label in digits[90:]]


def fails(spec: str, label_column: str = "label") -> DataError:
    with pytest.raises(DataError) as caught:
        if spec.startswith("hf-stream:"):
            for stream in open_streams(spec, label_column, buffer=8).values():
                list(stream.read(0, 0))
        else:
            for images in read_hub(spec, label_column)[0].values():
                for index in range(len(images)):
                    images.image(index)
    assert caught.value.hint and "\n" not in str(caught.value) and len(str(caught.value)) < 700
    return caught.value


@pytest.mark.parametrize("prefix", ["hf:", "hf-stream:"])
def test_missing_columns(prefix: str, hub: Any, copies: dict[str, Path], tmp_path: Path) -> None:
    assert "no column 'species', only png, cls" not in fails(f"{prefix}{copies['json']}", "species").message
    assert "no column 'species', only picture, label" in fails(f"{prefix}{copies['numbers']}", "species").message
    assert read_hub(f"hf:{copies['parquet']}", "species")[1] == NAMES  # the only column of class labels
    hub.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}).save_to_disk(tmp_path / "text")
    assert "no column of images, only text, label" in fails(f"{prefix}{tmp_path / 'text'}").message


@pytest.mark.parametrize("prefix", ["hf:", "hf-stream:"])
def test_damaged_rows_and_files_are_named(
    prefix: str, hub: Any, digits: list[tuple[bytes, int]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [*digits]
    rows[23] = (b"", rows[23][1])
    table_of(hub, rows).save_to_disk(tmp_path / "empty")
    message = fails(f"{prefix}{tmp_path / 'empty'}").message
    assert "no image bytes in this row" in message and ("[23]" in message or "part 0, row 23" in message)

    table_of(hub, [*digits[:5], (digits[5][0], -1)]).save_to_disk(tmp_path / "label")
    message = fails(f"{prefix}{tmp_path / 'label'}").message
    assert "label -1" in message and "row 5" in message

    write_tars(digits, tmp_path / "tar")
    content = (tmp_path / "tar" / "train-1.tar").read_bytes()
    (tmp_path / "tar" / "train-1.tar").write_bytes(content[: 512 * 58])  # cut off behind an image, before its label
    assert "has no label" in fails(f"{prefix}{tmp_path / 'tar'}").message
    (tmp_path / "tar" / "train-1.tar").write_bytes(b"damaged!" * 1000)
    assert "cannot be read" in fails(f"{prefix}{tmp_path / 'tar'}").message

    write_parquet(table_of(hub, digits), tmp_path / "parquet")
    (tmp_path / "parquet" / "train-00001-of-00004.parquet").write_bytes(b"PAR1 is not all of it PAR1")
    assert "cannot be read" in fails(f"{prefix}{tmp_path / 'parquet'}").message
    (tmp_path / "nothing").mkdir()
    assert str(tmp_path / "nothing") in fails(f"{prefix}{tmp_path / 'nothing'}").message
    assert capfd.readouterr().err == ""


def test_a_damaged_image_is_named(hub: Any, digits: list[tuple[bytes, int]], tmp_path: Path) -> None:
    table_of(hub, [*digits[:9], (b"not an image", 3)]).save_to_disk(tmp_path / "data")
    assert "[9]: not an image" in fails(f"hf:{tmp_path / 'data'}").message
    for index, (content, label) in enumerate(digits[:20]):
        path = tmp_path / "folder" / NAMES[label] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    splits, *_ = read_hub(f"hf:{tmp_path / 'folder'}", "label")
    splits["train"].content(0)
    path.unlink()
    with pytest.raises(DataError, match=r"\[[0-9]+\]: .*19.png cannot be read"):
        for index in range(20):
            splits["train"].content(index)


def test_a_label_that_is_missing_is_named(digits: list[tuple[bytes, int]], hub: Any, tmp_path: Path) -> None:
    rows = [*digits]
    rows[40] = (rows[40][0], None)  # type: ignore[call-overload]
    write_parquet(table_of(hub, rows, names=None), tmp_path / "data", files=1, rows=7)
    assert "row 40 has no label" in fails(f"hf:{tmp_path / 'data'}").message
    assert "part 5 from row 5 on: row 0 has no label" in fails(f"hf-stream:{tmp_path / 'data'}").message


def test_a_folder_of_images_is_not_streamed(copies: dict[str, Path]) -> None:
    assert "hf:PATH" in fails(f"hf-stream:{copies['folder']}").hint


def test_specs() -> None:
    assert parse_spec("hf:uoft-cs/cifar10")[1:] == ("uoft-cs/cifar10", None, False)
    assert parse_spec("hf:zh-plus/tiny:small")[1:] == ("zh-plus/tiny", "small", False)
    for spec in ("hf:", "hf:/no/such/folder", "hf:./nothing", "hf:a/b/c", "hf:~nobody/x", "hf::x"):
        with pytest.raises(DataError, match="no such file or folder"):
            parse_spec(spec)
    assert parse_spec("hf-stream:..") == (f"hf-stream:{Path('..').resolve()}", str(Path("..").resolve()), None, True)


_LOAD = "from convscale.data.hub import read_hub; from convscale.data.stream import open_streams; "


def run(code: str, home: Path, **environment: str) -> str:
    """What a fresh interpreter writes to its standard error, warnings being errors."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    command = [sys.executable, "-W", "error", "-c", _LOAD + code]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=keep | {"HOME": str(home)} | environment, check=False
    )
    assert done.stdout == ""
    return done.stderr.strip()


@pytest.mark.long
def test_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    code = """
import convscale.errors
for call in (read_hub, open_streams):
    try:
        call(("hf:" if call is read_hub else "hf-stream:") + "uoft-cs/cifar10", "label")
    except convscale.errors.DataError as error:
        assert "cannot be reached" in error.message and "uoft-cs/cifar10" in error.message, error
        assert "hf:PATH" in error.hint
    else:
        raise SystemExit("no error")
"""
    assert run(code, tmp_path, HF_ENDPOINT="http://127.0.0.1:9") == ""
    assert run(code, tmp_path, HF_HUB_OFFLINE="1") == ""
    assert [*tmp_path.rglob("*")] == []  # nothing is written to a home


def test_a_cached_copy_serves_when_the_hub_is_away(
    hub: Any, digits: list[tuple[bytes, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convscale.data.hub_source._hub_answers", lambda: False)
    monkeypatch.setattr(hub.config, "HF_DATASETS_CACHE", tmp_path)
    read_hub(f"hf:{write_parquet(table_of(hub, digits), tmp_path / 'copy')}", "label")
    (made,) = (folder for folder in tmp_path.glob("copy/default/*/*") if folder.is_dir())
    cached = tmp_path / "someone___copy" / made.relative_to(tmp_path / "copy")
    cached.parent.mkdir(parents=True)
    made.rename(cached)
    assert len(read_hub("hf:someone/copy", "label")[0]["train"]) == COUNT
    assert len(list(open_streams("hf-stream:someone/copy:default", "label")["train"].read(0, 0))) == COUNT
    assert "cannot be reached, and the cache has no 'someone/copy:x'" in fails("hf:someone/copy:x").message
    assert hub.config.HF_HUB_OFFLINE is False


class _NoSuchDataSet(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, format: str, *args: Any) -> None:
        return


def test_a_name_that_the_hub_does_not_know_is_another_error(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _NoSuchDataSet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        message = run(
            "read_hub('hf:nobody/nothing', 'label')", tmp_path, HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}"
        )
        server.shutdown()
    assert "no data set 'nobody/nothing' on the Hugging Face hub" in message.splitlines()[-1]


@pytest.mark.long
def test_nothing_is_written_to_the_real_home(copies: dict[str, Path], tmp_path: Path) -> None:
    code = f"read_hub('hf:{copies['parquet']}', 'label'); open_streams('hf-stream:{copies['tar']}', 'label')"
    assert run(code, tmp_path / "home", HF_HOME=str(tmp_path / "hf")) == ""
    assert not (tmp_path / "home").exists() and (tmp_path / "hf" / "datasets").is_dir()


def test_without_datasets_the_message_says_what_to_install(tmp_path: Path) -> None:
    message = run("import sys; sys.modules['datasets'] = None; read_hub('hf:a/b', 'label')", tmp_path).splitlines()[-1]
    assert "needs datasets, which is not installed (pip install 'convscale[hub]')" in message
    code = "import convscale.data, sys; assert not {'datasets', 'torch', 'huggingface_hub'} & set(sys.modules)"
    assert run(code, tmp_path) == ""
