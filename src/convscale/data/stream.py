"""Images read one after another from a source too large for the disk, in a seeded order that resumes exactly.

The source falls into parts: files, parquet row groups or ranges of rows. An epoch takes the parts in an order drawn
from (seed, epoch), and shuffles the rows that come out in blocks of `buffer`, drawn from (seed, epoch, block): so an
item can be found again from its position alone. Rows that lie sorted by class in a part mix within a block only.

Read in one process and decode in workers: in a DataLoader's worker `datasets` would hand out a share of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from convscale.data.hub import (
    Columns,
    common_classes,
    encoded,
    find_columns,
    split_cells,
    standard_splits,
    undecoded,
)
from convscale.data.hub_source import (
    PREFIX,
    STREAM_PREFIX,
    HubSource,
    StreamTable,
    is_saved,
    loading,
    parse_spec,
    saved_streams,
    streams,
)
from convscale.data.images import StreamItem
from convscale.data.labels import derive_classes
from convscale.data.randomness import Purpose, keyed
from convscale.data.split_columns import column_splits
from convscale.errors import DataError

MAX_PARTS = 1024  # more files are read in strides of this many: opening a part costs time in the number of files
FEW_FILES = 64  # up to here parquet files are taken apart into row groups, which costs reading each file's footer
ROWS_A_PART = 100  # of a memory-mapped table
ROWS_A_READ = 64


class _Cursor(NamedTuple):
    """A row of an epoch: `raw` rows come before it; it is row `row` of the epoch's part number `part`."""

    raw: int
    part: int
    row: int


@dataclass(frozen=True)
class _Plan:
    """One rank's epoch: its parts in order, and of the rows in them every `step`-th from `offset`."""

    key: dict[str, int | None]  # what a state must agree with
    order: tuple[int, ...]
    step: int
    offset: int


