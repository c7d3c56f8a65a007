"""What a runtime raises about a network that it cannot run, in our words."""

from __future__ import annotations

from convscale.errors import ConfigError, ConvscaleError


def cannot_run(engine: str, network: str, error: Exception) -> ConvscaleError:
    """The error to raise where `engine` failed at `network`: our own as it is, another's by its first lines."""
    if isinstance(error, ConvscaleError):
        return error
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = " ".join(lines[:2])[:300] or type(error).__name__
    return ConfigError(
        f"engine {engine!r} cannot run {network}: {said}",
        hint="take another engine, or engine='auto', which leaves out those that fail",
    )
