"""More requests than a server can bear, slow ones, broken connections, and its end."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx

from convscale.deploy.serving.limits import Limits
from tests.deploy.serving.here import Echo, serving


def ask(client: httpx.Client, number: int) -> tuple[int, int, str]:
    answer = client.post("/predict", content=str(number).encode())
    if answer.status_code == 200:
        return number, 200, answer.json()["predictions"][0]["classes"][0]["class"]
    return number, answer.status_code, answer.headers.get("retry-after", "")


def test_requests_at_once_are_computed_together_and_one_that_fails_fails_alone() -> None:
    echo = Echo(seconds=0.05)
    numbers = [number for number in range(60) for _ in range(2)]
    with serving(echo, max_batch=8) as client, ThreadPoolExecutor(24) as pool:
        found = list(pool.map(lambda number: ask(client, number), numbers))
    assert [(number, status) for number, status, _ in found] == [(n, 500 if n == 13 else 200) for n in numbers]
    assert all(text == str(number) for number, status, text in found if status == 200)
    assert max(map(len, echo.batches)) == 8 and sum(map(len, echo.batches)) >= 120 > len(echo.batches)


def test_twice_the_load_is_refused_in_part_and_nothing_is_lost() -> None:
    """Sixteen who ask again and again of a server that lets four wait."""
    echo = Echo(seconds=0.01)
    with serving(echo, Limits(queue=4), max_batch=2) as client, ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: ask(client, 100 + number % 100), range(320)))
        counted = client.get("/metrics").text
    statuses = Counter(status for _, status, _ in found)
    assert set(statuses) == {200, 429} and statuses.total() == 320
    assert all(text == (str(number) if status == 200 else "1") for number, status, text in found)
    assert sum(map(len, echo.batches)) == statuses[200]
    assert f'convscale_requests_total{{status="429"}} {statuses[429]}' in counted


HEAD = b"POST /predict HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"


def connected(client: httpx.Client, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=30)
    connection.sendall(sent)
    return connection


def received(connection: socket.socket) -> bytes:
    """All until the server closes."""
    with connection:
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_bodies_in_memory_are_bounded_together() -> None:
    """Nine requests of which the last byte is missing: for eight there is room, and when they go on they are served."""
    with serving(Echo(), Limits(max_bytes=1000)) as client:
        slow = [connected(client, HEAD % 1000 + b" " * 999) for _ in range(9)]
        [refused] = select.select(slow, (), (), 30)[0]
        assert received(refused).startswith(b"HTTP/1.1 429") and client.get("/health").status_code == 200
        for one in slow:
            if one is not refused:
                one.sendall(b"7")
                assert received(one).startswith(b"HTTP/1.1 200")
        assert ask(client, 1)[1] == 200


def test_slow_senders_are_cut_off_and_keep_nobody_waiting() -> None:
    with serving(Echo(), Limits(idle_seconds=0.3, body_seconds=0.3, queue=2)) as client:
        silent, dripping, body = connected(client), connected(client), connected(client, HEAD % 9 + b"1")
        ended = threading.Event()

        def drip() -> None:
            with suppress(OSError):
                while not ended.wait(0.02):
                    dripping.sendall(b"GET /")

        thread = threading.Thread(target=drip)
        thread.start()
        assert ask(client, 1)[1] == 200
        with suppress(ConnectionResetError):
            assert received(dripping) == b""
        ended.set()
        thread.join()
        assert received(silent) == b"" and b"did not arrive within 0.3 s" in received(body)
        assert ask(client, 2)[1] == 200


def test_an_answer_may_take_longer_than_a_connection_may_be_idle() -> None:
    with serving(Echo(seconds=0.5), Limits(idle_seconds=0.1)) as client:
        assert ask(client, 1)[1] == ask(client, 2)[1] == 200


def test_what_is_no_http_and_what_breaks_off_harms_nobody() -> None:
    with serving(Echo()) as client:
        assert received(connected(client, b"\x16\x03\x01 hello\r\n\r\n")).startswith(b"HTTP/1.1 400")
        assert received(connected(client, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000)).startswith(b"HTTP/1.1 400")
        connected(client, HEAD % 1000 + b"1").close()
        for _ in range(3):
            connected(client, HEAD % 1 + b"1").close()
        assert ask(client, 1)[1] == 200


def test_the_end_answers_what_was_accepted() -> None:
    echo = Echo(seconds=0.2)
    with ThreadPoolExecutor(12) as pool:
        with serving(echo, max_batch=4) as client:
            asked = [pool.submit(ask, client, number) for number in range(20, 32)]
            while sum(map(len, echo.batches)) == 0:
                time.sleep(0.01)
        assert [one.result(30) for one in asked] == [(number, 200, str(number)) for number in range(20, 32)]
