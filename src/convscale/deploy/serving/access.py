"""Who may ask: the bearer of a token, or, without one, whoever is on this machine but no web page that it shows."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from convscale.deploy.serving.limits import Refusal

OPEN = ("/health",)  # for whatever watches over servers
_LOCAL = ("127.0.0.1", "localhost", "::1")

Check = Callable[[str, Headers], None]


def access_check(token: str | None) -> Check:
    """What raises Refusal for a path and headers that are not granted: without `token` where they name another host
    than this machine's own, or come from a page of another."""
    return _local_only if token is None else lambda path, headers: _bearer_only(token, path, headers)


def _bearer_only(token: str, path: str, headers: Headers) -> None:
    """Compares in constant time."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    is_bearer = scheme.lower() == "bearer"
    if path in OPEN or (hmac.compare_digest(given.strip().encode(), token.encode()) and is_bearer):
        return
    hint = "send the header 'Authorization: Bearer TOKEN'"
    raise Refusal(401, "no token, or another one", hint, {"WWW-Authenticate": "Bearer"})


def _local_only(path: str, headers: Headers) -> None:
    """A page of any site can let a browser send requests here, under a name of its own that leads here."""
    host, origin = headers.get("host", ""), headers.get("origin")
    if _name(f"//{host}") not in _LOCAL:
        raise Refusal(421, "a request for another host", "ask 127.0.0.1 or localhost; others need --host and --token")
    if origin is not None and urlsplit(origin).netloc != host:
        raise Refusal(403, "a request from a page of another host")


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
