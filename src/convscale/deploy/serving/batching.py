"""Requests that come at the same time, answered together: a queue of bounded length, and one thread that empties it.

Places are reserved before an item is there, so that a full queue refuses work before it is done, and so that a batch
waits only while others are on their way: a lone request is computed at once.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_OLD_SHARE = 0.9  # of the mean seconds an image, when a batch has been computed
_LONGEST_RETRY = 60  # seconds


class QueueFull(Exception):
    """No place is free; `retry_after`: seconds in which the queue should be empty, at least 1."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full; it should be empty in {retry_after} s")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item, Answer]):
    item: Item
    future: Future[Answer]
    since: float


class Places(Generic[Item, Answer]):
    """Reserved places of a queue, each for one item."""

    def __init__(self, batcher: Batcher[Item, Answer], count: int) -> None:
        self._batcher, self.free = batcher, count

    def submit(self, item: Item) -> Future[Answer]:
        """Put an item into one of the places. Its future holds the answer, or what was raised for it alone."""
        assert self.free > 0, "every place has its item"
        self.free -= 1
        return self._batcher._put(item)

    def release(self, count: int = 1) -> None:
        """Give up places for which no item comes."""
        self.free -= count
        self._batcher._arrived(count)


class Batcher(Generic[Item, Answer]):
    """Answers items by `run`, which takes up to `max_batch` of them and returns as many answers in their order.

    A batch begins when it is full, when no reserved item is still to come, or `max_delay` seconds after its first item.
    capacity: how many items may be waiting, reserved places included. on_batch: told the size and the seconds of every
    call of `run`. thread: the one that calls it, taken over. Where `run` raises for several items they are run one by
    one, so that only the guilty ones fail.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Answer]],
        *,
        max_batch: int = 32,
        max_delay: float = 0.005,
        capacity: int = 128,
        on_batch: Callable[[int, float], None] = lambda size, seconds: None,
        thread: ThreadPoolExecutor | None = None,
    ) -> None:
        self._run, self.on_batch = run, on_batch
        self.max_batch, self.max_delay, self.capacity = max_batch, max_delay, capacity
        self._ready: deque[_Waiting[Item, Answer]] = deque()
        self._coming = 0
        self._closing = False
        self._seconds_each = 0.0
        self._changed = threading.Condition()
        self._thread = thread or ThreadPoolExecutor(1, thread_name_prefix="convscale-batches")
        self._working = self._thread.submit(self._work)

    @property
    def waiting(self) -> int:
        """Items in the queue, reserved places included; those being computed are not."""
        return len(self._ready) + self._coming

    @property
    def is_running(self) -> bool:
        """Whether items are still answered."""
        return not self._working.done()

    def require(self, count: int) -> None:
        """Raise QueueFull where `count` places are not free now."""
        assert not self._closing, "the queue is closed"
        if self.waiting + count > self.capacity:
            raise QueueFull(min(_LONGEST_RETRY, max(1, math.ceil(self.waiting * self._seconds_each))))

    @contextmanager
    def reserve(self, count: int) -> Iterator[Places[Item, Answer]]:
        """`count` places, all or none; what is unused in the end is given up. Raises QueueFull."""
        with self._changed:
            self.require(count)
            self._coming += count
        places = Places(self, count)
        try:
            yield places
        finally:
            places.release(places.free)

    def close(self) -> None:
        """Answer whatever waits or is on its way, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.shutdown()

    def _put(self, item: Item) -> Future[Answer]:
        future: Future[Answer] = Future()
        with self._changed:
            self._ready.append(_Waiting(item, future, time.monotonic()))
            self._coming -= 1
            self._changed.notify_all()
        return future

    def _arrived(self, count: int) -> None:
        if count:
            with self._changed:
                self._coming -= count
                self._changed.notify_all()

    def _work(self) -> None:
        while batch := self._next():
            self._answer([one for one in batch if one.future.set_running_or_notify_cancel()])

    def _next(self) -> list[_Waiting[Item, Answer]]:
        """The next batch, when it may begin; none when the queue is closed and empty."""
        with self._changed:
            while (seconds := self._seconds_to_wait()) != 0:
                self._changed.wait(seconds)
            return [self._ready.popleft() for _ in range(min(self.max_batch, len(self._ready)))]

    def _seconds_to_wait(self) -> float | None:
        """How long until something is to be done without anything changing; None: for ever."""
        if len(self._ready) >= self.max_batch:
            return 0
        if not self._coming and (self._ready or self._closing):
            return 0
        if not self._ready:
            return None
        return max(0.0, self._ready[0].since + self.max_delay - time.monotonic())

    def _answer(self, batch: Sequence[_Waiting[Item, Answer]]) -> None:
        if not batch:
            return
        begun = time.monotonic()
        try:
            answers = self._run([one.item for one in batch])
            pairs = list(zip(batch, answers, strict=True))
        except Exception as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for one in batch:
                self._answer([one])
            return
        self._note(len(batch), time.monotonic() - begun)
        for one, answer in pairs:
            one.future.set_result(answer)

    def _note(self, size: int, seconds: float) -> None:
        self._seconds_each = _OLD_SHARE * (self._seconds_each or seconds / size) + (1 - _OLD_SHARE) * seconds / size
        self.on_batch(size, seconds)
