"""What trials would take, estimated from a few real steps before they run: hours, memory, disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convscale.costs import cost
from convscale.trials.training_work import AT_END, choose_images
from convscale.trials.trial import Trial
from convscale.units import format_bytes, format_count, format_number, format_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """trials: distinct ones. training_macs: MACs of one image forward, times images, summed. device_seconds: on one
    slot; seconds: on all `slots`. memory_bytes: of all slots with the largest network. disk_bytes: at most.
    further_trials, further_seconds: how many there may be beside those, depending on what these find, and what those
    would take on all slots; disk_bytes has their share."""

    trials: int
    training_macs: int
    device_seconds: float
    seconds: float
    slots: int
    memory_bytes: int
    disk_bytes: int
    further_trials: int = 0
    further_seconds: float = 0.0

    def lines(self) -> list[str]:
        """For people to read."""
        count, time = format_number(self.further_trials, "short training"), format_seconds(self.further_seconds)
        further = f"further  up to {count}, {time}, while a network's best learning rate is an outermost one"
        return [
            f"trials   {self.trials:,}, {format_count(self.training_macs)} MACs forward over all training images",
            f"time     {format_seconds(self.seconds)} with {self.slots} at once, "
            f"{format_seconds(self.device_seconds)} of device time (measured over a few steps)",
            *([further] if self.further_trials else ()),
            f"memory   {format_bytes(self.memory_bytes)} by the cost model, for {self.slots} at once",
            f"disk     {format_bytes(self.disk_bytes)} at most",
        ]


def size_of(trials: Sequence[Trial], slots: int, further: Sequence[Trial] = ()) -> Size:
    """Measure a few steps of the smallest and the largest network and extrapolate from there. further: trials of the
    same networks that may follow.

    Raises as `choose_images` and `train` do for what cannot be trained.
    """
    from convscale.training import estimate

    distinct, later = _distinct(trials), _distinct(further)
    macs = {trial.key: cost(trial.network).macs for trial in (*distinct, *later)}
    ordered = sorted(distinct or later, key=lambda trial: macs[trial.key])
    rates, memory, disk = [], 0, 0
    for trial in {one.key: one for one in (*ordered[:1], *ordered[-1:])}.values():
        dataset = choose_images(trial.data)
        found = estimate(trial.network, dataset, trial.recipe, stored_range=trial.data.stored_range, **AT_END)
        rates.append(found.seconds / (_images(trial) * macs[trial.key]))
        memory, disk = found.memory_bytes, max(disk, found.disk_bytes)
    work = [_images(trial) * macs[trial.key] for trial in distinct]
    rate = sum(rates) / max(1, len(rates))
    seconds = rate * sum(work)
    at_once = min(slots, max(1, len(distinct)))
    later_at_once = min(slots, max(1, len({trial.network for trial in later})))  # a round has one of each
    return Size(
        trials=len(distinct),
        training_macs=sum(work),
        device_seconds=seconds,
        seconds=seconds / at_once,
        slots=at_once,
        memory_bytes=memory * at_once,
        disk_bytes=disk * (len(distinct) + len(later)),
        further_trials=len(later),
        further_seconds=rate * sum(_images(trial) * macs[trial.key] for trial in later) / later_at_once,
    )


def _distinct(trials: Sequence[Trial]) -> list[Trial]:
    return list({trial.key: trial for trial in trials}.values())


def _images(trial: Trial) -> int:
    """Images that the training sees."""
    return trial.recipe.epochs * len(choose_images(trial.data).train)
