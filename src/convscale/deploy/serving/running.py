"""The server as a process: its socket, and how it ends."""

from __future__ import annotations

import socket
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from convscale.deploy.serving.connections import timed_protocol
from convscale.deploy.serving.limits import Limits
from convscale.errors import ConfigError

LOCAL = "127.0.0.1"
_BACKLOG = 1024  # connections that the system accepts for us


def listen(host: str, port: int) -> socket.socket:
    """A socket of this machine; port 0 is any that is free. Raises ConfigError where it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError, ValueError):
        hint = "an address of this machine, or 0.0.0.0 for all"
        raise ConfigError(f"--host {host!r:.80} is not known here", hint=hint) from None
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        hint = "another --port, or --port 0 for any that is free"
        raise ConfigError(f"port {port} of {host} cannot be had: {error.strerror}", hint=hint) from None
    return listening


def address_of(listening: socket.socket) -> str:
    """Where it listens, as http://127.0.0.1:8000."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """Ends at SIGTERM and Ctrl-C when all that was accepted is answered, at once at the second; neither is an error."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=timed_protocol(limits.idle_seconds),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                loop="asyncio",
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, the next ends."""
        self.force_exit = self.should_exit
        self.should_exit = True
