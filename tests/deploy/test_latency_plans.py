"""Plans with a limit on latency: which profile they take, what they say of it, and what measuring them corrects."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import convscale as cs
from convscale.costs import LatencyPredictor
from convscale.deploy.environment import environment_here
from convscale.deploy.profiling.drawing import drawn_networks
from convscale.deploy.profiling.kept import find_profile, kept_path
from convscale.deploy.profiling.verifying import Measured, verify
from convscale.errors import BudgetError, ConfigError
from convscale.networks import ConvNet
from convscale.planning import Plan
from convscale.records import Profile, read_record, write_record
from tests.cli.calling import run, run_json
from tests.deploy.planted import Device, profile_of

LIMIT = 4e-3


@cache
def planted() -> Profile:
    return profile_of(Device(), drawn_networks(24, seed=0))


@pytest.fixture
def profile() -> Profile:
    """Of this machine."""
    return replace(planted(), environment=environment_here())


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Profile], Path]:
    """Keeps a profile in the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def keep(profile: Profile) -> Path:
        path = kept_path(profile.engine, profile.dtype, profile.threads)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_record(path, profile)
        return path

    return keep


# Which profile


def test_the_newest_of_this_machine_is_taken(kept: Callable[[Profile], Path], profile: Profile) -> None:
    with pytest.raises(ConfigError, match="no profile of this machine, of any engine on 1 thread") as caught:
        find_profile(None)
    assert "make one: convscale profile" in caught.value.hint
    kept(profile)
    kept(replace(profile, engine="eager", made="2026-02-01T00:00:00+00:00"))
    kept(replace(profile, engine="openvino", threads=2, made="2026-03-01T00:00:00+00:00"))
    kept(replace(planted(), engine="compile", made="2026-04-01T00:00:00+00:00"))  # another machine's
    assert find_profile(None).engine == "eager" and find_profile(None, "packed") == profile
    assert find_profile(None, threads=2).engine == "openvino"
    with pytest.raises(ConfigError, match="of openvino on 1 thread") as caught:
        find_profile(None, "openvino")
    assert caught.value.hint.startswith("make one: convscale profile --engine openvino")
    with pytest.raises(ConfigError, match="of packed on 3 threads") as caught:
        find_profile(None, "packed", 3)
    assert "--engine packed --threads 3" in caught.value.hint


