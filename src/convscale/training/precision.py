"""The precision of a training whose recipe leaves it open: chosen once, and kept on resume."""

from __future__ import annotations

from dataclasses import replace

from convscale import machine
from convscale.networks import ConvNet
from convscale.nn import UsedPrecision, bf16_speedups, pick_device, used_precision
from convscale.nn.processes import Processes
from convscale.recipes import LBFGS
from convscale.records import PrecisionChoice
from convscale.runs import Decision
from convscale.training.job import Job

WORTHWHILE = 1.05  # times as fast: less is not worth the rounding


def choose_precision(network: ConvNet, batch: int) -> PrecisionChoice:
    """The faster precision on this CPU, for training and for evaluation: measured for a few steps where the processor
    has instructions for bfloat16, else float32 at once."""
    if not machine.has_fast_bf16():
        return PrecisionChoice("fp32", "fp32", "the processor has no instructions for bfloat16")
    found = bf16_speedups(network, batch)
    why = (
        f"bfloat16 trains {found.training:.2f} and evaluates {found.evaluation:.2f} times as fast as float32 "
        f"(measured; worthwhile from {WORTHWHILE})"
    )
    return PrecisionChoice(
        "bf16" if found.training >= WORTHWHILE else "fp32", "bf16" if found.evaluation >= WORTHWHILE else "fp32", why
    )


def with_precision(job: Job, processes: Processes) -> tuple[Job, tuple[Decision, ...]]:
    """The job with the precision that its recipe's "auto" selects, and the decision where it was measured. Steps that
    are compiled, or train the classifier alone, are not measured: they compute in float32 on a CPU."""
    recipe, device = job.recipe, pick_device()
    if isinstance(recipe.optimizer, LBFGS):  # features are computed once, in float32
        return job, ()
    if device.type == "cuda":
        return _with_evaluation(job, used_precision(device, recipe.precision)), ()
    measurable = recipe.trainable == "all" and not job.settings.compile
    if recipe.precision != "auto" or not measurable or not processes.any(machine.has_fast_bf16()):
        return job, ()
    images = max(2, recipe.batch // processes.world // recipe.accumulation)
    found = choose_precision(job.network, images) if processes.first else PrecisionChoice("fp32", "fp32", "")
    training: UsedPrecision = "bf16" if processes.any(found.training == "bf16") else "fp32"
    evaluation: UsedPrecision = "bf16" if processes.any(found.evaluation == "bf16") else "fp32"
    chosen = replace(job, recipe=replace(recipe, precision=training))
    return _with_evaluation(chosen, evaluation), (Decision("precision", training, found.why),)


def _with_evaluation(job: Job, precision: UsedPrecision) -> Job:
    return replace(job, settings=replace(job.settings, evaluation_precision=precision))
