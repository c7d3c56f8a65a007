"""Every error that Convscale raises on purpose.

    ConvscaleError
    ├── InputError (also a ValueError)     what the user gave is wrong: exit code 2
    │   ├── ConfigError                    a network, recipe, scaling or file that contradicts its format
    │   ├── UnknownNameError               a name that does not exist, with the nearest ones
    │   ├── UnitError                      a quantity that does not parse
    │   ├── BudgetError                    a budget that no network meets, or that nothing reaches
    │   ├── DataError                      images or labels that cannot be used
    │   └── RunError                       a run folder or weights file that cannot be used
    ├── TrainingError                      training itself went wrong: exit code 1
    │   ├── NotFiniteError                 loss or gradients became NaN or infinite
    │   └── TrainingStopped                a signal ended it, its state is saved: exit code 128 + signal
    ├── ExportError                        an exported file that must not be used: exit code 1
    └── MissingExtraError (ImportError)    an optional dependency is not installed: exit code 1

A message says what is wrong and where; `hint` says what to do about it, in one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class ConvscaleError(Exception):
    """Base of all errors here. `hint` is one line of advice, empty when the message suffices."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its message, not as the arguments of its class, which differ: other processes raise it again."""
        return _said_again, (type(self), self.message, self.hint), self.__dict__


class InputError(ConvscaleError, ValueError):
    """What the user gave is wrong."""

    exit_code = 2


class ConfigError(InputError):
    """A network, recipe, scaling or configuration file contradicts its format."""


class UnknownNameError(InputError):
    """A name that does not exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        super().__init__(f"unknown {kind} {name!r}", hint=hint or suggestion(name, known))


class UnitError(InputError):
    """A quantity that does not parse."""


class BudgetError(InputError):
    """A budget that no network meets, or that no amount of scaling reaches."""


class DataError(InputError):
    """Images or labels that cannot be used."""


class RunError(InputError):
    """A run folder or a weights file that cannot be used."""


class TrainingError(ConvscaleError):
    """Training itself went wrong."""


class NotFiniteError(TrainingError):
    """Loss or gradients became NaN or infinite, and the recipe left nothing else to try."""


class TrainingStopped(TrainingError):
    """A signal ended the training after its state was saved; the exit code says which."""

    def __init__(self, message: str, signal_number: int, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_code = 128 + signal_number


class ExportError(ConvscaleError):
    """An exported file does not compute what the network does, or not well enough: nothing is kept of it."""


class MissingExtraError(ConvscaleError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {package}, which is not installed",
            hint=f"pip install 'convscale[{extra}]'",
        )


def _said_again(kind: type[ConvscaleError], message: str, hint: str) -> ConvscaleError:
    error = kind.__new__(kind)
    ConvscaleError.__init__(error, message, hint=hint)
    return error


def suggestion(name: str, known: Iterable[str]) -> str:
    """A hint for a mistyped `name`: the nearest known names, or all of them when few are known."""
    options = sorted(known)
    near = difflib.get_close_matches(name, options, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(option) for option in near) + "?"
    if len(options) <= 12:
        return "allowed: " + ", ".join(options)
    return ""
