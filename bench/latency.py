"""How far a profile's predictions are off on this machine, beside how far the machine is off from itself.

    python bench/latency.py profile.json                       random networks that no profile saw, and the catalog's
    python bench/latency.py profile.json --again 15            the floor: the same ones, timed again 15 minutes later
    python bench/latency.py profile.json --plans 10            ten plans by latency, measured
    ... -o rows.jsonl                                          where each network's times are kept (latency.jsonl)
    ... --json                                                 the summary as one JSON object

`convscale profile -o profile.json` makes the profile, of an engine and a number of threads: so is all of this. A run
that is interrupted goes on where it was; rows that were timed while the machine was busy are timed again by the next
run, and enter no figure. Networks are drawn with --seed, not the profile's: choose it after the design.

Errors are relative, in percent: predicted over measured, as they are and with both divided by their anchors.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import convscale as cs
from convscale.catalog import CATALOG
from convscale.deploy.profiling.drawing import drawn_networks
from convscale.deploy.profiling.kept import find_profile
from convscale.deploy.profiling.measuring import opened, time_network

MOST_MACS = 12e9  # of the catalog: larger ones take minutes to time
FACTORS = (0.3, 4.0)  # of a baseline's latency, between which plans are asked for
BASELINES = ("efficientnet-b0", "mobilenet-v2", "resnet-18", "small-mbconv", "mobilenet-v3-large")
SECONDS = 1.0


class Rows:
    """Times by phase and name, kept as lines."""

    def __init__(self, path: Path, setting: str) -> None:
        self.path, self.setting = path, setting
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        rows = [json.loads(line) for line in lines if line.endswith("}")]
        self.found = {(row["phase"], row["name"]): row for row in rows if row["setting"] == setting}

    def quiet(self, phase: str) -> dict[str, dict[str, Any]]:
        """The rows of a phase that were timed alone."""
        return {name: row for (of, name), row in self.found.items() if of == phase and not row["busy"]}

    def time(self, phase: str, network: cs.ConvNet, profile: cs.Profile, **more: Any) -> None:
        """Time a network, unless that was done."""
        known = self.found.get((phase, network.name))
        if known is not None and not known["busy"]:
            return
        engine = opened(network, profile.engine, profile.threads, profile.dtype)
        timing = time_network(engine, network, seconds=SECONDS, tries=3)
        row = {
            "setting": self.setting, "phase": phase, "name": network.name, "macs": cs.cost(network).macs,
            "predicted_ms": 1e3 * cs.predict_latency(profile, network), "median_ms": timing.median_ms,
            "p10_ms": timing.p10_ms, "anchor_ms": timing.anchor_ms, "busy": timing.busy, "when": time.time(), **more,
        }  # fmt: skip
        self.found[phase, network.name] = row
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{phase:8} {network.name:28} {row['predicted_ms']:9.3f} predicted {row['median_ms']:9.3f} ms"
              f"{'  busy' if row['busy'] else ''}", flush=True)  # fmt: skip


def unseen(number: int, seed: int) -> Iterator[cs.ConvNet]:
    """Random networks, and those of the catalog that are not too large."""
    yield from drawn_networks(number, seed)
    yield from (network for network in map(cs.network, CATALOG) if cs.cost(network).macs <= MOST_MACS)


def plans(number: int, profile: cs.Profile) -> Iterator[cs.Plan]:
    """Plans of five baselines for latencies from 0.3 to 4 times their own."""
    predictor = profile.predictor()
    for turn in range(number):
        name = BASELINES[turn % len(BASELINES)]
        factor = FACTORS[0] * (FACTORS[1] / FACTORS[0]) ** (turn / max(number - 1, 1))
        limit = factor * cs.predict_latency(profile, name)
        yield cs.plan(name, cs.Budget(latency_seconds=limit), predictor=predictor)


def spread(errors: Sequence[float]) -> dict[str, float]:
    """Median and ninth tenth of sizes of relative errors, in percent, and the median with its sign."""
    sizes = [100 * abs(error) for error in errors]
    if len(sizes) < 2:
        return {"n": len(sizes)}
    return {
        "n": len(sizes), "median": median(sizes), "p90": quantiles(sizes, n=10, method="inclusive")[-1],
        "bias": 100 * median(errors), "worst": max(sizes),
    }  # fmt: skip


def errors_of(rows: dict[str, dict[str, Any]], profile: cs.Profile) -> dict[str, dict[str, float]]:
    """Of predictions, as they are and with the anchors taken off."""
    plain = [row["predicted_ms"] / row["median_ms"] - 1 for row in rows.values()]
    anchor = 1e3 * profile.anchor_seconds
    without = [row["predicted_ms"] / row["median_ms"] * row["anchor_ms"] / anchor - 1 for row in rows.values()]
    return {"as_measured": spread(plain), "anchor_corrected": spread(without)}


def order(rows: dict[str, dict[str, Any]]) -> float | None:
    """Spearman's correlation of predicted and measured."""
    if len(rows) < 3:
        return None
    ranks = [
        {name: rank for rank, name in enumerate(sorted(rows, key=lambda one: rows[one][key]))}
        for key in ("predicted_ms", "median_ms")
    ]
    middle = (len(rows) - 1) / 2
    shared = math.fsum((ranks[0][name] - middle) * (ranks[1][name] - middle) for name in rows)
    return shared / math.fsum((rank - middle) ** 2 for rank in range(len(rows)))


