"""Two networks on the same images: what one lost and won against the other, and whether that is a drop too large."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from convscale.statistics.intervals import wilson_interval

Outcome = Literal["passes", "fails", "cannot be told"]

MOST_NEEDED = 1_000_000


@dataclass(frozen=True, slots=True)
class PairedChange:
    """Of `n` images, `lost` are wrong now that were right, `won` are right now that were wrong."""

    lost: float
    won: float
    n: int

    @property
    def difference(self) -> float:
        """The change of accuracy, a fraction: negative where it dropped."""
        return (self.won - self.lost) / self.n

    @property
    def interval95(self) -> tuple[float, float]:
        """The 95 % interval of the change, from Wilson's intervals of both shares (MOVER, Zou and Donner 2008): that no
        image was lost does not mean that none will ever be."""
        lost, won = self.lost / self.n, self.won / self.n
        (lost_low, lost_high), (won_low, won_high) = (wilson_interval(one, self.n) for one in (self.lost, self.won))
        return (
            self.difference - math.hypot(lost_high - lost, won - won_low),
            self.difference + math.hypot(lost - lost_low, won_high - won),
        )

    def outcome(self, max_drop: float) -> Outcome:
        """Whether accuracy, a fraction, dropped by less than `max_drop` for sure, by more for sure, or neither."""
        low, high = self.interval95
        if low >= -max_drop:
            return "passes"
        return "fails" if high < -max_drop else "cannot be told"

    def needed(self, max_drop: float) -> int | None:
        """About how many images would tell, if as large a share of them is lost and won; None for more than a million:
        the drop is then about the allowed one."""
        images = self.n
        while images <= MOST_NEEDED:
            if self._of(images).outcome(max_drop) != "cannot be told":
                return images
            images = max(images + 1, math.ceil(images * 1.02))
        return None

    def _of(self, images: int) -> PairedChange:
        return PairedChange(self.lost * images / self.n, self.won * images / self.n, images)


def fewest_images(max_drop: float) -> int:
    """Fewer images cannot show a drop below `max_drop`, a fraction, even where nothing is lost."""
    n = 1
    while PairedChange(0, 0, n).outcome(max_drop) != "passes":
        n = n + 1 if n < 100 else math.ceil(n * 1.01)
    return n
