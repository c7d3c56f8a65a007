"""The queue that makes batches: no network, no images."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convscale.deploy.serving.batching import Batcher, QueueFull


class Doubling:
    """Doubles numbers when `go` is set, and keeps the batches; negative ones fail."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.go = threading.Semaphore(0), threading.Event()
        self.go.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.begun.release()
        assert self.go.wait(20)
        if min(items) < 0:
            raise ArithmeticError(f"{min(items)} of {len(items)}")
        return [2 * one for one in items]


@pytest.fixture
def run() -> Iterator[Doubling]:
    made = Doubling()
    yield made
    made.go.set()


def test_a_lone_item_does_not_wait(run: Doubling) -> None:
    batcher = Batcher(run, max_delay=3600)
    with batcher.reserve(1) as places:
        assert places.submit(21).result(20) == 42
    batcher.close()
    assert not batcher.is_running and batcher.waiting == 0


def test_a_batch_waits_for_what_is_on_its_way(run: Doubling) -> None:
    batcher = Batcher(run, max_delay=3600)
    with batcher.reserve(3) as places:
        first, second = places.submit(1), places.submit(2)
        assert not run.begun.acquire(timeout=0.05) and batcher.waiting == 3
        places.release()
        assert (first.result(20), second.result(20)) == (2, 4) and run.batches == [[1, 2]]
    batcher.close()


def test_a_batch_waits_no_longer_than_its_delay(run: Doubling) -> None:
    batcher = Batcher(run, max_delay=0.01)
    with batcher.reserve(2) as places:
        assert places.submit(1).result(20) == 2 and batcher.waiting == 1
    batcher.close()


def test_a_full_batch_begins_at_once_and_the_rest_follows(run: Doubling) -> None:
    run.go.clear()
    batcher = Batcher(run, max_batch=4, max_delay=3600)
    with batcher.reserve(10) as places:
        futures = [places.submit(one) for one in range(9)]
        assert run.begun.acquire(timeout=20) and batcher.waiting == 6
        run.go.set()
    assert [one.result(20) for one in futures] == [2 * one for one in range(9)]
    batcher.close()
    assert run.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


def test_what_fails_fails_alone(run: Doubling) -> None:
    sizes: list[int] = []
    batcher = Batcher(run, on_batch=lambda size, seconds: sizes.append(size))
    with batcher.reserve(4) as places:
        futures = [places.submit(one) for one in (1, -2, 3, -4)]
    assert (futures[0].result(20), futures[2].result(20)) == (2, 6)
    for index, text in ((1, "-2 of 1"), (3, "-4 of 1")):
        with pytest.raises(ArithmeticError, match=text):
            futures[index].result(20)
    with batcher.reserve(1) as places:
        assert places.submit(5).result(20) == 10
    batcher.close()
    assert sizes == [1, 1, 1]


def test_too_few_answers_are_an_error() -> None:
    batcher: Batcher[int, int] = Batcher(lambda items: [])
    with batcher.reserve(1) as places, pytest.raises(ValueError, match="shorter"):
        places.submit(1).result(20)
    batcher.close()


def test_a_full_queue_refuses_and_loses_nothing(run: Doubling) -> None:
    run.go.clear()
    batcher = Batcher(run, max_batch=1, capacity=2)
    with batcher.reserve(1) as places:
        futures = [places.submit(0)]
    assert run.begun.acquire(timeout=20)
    with batcher.reserve(2) as places:
        with pytest.raises(QueueFull) as full, batcher.reserve(1):
            pass
        assert full.value.retry_after == 1
        with pytest.raises(QueueFull):
            batcher.require(1)
        futures += [places.submit(1), places.submit(2)]
    run.go.set()
    assert [one.result(20) for one in futures] == [0, 2, 4]
    batcher.require(2)
    batcher.close()


def test_close_answers_what_waits_and_what_comes(run: Doubling) -> None:
    run.go.clear()
    batcher = Batcher(run, max_batch=2)
    with batcher.reserve(5) as places, ThreadPoolExecutor(1) as pool:
        futures = [places.submit(one) for one in range(4)]
        closing = pool.submit(batcher.close)
        run.go.set()
        assert [one.result(20) for one in futures] == [0, 2, 4, 6] and not closing.done()
        assert places.submit(4).result(20) == 8
        closing.result(20)


def test_items_whose_asker_went_away_are_not_computed(run: Doubling) -> None:
    run.go.clear()
    batcher = Batcher(run, max_batch=1)
    with batcher.reserve(3) as places:
        futures = [places.submit(one) for one in range(3)]
        assert run.begun.acquire(timeout=20) and futures[1].cancel()
        run.go.set()
    assert futures[2].result(20) == 4
    batcher.close()
    assert run.batches == [[0], [2]]


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.integers(-1, 50), max_size=5), max_size=12), st.integers(1, 7), st.integers(5, 12),
)  # fmt: skip
def test_every_item_gets_its_own_answer(requests: list[list[int]], max_batch: int, capacity: int) -> None:
    """Of many askers at once, whatever fails, is refused, or is given up."""
    run = Doubling()
    batcher = Batcher(run, max_batch=max_batch, max_delay=0.001, capacity=capacity)

    def ask(items: list[int]) -> list[int | None]:
        try:
            with batcher.reserve(len(items) + 1) as places:
                futures = [places.submit(one) for one in items]
        except QueueFull:
            return []
        return [None if future.exception(20) else future.result() for future in futures]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, requests))
    batcher.close()
    for items, found in zip(requests, answers, strict=True):
        assert found in ([], [None if one < 0 else 2 * one for one in items])
    assert batcher.waiting == 0 and all(len(batch) <= max_batch for batch in run.batches)
