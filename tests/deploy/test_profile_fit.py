"""Profiles of planted devices: the law that their times follow is found again, within the noise."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import median

import pytest

import convscale as cs
from convscale.costs import LatencyPredictor
from convscale.costs.latency_model import ModelPredictor
from convscale.costs.steps import KINDS, TERMS
from convscale.deploy.profiling.drawing import LEAST_MACS, MOST_MACS, drawn_networks, families_left_out
from convscale.deploy.profiling.fitting import fit_model, sample
from convscale.errors import ConfigError
from convscale.networks import ConvNet
from convscale.records import Profile, read_record, write_record
from tests.deploy.planted import Device, profile_of

NETWORKS = tuple(drawn_networks(48, seed=0))
UNSEEN = (*drawn_networks(20, seed=1), *map(cs.network, families_left_out()))


@cache
def planted(noise: float = 0.0, *, timed_steps: bool = True) -> Profile:
    return profile_of(Device(noise, timed_steps=timed_steps), NETWORKS)


def errors(profile: Profile, networks: tuple[ConvNet, ...] = UNSEEN) -> list[float]:
    """Relative, from the truth, in order."""
    truth = Device()
    return sorted(abs(cs.predict_latency(profile, one) / truth.seconds(one) - 1) for one in networks)


def test_networks_are_of_all_sizes_and_kinds_and_never_change() -> None:
    macs = sorted(cs.cost(one).macs for one in NETWORKS)
    assert LEAST_MACS <= macs[0] < 6e6 and 8e8 < macs[-1] <= MOST_MACS
    assert 5e7 < median(macs) < 5e8 / 4
    kinds = {step.kind for one in NETWORKS for step in sample(Device().timed(one)).steps.values()}
    assert kinds >= set(KINDS) - {"add"}
    assert tuple(drawn_networks(5, seed=0)) == NETWORKS[:5] and next(drawn_networks(1, seed=1)) != NETWORKS[0]
    assert len({one.name for one in NETWORKS}) == len(set(NETWORKS)) == 48


@pytest.mark.parametrize(("noise", "timed_steps", "middle", "most"), [
    (0.0, True, 0.03, 0.10), (0.05, True, 0.05, 0.15), (0.0, False, 0.07, 0.2), (0.05, False, 0.09, 0.25),
])  # fmt: skip
def test_the_law_of_a_device_is_found(noise: float, timed_steps: bool, middle: float, most: float) -> None:
    found = errors(planted(noise, timed_steps=timed_steps))
    assert median(found) < middle and found[int(0.9 * len(found))] < most


def test_timed_steps_add_to_whole_times() -> None:
    with_steps, without = errors(planted(0.05)), errors(planted(0.05, timed_steps=False))
    assert median(with_steps) < median(without)


def test_the_error_that_a_profile_states_is_that_of_others() -> None:
    for profile in (planted(), planted(0.05), planted(timed_steps=False), planted(0.05, timed_steps=False)):
        others = median(errors(profile))
        assert 0.4 * others < profile.fit.median_error < 0.04 + 2 * others
        assert profile.fit.median_error < profile.fit.p90_error < 0.35
    assert planted(0.05).fit.median_error > planted().fit.median_error


def test_predictions_are_sums_over_blocks_and_follow_the_order_of_the_truth() -> None:
    predictor: LatencyPredictor = planted(0.05).predictor()
    network = cs.network("efficientnet-b1")
    total = sum(predictor.seconds(block) for _, block in cs.resolve(network).blocks())
    assert total == pytest.approx(cs.predict_latency(planted(0.05), network), rel=1e-12)
    ranked = [cs.predict_latency(planted(0.05), cs.network(f"efficientnet-b{member}")) for member in range(8)]
    assert ranked == sorted(ranked)


def test_plans_spend_a_latency_limit_and_keep_it() -> None:
    predictor, truth = planted().predictor(), Device()
    budget = cs.Budget(latency_seconds=2 * truth.seconds(cs.network("mobilenet-v2")))
    chosen = cs.plan("mobilenet-v2", budget, predictor=predictor).chosen
    assert 0.97 <= chosen.used["latency_seconds"] <= 1
    limit = budget.limits()["latency_seconds"]
    assert truth.seconds(chosen.network) == pytest.approx(limit, rel=0.15)


def test_a_profile_is_numbers_that_read_back(tmp_path: Path) -> None:
    profile = planted(0.05)
    write_record(tmp_path / "device.json", profile)
    assert read_record(tmp_path / "device.json") == profile
    seconds = cs.predict_latency(tmp_path / "device.json", "efficientnet-b0")
    assert seconds == cs.predict_latency(profile, cs.network("efficientnet-b0")) > 0
    table = profile.as_dict()
    assert (table["networks"], table["seconds"]) == (48, 60)
    assert set(table["fit"]) == {"median_error", "p90_error"}
    assert "nine in ten within" in repr(profile) and "packed, float32, 1 thread" in repr(profile)


def test_a_damaged_profile_says_so(tmp_path: Path) -> None:
    profile = planted()
    file = tmp_path / "device.json"
    file.write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        cs.predict_latency(file, "small-mbconv")
    with pytest.raises(ConfigError, match="cannot be read"):
        cs.predict_latency(tmp_path / "none.json", "small-mbconv")
    write_record(file, cs.plan("small-mbconv", cs.Budget(macs="10M")))
    with pytest.raises(ConfigError, match="'plan' is not 'profile'"):
        cs.predict_latency(file, "small-mbconv")
    for model in (
        replace(profile.model, factor=0.0),
        replace(profile.model, per_network=-1.0),
        replace(profile.model, kinds={"dense": (-1.0,) * len(TERMS)}),
        replace(profile.model, laws={"dense": ()}),
    ):
        with pytest.raises(ConfigError, match="damaged"):
            ModelPredictor(model)


def test_few_networks_make_no_profile() -> None:
    few = [sample(Device().timed(one)) for one in NETWORKS[:7]]
    with pytest.raises(ConfigError, match="a profile of 7 networks predicts nothing"):
        fit_model(few)
    eight = [sample(Device(timed_steps=False).timed(one)) for one in NETWORKS[:8]]
    assert not fit_model(eight).timed


def test_kinds_that_no_network_had_take_what_their_like_takes() -> None:
    only = [sample(Device().timed(one)) for one in NETWORKS if not _has(one, "grouped")]
    assert 8 <= len(only) < len(NETWORKS)
    model = fit_model(only)
    assert model.kinds["grouped"] == model.kinds["dense"] and model.laws["grouped"] == model.laws["dense"]
    resnext = cs.network("resnext-50-32x4d")
    assert ModelPredictor(model).seconds(cs.resolve(resnext).stages[0][0]) > 1e-4


def _has(network: ConvNet, kind: str) -> bool:
    return any(step.kind == kind for step in sample(Device().timed(network)).steps.values())


def test_an_anchor_that_moved_is_another_machine() -> None:
    profile = planted()  # its anchor: 1 ms +- 3 %
    assert not any(profile.has_moved(seconds) for seconds in (0.95e-3, 1e-3, 1.05e-3))
    assert profile.has_moved(1.07e-3) and profile.has_moved(0.9e-3)
    restless = replace(profile, anchor_spread=0.3)
    assert not restless.has_moved(1.19e-3) and restless.has_moved(1.21e-3)
    here = replace(profile.environment, processor="Other")
    assert profile.differences(here) == ("processor Planted, here Other",) and not profile.differences(
        profile.environment
    )
