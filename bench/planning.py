"""How much of a budget plans spend, over many budgets, beside turning phi alone.

`phi alone` is the largest phi whose rounded network keeps the limit; the formula takes the phi at which unrounded
growth meets it, and so may break the limit.
"""

from __future__ import annotations

import statistics
import time

import convscale as cs

BASELINES = ("efficientnet-b0", "mobilenet-v2", "resnet-50", "small-mbconv")
KEYS = ("macs", "params", "activations", "inference_memory_bytes")
HEADINGS = ("used: least", "median", "off law: most", "phi alone: least", "median", "formula over", "s a plan")


def phi_alone(network: cs.ConvNet, key: str, limit: float) -> float:
    """The share of the limit that the best phi by itself uses."""
    law = cs.law("compound")
    used = (getattr(cs.cost(cs.scale(network, law(step / 50))), key) / limit for step in range(-800, 400))
    return max(share for share in used if share <= 1)


def main() -> None:
    print(f"{'baseline':<16} {'limit':<23}", *(f"{heading:>16}" for heading in HEADINGS))
    for name in BASELINES:
        network = cs.network(name)
        for key in KEYS:
            base = getattr(cs.cost(network), key)
            limits = [base / 8 * 50 ** (step / 10) for step in range(11)]  # an eighth to six times the baseline
            started = time.perf_counter()
            plans = [cs.plan(network, cs.Budget(**{key: limit})) for limit in limits]
            seconds = (time.perf_counter() - started) / len(limits)
            used = [plan.chosen.used[key] for plan in plans]
            alone = [phi_alone(network, key, limit) for limit in limits]
            over = sum(plan.naive is not None and plan.naive.used[key] > 1 for plan in plans)
            figures = (
                f"{min(used):.3f}",
                f"{statistics.median(used):.3f}",
                f"{max(plan.chosen.off_law for plan in plans):.3f}",
                f"{min(alone):.3f}",
                f"{statistics.median(alone):.3f}",
                f"{over} of {len(limits)}",
                f"{seconds:.2f}",
            )
            print(f"{name:<16} {key:<23}", *(f"{figure:>16}" for figure in figures))


if __name__ == "__main__":
    main()
