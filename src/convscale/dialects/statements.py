"""What one source says of weights, setting by setting, and which source each setting is taken from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from convscale.networks import Padding
from convscale.preprocessing import Preprocessing

# Statement's settings in the order in which they are reported, and what they are called there.
SETTINGS = {
    "size": "size", "crop": "crop", "interpolation": "interpolation", "mean": "mean", "std": "std",
    "padding": "padding", "norm_eps": "bn_eps",
}  # fmt: skip

Values = tuple[float, ...]
Size = int | tuple[int, int]  # the side of a square, or height and width


def says(source: str, verb: str) -> str:
    """A source and its verb, "names" or "says": of several arguments in the plural."""
    return f"{source} {verb.removesuffix('s')}" if source.endswith("arguments") else f"{source} {verb}"


def size_of(*shape: Any) -> Size | None:
    """The size of an input of (height, width), (channels, height, width), (height, width, channels), or any of them
    after the number of images, or of a square by its side; None for anything else."""
    whole = [int(one) for one in shape[-3:] if isinstance(one, int | float) and one == one // 1 and one >= 1]
    if len(whole) != len(shape[-3:]) or not whole:
        return None
    if len(whole) == 3:
        first, middle, last = whole
        channels_last = middle != last and (first == middle or last < first)
        whole = [first, middle] if channels_last else [middle, last]
    return whole[0] if len(set(whole)) == 1 else (whole[0], whole[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What `source` says of weights; None where it does not say.

    source: what reports call it, "config.json". explicit: whoever converts says it, or the file itself: another source
    that contradicts it is reported. size: in pixels, (height, width) where they differ. weights: the name of
    published ones, or of an architecture. dialect: that names it. notes: what the source says and Convscale does
    otherwise.
    """

    source: str
    explicit: bool = True
    size: Size | None = None
    crop: float | None = None
    resize_rounding: Literal["nearest", "down"] = "nearest"
    interpolation: Literal["bilinear", "bicubic"] | None = None
    mean: Values | None = None
    std: Values | None = None
    padding: Padding | None = None
    norm_eps: float | None = None
    classes: tuple[str, ...] | None = None
    weights: str = ""
    dialect: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()

    def says(self, setting: str, channels: int) -> Any:
        """A setting of SETTINGS; mean and std as `channels` values, None if the number of values does not match."""
        value = getattr(self, setting)
        return for_channels(value, channels) if setting in ("mean", "std") and value is not None else value


def of_preprocessing(source: str, values: Preprocessing, **more: Any) -> Statement:
    """A source that says all of a preprocessing."""
    return Statement(
        source=source, explicit=False, size=values.size, crop=values.crop, resize_rounding=values.resize_rounding,
        interpolation=values.interpolation, mean=values.mean, std=values.std, **more,
    )  # fmt: skip


def for_channels(values: Values, channels: int) -> Values | None:
    """A mean or std per channel: one value is that of every channel, and so are equal ones; a grey image's is the mean
    over RGB. None where the number of values is another."""
    if len(values) == channels:
        return values
    if len(set(values)) == 1:
        return values[:1] * channels
    return (round(sum(values) / len(values), 6),) if channels == 1 else None


@dataclass(frozen=True, slots=True)
class Taken:
    """The value of each setting that any source says, the statement that it is taken from, and what contradicts it."""

    values: dict[str, Any]
    sources: dict[str, Statement]
    notes: tuple[str, ...]

    def by_source(self) -> list[str]:
        """ "from config.json: size, crop", one line per source."""
        lines: dict[str, list[str]] = {}
        for setting, statement in self.sources.items():
            lines.setdefault(statement.source, []).append(SETTINGS[setting])
        return [f"from {source}: {', '.join(settings)}" for source, settings in lines.items()]


def take(statements: Sequence[Statement], channels: int) -> Taken:
    """Each setting from the first statement that says it."""
    values: dict[str, Any] = {}
    sources: dict[str, Statement] = {}
    notes: list[str] = []
    for setting, name in SETTINGS.items():
        notes += [
            f"{one.source}: {name} has {len(getattr(one, setting))} values for {channels} channels: not used"
            for one in statements
            if one.explicit and getattr(one, setting) is not None and one.says(setting, channels) is None
        ]
        said = [(one, value) for one in statements if (value := one.says(setting, channels)) is not None]
        if not said:
            continue
        sources[setting], values[setting] = said[0]
        notes += [
            f"{name} {_shown(values[setting])} is taken from {sources[setting].source}, "
            f"although {says(other.source, 'says')} {_shown(value)}"
            for other, value in said[1:]
            if other.explicit and value != values[setting]
        ]
    return Taken(values, sources, tuple(notes))


def _shown(value: Any) -> str:
    values = value if isinstance(value, tuple) else (value,)
    return "/".join(f"{one:.4g}" if isinstance(one, float) else str(one) for one in values)
