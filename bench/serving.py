"""What `convscale serve` costs beside its engine, how long answers take, what overload loses, and whether memory grows.

    CONVSCALE_TEST_DATA=... python bench/serving.py [speed overload memory] [--network efficientnet-b0] [--engine eager]
        [--threads 1] [--seconds 20] [--clients 48] [--requests 10000]

Server, load generator and bare engine are processes of their own; the server is the command itself, its weights are
made up. speed: images per second of processor time, of the server without what it takes to decode images, over that of
the engine alone on decoded images in batches of 1, 8 and 32; clients ask again as soon as they have an answer.
overload: requests come at twice the rate that `speed` had, to a server that lets 16 wait; each must be answered, with
200 or 429. memory: what the server holds after every tenth of the requests. Processor time is changed little by a busy
machine; rates and latencies are changed much, and the load average is printed beside them.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PARTS = ("speed", "overload", "memory")
HERE = str(Path(__file__).resolve())
BATCHES = (1, 8, 32)
CPU, DECODING = "process_cpu_seconds_total", "convscale_decoding_cpu_seconds_total"
PREDICTED, BATCHED = 'convscale_images_total{outcome="predicted"}', "convscale_batch_images_count"
MEMORY = "process_resident_memory_bytes"


def images() -> list[bytes]:
    """JPEGs: photographs where CONVSCALE_TEST_DATA has them, else smooth noise."""
    source = Path(os.environ.get("CONVSCALE_TEST_DATA", "")) / "imagenet-samples" / "images"
    if "CONVSCALE_TEST_DATA" in os.environ and source.is_dir():
        return [path.read_bytes() for path in sorted(source.iterdir())[:64]]
    generator, found = np.random.default_rng(0), []
    for _ in range(16):
        file = io.BytesIO()
        small = Image.fromarray(generator.integers(0, 256, (48, 64, 3), np.uint8))
        small.resize((427, 320), Image.Resampling.BICUBIC).save(file, "jpeg", quality=90)
        found.append(file.getvalue())
    return found


def generate(port: int, clients: int, seconds: float, requests: int, rate: float) -> None:
    """The load generator: what became of its requests, as JSON. rate: requests a second; 0: as many as are answered."""
    bodies, numbers, begun = images(), count(), time.monotonic()
    statuses: Counter[str] = Counter()
    latencies: list[float] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while (number := next(numbers)) < requests:
            due = begun + number / rate if rate else time.monotonic()
            if due > begun + seconds:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                connection.request("POST", "/predict", bodies[number % len(bodies)])
                answer = connection.getresponse()
                answer.read()
                statuses[str(answer.status)] += 1
                if answer.status == 200:
                    latencies.append(time.monotonic() - due)
            except (OSError, http.client.HTTPException) as error:
                statuses[type(error).__name__] += 1
                connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    print(json.dumps({
        "seconds": time.monotonic() - begun, "statuses": statuses, "cpu": time.process_time(),
        "latencies_ms": [float(1e3 * value) for value in np.percentile(latencies or [0], (50, 90, 99))],
    }))  # fmt: skip


def bare(file: str, engine: str, threads: int, seconds: float) -> None:
    """The engine alone: images per second of processor time by batch, as JSON."""
    import convscale as cs
    from convscale.deploy.engines import open_engine
    from convscale.nn import keep_memory

    keep_memory()
    model = cs.load(file)
    opened = open_engine(engine, model, threads=threads)
    size, found = model.preprocessing.size, {}
    for batch in BATCHES:
        pixels = np.random.default_rng(0).normal(size=(batch, 3, size, size)).astype(np.float32)
        opened(pixels)
        done, cpu, ends = 0, time.process_time(), time.monotonic() + seconds / len(BATCHES)
        while time.monotonic() < ends:
            opened(pixels)
            done += batch
        found[batch] = done / (time.process_time() - cpu)
    print(json.dumps(found))


def run(*words: object) -> Any:
    """This script in a process of its own; what it says."""
    done = subprocess.run([sys.executable, HERE, *map(str, words)], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


@contextmanager
def server(file: Path, engine: str, threads: int, queue: int) -> Iterator[int]:
    """The port of a server, which must end well."""
    words = ["-m", "convscale", "serve", file, "--port", 0, "--engine", engine, "--threads", threads, "--queue", queue]
    process = subprocess.Popen([sys.executable, *map(str, words)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().rsplit(":", 1)[1])
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0


def counts(port: int) -> dict[str, float]:
    """What the server has counted."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def speed(port: int, file: Path, options: argparse.Namespace) -> float:
    """Prints the shares; the rate that the server bears, in images per second."""
    alone = run(
        "--bare", file, "--engine", options.engine, "--threads", options.threads, "--seconds", options.seconds / 2
    )
    load = ("--generate", port, "--clients", options.clients)
    run(*load, "--seconds", 2)
    before = counts(port)
    said = run(*load, "--seconds", options.seconds)
    after = counts(port)
    gone = {name: after[name] - before.get(name, 0) for name in after}
    cpu = gone[CPU] - gone[DECODING]
    print(
        f"{gone[PREDICTED]:.0f} images in {said['seconds']:.1f} s, in batches of {gone[PREDICTED] / gone[BATCHED]:.1f}"
    )
    print(
        f"processor seconds: server {gone[CPU]:.2f}, of which decoding {gone[DECODING]:.2f}; clients {said['cpu']:.2f}"
    )
    print("milliseconds, median, p90, p99: " + ", ".join(f"{value:.0f}" for value in said["latencies_ms"]))
    mine = gone[PREDICTED] / cpu
    for batch, each in alone.items():
        print(
            f"images per processor second: {mine:.1f}; the engine in batches of {batch}: {each:.1f}; {mine / each:.2f}"
        )
    assert set(said["statuses"]) == {"200"}, said
    return gone[PREDICTED] / said["seconds"]


