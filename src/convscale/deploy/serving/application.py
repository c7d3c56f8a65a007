"""The server's answers: POST /predict, GET /health, /metrics and /openapi.json. Errors are JSON: error and hint."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convscale.deploy.serving.access import Check, access_check
from convscale.deploy.serving.batching import Batcher, Places, QueueFull
from convscale.deploy.serving.limits import HeldBytes, Limits, Refusal, too_busy
from convscale.deploy.serving.metrics import CONTENT_TYPE, Metrics
from convscale.deploy.serving.openapi import TOP, description
from convscale.deploy.serving.predicting import Predictor, Question
from convscale.deploy.serving.uploads import Upload, read_uploads
from convscale.errors import DataError
from convscale.evaluation.ranking import Ranked
from convscale.flattening import flat
from convscale.records import Prediction, PredictionSet
from convscale.units import printable

_LOG = logging.getLogger(__name__)


def application(
    predictor: Predictor,
    limits: Limits,
    *,
    token: str | None = None,
    max_batch: int = 32,
    max_delay: float = 0.005,
    decoders: int = 1,
    thread: ThreadPoolExecutor | None = None,
) -> ASGIApp:
    """What answers requests by `predictor`: batches of up to `max_batch` images, which wait up to `max_delay` seconds
    for those that other threads, `decoders` of them, still read. thread: the one to which the predictor belongs. All
    threads end with the application."""
    batcher = Batcher(predictor.answer, max_batch=max_batch, max_delay=max_delay, capacity=limits.queue, thread=thread)
    answers = _Answers(predictor, limits, batcher, decoders, description(predictor.facts, limits, token))
    routes = [
        Route("/predict", answers.predict, methods=["POST"]),
        Route("/health", answers.health),
        Route("/metrics", answers.show_metrics),
        Route("/openapi.json", answers.describe),
    ]
    app = Starlette(routes=routes, lifespan=answers.lifespan)
    app.router.redirect_slashes = False
    for kind, handler in ((Refusal, _refused), (QueueFull, _full), (HTTPException, _not_here), (Exception, _failed)):
        app.add_exception_handler(kind, handler)
    return _Counted(app, answers.metrics, access_check(token))


class _Counted:
    """The application behind its check of who asks; every answer is counted."""

    def __init__(self, app: ASGIApp, metrics: Metrics, check: Check) -> None:
        self._app, self._metrics, self._check = app, metrics, check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.answered(message["status"])
            await send(message)

        try:
            self._check(scope["path"], Headers(scope=scope))
        except Refusal as refusal:
            await _error(refusal)(scope, receive, counted)
            return
        await self._app(scope, receive, counted)


class _Answers:
    """What all requests share: the queue, the threads that read images, the counts."""

    def __init__(
        self,
        predictor: Predictor,
        limits: Limits,
        batcher: Batcher[Question, Ranked],
        decoders: int,
        described: dict[str, Any],
    ) -> None:
        self.predictor, self.limits, self.batcher, self.described = predictor, limits, batcher, described
        self.held = HeldBytes(limits)
        self.metrics = Metrics(predictor.facts, lambda: batcher.waiting)
        batcher.on_batch = self.metrics.computed
        self.decoders = ThreadPoolExecutor(decoders, thread_name_prefix="convscale-images")

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Ends the threads with the application; nothing that was accepted is left unanswered."""
        try:
            yield
        finally:
            await asyncio.to_thread(self.batcher.close)
            self.decoders.shutdown()

    async def predict(self, request: Request) -> Response:
        """POST /predict: the classes of each image; one of a form that cannot be read has an error instead."""
        begun = time.monotonic()
        top = _top(request)
        self.batcher.require(1)  # before the body is received
        with self.held.holding() as held:
            uploads = await read_uploads(request, self.limits, held)
            with self.batcher.reserve(len(uploads.images)) as places:
                found = await _all(self._prediction(one, top, places) for one in uploads.images)
        outcomes = ["predicted" if one.error is None else "unreadable" for one in found]
        self.metrics.predicted(time.monotonic() - begun, outcomes)
        if not uploads.is_form:
            _require_read(found[0])
        return _json(flat(PredictionSet(tuple(found))))

    async def health(self, request: Request) -> Response:
        """GET /health: whether images are answered."""
        running = self.batcher.is_running
        return _json({"status": "ok" if running else "failed"}, status=200 if running else 503)

    async def show_metrics(self, request: Request) -> Response:
        """GET /metrics: the counts, as Prometheus reads them."""
        return PlainTextResponse(self.metrics.text(), media_type=CONTENT_TYPE)

    async def describe(self, request: Request) -> Response:
        """GET /openapi.json: this description of the server."""
        return _json(self.described)

    async def _prediction(self, upload: Upload, top: int, places: Places[Question, Ranked]) -> Prediction:
        """Of one image, in a place of its own."""
        loop = asyncio.get_running_loop()
        try:
            pixels = await loop.run_in_executor(self.decoders, self._read, upload)
        except DataError as error:
            places.release()
            return Prediction(upload.name, (), error.message.removeprefix(f"{upload.name}: "))
        return Prediction(upload.name, await asyncio.wrap_future(places.submit(Question(pixels, top))))

    def _read(self, upload: Upload) -> Any:
        """In a thread that reads images."""
        begun = time.thread_time()
        try:
            return self.predictor.read(upload.content, upload.name, self.limits.max_pixels)
        finally:
            self.metrics.decoded(time.thread_time() - begun)