def summary(rows: Rows, profile: cs.Profile) -> dict[str, Any]:
    """Every figure that the rows allow."""
    first, again, planned = (rows.quiet(phase) for phase in ("unseen", "again", "plan"))
    result: dict[str, Any] = {
        "setting": rows.setting, "stated": profile.as_dict()["fit"],
        "unseen": errors_of(first, profile), "spearman": order(first),
        "busy": sum(row["busy"] for row in rows.found.values()),
    }  # fmt: skip
    both = [name for name in again if name in first]
    result["floor"] = spread([again[name]["median_ms"] / first[name]["median_ms"] - 1 for name in both])
    result["plans"] = errors_of(planned, profile)
    anchor = 1e3 * profile.anchor_seconds
    off = [row["median_ms"] / row["anchor_ms"] * anchor / row["asked_ms"] - 1 for row in planned.values()]
    result["plans_within_10_percent"] = f"{sum(abs(one) <= 0.1 for one in off)} of {len(off)}"
    return result


def measure(given: argparse.Namespace, rows: Rows, profile: cs.Profile) -> None:
    """Everything that was asked for and is not there yet."""
    networks = list(unseen(given.networks, given.seed))
    for network in networks:
        rows.time("unseen", network, profile)
    if given.again is not None:
        for network in networks:
            first = rows.quiet("unseen").get(network.name)
            if first is not None:
                time.sleep(max(0.0, first["when"] + 60 * given.again - time.time()))
                rows.time("again", network, profile)
    for planned in plans(given.plans, profile) if given.plans else ():
        asked = 1e3 * planned.limits["latency_seconds"]
        rows.time("plan", planned.network, profile, asked_ms=asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", type=Path, nargs="?", help="a profile of this machine [the newest kept]")
    parser.add_argument("--engine", help="the engine that it must be of")
    parser.add_argument("--networks", type=int, default=40, help="random networks [40]")
    parser.add_argument("--seed", type=int, default=1, help="which those are [1]")
    parser.add_argument("--again", type=float, metavar="MINUTES", help="time all again, so long after the first time")
    parser.add_argument("--plans", type=int, default=0, help="plans by latency to measure [0]")
    parser.add_argument("-o", "--output", type=Path, default=Path("latency.jsonl"))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    profile = find_profile(given.profile, given.engine)
    if given.seed == profile.seed:
        parser.error(f"--seed {given.seed} is the profile's: those networks it has seen")
    rows = Rows(given.output, f"{profile.setting}, profile of {profile.made}, seed {given.seed}")
    measure(given, rows, profile)
    result = summary(rows, profile)
    print(json.dumps(result, indent=None if given.json else 2))


if __name__ == "__main__":
    main()
