"""The chapter of a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from convscale.costs import cost
from convscale.errors import ConfigError
from convscale.figures.training import CURVES
from convscale.files import read_text
from convscale.records import Evaluation, RunRow, Story
from convscale.records.training import held_out_in_words
from convscale.report.bench import bench_tables, bench_text
from convscale.report.charts.benches import bench_chart
from convscale.report.charts.budgets import budget_chart
from convscale.report.charts.curves import curve_chart
from convscale.report.evaluation import calibration, class_table, confused_table
from convscale.report.networks import cost_table, plan_table, stage_table
from convscale.report.pages.comparison import PUBLISHED, published_charts
from convscale.report.pages.details import detail_parts, missing_details
from convscale.report.pages.looking import looking_parts, missing_maps
from convscale.report.parts import Chapter, Code, Facts, Folded, Missing, Part, Section, Text
from convscale.report.runs import run_facts
from convscale.report.tables import Column, Table, text_column
from convscale.runs import Run, read_progress, read_row
from convscale.units import format_bytes, format_number, format_seconds

SHOWN_CLASSES = 20  # a longer table of classes is folded


def run_chapter(run: Run, *, alone: bool = True) -> Chapter:
    """All that a run folder says; unless it is `alone`, published networks stand in another chapter, beside all runs.
    Raises ConfigError where a file of it is damaged."""
    row, story = read_row(run.path), run.story() or Story()
    if row.state == "damaged":
        raise ConfigError(row.reason, hint=f"restore the file, or train again: {run.path} cannot be reported")
    evaluation = run.evaluation() if row.state == "finished" else None
    sections = [
        Section("Result", list(_result(run, row, evaluation))),
        Section("What was chosen, and why", list(_choices(run, story))),
        Section("Where the budget goes", [stage_table(run.network()), budget_chart(run.network())]),
        Section("Learning curves", list(_curves(run))),
        Section("Accuracy", [] if evaluation is None else list(_accuracy(evaluation))),
        Section("Confusion, calibration and mistakes", list(detail_parts(run))),
        Section("What it looks at", list(looking_parts(run))),
        Section(PUBLISHED, list(published_charts([run])) if alone else []),
        Section("Latency by engine", list(_latency(run))),
        Section("Data", list(_data(run, story))),
        Section("How it was made", list(_provenance(run, story))),
    ]
    return Chapter(_title(run), sections, _notice(run, row), list(_missing(run, row)))


def _title(run: Run) -> str:
    data = run.data()
    return f"{run.network().name} on {Path(data.source).name}" if data is not None else run.network().name


def _notice(run: Run, row: RunRow) -> str:
    """What a reader must know first about a run that is not done."""
    if row.state == "finished":
        return ""
    progress, epochs = read_progress(run), run.recipe().epochs
    done = f"{len(run.metrics())} of {format_number(epochs, 'epoch')} done"
    if row.state == "running":
        doing = f", {progress.state}" if progress is not None else ""
        return f"**This run is still going on{doing}: {done}.** What follows is of what it has written so far."
    reason = f": {row.reason}" if row.reason else ""
    return f"**This run is {row.state}{reason}; {done}.** `{_resume(run)}` goes on with it."


def _resume(run: Run) -> str:
    return f"convscale resume {shlex.quote(str(run.path))}"


def _result(run: Run, row: RunRow, evaluation: Evaluation | None) -> Iterator[Part]:
    data, result = run.data(), run.result()
    rows: list[tuple[str, str]] = [("state", row.state)]
    if evaluation is not None:
        words = evaluation.in_words("top1" if data is None else data.metric, "95 % interval ")
        rows.append(("accuracy", f"**{words}** on {evaluation.n:,} held-out images"))
    elif row.top1 is not None:
        rows.append(("accuracy", f"top-1 {row.top1:.4f} after the last epoch"))
    rows += [one for one in run_facts(run) if one[0] not in ("command", "note")]
    if result is not None:
        rows.append(("training", f"{format_number(result.epochs, 'epoch')} in {format_seconds(result.seconds)}"))
    yield Facts(rows)


def _choices(run: Run, story: Story) -> Iterator[Part]:
    if story.decisions:
        chosen = [(one.what, text) for one in story.decisions for text in (f"**{one.choice}**", one.why) if text]
        yield Facts(chosen)
    if (plan := run.plan()) is not None:
        table = plan_table(plan)
        yield Table(table.columns, table.rows, "the plan, what the law alone gives, and other ways to spend the budget")
    yield Folded("All costs of the network", cost_table(cost(run.network())))


def _curves(run: Run) -> Iterator[Part]:
    records = run.metrics()
    yield from filter(None, (curve_chart(records, key) for key in CURVES))


def _accuracy(found: Evaluation) -> Iterator[Part]:
    figures = [
        ("top-1", found.top1, found.interval95),
        ("top-5", found.top5, found.top5_interval95),
        ("mean per class", found.mean_per_class, found.mean_per_class_interval95),
    ]
    columns = (
        text_column("accuracy"),
        Column("value", "{:.4f}".format),
        Column("95 % interval", "{0[0]:.4f} to {0[1]:.4f}".format),
    )
    yield Table(columns, [one for one in figures if one[1] is not None], f"on {found.n:,} held-out images")
    if found.mean_per_class is not None:
        yield Text([f"Expected calibration error: {calibration(found.ece)} (15 bins)."])
    classes = class_table(found)
    if len(found.per_class) > SHOWN_CLASSES:
        worst = sorted((row for row in classes.rows if row[2] is not None), key=lambda row: row[2])[:10]
        yield Table(classes.columns, worst, "the ten classes with the lowest accuracy")
        yield Folded(f"All {len(found.per_class):,} classes", classes)
    else:
        yield Table(classes.columns, classes.rows, "accuracy of each class")
    if found.confused:
        yield confused_table(found)


def _latency(run: Run) -> Iterator[Part]:
    if (bench := run.bench()) is not None and bench.rows:
        yield from filter(None, [bench_chart(bench)])
        yield from bench_tables(bench)
        yield Text([f"- {line}" for line in bench_text(bench)])


def _data(run: Run, story: Story) -> Iterator[Part]:
    data = run.data()
    if data is not None:
        rows = [
            ("source", data.source),
            ("training images", f"{data.train_images:,}"),
            ("held out", held_out_in_words(data.held_out, data.test_images, data.validation_images)),
            ("fingerprint", data.fingerprint or "not kept"),
        ]
        rows += [
            (what, f"{one.choice} {one.why}".strip())
            for what in ("left out", "not used")
            if (one := story.decision(what))
        ]
        yield Facts(rows)
    yield Text([f"- {note}" for note in story.notes])


def _provenance(run: Run, story: Story) -> Iterator[Part]:
    environment, result = run.environment(), run.result()
    if story.command:
        yield Text(["The command, or the call, that makes it again:"])
        yield Code("command", story.command)
    versions = environment.get("versions", {})
    memory = environment.get("memory_bytes")
    rows = [
        ("started", story.started),
        ("machine", ", ".join(str(environment[key]) for key in ("processor", "gpu", "system") if environment.get(key))),
        ("cores", str(environment.get("cores", ""))),
        ("memory", "" if memory is None else format_bytes(memory)),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("seed", str(run.settings().seed)),
        ("state sha256", "" if result is None else result.state_sha256),
    ]
    yield Facts([row for row in rows if row[1]])
    for name in ("recipe.toml", "network.toml"):
        yield Folded(name, Code(name, read_text(run.path / name)))


def _missing(run: Run, row: RunRow) -> Iterator[Missing]:
    if row.state != "finished":
        yield Missing("result and evaluation", _resume(run))
        return
    yield from missing_details(run)
    yield from missing_maps(run)
    if run.bench() is None:
        yield Missing("latency by engine", f"convscale bench {shlex.quote(str(run.path))}")