async def _all(answers: Iterable[Coroutine[Any, Any, Prediction]]) -> list[Prediction]:
    """When all have ended. Raises Refusal where one failed, which is logged."""
    ended = await asyncio.gather(*answers, return_exceptions=True)
    for one in ended:
        if isinstance(one, Exception):  # left to uvicorn, it would cost the client its connection
            _LOG.error("a prediction failed", exc_info=one)
            raise _failure()
    return [one for one in ended if isinstance(one, Prediction)]


def _top(request: Request) -> int:
    """How many classes a request asks for. Raises Refusal for other parameters too."""
    if others := set(request.query_params) - {"top"}:
        raise Refusal(400, f"unknown parameter {printable(min(others))!r:.80}", "the only one is top")
    given = request.query_params.getlist("top")
    if not given:
        return TOP
    if len(given) > 1 or not (given[0].isascii() and given[0].isdecimal() and len(given[0]) < 10 and int(given[0])):
        raise Refusal(400, f"top {printable(', '.join(given))!r:.80} is not allowed", "one whole number from 1")
    return int(given[0])


def _require_read(prediction: Prediction) -> None:
    """Raise Refusal for an image that could not be read."""
    if prediction.error is not None:
        raise Refusal(422, prediction.error, "send another image: JPEG, PNG, WebP, TIFF or what else Pillow reads")


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = json.dumps(content, allow_nan=False, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(text, status, headers, "application/json")


def _error(refusal: Refusal) -> Response:
    return _json({"error": refusal.message, "hint": refusal.hint}, refusal.status, refusal.headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return _error(error)


async def _full(request: Request, error: Exception) -> Response:
    assert isinstance(error, QueueFull)
    return _error(too_busy(str(error), error.retry_after))


async def _not_here(request: Request, error: Exception) -> Response:
    """Of a path or a method that is not there."""
    assert isinstance(error, HTTPException)
    hint = "POST /predict; GET /health, /metrics and /openapi.json"
    what = f"{request.method} {printable(request.url.path):.80}: {error.detail}"
    return _error(Refusal(error.status_code, what, hint, error.headers))


def _failure() -> Refusal:
    return Refusal(500, "the server failed at this request", "its log says why")


async def _failed(request: Request, error: Exception) -> Response:
    return _error(_failure())
