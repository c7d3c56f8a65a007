"""What a training would take."""

from __future__ import annotations

from dataclasses import dataclass

from convscale.units import format_bytes, format_seconds

MEASURED_STEPS = 8


@dataclass(frozen=True, slots=True)
class Estimate:
    """Steps, time and memory of a training. memory_bytes is the cost model's, with RMSProp and EMA; fitting_batch
    the most images at once that the machine has room for. further_seconds: what a search may take beside `seconds`, at
    most, while the best of its learning rates is an outermost one."""

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
    further_seconds: float = 0.0

    def lines(self) -> list[str]:
        """For people to read."""
        parts = f" in {self.accumulation} parts" if self.accumulation > 1 else ""
        memory = f"{format_bytes(self.memory_bytes)} by the cost model"
        if self.available_bytes is not None:
            memory += f", {format_bytes(self.available_bytes)} free; {self.fitting_batch:,} images at once would fit"
        more = f"up to {format_seconds(self.further_seconds)} more where the best learning rate is an outermost one"
        return [
            f"steps      {self.steps:,} ({self.steps_per_epoch:,} per epoch) of {self.batch} images{parts}",
            f"time       {format_seconds(self.seconds)}: {format_seconds(self.step_seconds)} per step, "
            f"{format_seconds(self.evaluation_seconds)} per evaluation (measured over {MEASURED_STEPS} steps)",
            *([f"further    {more}"] if self.further_seconds else ()),
            f"memory     {memory}",
            f"disk       {format_bytes(self.disk_bytes)} at most, {format_bytes(self.free_disk_bytes)} free",
        ]
