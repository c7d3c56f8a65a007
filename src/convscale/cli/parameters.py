"""Options whose values are lists of numbers, or the side of a square in pixels."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

import click

from convscale.networks import MAX_RESOLUTION


class Numbers(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click alone
    """One number or several, comma separated; a tuple.

    between: the least and the greatest that is allowed. counts: how many may be given. ranges: "0..7" counts by one.
    sides: they are those of squares, of which 224x224 is 224.
    example: what to write, for the errors.
    """

    name = "numbers"

    def __init__(
        self,
        kind: type[int] | type[float],
        example: str,
        *,
        between: tuple[float, float] | None = None,
        counts: Container[int] | None = None,
        ranges: bool = False,
        sides: bool = False,
    ) -> None:
        self.kind, self.example, self.between, self.counts, self.ranges = kind, example, between, counts, ranges
        self.sides = sides

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The numbers of a text; a tuple stays as it is. Raises click.BadParameter."""
        if not isinstance(value, str):
            return tuple(value)
        ends = self._ends(value)
        parts = [part.strip() for part in value.split(",")] if ends is None else []
        parts = [square_side(part) for part in parts] if self.sides else parts
        for part in parts:
            if self._number(part) is None:
                self.fail(f"{part!r} is not {self._wanted()}; write several like {self.example}", param, ctx)
        count = len(parts) if ends is None else max(ends[1] - ends[0] + 1, 0)
        if self.counts is not None and count not in self.counts:
            self.fail(f"{value!r} has {count:,} numbers, which is not allowed; write {self.example}", param, ctx)
        return tuple(map(self.kind, parts if ends is None else range(ends[0], ends[1] + 1)))

    def _ends(self, text: str) -> tuple[int, int] | None:
        """Of a range, both included."""
        low, dots, high = text.partition("..")
        try:
            return (int(low), int(high)) if self.ranges and dots else None
        except ValueError:
            return None

    def _number(self, part: str) -> float | None:
        try:
            number = self.kind(part)
        except ValueError:
            return None
        return number if self.between is None or self.between[0] <= number <= self.between[1] else None

    def _wanted(self) -> str:
        what = "a whole number" if self.kind is int else "a number"
        return what if self.between is None else f"{what} from {self.between[0]} to {self.between[1]}"


def square_side(value: Any, signs: str = "x") -> Any:
    """The one side of 224x224, any other value as it is. Raises click.BadParameter for a rectangle such as 224x320."""
    sides = re.fullmatch(rf"\s*(\d+)\s*[{signs}]\s*(\d+)\s*", str(value).lower())
    if sides and int(sides[1]) != int(sides[2]):
        raise click.BadParameter(
            f"{value!r} is a rectangle, and inputs are square; give one side, {sides[1]} or {sides[2]}"
        )
    return sides[1] if sides else value


class _Pixels(click.IntRange):
    """The side of a square input in pixels; 224x224 is 224, a rectangle is an error that says so."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return int(super().convert(square_side(value, "x,"), param, ctx))


PIXELS = _Pixels(1, MAX_RESOLUTION)


class Words(click.ParamType):  # type: ignore[type-arg]  # as above
    """One word or several, comma separated; a tuple. example: what to write; allowed: the words that there are, where
    that is known beforehand."""

    name = "words"

    def __init__(self, example: str, allowed: Container[str] | None = None) -> None:
        self.example, self.allowed = example, allowed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The words of a text; a tuple stays as it is. Raises click.BadParameter."""
        if not isinstance(value, str):
            return tuple(value)
        words = tuple(word.strip() for word in value.split(","))
        for word in words:
            if not word or (self.allowed is not None and word not in self.allowed):
                self.fail(f"{word!r} is not allowed; write {self.example}", param, ctx)
        return words
