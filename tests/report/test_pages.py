"""A report is one file that stands alone, well formed, with every figure's numbers beside it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from convscale.errors import ConfigError, RunError
from convscale.locks import lock
from convscale.records import (
    BoxMeasures,
    BoxScores,
    ConfusionCell,
    ControlDifference,
    EvaluationDetails,
    ExplainedImage,
    Explanations,
    write_record,
)
from convscale.report.pages.document import document
from convscale.report.parts import Chapter, Chart, Facts, Section, Text
from convscale.report.tables import Column, Table, text_column
from convscale.report.writing import write_report
from tests.benches import WHOLE
from tests.cli.calling import run, run_json
from tests.report.made import CLASSES, Element, details, evaluation, made_run, parsed

GOLDEN = Path(__file__).parents[1] / "fixtures" / "golden"


def report_of(*sources: Path, folder: Path) -> Element:
    """The page of a report, after the checks that hold for every one."""
    text = write_report(sources, folder / "report.html").read_text()
    page = parsed(text)
    check(page, text)
    return page


def check(page: Element, text: str) -> None:
    """What holds for every report."""
    assert not page.all("script", "link", "iframe", "object", "embed", "base", "form")
    assert not re.search(r"\bon\w+=", re.sub(r">[^<]*<", "><", text)), "no handler of events"
    for element in page.all():
        for name in ("src", "href", "srcset", "action"):
            value = element.attributes.get(name, "#")
            assert value.startswith(("#", "data:image/")), (element.tag, name, value)
    assert not re.search(r"@import|url\((?!#)", text), "styles fetch nothing"
    assert page.all("html")[0].attributes["lang"] == "en" and page.all("title")[0].text
    ids = [element.attributes["id"] for element in page.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    used = {element.attributes["href"][1:] for element in page.all("a", "use")} | set(
        re.findall(r"url\(#([^)]*)\)", text)
    )
    assert used <= set(ids), "every reference has its target"
    levels = [int(element.tag[1]) for element in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1 and all(after <= before + 1 for before, after in pairwise(levels))
    for figure in page.all("svg"):
        title, description = figure.children[:2]
        assert (title.tag, description.tag) == ("title", "desc") and title.text and description.text
        assert figure.attributes["role"] == "img"
    for chart in page.all("figure"):
        if chart.all("svg"):
            (table,) = chart.all("table")
            assert len(table.all("tr")) > 1, "its numbers"
    assert len(page.all("svg")) == len([one for one in page.all("figure") if one.all("svg")])
    for table in page.all("table"):
        widths = {len(row.children) for row in table.all("tr")}
        assert len(widths) == 1
        assert all(cell.text for cell in table.all("th")), "no empty heading"


def headings(page: Element) -> list[str]:
    return [element.text for element in page.all("h2", "h3")]


def test_a_finished_run(tmp_path: Path) -> None:
    made_run(tmp_path / "run")
    page = report_of(tmp_path / "run", folder=tmp_path)
    assert headings(page) == [
        "Result", "What was chosen, and why", "Where the budget goes", "Learning curves", "Accuracy",
        "Confusion, calibration and mistakes", "Beside published networks", "Data", "How it was made",
        "Not in this report",
    ]  # fmt: skip
    assert (
        len(page.all("svg")) == 7
        and len(page.all("img")) == 2
        and not [one for one in page.all("p") if one.attributes.get("class") == "notice"]
    )
    for said in (
        "images are about 32 px",
        "convscale fit photos --macs 2M",
        "not used: 1 text file",
        *CLASSES,
        "f" * 64,
    ):
        assert said in page.text
    charts = [figure for figure in page.all("figure") if figure.all("svg")]
    numbers = [chart.all("table")[0].text for chart in charts if "top-1" in chart.all("title")[0].text]
    assert len(numbers) == 1 and "50.00" in numbers[0]


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    made_run(tmp_path / "run")
    files = [tmp_path / name for name in ("a.html", "b.html")]
    for file in files:
        write_report(tmp_path / "run", file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_run_that_is_not_done_says_so_and_names_the_command(tmp_path: Path) -> None:
    made = made_run(tmp_path / "run", finished=False)
    made.keep_metrics(2)
    page = report_of(tmp_path / "run", folder=tmp_path)
    (notice,) = [one.text for one in page.all("p") if one.attributes.get("class") == "notice"]
    assert "interrupted; 2 of 3 epochs done" in notice
    assert headings(page)[-1] == "Not in this report" and "Accuracy" not in headings(page)
    assert f"convscale resume {made.path}" in page.text
    held = lock(made.path / "lock")
    assert held is not None
    try:
        assert "still going on" in report_of(tmp_path / "run", folder=tmp_path).text
    finally:
        os.close(held)


def test_one_epoch_has_no_curves(tmp_path: Path) -> None:
    made_run(tmp_path / "run", epochs=1)
    assert "Learning curves" not in headings(report_of(tmp_path / "run", folder=tmp_path))


def test_several_runs_have_a_chapter_each(tmp_path: Path) -> None:
    runs = [made_run(tmp_path / name, seed=seed).path for seed, name in enumerate("ab")]
    page = report_of(*runs, folder=tmp_path)
    assert len(page.all("h2")) == 3 and len(page.all("svg")) == 6 + 6 + 3 + 1
    links = [element.attributes["href"] for element in page.all("a")]
    assert len(links) == len(set(links)) == 4


@pytest.mark.parametrize("version", sorted(path.name for path in GOLDEN.iterdir() if path.name.startswith("v")))
def test_runs_of_older_versions(tmp_path: Path, version: str) -> None:
    """Those that lack a story, a plan and most figures of an evaluation."""
    page = report_of(GOLDEN / version / "run", folder=tmp_path)
    assert {"Result", "Where the budget goes", "Accuracy"} <= set(headings(page))
    assert "interrupted" in report_of(GOLDEN / version / "unfinished", folder=tmp_path).text


def test_texts_mean_only_themselves() -> None:
    strange = '<script>alert(1)</script> & "quotes" \x07 **bold** `code`'
    table = Table((text_column("<i>"), Column("n")), [(strange, 1)], strange)
    chapter = Chapter(
        strange, [Section(strange, [Text([strange, f"- {strange}"]), Facts([(strange, strange)]), table])]
    )
    text = document([chapter], strange)
    page = parsed(text)
    check(page, text)
    assert page.all("title")[0].text == '<script>alert(1)</script> & "quotes" \\x07 **bold** `code`'
    assert [element.text for element in page.all("strong")] == ["bold"] * 3
    assert [element.text for element in page.all("code")] == ["code"] * 3


def test_the_checks_find_what_they_look_for() -> None:
    """The check of the check."""
    sound = document([Chapter("a", [Section("b", [Text(["c"])])])], "t")
    check(parsed(sound), sound)
    for broken in (
        sound.replace("</p>", "", 1),
        sound.replace("<p>", "<script></script><p>", 1),
        sound.replace("<p>", '<img src="https://example.org/a.png"><p>', 1),
        sound.replace("<h2>", "<h4>").replace("</h2>", "</h4>"),
        sound.replace("<p>", '<svg role="img"></svg><p>', 1),
        sound.replace("<p>", '<p id="content">', 1),
    ):
        assert broken != sound
        with pytest.raises((AssertionError, ValueError)):
            check(parsed(broken), broken)


def test_a_chart_without_numbers_is_caught() -> None:
    chart = Chart("t", '<svg role="img" width="9"><title>t</title><desc>d</desc></svg>', Table((Column("n"),), []))
    text = document([Chapter("a", [Section("b", [chart])])], "t")
    with pytest.raises(AssertionError, match="its numbers"):
        check(parsed(text), text)


def test_a_run_of_many_classes_and_epochs_is_small(tmp_path: Path) -> None:
    made = made_run(tmp_path / "run", epochs=300)
    made.write_evaluation(evaluation(tuple(f"class number {index}" for index in range(1000))))
    page = report_of(made.path, folder=tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 500_000
    assert any("All 1,000 classes" in element.text for element in page.all("summary"))


def test_a_run_with_50_pictures_is_at_most_a_megabyte(tmp_path: Path) -> None:
    made = made_run(tmp_path / "run")
    made.write_details(details(made.path, mistakes=50, side=64))
    page = report_of(made.path, folder=tmp_path)
    assert len(page.all("img")) == 50 and all(one.attributes["alt"] for one in page.all("img"))
    assert (tmp_path / "report.html").stat().st_size < 1_000_000


def test_latency_by_engine_is_there_once_it_was_measured(tmp_path: Path) -> None:
    made = made_run(tmp_path / "run")
    assert f"convscale bench {made.path}" in report_of(made.path, folder=tmp_path).text
    made.write_bench(WHOLE)
    page = report_of(made.path, folder=tmp_path)
    assert "Latency by engine" in headings(page) and "convscale bench" not in page.text
    assert "Milliseconds per batch by engine" in page.text and "they are compared with nothing" in page.text


def test_maps_are_shown_beside_mistakes_and_for_themselves(tmp_path: Path) -> None:
    made = made_run(tmp_path / "run")
    assert f"convscale explain {made.path} IMAGE..." in report_of(made.path, folder=tmp_path).text
    made.explanations.mkdir()
    for index in range(3):
        Image.effect_noise((60, 20), 50).save(made.explanations / f"{index}.webp")
    images = tuple(
        ExplainedImage(f"elsewhere/{index}.jpg", "dog", 0.9, 2.5, ((1.0, 1.5),), 2.5, f"{index}.webp")
        for index in range(3)
    )
    blob = BoxMeasures(0.1, 0.5, 0.5, 0.3)
    against = ControlDifference("pointing", "a centred blob", 0.0, (-0.1, 0.1), 0.95, "no better")
    boxes = BoxScores(3, 0.1, 0.5, 0.5, 0.3, blob, (against,))
    write_record(made.explanations / "explanations.json", Explanations("run", "cam", images, (), boxes, None))
    page = report_of(made.path, folder=tmp_path)
    assert "What it looks at" in headings(page) and "no better than a centred blob: pointing" in page.text
    galleries = [one for one in page.all("ul") if "gallery" in one.attributes.get("class", "")]
    assert [len(one.all("img")) for one in galleries] == [2, 3], "both mistakes have maps"
    assert all("image/webp" in one.attributes["src"] for one in page.all("img"))


def test_pictures_outside_the_run_or_too_large_are_left_out(tmp_path: Path) -> None:
    made = made_run(tmp_path / "run")
    (tmp_path / "secret.png").write_bytes(b"x")
    found = details(made.path, mistakes=3)
    assert found.mistakes is not None
    (made.path / found.mistakes[1].picture).write_bytes(b"x" * 50_000)
    outside = replace(found.mistakes[0], picture="../secret.png")
    made.write_details(replace(found, mistakes=(outside, *found.mistakes[1:])))
    assert len(report_of(made.path, folder=tmp_path).all("img")) == 1


def test_what_eval_would_add_is_named(tmp_path: Path) -> None:
    made = made_run(tmp_path / "run")
    (made.path / "details.json").unlink()
    page = report_of(made.path, folder=tmp_path)
    assert f"convscale eval {made.path} --data photos --keep" in page.text and not page.all("img")
    cell = ConfusionCell(0, 3, 1)
    made.write_details(EvaluationDetails(CLASSES, (cell,), (), ()))
    with pytest.raises(ConfigError, match="a class that it does not name"):
        write_report(made.path, tmp_path / "r.html")
    many = tuple(f"c{index}" for index in range(30))
    made.write_details(EvaluationDetails(many, (cell, ConfusionCell(1, 1, 9)), (), ()))
    page = report_of(made.path, folder=tmp_path)
    assert "There are no mistakes to show" in page.text and "the 1 pairs confused most" in page.text


def test_errors_say_what_and_where(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        write_report(tmp_path / "none", tmp_path / "r.html")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="empty: not a run, a study or a search"):
        write_report(tmp_path / "empty", tmp_path / "r.html")
    made = made_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_report(made.path, tmp_path / "none" / "r.html")
    with pytest.raises(ConfigError, match="something to report on"):
        write_report([], tmp_path / "r.html")
    (made.path / "network.toml").write_text("name = 3")
    with pytest.raises(ConfigError, match=re.escape("network.toml")):
        write_report(made.path, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists() and not list(tmp_path.glob(".r.html*"))


def test_a_damaged_record_leaves_the_old_report(tmp_path: Path) -> None:
    made = made_run(tmp_path / "run")
    write_report(made.path, tmp_path / "r.html")
    before = (tmp_path / "r.html").read_bytes()
    (made.path / "evaluation.json").write_text("{")
    with pytest.raises(ConfigError, match="evaluation"):
        write_report(made.path, tmp_path / "r.html")
    assert (tmp_path / "r.html").read_bytes() == before


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_run(tmp_path / "run")
    file = tmp_path / "r.html"
    found = run_json(capsys, "report", tmp_path / "run", "-o", file)
    assert found == {"path": str(file), "bytes": file.stat().st_size}
    assert run(capsys, "report", tmp_path / "run", "-o", file)[1] == f"wrote {file}: {file.stat().st_size:,} bytes\n"
    code, _, said = run(capsys, "report", tmp_path, "-o", file)
    assert code == 2 and "not a run, a study or a search" in said


def test_it_needs_neither_torch_nor_numpy_to_begin() -> None:
    code = "import sys, convscale.report.writing; print({'torch', 'numpy', 'PIL', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
