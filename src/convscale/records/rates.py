"""Learning rates that short trainings chose for the networks of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from convscale.recipes.rates import open_ends


@dataclass(frozen=True, slots=True, kw_only=True)
class RateChoice:
    """The learning rate of one network of a study, chosen by short trainings on drawn images. accuracies: of `rates`,
    fractions, None where a training failed."""

    JSON: ClassVar = (
        "baseline", "method", "asked", "network", "epochs", "rates", "accuracies", "chosen", "enclosed",
    )  # fmt: skip

    baseline: str
    method: str
    asked: float | None
    network: str
    epochs: int
    rates: tuple[float, ...]
    accuracies: tuple[float | None, ...]
    chosen: float

    @property
    def open_ends(self) -> tuple[bool, bool]:
        """Whether the smallest and the greatest of the rates are as good as the best, so that a better one may lie
        beyond them."""
        return open_ends(dict(zip(self.rates, self.accuracies, strict=True)))

    @property
    def enclosed(self) -> bool:
        """Whether both the smallest and the greatest of the rates are worse than the best; not where all failed."""
        return not self.failed and not any(self.open_ends)

    @property
    def failed(self) -> bool:
        """Whether all trainings failed: the rate is then the one that they were around."""
        return all(accuracy is None for accuracy in self.accuracies)
