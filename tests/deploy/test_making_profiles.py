"""Profiles are made a network at a time: they go on after a kill, and time again what was disturbed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import convscale as cs
from convscale.deploy.engines.kinds import ENGINES
from convscale.deploy.profiling import making
from convscale.deploy.profiling.fitting import sample
from convscale.deploy.profiling.making import ProfileSettings, make_profile
from convscale.deploy.profiling.measuring import opened, some_images, time_network, time_steps
from convscale.deploy.timing import Timing
from convscale.errors import ConfigError, ConvscaleError, MissingExtraError, UnknownNameError
from convscale.networks import ConvNet
from convscale.records import Profile, ProfiledNetwork, read_record
from tests.deploy.planted import Device

SETTINGS = ProfileSettings(engine="eager", networks=20)


class Machine:
    """Times networks as a planted device does. `busy`: how often each is disturbed first; `killed_at`: after how many
    it is killed."""

    def __init__(self, busy: Callable[[str], int] = lambda name: 0, killed_at: int | None = None) -> None:
        self.device, self.busy, self.killed_at = Device(timed_steps=False), busy, killed_at
        self.timed: Counter[str] = Counter()

    def opened(self, network: ConvNet, engine: str, threads: int, dtype: str) -> ConvNet:
        return network

    def time_network(self, engine: Any, network: ConvNet, *, tries: int = 1) -> Timing:
        if sum(self.timed.values()) == self.killed_at:
            raise KeyboardInterrupt
        self.timed[network.name] += 1
        disturbed = self.timed[network.name] <= self.busy(network.name)
        ms = 1e3 * self.device.seconds(network) * (5 if disturbed else 1)
        return Timing(ms, ms, ms, ms, 10, 1.0, 2.0 if disturbed else 1.0)

    def time_steps(self, engine: Any, network: ConvNet) -> dict[str, float]:
        return self.device.timed(network).steps


@pytest.fixture
def profiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Profile]:
    def make(machine: Machine, settings: ProfileSettings = SETTINGS) -> Profile:
        for name in ("opened", "time_network", "time_steps"):
            monkeypatch.setattr(making, name, getattr(machine, name))
        return make_profile(settings, tmp_path / "device.json", quiet=True)

    return make


def same(one: Profile, other: Profile) -> bool:
    return replace(one, made="", seconds=0.0) == replace(other, made="", seconds=0.0)


def test_a_profile_that_was_killed_goes_on(profiled: Callable[..., Profile], tmp_path: Path) -> None:
    whole = profiled(Machine())
    assert read_record(tmp_path / "device.json") == whole and list(tmp_path.iterdir()) == [tmp_path / "device.json"]
    with pytest.raises(KeyboardInterrupt):
        profiled(Machine(killed_at=13))
    lines = tmp_path / "device.json.lines"
    text = lines.read_text()
    assert text.count("\n") == 14
    lines.write_text(text[:-30])  # killed while it wrote
    rest = Machine()
    assert same(profiled(rest), whole) and sum(rest.timed.values()) == 20 - 12
    assert not lines.exists()


def test_more_networks_go_on_from_fewer(profiled: Callable[..., Profile]) -> None:
    with pytest.raises(KeyboardInterrupt):
        profiled(Machine(killed_at=10))
    rest = Machine()
    assert profiled(rest, replace(SETTINGS, networks=24)).count == 24 and sum(rest.timed.values()) == 14


def test_an_unfinished_profile_of_something_else_stays(profiled: Callable[..., Profile], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        profiled(Machine(killed_at=3))
    kept = (tmp_path / "device.json.lines").read_text()
    with pytest.raises(ConfigError, match="threads 1, now 2; seed 0, now 5"):
        profiled(Machine(), replace(SETTINGS, threads=2, seed=5))
    assert (tmp_path / "device.json.lines").read_text() == kept
    (tmp_path / "device.json.lines").write_text(kept.replace('"turn": 1', '"turns": 1'))
    with pytest.raises(ConfigError, match=r"line 3.*turns.*delete the file"):
        profiled(Machine())


def test_what_was_disturbed_is_timed_again(profiled: Callable[..., Profile]) -> None:
    whole = profiled(Machine())
    restless = Machine(busy=lambda name: int(name.endswith(("3", "7"))))
    assert same(profiled(restless), whole)
    assert sum(restless.timed.values()) == 24  # 3, 7, 13 and 17


def test_what_is_always_disturbed_is_left_out(profiled: Callable[..., Profile], tmp_path: Path) -> None:
    profile = profiled(Machine(busy=lambda name: 9 * name.endswith("3")))
    assert profile.count == 18
    (tmp_path / "device.json").unlink()
    with pytest.raises(ConvscaleError, match="busy: of 20 networks 20 could not be timed alone") as caught:
        profiled(Machine(busy=lambda name: 9))
    assert caught.value.exit_code == 1 and not (tmp_path / "device.json").exists()
    assert same(profiled(Machine()), profiled(Machine()))  # and with quiet it goes on


def test_what_cannot_be_profiled() -> None:
    with pytest.raises(UnknownNameError, match="unknown engine 'eagre'"):
        ProfileSettings(engine="eagre")
    with pytest.raises(ConfigError, match="threads 0"):
        ProfileSettings(engine="eager", threads=0)
    with pytest.raises(ConfigError, match="3 networks are too few"):
        ProfileSettings(engine="eager", networks=3)


def test_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = replace(ENGINES["eager"], name="absent", packages=("no_such_package",), extra="onnx")
    monkeypatch.setitem(ENGINES, "absent", absent)
    with pytest.raises(MissingExtraError, match="no_such_package"):
        ProfileSettings(engine="absent")


@pytest.mark.parametrize("name", ["eager", "packed"])
def test_networks_and_their_steps_are_timed(name: str) -> None:
    network = cs.network("tiny-mbconv")
    engine = opened(network, name, 1, "float32")
    assert some_images(network).shape == (1, 3, network.resolution, network.resolution)
    timing = time_network(engine, network, seconds=0.05)
    assert 0 < timing.p10_ms <= timing.median_ms and timing.anchor_ms > 0 and timing.n >= 7
    steps = time_steps(engine, network, seconds=0.05)
    assert steps.keys() == ({} if name == "eager" else sample(ProfiledNetwork(network, 1.0, 1.0, {})).steps).keys()
    assert all(seconds > 0 for seconds in steps.values())


@pytest.mark.parametrize("name", ["efficientnet-lite0", "mobilenet-v3-small", "regnety-400mf", "small-resnet"])
def test_the_steps_of_the_model_are_those_that_run(name: str) -> None:
    """Else times in place would be those of something else."""
    network = cs.network(name).at_resolution(32)
    steps = time_steps(opened(network, "packed", 1, "float32"), network, seconds=0.0)
    assert steps.keys() == sample(ProfiledNetwork(network, 1.0, 1.0, {})).steps.keys()