class ImageStream:
    """One split of a streamed source. Nothing is decoded, and little more than `buffer` encoded images are held.

    classes: the names of the labels.
    """

    def __init__(self, table: StreamTable, columns: Columns, source: HubSource, name: str, buffer: int) -> None:
        assert buffer > 0
        self.classes = columns.names or ()
        self.buffer, self.name = buffer, name
        self._table, self._columns, self._source, self._images = table, columns, source, table.images
        self._rows = _iterable(undecoded(table.rows, columns))
        self._parts: int = max(1, min(self._rows.num_shards, MAX_PARTS))
        self._lengths: dict[int, int] = {}  # rows by part, as far as known
        self._key: dict[str, int | None] = {}
        self._passed: list[_Cursor] = []

    def __len__(self) -> int:
        """Images, by the metadata where it says so, else by a pass over the labels."""
        if self._images is None:
            self._images = sum(self._length(part) for part in range(self._parts))
        return self._images

    def length(self, rank: int = 0, world: int = 1) -> int:
        """Images that one of `world` ranks reads in an epoch, the same in every epoch. Counts where it must."""
        if world > 1 and self._by_parts(world):
            return sum(self._length(part) for part in range(rank, self._parts, world))
        return len(range(rank, len(self), world))

    def read(
        self,
        seed: int | None,
        epoch: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        state: Mapping[str, Any] | None = None,
    ) -> Iterator[StreamItem]:
        """One epoch from position `start` on, in the source's own order where `seed` is None.

        The ranks of a `world` share the images out: whole parts where they divide evenly, else every world-th image.
        `state`, from `state_at` in any process, saves looking for the start; one of another epoch is not used.
        Raises DataError for a row or file that cannot be read.
        """
        assert start >= 0 and 0 <= rank < world
        plan = self._plan(seed, epoch, rank, world)
        block, skipped = divmod(start, self.buffer)
        self._key, self._passed = plan.key, []
        position = start
        for rows in self._blocks(plan, self._find(plan, block * self.buffer * plan.step, state)):
            order = range(len(rows))
            if seed is not None:
                order = keyed(Purpose.BLOCK, seed, epoch, block).permutation(len(rows)).tolist()
            for index in order[skipped:]:
                yield self._item(position, *rows[index])
                position += 1
            block, skipped = block + 1, 0

    def state_at(self, position: int) -> dict[str, int | None]:
        """What a later `read(..., start=position, state=...)` resumes from at once: the last block's start before it
        that the latest `read` came by. Plain numbers, as JSON holds them; empty where it came by none."""
        raw = position * int(self._key.get("step") or 1)
        passed = [cursor for cursor in self._passed if cursor.raw <= raw]
        return {**self._key, **passed[-1]._asdict()} if passed else {}

    def _by_parts(self, world: int) -> bool:
        return self._parts % world == 0

    def _plan(self, seed: int | None, epoch: int, rank: int, world: int) -> _Plan:
        """A rank keeps its parts in every epoch, so that its epochs are equally long."""
        step, offset = (1, 0) if self._by_parts(world) else (world, rank)
        parts = np.arange(rank, self._parts, world) if self._by_parts(world) else np.arange(self._parts)
        if seed is not None:
            parts = keyed(Purpose.PARTS, seed, epoch).permutation(parts)
        key = {"seed": seed, "epoch": epoch, "rank": rank, "world": world, "step": step}
        return _Plan(key | {"parts": self._parts, "buffer": self.buffer}, tuple(parts.tolist()), step, offset)

    def _find(self, plan: _Plan, raw: int, state: Mapping[str, Any] | None) -> _Cursor:
        """The cursor `raw` rows into the epoch: from `state` if it fits, then over the lengths of the parts."""
        at = _Cursor(0, 0, 0)
        if state and all(state.get(name, -1) == value for name, value in plan.key.items()) and state["raw"] <= raw:
            at = _Cursor(state["raw"], state["part"], state["row"])
        while at.raw < raw and at.part < len(plan.order):
            left = self._length(plan.order[at.part]) - at.row
            if raw - at.raw < left:
                return _Cursor(raw, at.part, at.row + raw - at.raw)
            at = _Cursor(at.raw + left, at.part + 1, 0)
        return at

    def _blocks(self, plan: _Plan, at: _Cursor) -> Iterator[list[tuple[int, int, Any]]]:
        """(part, row, values) of the rank's rows from a block's start on, `buffer` at a time."""
        span, raw = self.buffer * plan.step, at.raw
        block: list[tuple[int, int, Any]] = []
        self._passed.append(at)
        for turn in range(at.part, len(plan.order)):
            part = plan.order[turn]
            row = at.row if turn == at.part else 0
            for values in self._part(self._rows, part, row):
                if raw % plan.step == plan.offset:
                    block.append((part, row, values))
                raw, row = raw + 1, row + 1
                if raw % span == 0:
                    self._passed.append(_Cursor(raw, turn, row))
                    yield block
                    block = []
            self._lengths[part] = row
        if block:
            yield block
        if self._images not in (None, raw) and len(plan.order) == self._parts:
            raise DataError(f"{self.name}: {raw} images, but its metadata says {self._images}", hint="correct it")

    def _part(self, rows: Any, part: int, row: int = 0) -> Iterator[Any]:
        """Rows of one part from `row` on. A part is a stride of files, so that those in the order of classes mix."""
        if self._parts > 1:
            rows = rows.shard(num_shards=self._parts, index=part, contiguous=False)
        values = iter(rows.skip(row) if row else rows)
        while True:
            place = f"{self.name}, part {part}, after {row} rows"
            with loading(self._source._replace(spec=place, local=True)):
                read = list(islice(values, ROWS_A_READ))
            yield from read
            row += len(read)
            if len(read) < ROWS_A_READ:
                return

    @cached_property
    def _labels(self) -> Any:
        with loading(self._source):
            return _iterable(self._table.labels(self._columns.label))

    def _length(self, part: int) -> int:
        """Rows in a part, by counting its labels the first time."""
        if part not in self._lengths:
            self._lengths[part] = sum(1 for _ in self._part(self._labels, part))
        return self._lengths[part]

    def label_values(self) -> list[Any]:
        """The distinct labels, by a pass over them that also counts. Raises DataError for one that cannot be used."""
        values: dict[Any, None] = {}
        for part in range(self._parts):
            row = 0
            for stored in self._part(self._labels, part):
                value = self._columns.label_of(stored[self._columns.label])
                if not isinstance(value, str | int) or value not in values:
                    derive_classes([value], f"{self.name}, part {part} from row {row} on")
                    values[value] = None
                row += 1
            self._lengths[part] = row
        return list(values)

    @cached_property
    def _positions(self) -> dict[Any, int]:
        """Class indices by label: by number where the source names its numbers, else by text."""
        positions: dict[Any, int] = {name: index for index, name in enumerate(self.classes)}
        if self._columns.names is None:
            return positions
        return {number: positions[name] for number, name in enumerate(self._columns.names) if name in positions}

    def _item(self, position: int, part: int, row: int, values: Any) -> StreamItem:
        stored = values[self._columns.image]
        path = (stored or {}).get("path")
        name = f"{self.name}, part {part}, row {row}" + (f" ({path})" if path else "")
        value = self._columns.label_of(values[self._columns.label])
        label = self._positions.get(str(value) if self._columns.names is None and value is not None else value)
        if label is None:
            known = f"none of the {len(self.classes)} classes"
            raise DataError(f"{name}: label {value!r:.100} is {known}", hint="every image needs one of them")
        return StreamItem(position, encoded(stored, name), label, name)


