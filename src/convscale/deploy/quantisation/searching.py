"""The gate: the first way to int8 that is shown to lose no more accuracy than allowed, or why there is none."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convscale.data.loader import Normalise
from convscale.deploy.conversion.plain import plain
from convscale.deploy.quantisation.advice import advice
from convscale.deploy.quantisation.algorithms import Batches, Quantise, quantiser
from convscale.deploy.quantisation.measuring import Images, answers, change
from convscale.deploy.quantisation.sensitivity import by_damage
from convscale.errors import DataError, ExportError
from convscale.evaluation.opened import Logits, logits_of
from convscale.exported import Format
from convscale.exported.network import open_exported
from convscale.headers import WeightsHeader
from convscale.nn import Model
from convscale.progress import print_note
from convscale.records import ExportInput, Int8Attempt
from convscale.statistics.paired_accuracy import fewest_images

SHARES_IN_FLOAT = (1 / 8, 1 / 4, 1 / 2)  # of all layers, those that suffer most, in the order they are tried
LOOKED_AT = 16  # images that show which layers suffer
DEGENERATE = 0.15  # by how much more int8 agrees with float32 on its own calibration images than on held-out ones


@dataclass(frozen=True)
class Chosen:
    """The attempt that passed, its network as its package has it, and all that was tried."""

    attempt: Int8Attempt
    network: Any
    tried: tuple[Int8Attempt, ...]
    accuracy_before: float


@dataclass
class Search:
    """One network on its way to int8."""

    kind: Format
    model: Model
    header: WeightsHeader
    taken: ExportInput
    images: Images
    max_drop: float
    metadata: dict[str, str]
    quiet: bool
    tried: list[tuple[Int8Attempt, str]] = field(default_factory=list)  # with the algorithm's own name

    def run(self) -> Chosen:
        """Every algorithm, then the best of them with more and more layers in float32.

        Raises DataError where the images cannot show such a drop, whatever int8 loses, or where what it is calibrated
        on is not like what it is judged on; ExportError where no way passes.
        """
        require_enough(len(self.images.truth), self.max_drop)
        ways = quantiser(self.kind.name)
        inside = self.header.preprocessing if self.taken == "pixels" else None
        network = ways.convert(plain(self.model, inside, self.header.preprocessing.size), self.metadata)
        self._right = logits_of(self.model, self.header.preprocessing)
        self._before = answers(self._right, self.images.held_out)
        batches = self._batches()
        for name, algorithm in ways.algorithms.items():
            found = self._try(name, algorithm, network, batches, ())
            if found is not None:
                return found
        best = max(self.tried, key=lambda one: one[0].difference)[1]
        normalise = Normalise(self.header.preprocessing, torch.device("cpu"))
        layers = by_damage(self.model, normalise(self.images.calibration[:LOOKED_AT]))
        for share in SHARES_IN_FLOAT:
            kept = layers[: max(1, round(share * len(layers)))]
            found = self._try(best, ways.algorithms[best], network, batches, kept)
            if found is not None:
                return found
        raise self._refused()

    def _try(
        self, name: str, algorithm: Quantise, network: Any, batches: Batches, kept: Collection[str]
    ) -> Chosen | None:
        """Quantise and measure; what passed."""
        quantised = algorithm(network, batches, kept)
        with tempfile.TemporaryDirectory(prefix="convscale-int8-") as folder:
            path = Path(folder) / f"int8{self.kind.suffix}"
            quantiser(self.kind.name).save(quantised, path)
            logits = open_exported(path).logits
            after = answers(logits, self.images.held_out)
            if not self.tried:
                self._require_alike(logits, after)
        attempt = judged(name, tuple(kept), self.images.truth, self._before, after, self.max_drop)
        self.tried.append((attempt, name))
        if not self.quiet:
            print_note(f"int8, {in_words(attempt)}")
        if attempt.outcome != "passes":
            return None
        tried = tuple(one for one, _ in self.tried)
        return Chosen(attempt, quantised, tried, float(np.mean(self._before == self.images.truth)))

    def _batches(self) -> Batches:
        if self.taken == "pixels":
            given = self.images.calibration
        else:
            given = Normalise(self.header.preprocessing, torch.device("cpu"))(self.images.calibration)
        return [np.ascontiguousarray(one.numpy()) for one in torch.split(given, 1)]

    def _require_alike(self, logits: Logits, after: NDArray[Any]) -> None:
        """Raise DataError where int8 is right about the images that it was calibrated on and wrong about others."""
        own = self.images.calibration[:: max(1, len(self.images.calibration) // 64)]
        there = float(np.mean(answers(logits, own) == answers(self._right, own)))
        here = float(np.mean(after == self._before))
        if there - here > DEGENERATE:
            raise DataError(
                f"int8 agrees with float32 on {there:.0%} of the images that it was calibrated on, but on {here:.0%} "
                "of the held-out ones: these calibration images are not like them",
                hint="--calibrate with a few hundred different images of the kind that the network will see",
            )

    def _refused(self) -> ExportError:
        attempts = [one for one, _ in self.tried]
        best = max(attempts, key=lambda one: one.difference)
        undecided = [one for one in attempts if one.outcome == "cannot be told"]
        n = len(self.images.truth)
        if undecided:
            needed = best.needed_images or undecided[0].needed_images
            more = "more than a million" if needed is None else f"about {needed:,}"
            return ExportError(
                f"cannot be told with {n:,} images whether int8 loses less than {100 * self.max_drop:g} points: "
                f"at best {in_words(best)}; nothing was kept",
                hint=f"{more} held-out images would tell, or a larger --max-drop",
            )
        return ExportError(
            f"int8 loses more than {100 * self.max_drop:g} points in each of {len(attempts)} ways: at best "
            f"{in_words(best)}; nothing was kept",
            hint=advice(self.header.network) or "keep float32, or bfloat16 where the processor has it",
        )


def require_enough(images: int, max_drop: float) -> None:
    """Raise DataError where so few images cannot pass, even if int8 loses nothing on them."""
    if images < (fewest := fewest_images(max_drop)):
        raise DataError(
            f"{images:,} held-out images cannot show a drop below {100 * max_drop:g} points, whatever int8 loses",
            hint=f"at least {fewest:,} of them, or a larger --max-drop",
        )


def judged(
    algorithm: str,
    kept: tuple[str, ...],
    truth: NDArray[Any],
    before: NDArray[Any],
    after: NDArray[Any],
    max_drop: float,
) -> Int8Attempt:
    """An attempt by its answers on the held-out images."""
    found = change(truth, before, after)
    outcome = found.outcome(max_drop)
    return Int8Attempt(
        algorithm=algorithm, kept_float=kept, accuracy=float(np.mean(after == truth)),
        lost=int(found.lost), won=int(found.won),
        difference=found.difference, interval95=found.interval95, outcome=outcome,
        needed_images=found.needed(max_drop) if outcome == "cannot be told" else None,
    )  # fmt: skip


def in_words(attempt: Int8Attempt) -> str:
    """mixed preset, 6 layers in float32: 67.4 %, -0.4 points (-1.5 to 0.7), passes."""
    kept = f", {len(attempt.kept_float)} layers in float32" if attempt.kept_float else ""
    low, high = (100 * end for end in attempt.interval95)
    return (
        f"{attempt.algorithm}{kept}: {100 * attempt.accuracy:.1f} %, {100 * attempt.difference:+.1f} points "
        f"({low:+.1f} to {high:+.1f}; {attempt.lost} lost, {attempt.won} won), {attempt.outcome}"
    )
