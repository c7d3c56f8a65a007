"""Changes of a recipe, each KEY=VALUE: how they are written, and that they contradict no other option."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convscale.errors import ConfigError
from convscale.files import read_toml_text

_LENGTHS = ("epochs", "steps")


def parse_settings(settings: Sequence[str]) -> list[tuple[str, Any]]:
    """Keys and values of settings, each KEY=VALUE. Raises ConfigError."""
    found = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"setting {setting!r} is not KEY=VALUE", hint="for example learning_rate=0.1")
        found.append((key.strip(), _value(text.strip())))
    return found


def _value(text: str) -> Any:
    try:
        table = read_toml_text(f"value = {text}", text)
    except ConfigError:
        return text
    return table["value"] if len(table) == 1 else text


def require_agreement(
    settings: Sequence[str],
    *,
    epochs: int | None = None,
    batch: int | None = None,
    search: tuple[int, int] | None = None,
) -> None:
    """Raise ConfigError where two of `settings` (each KEY=VALUE), or one of them and an option, cannot both hold.

    epochs, batch and search are the options of these names, None where they are not given; a search of (1, 1) is off.
    """
    found: dict[str, str] = {}
    values: dict[str, object] = {}
    for setting, (key, value) in zip(settings, parse_settings(settings), strict=True):
        if values.setdefault(key, value) != value:
            raise _contradiction(f"set {found[key]!r}", f"set {setting!r}")
        found[key] = setting
    if len(lengths := [found[key] for key in _LENGTHS if key in found]) > 1:
        raise _contradiction(*(f"set {one!r}" for one in lengths))
    for key, name, option in (("epochs", "epochs", epochs), ("steps", "epochs", epochs), ("batch", "batch", batch)):
        if option is not None and key in found and (key != name or values[key] != option):
            raise _contradiction(f"{name} {option}", f"set {found[key]!r}")
    named = [found[key] for key, value in values.items() if key.startswith("search") and value]
    if search == (1, 1) and named:
        raise _contradiction("search off", f"set {named[0]!r}")


def require_no_length(settings: Sequence[str], option: str) -> None:
    """Raise ConfigError where one of `settings` says how long to train although `option` does."""
    for setting, (key, _) in zip(settings, parse_settings(settings), strict=True):
        if key in _LENGTHS:
            raise ConfigError(
                f"set {setting!r}: {option} decides how long is trained", hint=f"leave it out, or change {option}"
            )


def _contradiction(one: str, other: str) -> ConfigError:
    return ConfigError(f"{one} contradicts {other}", hint="leave out one of them")
