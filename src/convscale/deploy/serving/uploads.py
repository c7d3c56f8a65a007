"""The images in the body of a request, read within limits: one as the body itself, or several as a form's files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import NamedTuple

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from convscale.deploy.serving.limits import HeldByOne, Limits, Refusal, too_many_bytes
from convscale.units import format_number, printable

FORM = "multipart/form-data"
# What an image's own bytes may be called; the last is what curl says unless told otherwise.
BODIES = ("image/*", "application/octet-stream", "application/x-www-form-urlencoded")
FIELD = "images"  # of a form, once for each of its files
HOW = (
    "send an image's bytes (curl --data-binary @photo.jpg), or several images as a form "
    f"(curl -F {FIELD}=@1.jpg -F {FIELD}=@2.jpg)"
)


class Upload(NamedTuple):
    """An encoded image, and what to call it."""

    name: str
    content: bytes


class Uploads(NamedTuple):
    """The images of a request, at least one; of a form in its order."""

    images: list[Upload]
    is_form: bool


class _InMemory(MultiPartParser):
    """Files stay in memory, which the limit on the body bounds."""

    def __init__(self, request: Request, stream: AsyncGenerator[bytes, None], limits: Limits) -> None:
        self.spool_max_size = limits.max_bytes + 1
        super().__init__(request.headers, stream, max_files=limits.queue, max_fields=limits.queue)


async def read_uploads(request: Request, limits: Limits, held: HeldByOne) -> Uploads:
    """The images of a request. Raises Refusal."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind != FORM and not (kind in BODIES or kind.startswith("image/")):
        raise Refusal(415, f"{printable(kind)} is not an image", HOW)
    if (coding := request.headers.get("content-encoding", "identity").lower()) != "identity":
        raise Refusal(415, f"a body in {printable(coding)} coding", "send images as they are: they are compressed")
    if int(request.headers.get("content-length", "0")) > limits.max_bytes:
        raise too_many_bytes(limits)
    try:
        async with asyncio.timeout(limits.body_seconds):
            stream = _counted(request, held)
            found = await (_files(request, stream, limits) if kind == FORM else _whole(stream))
    except TimeoutError:
        raise Refusal(408, f"the body did not arrive within {limits.body_seconds:g} s") from None
    except ClientDisconnect:
        raise Refusal(400, "the connection was closed before the body had arrived") from None
    if not found or found == [Upload("images[0]", b"")]:
        raise Refusal(422, "no image in the request", HOW)
    return Uploads(found, kind == FORM)


async def _counted(request: Request, held: HeldByOne) -> AsyncGenerator[bytes, None]:
    async for chunk in request.stream():
        held.add(len(chunk))
        yield chunk


async def _whole(stream: AsyncGenerator[bytes, None]) -> list[Upload]:
    content = bytearray()
    async for chunk in stream:
        content += chunk
    return [Upload("images[0]", bytes(content))]


async def _files(request: Request, stream: AsyncGenerator[bytes, None], limits: Limits) -> list[Upload]:
    """The files of a form. Raises Refusal for one that cannot be parsed, that has other fields or too many files."""
    parser = _InMemory(request, stream, limits)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if "Too many files" in error.message:
            hint = "send fewer in a request"
            raise Refusal(413, f"more than {format_number(limits.queue, 'image')} in one request", hint) from None
        raise Refusal(400, f"a form that cannot be read: {error.message}", HOW) from None
    try:
        return [await _file(index, *item) for index, item in enumerate(form.multi_items())]
    finally:
        await form.close()


async def _file(index: int, key: str, value: UploadFile | str) -> Upload:
    """A file of a form. Raises Refusal for another field."""
    if not isinstance(value, UploadFile) or key != FIELD:
        raise Refusal(400, f"the form's field {printable(key)!r:.80} is not a file called {FIELD}", HOW)
    return Upload(value.filename or f"images[{index}]", await value.read())