def overload(port: int, rate: float, options: argparse.Namespace) -> None:
    """Twice the rate."""
    words = ("--generate", port, "--clients", 512, "--seconds", options.seconds, "--rate", 2 * rate)
    said = run(*words)
    asked = sum(said["statuses"].values())
    shares = ", ".join(f"{status}: {number / asked:.1%}" for status, number in sorted(said["statuses"].items()))
    print(
        f"{asked} requests at {2 * rate:.1f} a second: {shares}; p99 of those answered {said['latencies_ms'][2]:.0f} ms"
    )
    assert set(said["statuses"]) <= {"200", "429"}, said


def memory(port: int, options: argparse.Namespace) -> None:
    """Tenth by tenth."""
    held = []
    for _ in range(10):
        run("--generate", port, "--clients", options.clients, "--requests", options.requests // 10)
        held.append(counts(port)[MEMORY] / 1e6)
    print(f"MB after every {options.requests // 10} requests: " + ", ".join(f"{value:.0f}" for value in held))
    print(f"from the second tenth to the last: {held[-1] - held[1]:+.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} [default: all]")
    parser.add_argument("--network", default="efficientnet-b0")
    parser.add_argument("--engine", default="eager")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--requests", type=int, default=10**9)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--generate", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--bare", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.generate:
        generate(options.generate, options.clients, options.seconds, options.requests, options.rate)
    elif options.bare:
        bare(options.bare, options.engine, options.threads, options.seconds)
    else:
        options.seconds, options.requests = min(options.seconds, 20), min(options.requests, 10_000)
        measure(options)


def measure(options: argparse.Namespace) -> None:
    """The parts that were asked for."""
    import convscale as cs
    from convscale.preprocessing import default_preprocessing

    parts = options.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        sys.exit(f"unknown part {min(unknown)}: {', '.join(PARTS)}")
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    with tempfile.TemporaryDirectory() as folder:
        file, network = Path(folder) / "net.safetensors", cs.network(options.network)
        classes = tuple(map(str, range(network.num_classes)))
        header = cs.WeightsHeader(network, default_preprocessing(network.resolution, 3), classes)
        cs.save_weights(file, cs.build(network, seed=0), header)
        print(f"{options.network}, {options.engine}, {options.threads} threads; load average {os.getloadavg()[0]:.1f}")
        serving = partial(server, file, options.engine, options.threads)
        rate = 0.0
        if {"speed", "overload"} & set(parts):
            with serving(options.clients) as port:
                rate = speed(port, file, options)
        if "overload" in parts:
            with serving(16) as port:
                overload(port, rate, options)
        if "memory" in parts:
            with serving(options.clients) as port:
                memory(port, options)


if __name__ == "__main__":
    main()
