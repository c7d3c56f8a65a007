"""How fast plans are, how much of a budget they spend, and what they build.

    python bench/planning.py                milliseconds per plan, for every kind of limit
    python bench/planning.py --spending     compared with adjusting phi alone
    python bench/planning.py --measure      what plans of 18 budgets build
    ... --json                              the same as one JSON object

Times are CPU times of one core, so that waiting for others does not count; a busy machine is slower still. Each is
the median of three, with nothing cached of the network's blocks: a second plan of it takes about half.

`phi alone` is the largest phi whose rounded network keeps the limit; the formula takes the phi at which unrounded
growth meets it, and so may break the limit.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import convscale as cs
from convscale.costs import COST_KEYS
from convscale.costs.blocks import block_cost
from convscale.costs.chain import block_costs
from convscale.costs.latency import predicted_seconds
from convscale.layers import BlockGraph

TIMED = ("efficientnet-b0", "small-mbconv", "mobilenet-v2", "mnasnet-a1", "resnet-152", "efficientnetv2-l")
COMBINED = (
    ("macs", "params"),
    ("macs", "params", "inference_memory_bytes"),
    ("activations", "training_memory_bytes_per_image"),
    ("latency_seconds", "inference_memory_bytes"),
)
SPENDING = ("efficientnet-b0", "mobilenet-v2", "resnet-50", "small-mbconv")
KEYS = ("macs", "params", "activations", "inference_memory_bytes")
MEASURED = ("efficientnet-b0", "small-mbconv")


class Device:
    """The simplest possible latency predictor: a block computes or moves memory, whichever takes longer."""

    def seconds(self, block: BlockGraph) -> float:
        item = block_cost(block)
        return max(item.macs / 5e10, item.peak * 4 / 1e10) * (1 + 0.05 * (block.in_size % 8 != 0)) + 1e-5


def base_costs(network: cs.ConvNet) -> dict[str, float]:
    """Every limit's figure of the baseline."""
    graph = cs.resolve(network)
    return {key: getattr(cs.cost(network), key) for key in COST_KEYS} | {
        "latency_seconds": predicted_seconds(Device(), graph)
    }


def budgets(network: cs.ConvNet, keys: tuple[str, ...], count: int) -> list[cs.Budget]:
    """From an eighth to six times the baseline; of several limits the later ones are wider."""
    base = base_costs(network)
    factors = [48 ** (step / (count - 1)) / 8 for step in range(count)]
    return [
        cs.Budget(**{key: base[key] * factor * 1.3**i for i, key in enumerate(keys)}) for factor in factors
    ]  # fmt: skip


def timed(count: int) -> list[dict[str, Any]]:
    """Median and worst milliseconds of each network and kind of limit."""
    rows = []
    for name in TIMED:
        network = cs.network(name)
        for keys in (*((key,) for key in (*COST_KEYS, "latency_seconds")), *COMBINED):
            taken = []
            for budget in budgets(network, keys, count):
                with suppress(cs.ConvscaleError):
                    taken.append(statistics.median(milliseconds(network, budget) for _ in range(3)))
            rows.append({"network": name, "limits": " ".join(keys), "plans": len(taken),
                         "median_ms": statistics.median(taken), "worst_ms": max(taken)})  # fmt: skip
    return rows


def milliseconds(network: cs.ConvNet, budget: cs.Budget) -> float:
    """Of the first plan of a baseline: nothing is known of its blocks."""
    block_costs.cache_clear()
    block_cost.cache_clear()
    predictor = Device() if budget.latency_seconds is not None else None
    started = time.process_time()
    cs.plan(network, budget, predictor=predictor)
    return 1000 * (time.process_time() - started)


def importing_torch() -> float:
    """Milliseconds of `python -c "import torch"`, the best of three."""
    command = [sys.executable, "-c", "import torch"]

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    return min(once() for _ in range(3))


def phi_alone(network: cs.ConvNet, key: str, limit: float) -> float:
    """The share of the limit that the best phi by itself uses."""
    law = cs.law("compound")
    used = (getattr(cs.cost(cs.scale(network, law(step / 50))), key) / limit for step in range(-800, 400))
    return max(share for share in used if share <= 1)


def spending(count: int) -> list[dict[str, Any]]:
    """The shares that plans use, compared with those of phi alone and of the formula."""
    rows = []
    for name in SPENDING:
        network = cs.network(name)
        for key in KEYS:
            plans = [cs.plan(network, budget) for budget in budgets(network, (key,), count)]
            used = [plan.chosen.used[key] for plan in plans]
            alone = [phi_alone(network, key, plan.budget.limits()[key]) for plan in plans]
            rows.append({
                "network": name, "limit": key, "used_least": min(used), "used_median": statistics.median(used),
                "off_law_most": max(plan.chosen.off_law for plan in plans),
                "phi_alone_least": min(alone), "phi_alone_median": statistics.median(alone),
                "formula_over": sum(plan.naive is not None and plan.naive.used[key] > 1 for plan in plans),
                "plans": len(plans),
            })  # fmt: skip
    return rows


def measure(count: int) -> list[dict[str, Any]]:
    """What plans of MACs budgets build."""
    rows = []
    for name in MEASURED:
        network = cs.network(name)
        for budget in budgets(network, ("macs",), count):
            chosen = cs.plan(network, budget).chosen
            rows.append({
                "network": name, "times": budget.limits()["macs"] / cs.cost(network).macs, "phi": chosen.phi,
                "depth": chosen.scaling.depth, "blocks": f"{network.num_blocks} -> {chosen.network.num_blocks}",
                "width": chosen.scaling.width, "px": chosen.network.resolution,
                "used": chosen.used["macs"], "off_law": chosen.off_law,
            })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--spending", action="store_true")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--budgets", type=int, help="budgets per row [11, or 18 for --measure]")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    result: dict[str, Any] = {}
    if given.measure:
        rows = measure(given.budgets or 18)
    elif given.spending:
        rows = spending(given.budgets or 11)
    else:
        rows, result["import_torch_ms"] = timed(given.budgets or 11), importing_torch()
    if given.json:
        print(json.dumps(result | {"rows": rows}))
        return
    print("|", " | ".join(rows[0]), "|")
    print("|--" * len(rows[0]) + "|")
    for row in rows:
        print(
            "|", " | ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()), "|"
        )
    for key, value in result.items():
        print(f"{key} {value:.0f}")


if __name__ == "__main__":
    main()
