"""The chapters of a study, a study of published trainings, a search for coefficients and a family."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from convscale.figures.lines import Curve, Panel
from convscale.figures.studies import QUOTED_TITLE, study_panels
from convscale.files import format_toml
from convscale.records import CoefficientSearch, GridResult, StudyResult, TrainedFamily
from convscale.records.quoted import QUOTED
from convscale.report import grids
from convscale.report.charts.lines import lines_chart
from convscale.report.charts.searches import shares_chart
from convscale.report.coefficients import (
    SHARES,
    candidate_table,
    coefficient_table,
    evidence_of,
    lengths_in_words,
    meaning,
)
from convscale.report.findings import conclusions, missing
from convscale.report.networks import family_table
from convscale.report.parts import Chapter, Code, Folded, Part, Section, Text
from convscale.report.rates import HEADING, chosen_by, open_ends, rate_table
from convscale.report.studies import (
    COMMAND,
    REUSE,
    UNREACHABLE,
    difference_table,
    how_sure,
    reuse_table,
    row_table,
    trained_on,
    unreachable,
)
from convscale.report.unfinished import unfinished
from convscale.schema import to_table
from convscale.units import format_number, format_seconds


def study_chapter(result: StudyResult, folder: Path) -> Chapter:
    """What a study found, as far as its trainings have ended."""
    spec, left = result.spec, unfinished(result)
    sections = [
        Section("Findings", [Text([*filter(None, [spec.question]), *missing(result), *left, *conclusions(result)])]),
        Section("Accuracy over cost", list(_charts(result))),
        *(
            Section(f"After {format_number(epochs, 'epoch')}", list(_rows(result, epochs)))
            for epochs in spec.lengths[::-1]
        ),
        Section(REUSE, [reuse_table(result)] if result.reuses else []),
        Section(HEADING, list(_rates(result))),
        Section(UNREACHABLE, [Text(unreachable(result))] if result.unreachable else []),
        Section(
            "How it was made",
            [
                Text(
                    [
                        trained_on(result),
                        how_sure(result),
                        "The command that makes it again, in a folder with study.toml:",
                    ]
                ),
                Code("command", COMMAND),
                Folded("study.toml", Code("study.toml", format_toml(to_table(spec)))),
            ],
        ),
    ]
    resume = f"`convscale study resume {shlex.quote(str(folder))}` goes on with it."
    notice = f"**This study is not done.** {left[0].removeprefix('- **Unfinished**: ')} {resume}" if left else ""
    return Chapter(f"Study {spec.name}", sections, notice)


def _charts(result: StudyResult) -> Iterator[Part]:
    epochs = format_number(result.spec.lengths[-1], "epoch")
    for name, panels in study_panels(result).items():
        for panel in panels:
            if (chart := lines_chart(panel, f"{name}: accuracy over {panel.x_label} after {epochs}")) is not None:
                yield chart
    if result.spec.quoted:
        curves = tuple(
            Curve(f"{family} (quoted)", tuple((macs, top1, None, None) for _, macs, top1 in rows.values()), quoted=True)
            for family, rows in QUOTED.items()
        )
        yield from filter(None, [lines_chart(Panel("MACs", curves), QUOTED_TITLE)])


def _rows(result: StudyResult, epochs: int) -> Iterator[Part]:
    table = row_table(result, epochs)
    yield type(table)(table.columns, table.rows, "networks")
    differences = [one for one in result.differences if one.epochs == epochs]
    if differences:
        table = difference_table(differences, decided=epochs == result.spec.lengths[-1])
        yield type(table)(table.columns, table.rows, "differences of pairs of the same seed")


def _rates(result: StudyResult) -> Iterator[Part]:
    if result.rates:
        yield Text([chosen_by(result.rates)])
        yield rate_table(result.rates)
        yield Text(open_ends(result.rates))


def search_chapter(found: CoefficientSearch) -> Chapter:
    """alpha, beta and gamma, and what they rest on."""
    cost = (
        f"{found.trainings:,} trainings, {format_seconds(found.device_seconds)} of device time: "
        f"{found.share_of_full_grid:.0%} of the training that every candidate would take at the last length with every "
        "seed."
    )
    made: list[Part] = [Text([f"{evidence_of(found)[:1].upper()}{evidence_of(found)[1:]}.", cost])]
    if found.training is not None:
        made += [Text(["The command that makes it again:"]), Code("command", found.training.command)]
    nowhere = [f"- {' / '.join(f'{share:.2f}' for share in shares)}: {why}" for shares, why in found.unreachable]
    sections = [
        Section("Findings", [coefficient_table(found), Text(meaning(found))]),
        Section(
            "Candidates", [*_only(shares_chart(found)), Text([f"{SHARES}."]), candidate_table(found.candidates, found)]
        ),
        Section("What the training lengths say", [Text(lengths_in_words(found))]),
        Section("Directions without a network of this cost", [Text(nowhere)] if nowhere else []),
        Section("How it was made", made),
    ]
    return Chapter(f"alpha, beta, gamma of {found.baseline}", sections)


def family_chapter(made: TrainedFamily) -> Chapter:
    """The networks of a law at several phi, and what they came to."""
    points = [
        (one.member.cost, (one.accuracy, *(one.interval95 or (None, None))))
        for one in made.members
        if one.accuracy is not None
    ]
    charts = []
    for key, label in (("macs", "MACs"), ("params", "parameters")):
        curve = Curve(made.baseline.name, tuple((float(getattr(cost, key)), *found) for cost, found in points))
        charts += _only(lines_chart(Panel(label, (curve,)), f"Accuracy over {label}"))
    failures = [f"- phi {one.member.phi:g}: {why}" for one in made.members for why in one.failures]
    words = [made.evidence] if made.evidence else []
    sections = [
        Section("Networks", [*filter(lambda part: part.lines, [Text(words)]), family_table(made), *charts]),
        Section("Trainings that failed", [Text(failures)] if failures else []),
    ]
    return Chapter(f"Family of {made.baseline.name}", sections)


def grid_chapter(result: GridResult) -> Chapter:
    """What published trainings over width and resolution say."""
    spec = result.spec
    charts = [
        chart for family in dict.fromkeys(point.network for point in result.points) for chart in _grid(result, family)
    ]
    sections = [
        Section("Findings", [Text([spec.question, *grids.conclusions(result)])]),
        Section("Accuracy over cost, quoted", charts),
        Section("The mixed network beside those scaled in one dimension", [grids.gain_table(result)]),
        Section("The laws", [grids.law_table(result)]),
        Section(
            "How it was made",
            [
                Text([f"Accuracies are quoted from {spec.source}; no training was done here."]),
                Code("command", f"convscale study run {spec.name} -o DIR"),
            ],
        ),
    ]
    return Chapter(f"Study {spec.name}", sections)


def _grid(result: GridResult, family: str) -> list[Part]:
    own = [point for point in result.points if point.network == family]
    curves = tuple(
        Curve(
            f"{side} px (quoted)",
            tuple((float(one.macs), one.top1, None, None) for one in own if one.resolution == side),
            quoted=True,
        )
        for side in sorted({point.resolution for point in own}, reverse=True)
    )
    return _only(lines_chart(Panel("MACs", curves), f"{family}: a curve per resolution"))


def _only(part: Part | None) -> list[Part]:
    return [] if part is None else [part]
