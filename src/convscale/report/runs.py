"""A run folder on one screen: the network, its origin, data, recipe and accuracy, and what to do next."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator
from datetime import datetime

from convscale.costs import cost
from convscale.headers import read_header
from convscale.networks import ConvNet
from convscale.planning import Plan
from convscale.records import DataRecord, RunRow, RunState, RunStory, Story
from convscale.records.training import held_out_in_words
from convscale.report.plans import budget_in_words, law_in_words
from convscale.report.searches import outermost
from convscale.runs import Run, read_progress, read_row
from convscale.units import format_count, format_number, format_seconds, printable

WIDTH = 80
LABEL = 11
_CLASSES = 10
_WHOLE = ("run", "command", "next", "stages")  # what is copied is never broken


def describe_run(run: Run) -> list[str]:
    """Lines of 80 columns, but for what cannot be broken. Raises ConfigError where a file of it is damaged."""
    data, row = run.data(), read_row(run.path)
    rows: list[tuple[str, str]] = [("run", str(run.path)), ("state", _state(run, row))]
    if row.state == "finished":
        metric = "top1" if data is None else data.metric
        evaluation = run.evaluation()
        words = evaluation.in_words(metric, "95% interval ")
        rows.append(("accuracy", f"{words} on {evaluation.n:,} held-out images"))
    elif row.top1 is not None:
        rows.append(("accuracy", f"top-1 {row.top1:.4f} after the last epoch"))
    rows += run_facts(run)
    rows += [("next", line) for line in _next(run, row.state, data)]
    rows.append(("stages", f"convscale show {shlex.quote(str(run.path / 'network.toml'))}"))
    return label_lines(rows)


def run_facts(run: Run) -> list[tuple[str, str]]:
    """Labels and texts: network, where it comes from, data, recipe, notes, command. Raises as `describe_run`."""
    network, data, story, plan = run.network(), run.data(), run.story() or Story(), run.plan()
    rows = [("network", line) for line in _network(network)]
    rows += _origin(story, plan)
    rows += _data(run, data, story, network)
    rows += _recipe(run, story)
    rows += [("note", note) for note in story.notes]
    return rows + ([("command", story.command)] if story.command else [])


def run_story(run: Run) -> RunStory:
    """The run's row in a list, and its story. Raises ConfigError where a file of it is damaged."""
    plan, data, result = run.plan(), run.data(), run.result()
    return RunStory(
        row=read_row(run.path),
        story=run.story() or Story(),
        law=None if plan is None else plan.law.name,
        phi=None if plan is None else plan.chosen.phi,
        used=None if plan is None else plan.chosen.used,
        held_out=None if data is None else data.held_out,
        train_images=None if data is None else data.train_images,
        test_images=None if data is None else data.test_images,
        epochs=result.epochs if result is not None else len(run.metrics()),
        progress=read_progress(run),
    )


def local_time(moment: str | None) -> str:
    """A time of a story, as the clock on the wall has it: 2026-01-31 13:00."""
    try:
        return "" if moment is None else f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return moment or ""


def label_lines(rows: list[tuple[str, str]]) -> list[str]:
    """Lines of 80 columns: a label where it changes, and its text beside it."""
    lines, before = [], ""
    for label, text in rows:
        first = label if label != before else ""
        before = label
        if label in _WHOLE:
            lines.append(f"{first:<{LABEL}}{printable(text)}")
            continue
        lines += textwrap.wrap(
            printable(text), WIDTH, initial_indent=f"{first:<{LABEL}}", subsequent_indent=" " * LABEL,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return lines


def _state(run: Run, row: RunRow) -> str:
    result, epochs, progress = run.result(), run.recipe().epochs, read_progress(run)
    words = f"{row.state}, started {local_time(row.started)}"
    if result is not None:
        done = format_number(result.epochs, "epoch")
        early = f" of {epochs}" if result.epochs < epochs else ""
        return f"{words}, {done}{early} in {format_seconds(result.seconds)}"
    if row.state == "running" and progress is not None:
        left = "" if progress.seconds_left is None else f", {format_seconds(progress.seconds_left)} left"
        return f"{words}, {progress.state}, epoch {progress.epoch} of {progress.epochs}{left}"
    return f"{words}, {len(run.metrics())} of {epochs} epochs done" + (f": {row.reason}" if row.reason else "")


def _network(network: ConvNet) -> list[str]:
    costs = cost(network)
    blocks = sum(stage.repeats for stage in network.stages)
    repeats = "-".join(str(stage.repeats) for stage in network.stages)
    channels = "-".join(str(stage.channels) for stage in network.stages)
    return [
        f"{network.name}, {network.resolution} px, {network.num_classes:,} classes",
        f"{blocks} blocks ({repeats}), channels {channels}",
        f"{format_count(costs.params)} params, {format_count(costs.macs)} MACs",
    ]


def _origin(story: Story, plan: Plan | None) -> list[tuple[str, str]]:
    rows = []
    if (baseline := story.decision("baseline")) is not None:
        rows.append(("baseline", f"{baseline.choice}: {baseline.why}"))
    if plan is not None:
        rows += [("law", law_in_words(plan)), ("budget", budget_in_words(plan))]
    return rows


def _data(run: Run, data: DataRecord | None, story: Story, network: ConvNet) -> Iterator[tuple[str, str]]:
    if data is not None:
        held_out = held_out_in_words(data.held_out, data.test_images, data.validation_images)
        yield "data", f"{data.source}: {data.train_images:,} training images; {held_out}"
    for what in ("left out", "not used"):
        if (found := story.decision(what)) is not None:
            yield "data", f"{what}: {found.choice}" + (f" ({found.why})" if found.why else "")
    if run.weights.exists():
        names = read_header(run.weights).classes
        more = f" and {len(names) - _CLASSES:,} more" if len(names) > _CLASSES else ""
        yield "classes", f"{', '.join(names[:_CLASSES])}{more}"


def _recipe(run: Run, story: Story) -> Iterator[tuple[str, str]]:
    recipe, changed, named = run.recipe(), run.settings().changed, story.decision("recipe")
    facts = f"{format_number(recipe.epochs, 'epoch')}, batch {recipe.batch}, learning rate {recipe.learning_rate:.3g}"
    yield "recipe", f"{named.choice}: {facts}" if named is not None else facts
    if changed:
        yield "recipe", f"changed: {'; '.join(changed)}"
    for text in outermost(run.searched(), recipe):
        yield "recipe", f"searched: {text}"
    settings = run.settings()
    if settings.continues is not None:
        yield "weights", f"from {settings.continues}, which this run continues after {settings.epochs_before} epochs"
    elif settings.weights is not None:
        yield "weights", f"from {settings.weights}"


def _next(run: Run, state: RunState, data: DataRecord | None) -> list[str]:
    path = shlex.quote(str(run.path))
    match state:
        case "finished" if run.weights.exists():
            source = "DATA" if data is None else shlex.quote(data.source)
            return [f"convscale predict {path} IMAGE...", f"convscale eval {path} --data {source}"]
        case "finished":
            return ["nothing: its weights were not kept"]
        case "running":
            return [f"wait; {path}/progress.json shows its progress"]
    return [f"convscale resume {path}"]
