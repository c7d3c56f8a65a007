"""Mean and std as files state them: for values from 0 to 1, as here, or from 0 to 255."""

from __future__ import annotations

from dataclasses import replace

from convscale.dialects.statements import Statement, Values
from convscale.errors import ConfigError

_MOST_MEAN, _MOST_STD = 1.0, 2.0  # of values from 0 to 1
_SURELY = 2.0  # or more: a mean of values from 0 to 255


def of_0_to_1(statement: Statement) -> Statement:
    """The statement with its mean and std divided by 255, where they can only be for values from 0 to 255."""
    mean, std = statement.mean, statement.std
    if mean is None or std is None or not _of_0_to_255(mean, std):
        return statement
    note = f"{statement.source}: mean and std are for values from 0 to 255, and are divided by 255"
    return replace(
        statement, mean=tuple(one / 255 for one in mean), std=tuple(one / 255 for one in std),
        notes=(*statement.notes, note),
    )  # fmt: skip


def _of_0_to_255(mean: Values, std: Values) -> bool:
    if not all(1 <= one <= 255 for one in std):
        return False
    return all(_SURELY <= one <= 255 for one in mean) or (not any(mean) and min(std) > _MOST_STD)


def _are_possible(mean: Values, std: Values) -> bool:
    return all(abs(one) <= _MOST_MEAN for one in mean) and all(0 < one <= _MOST_STD for one in std)


def require_possible(mean: Values, std: Values, sources: tuple[Statement, Statement]) -> None:
    """Raise ConfigError for what cannot be the mean and std of values from 0 to 1. sources: of each."""
    if _are_possible(mean, std):
        return
    stated = " and ".join(
        f"{name} {'/'.join(f'{one:.4g}' for one in values)} from {source.source}"
        for name, values, source in zip(("mean", "std"), (mean, std), sources, strict=True)
    )
    raise ConfigError(f"{stated}: not those of pixel values from 0 to 1", hint=_what_to_give(mean, std))


def _what_to_give(mean: Values, std: Values) -> str:
    """The same values for pixels from 0 to 1, where they can be for pixels from 0 to 255; else what is allowed."""
    both = _of_0_to_255(mean, std)
    if both or max(mean) > _MOST_MEAN:
        mean = tuple(one / 255 for one in mean)
    if both or max(std) > _MOST_STD:
        std = tuple(one / 255 for one in std)
    if not _are_possible(mean, std):
        return f"--mean from -1 to 1, --std above 0, up to {_MOST_STD:g}"
    means, stds = (",".join(f"{one:.4g}" for one in values) for values in (mean, std))
    return f"if they are for values from 0 to 255, divided by 255: --mean {means} --std {stds}"
