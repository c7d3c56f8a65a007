"""Tables of benches: what was disturbed is compared with nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convscale.records.quoted import TABLE4
from convscale.report.bench import bench_tables, bench_text, table4_table
from convscale.report.tables import terminal_lines
from convscale.terminal import columns
from tests.benches import ROWS, WHOLE, bench, row


def test_a_table_for_each_network_the_fastest_first() -> None:
    first, second = bench_tables(WHOLE)
    assert (first.title, second.title) == ("small-mbconv", "efficientnet-b7")
    assert [line[0] for line in first.rows] == ["openvino", "auto: packed", "packed", "eager", "onnxruntime"]
    assert [line[6] for line in first.rows] == [4.0, 2.5, 2.0, 1.0, None], "what was busy is not compared"
    assert [line[-1] for line in first.rows] == [None] * 4 + ["busy"]
    assert second.cells()[0][2] == "1,234"


def test_nothing_is_compared_with_a_baseline_that_was_disturbed() -> None:
    busy = replace(WHOLE, rows=(replace(ROWS[0], busy=True), *ROWS[1:]))
    assert {line[6] for line in bench_tables(busy)[0].rows} == {None}
    (table,) = bench_tables(bench([row("eager", 3.0, dtype="bfloat16"), row("packed", 2.0)]))
    assert {line[6] for line in table.rows} == {None}, "nor with eager in other numbers"


@pytest.mark.parametrize("width", [45, 80])
def test_tables_fit(width: int) -> None:
    for table in (*bench_tables(WHOLE), table4_table(replace(WHOLE, quoted=TABLE4))):
        assert max(map(columns, terminal_lines(table, width))) <= width


def test_a_row_takes_one_line_of_80_columns() -> None:
    first = bench_tables(WHOLE)[0]
    lines = terminal_lines(first, 80)
    assert sum(line.startswith(("openvino", "auto", "packed", "eager", "onnxruntime")) for line in lines) == 5
    assert len(lines) <= 5 + 3, "a title and a heading of two lines"


def test_how_and_where_it_was_measured() -> None:
    text = "\n".join(bench_text(WHOLE))
    for part in ("a batch of 1 image on 1 thread", "anchor 4.20 ms", "A Processor, 2 cores", "torch 2.13.0",
                 "busy: 1 of 6 rows took up to 2.6 times",
                 "compile does not run small-mbconv in bf16: no such operator"):  # fmt: skip
        assert part in text
    assert "not installed" not in text and "busy" not in "\n".join(bench_text(bench(ROWS[:2])))
    assert "from the bytes of its images" in bench_text(replace(WHOLE, measured="images"))[0]


def test_table_4_has_quoted_figures_beside_those_of_here() -> None:
    rows = [
        row("eager", 900.0, network="resnet-152", mean_ms=1000.0),
        row("eager", 1.0, network="efficientnet-b1", mean_ms=250.0),
        row("eager", 1.0, network="efficientnet-b7", mean_ms=6000.0),
    ]
    table = table4_table(bench(rows, quoted=TABLE4))
    times = [column.name for column in table.columns].index("times here")
    assert [line[times] for line in table.rows] == [None, 4.0, None, None]
    assert [line[3] for line in table.rows] == [
        None,
        pytest.approx(5.65, abs=0.01),
        None,
        pytest.approx(6.13, abs=0.01),
    ]
    assert [line[-1] for line in table.rows] == [None, None, "quoted only", None] and "quoted" in table.title
    busy = [replace(rows[0], busy=True), *rows[1:]]
    assert table4_table(bench(busy, quoted=TABLE4)).rows[1][times] is None
