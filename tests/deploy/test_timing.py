"""Timing: planted clocks say what is measured, so that no test depends on the machine's."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import fields

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from convscale import machine
from convscale.deploy.anchor import anchor_run
from convscale.deploy.environment import environment_here
from convscale.deploy.timing import BUSY, LEAST, TRIES, Clocks, interleaved


class Planted:
    """A machine whose calls take what they are told: `seconds` of work each, stretched by what else runs."""

    def __init__(self) -> None:
        self.now = self.worked = 0.0
        self.order: list[str] = []
        self.clocks = Clocks(lambda: self.now, lambda: self.worked, lambda: self.worked)

    def call(self, name: str, seconds: float, stretch: Callable[[int], float] = lambda _: 1.0) -> Callable[[], None]:
        """`stretch` gives the wall time over the processor time of the call of a number, from 0."""

        def run() -> None:
            self.worked += seconds
            self.now += seconds * stretch(self.order.count(name))
            self.order.append(name)

        return run

    def anchor(self, seconds: float = 0.001) -> Callable[[], None]:
        return self.call("anchor", seconds)


def test_times_are_those_of_the_calls() -> None:
    planted = Planted()
    slow = planted.call("slow", 0.020, lambda number: 1 + number % 5 / 100)
    found = interleaved(
        {"fast": planted.call("fast", 0.002), "slow": slow}, seconds=1.0, anchor=planted.anchor(), clocks=planted.clocks
    )
    assert list(found) == ["fast", "slow"]
    fast, slow_ms = found["fast"], found["slow"]
    assert (fast.median_ms, fast.p10_ms, fast.p90_ms, fast.mean_ms) == pytest.approx((2, 2, 2, 2))
    assert (slow_ms.median_ms, slow_ms.mean_ms) == pytest.approx((20.4, 20.4))
    assert 20 <= slow_ms.p10_ms < 20.3 and 20.5 < slow_ms.p90_ms <= 20.8
    assert not fast.busy and not slow_ms.busy and slow_ms.wall_over_cpu == pytest.approx(1.02, abs=0.002)
    assert fast.anchor_ms == slow_ms.anchor_ms == pytest.approx(1)
    assert fast.n == pytest.approx(500, abs=25) and slow_ms.n == pytest.approx(50, abs=2)


def test_every_call_has_its_turn_in_every_round_and_the_anchor_is_around_them() -> None:
    planted = Planted()
    calls = {name: planted.call(name, 0.01) for name in "abc"}
    interleaved(calls, seconds=0.2, anchor=planted.anchor(), clocks=planted.clocks)
    timed = "".join(name[0] if name != "anchor" else "|" for name in planted.order[3 * 4 :])
    rounds = [part for part in timed.split("|") if part]
    assert timed.startswith("|") and timed.endswith("|") and rounds[:4] == ["abc", "cba", "abc", "cba"]
    assert all(sorted(part) == ["a", "b", "c"] for part in rounds) and len(rounds) == 20


def test_calls_longer_than_all_the_time_are_made_the_least_number_of_times() -> None:
    planted = Planted()
    calls = {"long": planted.call("long", 9.0), "short": planted.call("short", 0.01)}
    found = interleaved(calls, seconds=0.1, anchor=planted.anchor(), clocks=planted.clocks)
    assert found["long"].n == LEAST and found["short"].n >= 10
    assert planted.order.count("long") == LEAST + 1, "it is warmed up once"


def test_what_was_disturbed_is_measured_again() -> None:
    planted = Planted()
    first = planted.call("first", 0.01, lambda number: 1.5 if number < 20 else 1.0)
    calls = {"first": first, "other": planted.call("other", 0.01)}
    found = interleaved(calls, seconds=0.1, least=10, anchor=planted.anchor(), clocks=planted.clocks)
    assert not found["first"].busy and found["first"].median_ms == pytest.approx(10)
    assert planted.order.count("other") == 3 + 10, "what was not disturbed is measured once"


def test_what_stays_disturbed_is_marked_after_a_bounded_number_of_tries() -> None:
    planted = Planted()
    stretched = planted.call("busy", 0.01, lambda number: 3.0 if number < 13 else 1.5 if number < 23 else 2.0)
    calls = {"busy": stretched}
    found = interleaved(calls, seconds=0.1, least=10, anchor=planted.anchor(), clocks=planted.clocks)["busy"]
    assert found.busy and found.n == 10
    assert (found.wall_over_cpu, found.median_ms) == pytest.approx((1.5, 15)), "the least disturbed try"
    assert planted.order.count("busy") <= 3 + 10 * TRIES


def test_a_stretch_just_below_the_limit_is_not_busy() -> None:
    planted = Planted()
    below, above = planted.call("a", 0.01, lambda _: BUSY - 0.01), planted.call("b", 0.01, lambda _: BUSY + 0.01)
    calls = {"a": below, "b": above}
    found = interleaved(calls, seconds=0.1, anchor=planted.anchor(), clocks=planted.clocks)
    assert [found[name].busy for name in "ab"] == [False, True]


@pytest.mark.parametrize("disturbed", [False, True])
def test_on_several_threads_the_anchor_tells_whether_the_machine_was_busy(disturbed: bool) -> None:
    planted = Planted()
    anchor = planted.call("anchor", 0.001, lambda _: 2.0 if disturbed else 1.0)
    calls = {"two": planted.call("two", 0.01, lambda _: 0.6)}
    found = interleaved(calls, seconds=0.1, threads=2, anchor=anchor, clocks=planted.clocks)["two"]
    assert found.busy is disturbed


def test_the_anchor_of_a_call_is_that_of_its_own_rounds() -> None:
    planted = Planted()
    started: list[float] = []
    anchor = planted.call("anchor", 0.001, lambda _: 1.0 if planted.now - started[0] < 0.5 else 1.09)
    calls = {"short": planted.call("short", 0.05), "long": planted.call("long", 1.0)}
    started.append(0.0)
    found = interleaved(calls, seconds=40, least=3, anchor=anchor, clocks=planted.clocks)
    assert found["long"].anchor_ms == pytest.approx(1.09)


def test_nothing_to_time_is_no_times() -> None:
    assert interleaved({}, anchor=lambda: None) == {}


def test_what_a_call_raises_is_raised_and_the_collector_goes_on() -> None:
    planted = Planted()

    def breaks() -> None:
        if not gc.isenabled():
            raise RuntimeError("broken")
        planted.now += 0.1
        planted.worked += 0.1

    with pytest.raises(RuntimeError, match="broken"):
        interleaved({"breaks": breaks}, anchor=planted.anchor(), clocks=planted.clocks)
    assert gc.isenabled()


def test_real_clocks_and_the_real_anchor() -> None:
    before = torch.get_num_threads()
    found = interleaved({"sum": lambda: sum(range(20_000))}, seconds=0.02, tries=1)["sum"]
    assert 0 < found.p10_ms <= found.median_ms <= found.p90_ms and found.n >= LEAST and found.anchor_ms > 0
    assert torch.get_num_threads() == before


def test_the_anchor_is_what_it_was_when_profiles_were_made() -> None:
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    run = anchor_run()
    outputs = run()
    assert isinstance(outputs, torch.Tensor) and outputs.shape == (1, 512, 8, 8)
    torch.testing.assert_close(outputs, anchor_run()(), rtol=1e-4, atol=1e-5)
    assert float(outputs.sum()) == pytest.approx(6922.50, rel=1e-3)
    with FlopCounterMode(display=False) as counter:
        run()
    assert counter.get_total_flops() == 2 * 74_629_120
    assert torch.equal(torch.random.get_rng_state(), state) and torch.get_num_threads() == threads


def test_the_environment_says_what_decides_speed() -> None:
    here = environment_here()
    assert here.processor and here.cores == machine.cores() and here.versions["python"].startswith("3.")
    assert set(here.flags) <= set(machine.processor_flags()) and len(here.flags) < 60
    assert {field.name for field in fields(here)} == set(here.as_dict())
