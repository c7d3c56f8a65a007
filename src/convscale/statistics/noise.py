"""The noise of seeds, estimated over many networks together: three seeds of ten networks are worth twenty degrees of
freedom, not two.

An accuracy is taken as network + block + noise, where a block is what trainings share: seed, device and precision.
Differences within blocks are free of what blocks share; a network's own mean is not. For a difference the networks near
to its two count more than the others. Where noise differs by group, it is estimated by group as well, and the widest
interval counts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from convscale.statistics.estimates import MeanEstimate, Spread, bartlett, sum_of
from convscale.statistics.intervals import unnoised

Key = TypeVar("Key", bound=Hashable)  # of a block

# Levels at which Bartlett's test takes noise for unequal. A group of several networks is judged strictly: there is much
# to lose by pooling what differs, little by not pooling what is equal. A single network has too few seeds for that.
GROUP_LEVEL, NETWORK_LEVEL = 0.1, 0.01
# How much the variance of a difference is that of either network's own groups, the rest being that of all networks: a
# few seeds often do not show that noise differs, and where it does not, this costs little.
NEAR = {"cost": 0.2, "method": 0.1, "network": 0.1}
BLOCK_LEVEL = 0.05  # at which blocks are taken to differ
SMALLEST_SHARE = 0.01  # of the pooled variance: what a group's counts for at least, so that a chance tie proves nothing
MAX_SWEEPS = 1000


class PooledNoise(Generic[Key]):
    """The noise of trainings of one length.

    accuracies: of each network, by block. groupings: ways to group the networks, name -> label of each network. pooled:
    the networks that the noise is estimated over; any other is judged by its own spread as well. resolution: the
    smallest standard deviation that one training can have.
    """

    def __init__(
        self,
        accuracies: Sequence[Mapping[Key, float]],
        groupings: Mapping[str, Sequence[object]],
        pooled: Collection[int],
        resolution: float = 0.0,
    ) -> None:
        self.accuracies, self.smallest = accuracies, resolution**2
        cells = {one: accuracies[one] for one in sorted(pooled) if accuracies[one]}
        self.networks = cells.keys()
        self.within, self.residual = _squares(cells)
        self.within_degrees = {one: len(values) - 1 for one, values in cells.items()}
        blocks = _components(cells.values())
        self.block_degrees = sum(map(len, blocks)) - len(blocks)
        within = sum(self.within_degrees.values())
        self.share_left = (within - self.block_degrees) / max(1, within)  # of a network's degrees of freedom
        self.every = self._of(cells)
        self.blocks_matter = self._blocks_matter()
        self.row_spread = self._of_rows(cells)
        self.labels = {**groupings, "network": range(len(accuracies))}
        self._known: dict[int, list[float]] = {}
        self.unequal = {name: labels for name, labels in self.labels.items() if self._unequal(name, labels)}

    def row(self, network: int) -> MeanEstimate:
        """The mean accuracy of a network; at least one training must have ended."""
        values = list(self.accuracies[network].values())
        count, mean = len(values), math.fsum(values) / len(values)
        spreads = [self.row_spread]
        if network in self.networks:
            members = [self._members(labels, network) for labels in self.unequal.values()]
            own = [self._of_rows(one) for one in members]
            most = self.row_spread.degrees
            spreads += [Spread(one.variance, min(one.degrees, most)) for one in own]
        else:
            spreads.append(self._own(values))
        return MeanEstimate(mean, _means(spreads, count), count)

    def difference(self, a: int, b: int) -> MeanEstimate | None:
        """The mean accuracy of a minus that of b, over the blocks that both have; None where they share none."""
        common = [block for block in self.accuracies[a] if block in self.accuracies[b]]
        if not common:
            return None
        values = [unnoised(self.accuracies[a][block] - self.accuracies[b][block]) for block in common]
        if a in self.networks and b in self.networks:
            spreads = [self._near(a, b), *(self._grouped(labels, a, b) for labels in self.unequal.values())]
        else:
            spreads = [Spread(2 * self.every.variance, self.every.degrees)]
            own = self._own(values)
            spreads.append(Spread(max(own.variance, 2 * self.smallest), own.degrees))
        return MeanEstimate(unnoised(math.fsum(values) / len(values)), _means(spreads, len(values)), len(values))

    def _members(self, labels: Sequence[object], network: int) -> list[int]:
        return [one for one in self.networks if labels[one] == labels[network]]

    def _near(self, a: int, b: int) -> Spread:
        """The variance of a difference, over all networks, those of either's groups counted more, as NEAR says; its
        degrees of freedom are those of networks of one noise."""
        if not self.every.degrees:
            return Spread(0.0, 0.0)
        counted = [one + other for one, other in zip(self._counted(a), self._counted(b), strict=True)]
        variance = math.fsum(count * one for count, one in zip(counted, self.residual.values(), strict=True))
        doubt = math.fsum(count**2 * self._degrees(one) for count, one in zip(counted, self.networks, strict=True))
        return Spread(max(variance, 2 * self.smallest), 4 / doubt)

    def _counted(self, network: int) -> list[float]:
        """How much the squares of each network count in the variance of this one."""
        if network not in self._known:
            counted, left = dict.fromkeys(self.networks, 0.0), 1.0
            for name in NEAR.keys() & self.labels.keys():
                members = self._members(self.labels[name], network)
                if degrees := sum(map(self._degrees, members)):
                    left -= NEAR[name]
                    for member in members:
                        counted[member] += NEAR[name] / degrees
            self._known[network] = [count + left / self.every.degrees for count in counted.values()]
        return self._known[network]

    def _degrees(self, network: int) -> float:
        return self.within_degrees[network] * self.share_left

    def _grouped(self, labels: Sequence[object], a: int, b: int) -> Spread:
        first = self._of(self._members(labels, a))
        if labels[a] == labels[b]:
            return Spread(2 * first.variance, first.degrees)
        second = self._of(self._members(labels, b))
        if not (first.degrees and second.degrees):
            return Spread(0.0, 0.0)
        return sum_of(first, second)

    def _of(self, members: Iterable[int]) -> Spread:
        """The variance of one training of these networks, without what blocks share."""
        members = list(members)
        degrees = sum(self.within_degrees[one] for one in members) * self.share_left
        squares = math.fsum(self.residual[one] for one in members)
        return Spread(max(squares / degrees, self.smallest), degrees) if degrees else Spread(0.0, 0.0)

    def _of_rows(self, members: Iterable[int]) -> Spread:
        """The same with what blocks share, which many networks show no better than few: the degrees of freedom of both
        parts are joined by Satterthwaite."""
        members = list(members)
        degrees = sum(self.within_degrees[one] for one in members)
        squares, noise = (math.fsum(part[one] for one in members) for part in (self.within, self.residual))
        if not degrees:
            return Spread(0.0, 0.0)
        noise = min(noise, squares)  # more only where these networks are few of those that show the blocks
        parts = ((noise, degrees * self.share_left), (squares - noise, self.block_degrees))
        doubt = sum(part**2 / count for part, count in parts if count > 1e-9)
        joined = squares**2 / doubt if doubt else degrees
        most = self.block_degrees if self.blocks_matter else degrees
        return Spread(max(squares / degrees, self.smallest), min(joined, most))

    def _blocks_matter(self) -> bool:
        """Whether blocks differ by more than noise, by an F-test. Then rows have the degrees of freedom of blocks,
        for Satterthwaite's are too many where the one part is much larger than the other."""
        from scipy.special import fdtrc

        noise = math.fsum(self.residual.values())
        shared = math.fsum(self.within.values()) - noise
        if not (self.every.degrees and self.block_degrees and noise):
            return shared > 0
        ratio = max(0.0, shared) / self.block_degrees / (noise / self.every.degrees)
        return float(fdtrc(self.block_degrees, self.every.degrees, ratio)) < BLOCK_LEVEL

    def _own(self, values: Sequence[float]) -> Spread:
        if len(values) < 2:
            return Spread(0.0, 0.0)
        mean = math.fsum(values) / len(values)
        squares = math.fsum((value - mean) ** 2 for value in values)
        return Spread(max(squares / (len(values) - 1), self.smallest), len(values) - 1)

    def _unequal(self, name: str, labels: Sequence[object]) -> bool:
        groups: dict[object, list[int]] = {}
        for one in self.networks:
            groups.setdefault(labels[one], []).append(one)
        spreads = [spread for members in groups.values() if (spread := self._of(members)).degrees]
        if len(spreads) < 2 or not self.every.variance:
            return False
        smallest = SMALLEST_SHARE * self.every.variance
        spreads = [Spread(max(spread.variance, smallest), spread.degrees) for spread in spreads]
        return bartlett(spreads) < (NETWORK_LEVEL if name == "network" else GROUP_LEVEL)