def test_a_damaged_one_is_passed_over(
    kept: Callable[[Profile], Path], profile: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(profile).with_name("broken.json").write_text("{")
    assert find_profile(None) == profile
    assert "not used" in capsys.readouterr().err


def test_a_profile_of_something_else_says_what_differs(profile: Profile, tmp_path: Path) -> None:
    file = tmp_path / "device.json"
    write_record(file, profile)
    assert find_profile(file) == find_profile(file, "packed", 1) == profile
    with pytest.raises(ConfigError, match="engine packed, asked for eager; threads 1, asked for 2"):
        find_profile(file, "eager", 2)
    write_record(file, planted())
    with pytest.raises(ConfigError, match="another machine: .*processor Planted, here") as caught:
        find_profile(file)
    assert "--other-machine" in caught.value.hint
    assert find_profile(file, other_machine=True) == planted()


# Commands


def test_plan_by_latency(
    kept: Callable[[Profile], Path], profile: Profile, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = kept(profile)
    record = tmp_path / "plan.json"
    arguments = ("plan", "mobilenet-v2", "--latency", "4ms", "--record", record)
    planned = run_json(capsys, *arguments)
    assert planned["cost"]["latency_ms"] == pytest.approx(4 * planned["used"]["latency_seconds"])
    assert 0.97 <= planned["used"]["latency_seconds"] <= 1 and planned["binding"] == ["latency_seconds"]
    assert all("latency_ms" in other["cost"] for other in planned["alternatives"])
    assert run_json(capsys, *arguments, "--profile", file, "--engine", "packed", "--threads", 1) == planned
    assert read_record(record).chosen.latency_seconds == pytest.approx(planned["cost"]["latency_ms"] / 1e3)
    text = run(capsys, *arguments)[1]
    assert "latency of 4ms" in text and "packed, float32, 1 thread" in text and "tie with the plan" in text
    assert "latency_ms" not in run_json(capsys, "plan", "mobilenet-v2", "--macs", "300M")["cost"]


def test_planning_needs_no_pytorch(profile: Profile, tmp_path: Path) -> None:
    write_record(tmp_path / "device.json", profile)
    code = (
        "import sys; from convscale.cli import main; "
        "assert main.run(['plan', 'small-mbconv', '--latency', '0.5ms', '--profile', 'device.json', '--json']) == 0; "
        "assert not {'torch', 'numpy', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("arguments", "says"), [
    (("--latency", "0ms"), "'0ms' is not a positive"),
    (("--latency", "1us"), "is below the smallest achievable"),
    (("--latency", "4ms", "--engine", "eager"), "no profile of this machine, of eager"),
    (("--latency", "4ms", "--profile", "none.json"), "cannot be read"),
    (("--macs", "1G", "--threads", "2"), "go with --latency"),
    (("--macs", "1G", "--verify"), "--verify goes with --latency"),
    (("--latency", "4ms", "--other-machine", "--verify"), "--verify goes with --latency"),
])  # fmt: skip
def test_limits_that_make_no_plan(
    arguments: tuple[str, ...], says: str, kept: Callable[[Profile], Path], profile: Profile,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    kept(profile)
    code, _, err = run(capsys, "plan", "mobilenet-v2", *arguments)
    assert code == 2 and says in err


def test_fit_by_latency(kept: Callable[[Profile], Path], profile: Profile, capsys: pytest.CaptureFixture[str]) -> None:
    kept(profile)
    limit = cs.Budget(latency_seconds="0.4ms")
    planned = cs.plan_fit("digits", limit, predictor=profile.predictor())
    assert 0 < planned.as_dict()["cost"]["latency_ms"] <= 0.4
    with pytest.raises(BudgetError, match="needs a latency prediction"):
        cs.plan_fit("digits", limit)
    code, _, err = run(capsys, "fit", "digits", "--latency", "1us")
    assert code == 2 and "below the smallest achievable" in err


# Measured


class Truth:
    """A machine that takes `slower` times what the planted device takes, and `off` more for the model's error."""

    def __init__(self, slower: float = 1.0, off: float = 1.0, busy: bool = False) -> None:
        self.slower, self.off, self.busy, self.measured = slower, off, busy, 0

    def __call__(self, network: ConvNet) -> Measured:
        self.measured += 1
        seconds = self.slower * self.off * cs.predict_latency(planted(), network)
        return Measured(seconds, self.slower * planted().anchor_seconds, self.busy)


def make_plan(predictor: LatencyPredictor) -> Plan:
    return cs.plan("mobilenet-v2", cs.Budget(latency_seconds=LIMIT), predictor=predictor)


def test_a_plan_that_holds_stays() -> None:
    truth = Truth()
    verified = verify(make_plan, planted(), truth)
    assert verified.is_tie and not verified.corrected and truth.measured == 1
    assert verified.plan == make_plan(planted().predictor()) and verified.anchor_ratio == 1
    assert "a tie with the prediction" in "\n".join(verified.lines())


@pytest.mark.parametrize("off", [0.8, 1.3])
def test_a_plan_that_is_off_is_corrected_once(off: float) -> None:
    truth = Truth(off=off)
    verified = verify(make_plan, planted(), truth)
    assert verified.corrected and verified.is_tie and truth.measured == 2
    assert 0.95 * LIMIT < verified.measured.seconds <= 1.001 * LIMIT
    before, after = (cs.cost(one.network).macs for one in (make_plan(planted().predictor()), verified.plan))
    assert (after < before) == (off > 1)


def test_a_slower_hour_is_not_the_models_error() -> None:
    slow = verify(make_plan, planted(), Truth(slower=1.05))
    assert not slow.corrected and not slow.machine_changed and slow.anchor_ratio == pytest.approx(1.05)
    slower = verify(make_plan, planted(), Truth(slower=1.5))
    assert not slower.corrected and slower.machine_changed
    assert "machine changed" in "\n".join(slower.lines())


def test_a_busy_hour_corrects_nothing() -> None:
    verified = verify(make_plan, planted(), Truth(off=1.3, busy=True))
    assert not verified.corrected and "busy" in "\n".join(verified.lines())


def test_what_no_network_meets_once_corrected_stays_as_it_was() -> None:
    def tight(predictor: LatencyPredictor) -> Plan:
        if not hasattr(predictor, "model"):
            raise BudgetError("too little")
        return make_plan(predictor)

    assert not verify(tight, planted(), Truth(off=1.5)).corrected


def test_verify_adds_what_was_measured(
    kept: Callable[[Profile], Path], profile: Profile, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    kept(profile)
    monkeypatch.setattr("convscale.deploy.profiling.verifying.measure_here", lambda profile: Truth(off=1.2))
    arguments = ("plan", "mobilenet-v2", "--latency", "4ms", "--verify")
    found = run_json(capsys, *arguments)
    assert 3.8 < found["measured_ms"] <= 4.004 and found["anchor_ratio"] == 1
    assert found["corrected"] and not found["busy"] and not found["machine_changed"]
    assert found["measured_ms"] == pytest.approx(found["cost"]["latency_ms"])
    assert "corrected once" in run(capsys, *arguments)[1]
