"""The outcome of a fit, from its run folder alone: the record, and the final summary."""

from __future__ import annotations

import shlex

from convscale.planning import Plan
from convscale.recipes import LBFGS
from convscale.records import DataRecord, FitRecord, TrainRecord
from convscale.records.training import held_out_in_words
from convscale.report.plans import budget_in_words, law_in_words, network_in_words
from convscale.runs import Run
from convscale.units import format_number, format_seconds


def fit_record(run: Run, result: TrainRecord | None = None) -> FitRecord | None:
    """The record of a run whose training ended with `result`, or as its folder says; None where it was not planned, or
    is not done. Raises ConfigError where a file of it is damaged."""
    plan, data, story, settings = run.plan(), run.data(), run.story(), run.settings()
    result = result or run.result()
    if plan is None or data is None or story is None or result is None:
        return None
    baseline, named = story.decision("baseline"), story.decision("recipe")
    if baseline is None or named is None:
        return None
    recipe = run.recipe()
    searched = 0.0 if isinstance(recipe.optimizer, LBFGS) else sum(row.seconds for row in run.searched())
    return FitRecord(
        run=str(run.path),
        data=data,
        baseline=plan.baseline,
        reason=baseline.why,
        recipe_name=named.choice,
        recipe=recipe,
        plan=plan,
        epochs=result.epochs,
        training_seconds=result.seconds + searched,
        evaluation=run.evaluation(),
        continues=settings.continues,
        epochs_before=settings.epochs_before,
    )


def plan_lines(data: DataRecord, plan: Plan, reason: str) -> list[str]:
    """What is known before training, in five lines: data, baseline, law, network and budget."""
    held_out = held_out_in_words(data.held_out, data.test_images, data.validation_images)
    classes = f"{plan.network.num_classes:,} classes"
    return [
        f"data       {data.train_images:,} training images of {classes}; {held_out}",
        f"baseline   {plan.baseline.name}: {reason}",
        f"law        {law_in_words(plan)}",
        f"network    {network_in_words(plan)}",
        f"budget     {budget_in_words(plan)}",
    ]


def summary_lines(fit: FitRecord) -> list[str]:
    """What was chosen and why, how accurate it is, and what to do next, in ten lines."""
    evaluation, path = fit.evaluation, shlex.quote(fit.run)
    epochs = format_number(fit.epochs, "epoch")
    after = f", after {fit.epochs_before} of {fit.continues}" if fit.continues else ""
    return [
        *plan_lines(fit.data, fit.plan, fit.reason),
        f"training   {epochs} of recipe {fit.recipe_name} in {format_seconds(fit.training_seconds)}{after}",
        f"accuracy   {evaluation.in_words(fit.data.metric, '95% interval ')} on {evaluation.n:,} held-out images",
        f"run        {fit.run}",
        f"next       convscale predict {path} IMAGE...",
        f"           convscale eval {path} --data {shlex.quote(fit.data.source)}",
    ]