def _means(spreads: Iterable[Spread], count: int) -> tuple[Spread, ...]:
    """The variances of a mean of `count`, of those that are known."""
    return tuple(Spread(one.variance / count, one.degrees) for one in spreads if one.degrees)


def _squares(cells: Mapping[int, Mapping[Key, float]]) -> tuple[dict[int, float], dict[int, float]]:
    """Each network's sum of squares about its mean, and about the least-squares fit of network + block, to which taking
    means off in turn converges: at once where every network has every block."""
    left = {one: dict(values) for one, values in cells.items()}
    _centre(left.values())
    within = _sums(left)
    by_block: dict[Key, list[int]] = {}
    for one, values in left.items():
        for block in values:
            by_block.setdefault(block, []).append(one)
    for _ in range(MAX_SWEEPS):
        for block, members in by_block.items():
            mean = math.fsum(left[one][block] for one in members) / len(members)
            for one in members:
                left[one][block] -= mean
        if _centre(left.values()) < 1e-12:
            break
    return within, _sums(left)


def _centre(rows: Iterable[dict[Key, float]]) -> float:
    """Take its mean off each row; the largest of them."""
    largest = 0.0
    for values in rows:
        mean = math.fsum(values.values()) / len(values)
        largest = max(largest, abs(mean))
        for block in values:
            values[block] -= mean
    return largest


def _sums(rows: Mapping[int, Mapping[Key, float]]) -> dict[int, float]:
    return {one: math.fsum(unnoised(value) ** 2 for value in values.values()) for one, values in rows.items()}


def _components(rows: Iterable[Mapping[Key, float]]) -> list[set[Key]]:
    """The blocks, in sets that no network connects."""
    found: list[set[Key]] = []
    for values in rows:
        joined = set(values).union(*(one for one in found if not one.isdisjoint(values)))
        found = [one for one in found if one.isdisjoint(values)] + [joined]
    return found
