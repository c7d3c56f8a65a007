"""convscale serve"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import click

from convscale.deploy.compilation import AUTO
from convscale.deploy.engines import ENGINES
from convscale.deploy.engines.exported import has_engine
from convscale.deploy.engines.kinds import engine_kind
from convscale.errors import MissingExtraError
from convscale.machine import usable_cores
from convscale.runs import weights_file
from convscale.units import parse_bytes, parse_count, printable

MOST_DECODERS = 8
PACKAGES = {"starlette": "starlette", "uvicorn": "uvicorn", "python-multipart": "python_multipart"}


def _bytes(ctx: click.Context, parameter: click.Parameter, value: str) -> int:
    return int(parse_bytes(value, "--max-bytes"))


def _count(ctx: click.Context, parameter: click.Parameter, value: str) -> int:
    return int(parse_count(value, "--max-pixels"))


def _token(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not (value and value.isascii() and value.isprintable() and " " not in value):
        raise click.BadParameter("a token is letters, digits and signs without blanks, at least one")
    return value


def _require_packages() -> None:
    """Raise MissingExtraError for what is not installed."""
    for package, module in PACKAGES.items():
        try:
            import_module(module)
        except ModuleNotFoundError:
            raise MissingExtraError(package, "serve", "convscale serve") from None


@click.command()
@click.argument("run")
@click.option(
    "--engine", metavar="NAME",
    help=f"What computes: {', '.join(ENGINES)}, or {AUTO}, the fastest [default: eager; of exported files theirs].",
)  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65_535), default=8000, show_default=True, help="0: any that is free.")
@click.option("--host", metavar="H", help="Address to listen on, such as 0.0.0.0; needs --token [default: 127.0.0.1].")
@click.option(
    "--token",
    metavar="T",
    envvar="CONVSCALE_TOKEN",
    show_envvar=True,
    callback=_token,
    help="What requests must bear: 'Authorization: Bearer T'.",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads that compute.")
@click.option(
    "--max-batch",
    type=click.IntRange(1, 1024),
    default=32,
    show_default=True,
    help="Images that are computed together.",
)
@click.option(
    "--max-delay-ms",
    type=click.FloatRange(0, 10_000),
    default=5.0,
    show_default=True,
    help="How long an image waits for others that are being read.",
)
@click.option(
    "--max-bytes", metavar="SIZE", default="20MB", show_default=True, callback=_bytes, help="Largest body of a request."
)
@click.option("--max-pixels", metavar="N", default="50M", show_default=True, callback=_count, help="Largest image.")
@click.option(
    "--queue",
    type=click.IntRange(1, 100_000),
    default=128,
    show_default=True,
    metavar="N",
    help="Images that may wait; requests beyond them are refused with 429 and Retry-After.",
)
def command(
    run: str, engine: str | None, port: int, host: str | None, token: str | None, threads: int, max_batch: int,
    max_delay_ms: float, max_bytes: int, max_pixels: int, queue: int,
) -> None:  # fmt: skip
    """Answer requests for predictions over HTTP, until SIGTERM or Ctrl-C, with RUN: a run folder, a weights file, or an
    exported FILE.onnx or FILE.xml.

    POST /predict takes an image as the body, or several as a form's files, and answers as `predict --json`; GET
    /health, /metrics (Prometheus) and /openapi.json. Only this machine is served unless --host and --token are given.
    """
    if not has_engine(run):
        weights_file(Path(run))  # a mistyped run is refused before PyTorch is loaded
    if engine not in (None, AUTO):
        engine_kind(engine, also=(AUTO,))
    if host is not None and token is None:
        raise click.UsageError("--host lets other machines ask: it needs a --token (or CONVSCALE_TOKEN)")
    _require_packages()
    from convscale.deploy.serving import running

    with running.listen(host or running.LOCAL, port) as listening:
        from convscale.deploy.serving.application import application
        from convscale.deploy.serving.limits import Limits
        from convscale.deploy.serving.predicting import serve_network

        thread = ThreadPoolExecutor(1, thread_name_prefix="convscale-batches")
        predictor = thread.submit(serve_network, Path(run), engine, threads).result()
        limits = Limits(max_bytes=max_bytes, max_pixels=max_pixels, queue=queue)
        decoders = max(1, min(MOST_DECODERS, usable_cores() - threads))
        app = application(
            predictor, limits, token=token, max_batch=max_batch, max_delay=max_delay_ms / 1e3, decoders=decoders,
            thread=thread,
        )  # fmt: skip
        facts = ", ".join(f"{key} {value}" for key, value in predictor.facts.items())
        print(f"serving {printable(facts)} at {running.address_of(listening)}", flush=True)
        running.Server(app, limits).run([listening])