def open_streams(
    spec: str,
    label_column: str,
    *,
    buffer: int = 1000,
    classes: tuple[str, ...] | None = None,
    lengths: Mapping[str, int] | None = None,
) -> dict[str, ImageStream]:
    """The splits of `hf-stream:...` by name, found as `read_hub` finds them; nothing is copied to the disk.

    `classes`, and `lengths` in images by split, save a pass over the labels where the source does not say them: a
    .tar file is read whole for that. A folder of images is refused, since its files come in the order of their
    classes, and reading it in place copies nothing either; so is a single split whose rows a column assigns to several.
    Raises DataError and MissingExtraError.
    """
    source = parse_spec(spec)
    with loading(source):
        tables, _ = standard_splits(saved_streams(source) if is_saved(source) else streams(source), spec)
        columns = {name: find_columns(table.rows.features, label_column, spec) for name, table in tables.items()}
        found = {}
        for name, table in tables.items():
            if len(tables) == 1:
                _require_undivided(table, columns[name], name, spec)
            table = table._replace(images=(lengths or {}).get(name, table.images))
            found[name] = ImageStream(table, columns[name], source, f"{spec}, {name}", buffer)
    classes = classes or common_classes(columns, spec)
    if classes is None:
        classes = derive_classes([value for stream in found.values() for value in stream.label_values()], spec)
    for stream in found.values():
        stream.classes = classes
    return found


def _require_undivided(table: StreamTable, columns: Columns, split: str, spec: str) -> None:
    """Raise DataError where a column says that the rows of the only split are of several."""
    cells = split_cells(table.rows.features, columns, lambda name: [row[name] for row in table.labels(name)])
    found = column_splits(cells, len(next(iter(cells.values()), ())), split, spec)
    if len(set(found.splits)) > 1:
        raise DataError(
            f"{'; '.join(found.notes)}: a stream cannot be divided by a column",
            hint=f"read it as {PREFIX}{spec.removeprefix(STREAM_PREFIX)}",
        )


def _iterable(table: Any) -> Any:
    """The table as `datasets` streams it, in as many parts as it easily falls into."""
    if hasattr(table, "to_iterable_dataset"):
        parts = max(1, min(len(table) // ROWS_A_PART, MAX_PARTS))
        return table.with_format(None).to_iterable_dataset(num_shards=parts)
    return table.reshard() if table.num_shards <= FEW_FILES and hasattr(table, "reshard") else table
