"""A connection of the server that does not wait for ever for a request: uvicorn's times only what follows an answer."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


class TimedProtocol(H11Protocol):
    """Closes a connection on which no request is being answered for so many seconds, however slowly bytes arrive."""

    idle_seconds = 15.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        self.loop.call_later(self.idle_seconds, self._close_if_idle, self.cycle)

    def _close_if_idle(self, last: object) -> None:
        """Where no request began since the one that was the last."""
        if self.cycle is last and not self.transport.is_closing():
            self.transport.close()


def timed_protocol(idle_seconds: float) -> type[H11Protocol]:
    """The protocol with a time of its own."""
    return type("TimedProtocol", (TimedProtocol,), {"idle_seconds": idle_seconds})
