"""Streams of Hugging Face `datasets`: their order, their exact resume, and how ranks share them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from convscale.data.stream import ImageStream, open_streams
from convscale.errors import DataError
from tests.data.hub_copies import COUNT, STREAMED


def stream_of(copies: dict[str, Path], layout: str, buffer: int = 16) -> ImageStream:
    (stream,) = open_streams(f"hf-stream:{copies[layout]}", "label", buffer=buffer).values()
    return stream


@pytest.mark.parametrize("layout", STREAMED)
def test_an_epoch_holds_every_image_once_in_a_seeded_order(
    layout: str, copies: dict[str, Path], digits: list[tuple[bytes, int]]
) -> None:
    stream = stream_of(copies, layout)
    assert len(stream) == COUNT and len(stream.classes) == 10
    items = list(stream.read(3, 1))
    assert [item.position for item in items] == list(range(COUNT))
    assert sorted((item.content, item.label) for item in items) == sorted(digits)
    assert len({item.name for item in items}) == COUNT
    again = list(stream_of(copies, layout).read(3, 1))
    assert items == again
    contents = [item.content for item in items]
    for seed, epoch in ((3, 2), (4, 1)):
        assert contents != [item.content for item in stream.read(seed, epoch)]
    assert [(item.content, item.label) for item in stream.read(None, 7)] == digits


@pytest.mark.parametrize(
    ("layout", "world"), [("saved", 1), ("saved", 3), ("parquet", 1), ("parquet", 2), ("tar", 2), ("tar", 3)]
)
def test_a_stream_resumes_exactly_with_and_without_its_state(layout: str, world: int, copies: dict[str, Path]) -> None:
    stream = stream_of(copies, layout)
    whole = list(stream.read(5, 2, rank=world - 1, world=world))
    for start in (0, 1, 15, 16, 33, len(whole) - 1, len(whole), len(whole) + 40):
        expected = whole[start:]
        assert list(stream_of(copies, layout).read(5, 2, start, world - 1, world)) == expected
        running = stream.read(5, 2, rank=world - 1, world=world)
        for _ in range(min(start, len(whole))):
            next(running)
        state = json.loads(json.dumps(stream.state_at(start)))
        other = stream_of(copies, layout)
        other._length = None  # type: ignore[method-assign, assignment]  # counting would fail
        if start < len(whole):
            assert list(other.read(5, 2, start, world - 1, world, state=state)) == expected
        assert list(stream_of(copies, layout).read(5, 2, start, world - 1, world, state=state)) == expected


def test_a_state_of_another_epoch_or_ahead_of_the_start_is_not_used(copies: dict[str, Path]) -> None:
    stream = stream_of(copies, "parquet")
    whole = list(stream.read(5, 2))
    late = stream.state_at(100)
    list(stream.read(5, 3))
    other = stream.state_at(64)
    assert late["raw"] == 96 and other["raw"] == 64
    for state in (late, other, {}, {"raw": 3}):
        assert list(stream_of(copies, "parquet").read(5, 2, 70, state=state)) == whole[70:]
    assert stream_of(copies, "parquet").state_at(5) == {}


@pytest.mark.parametrize("layout", ["saved", "parquet", "tar"])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_share_the_images_out(
    layout: str, world: int, copies: dict[str, Path], digits: list[tuple[bytes, int]]
) -> None:
    stream = stream_of(copies, layout)
    for seed in (3, None):
        ranks = [list(stream.read(seed, 1, rank=rank, world=world)) for rank in range(world)]
        assert [len(items) for items in ranks] == [stream_of(copies, layout).length(r, world) for r in range(world)]
        assert sorted((item.content, item.label) for items in ranks for item in items) == sorted(digits)
        for items in ranks:
            assert [item.position for item in items] == list(range(len(items)))


def test_each_rank_reads_its_own_parts_where_they_divide_evenly(copies: dict[str, Path]) -> None:
    stream = stream_of(copies, "tar")
    files = [{item.name.split(", row")[0] for item in stream.read(3, 1, rank=rank, world=3)} for rank in range(3)]
    assert [len(names) for names in files] == [1, 1, 1] and len(set.union(*files)) == 3


def test_what_the_source_does_not_say_can_be_given(copies: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    classes = tuple(str(number) for number in range(10))
    monkeypatch.setattr(ImageStream, "_length", None)
    monkeypatch.setattr(ImageStream, "label_values", None)
    stream = open_streams(f"hf-stream:{copies['tar']}", "label", classes=classes, lengths={"train": COUNT})["train"]
    assert len(stream) == COUNT == len(list(stream.read(0, 0)))
    stream = open_streams(f"hf-stream:{copies['tar']}", "label", classes=classes, lengths={"train": 99})["train"]
    with pytest.raises(DataError, match="120 images, but its metadata says 99"):
        list(stream.read(0, 0))
    stream = open_streams(f"hf-stream:{copies['tar']}", "label", classes=classes[:5], lengths={"train": 99})["train"]
    with pytest.raises(DataError, match="label [5-9] is none of the 5 classes"):
        list(stream.read(0, 0))


def test_counting_reads_no_image(copies: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stream_of(copies, "numbers")
    stream._rows = None
    assert len(stream) == COUNT and stream._lengths
    assert stream._labels.column_names == ["label"]


def test_more_files_than_parts(
    copies: dict[str, Path], digits: list[tuple[bytes, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convscale.data.stream.MAX_PARTS", 2)
    stream = stream_of(copies, "tar")
    items = list(stream.read(1, 0))
    assert sorted((item.content, item.label) for item in items) == sorted(digits)
    assert list(stream_of(copies, "tar").read(1, 0, 50)) == items[50:]
