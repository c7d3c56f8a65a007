"""What a server grants its clients, and how it refuses more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from convscale.units import format_bytes

# 50 megapixels is what cameras and telephones take at most in one exposure; decoded it is 150 MB.
MAX_PIXELS = 50_000_000
MAX_BYTES = 20_000_000
_BODIES = 8  # of the greatest size, held at once


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may bring, and all together."""

    max_bytes: int = MAX_BYTES
    """Bytes in the body of a request."""
    max_pixels: int = MAX_PIXELS
    """Pixels of an image, before it is decoded."""
    queue: int = 128
    """Images that may wait, and thus images in a request."""
    body_seconds: float = 60.0
    """Within which a body must arrive."""
    idle_seconds: float = 15.0
    """Within which a connection must have sent the head of a request."""


class Refusal(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, status: int, message: str, hint: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.hint, self.headers = status, message, hint, dict(headers or {})


def too_many_bytes(limits: Limits) -> Refusal:
    """For a body that is too long."""
    hint = "shrink the images, or send fewer in a request"
    return Refusal(413, f"more than {format_bytes(limits.max_bytes)} in one request", hint)


def too_busy(message: str, retry_after: int) -> Refusal:
    """For a request that may come again in so many seconds."""
    headers = {"Retry-After": str(retry_after)}
    return Refusal(429, message, f"send the request again in {retry_after} s", headers)


@dataclass(slots=True)
class HeldBytes:
    """Bytes of bodies in memory, of all requests together."""

    limits: Limits
    held: int = field(default=0, init=False)

    @contextmanager
    def holding(self) -> Iterator[HeldByOne]:
        """For one request, which holds nothing any more in the end."""
        mine = HeldByOne(self)
        try:
            yield mine
        finally:
            self.held -= mine.held

    @property
    def most(self) -> int:
        return _BODIES * self.limits.max_bytes


@dataclass(slots=True)
class HeldByOne:
    """What one request holds of all."""

    everyone: HeldBytes
    held: int = 0

    def add(self, size: int) -> None:
        """Count more bytes. Raises Refusal where it, or all together, have too many."""
        self.held += size
        self.everyone.held += size
        if self.held > self.everyone.limits.max_bytes:
            raise too_many_bytes(self.everyone.limits)
        if self.everyone.held > self.everyone.most:
            raise too_busy("too many requests are being received", 1)
