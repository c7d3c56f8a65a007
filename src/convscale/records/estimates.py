"""What a training would take."""

from __future__ import annotations

from dataclasses import dataclass

from convscale.units import format_bytes, format_seconds

MEASURED_STEPS = 8


@dataclass(frozen=True, slots=True)
class Estimate:
    """Steps, time and memory of a training. memory_bytes is the cost model's, with RMSProp and EMA; fitting_batch
    the most images at once that the machine has room for."""

    steps: int
    steps_per_epoch: int
    batch: int
    accumulation: int
    step_seconds: float
    evaluation_seconds: float
    seconds: float
    memory_bytes: int
    available_bytes: int | None
    fitting_batch: int | None
    disk_bytes: int
    free_disk_bytes: int

    def lines(self) -> list[str]:
        """For people to read."""
        parts = f" in {self.accumulation} parts" if self.accumulation > 1 else ""
        memory = f"{format_bytes(self.memory_bytes)} by the cost model"
        if self.available_bytes is not None:
            memory += f", {format_bytes(self.available_bytes)} free; {self.fitting_batch:,} images at once would fit"
        return [
            f"steps      {self.steps:,} ({self.steps_per_epoch:,} per epoch) of {self.batch} images{parts}",
            f"time       {format_seconds(self.seconds)}: {format_seconds(self.step_seconds)} per step, "
            f"{format_seconds(self.evaluation_seconds)} per evaluation (measured over {MEASURED_STEPS} steps)",
            f"memory     {memory}",
            f"disk       {format_bytes(self.disk_bytes)} at most, {format_bytes(self.free_disk_bytes)} free",
        ]
