"""What a profile has timed so far: a line of JSON for each network, so that a profile that was killed goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convscale.errors import ConfigError
from convscale.files import parse_json
from convscale.formats import read_kept
from convscale.records import ComputedIn, Environment, ProfiledNetwork
from convscale.schema import to_table


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be timed: the first line of the file."""

    engine: str
    dtype: ComputedIn
    threads: int
    seed: int
    environment: Environment


@dataclass(frozen=True, slots=True)
class TimedLine:
    """A network that was timed. turn: the how manieth of those drawn; busy: whether the machine did something else
    meanwhile; took: seconds, with all that it takes to open it."""

    turn: int
    busy: bool
    took: float
    timed: ProfiledNetwork


class Lines:
    """The file `path`. Each line is complete or does not count; a later one of a turn stands for the earlier."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self.path = path
        self.found: dict[int, TimedLine] = {}
        if path.exists():
            self._read(wanted)
        else:
            self._append(wanted)

    @property
    def quiet(self) -> dict[int, TimedLine]:
        """Those that were timed while nothing else ran."""
        return {turn: line for turn, line in sorted(self.found.items()) if not line.busy}

    def add(self, line: TimedLine) -> None:
        """Keep a line."""
        self.found[line.turn] = line
        self._append(line)

    def _append(self, record: Wanted | TimedLine) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(to_table(record, complete=True, nulls=True), allow_nan=False) + "\n")

    def _read(self, wanted: Wanted) -> None:
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        first, *others = whole.splitlines() or [""]
        begun = self._record(Wanted, first, 1)
        if differing := _differences(begun, wanted):
            raise ConfigError(
                f"{self.path}: an unfinished profile of something else: {'; '.join(differing)}",
                hint="finish that one, delete the file, or write this one somewhere else with -o",
            )
        if whole != text:  # it was killed while it wrote
            self.path.write_text(whole, encoding="utf-8")
        for number, line in enumerate(others, start=2):
            read = self._record(TimedLine, line, number)
            self.found[read.turn] = read

    def _record(self, kind: type[Any], line: str, number: int) -> Any:
        where = f"{self.path}, line {number}"
        try:
            return read_kept(kind, parse_json(line, where), where)
        except ConfigError as error:
            raise ConfigError(error.message, hint="delete the file: what was timed before is lost") from None


def _differences(begun: Wanted, wanted: Wanted) -> list[str]:
    """What is not the same, in words; of the machine only what makes it another."""
    pairs = [(name, getattr(begun, name), getattr(wanted, name)) for name in ("engine", "dtype", "threads", "seed")]
    for name in ("system", "machine", "processor", "versions"):
        pairs.append((name, getattr(begun.environment, name), getattr(wanted.environment, name)))
    return [f"{name} {before}, now {now}" for name, before, now in pairs if before != now]
