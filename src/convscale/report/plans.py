"""A plan in words: how the baseline was scaled, how large the result is, and its share of the budget."""

from __future__ import annotations

from convscale.costs import cost
from convscale.planning import Plan, format_limit
from convscale.records import Profile
from convscale.units import format_bytes, format_count, format_number

SAME = 1.02  # of the MACs: nobody calls that larger or smaller


def law_in_words(plan: Plan) -> str:
    """`compound, phi -7.01: efficientnet-b0 made 39 times smaller (MACs): 16 -> 7 blocks, ...`."""
    chosen, base, law = plan.chosen, plan.baseline, plan.law
    times = _times(chosen.cost.macs / cost(base).macs)
    before, after = base.resolution, chosen.network.resolution
    if keeps_network(plan):
        fewer = f"{after} px instead of {before}, {_figures(cost(base).macs / chosen.cost.macs)} times fewer MACs"
        return f"{law.name}: {base.name} at {fewer if after < before else f'its own {before} px'}"
    made = f"made {times} (MACs)" if times else "at about its own size (MACs)"
    return (
        f"{law.name}, phi {chosen.phi:.2f}: {base.name} {made}: {base.num_blocks} -> {chosen.network.num_blocks} "
        f"blocks, width x{chosen.scaling.width:.2f}, {before} -> {after} px"
    )


def keeps_network(plan: Plan) -> bool:
    """Whether only the resolution was free, as for a network that has its weights already."""
    return plan.naive is None and plan.law.name == "resolution"


def network_in_words(plan: Plan) -> str:
    """Resolution, repeats, channels and size of the chosen network."""
    chosen = plan.chosen
    repeats = "-".join(str(stage.repeats) for stage in chosen.network.stages)
    channels = "-".join(str(stage.channels) for stage in chosen.network.stages)
    return (
        f"{chosen.network.resolution} px, repeats {repeats}, channels {channels}, "
        f"{format_count(chosen.cost.params)} params, {format_count(chosen.cost.macs)} MACs"
    )


def budget_in_words(plan: Plan) -> str:
    """The share of each limit, and which of them decide; where there is no limit, what the network costs."""
    limits, costs = plan.limits, plan.chosen.cost
    if not limits:
        training = f"{format_bytes(costs.training_memory_bytes_per_image)} per image of a batch to train"
        return f"no limit given; weights file {format_bytes(costs.file_bytes)}, memory {training}"
    shares = ", ".join(
        f"{share:.1%} of {key} {format_limit(key, limits[key])}" for key, share in plan.chosen.used.items()
    )
    return f"{shares}; {'binding' if plan.spent else 'closest to its limit'}: {', '.join(plan.binding)}"


def latency_lines(plan: Plan, profile: Profile) -> list[str]:
    """Whose latency it is, how far that may be off, and which alternatives are ties for that reason."""
    error, chosen = profile.fit.median_error, plan.chosen.latency_seconds
    seconds = [other.latency_seconds for other in plan.alternatives if other.latency_seconds is not None]
    lines = [f"latency: predicted by a profile of {profile.setting}, made {profile.made}: off by {error:.1%} (median)"]
    if chosen is not None and seconds:
        ties = sum(abs(other / chosen - 1) <= error for other in seconds)
        lines.append(f"in latency {ties} of {format_number(len(seconds), 'alternative')} tie with the plan")
    return lines


def _times(ratio: float) -> str:
    """`39.2 times smaller` or `2.69 times larger`, in three figures; empty where it is about the same."""
    if 1 / SAME < ratio < SAME:
        return ""
    return f"{_figures(max(ratio, 1 / ratio))} times {'larger' if ratio > 1 else 'smaller'}"


def _figures(factor: float) -> str:
    return f"{factor:,.0f}" if factor >= 100 else f"{factor:.3g}"
