"""convscale bench: what it answers, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from convscale.records import Bench, read_record
from convscale.records.quoted import TABLE4
from tests import benches
from tests.cli.calling import run, run_json

SHORT = ("--seconds", "0.01")


@pytest.fixture(autouse=True)
def without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory takes a process for every row."""
    monkeypatch.setattr("convscale.deploy.peak_memory.Measuring.peak", lambda *_: 123_000_000)


def test_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = run_json(capsys, "bench", "tiny-mbconv", "small-mbconv", *SHORT, "-o", tmp_path / "bench.json")
    assert list(found) == ["rows", "quoted", "not_benched", "measured", "environment", "when"]
    assert [row["network"] for row in found["rows"]] == ["tiny-mbconv", "small-mbconv"]
    for row in found["rows"]:
        assert list(row) == [
            "network", "engine", "dtype", "threads", "batch", "median_ms", "p10_ms", "p90_ms", "mean_ms", "n",
            "peak_memory_bytes", "max_relative_difference", "busy", "wall_over_cpu", "anchor_ms",
        ]  # fmt: skip
        assert (row["engine"], row["dtype"], row["threads"], row["batch"]) == ("eager", "float32", 1, 1)
        assert row["peak_memory_bytes"] == 123_000_000
    kept = read_record(tmp_path / "bench.json")
    assert isinstance(kept, Bench) and kept.as_dict() == found


def test_table_and_picture(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(
        capsys, "bench", "tiny-mbconv", "--end-to-end", "--batch", "2", *SHORT, "--picture", tmp_path / "b.png"
    )
    assert code == 0 and "tiny-mbconv" in out and "123MB" in out
    assert "from the bytes of its images to the predictions of 2 images on 1 thread" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.pdf", "b.png", "b.svg"] and "wrote" in err


def test_table_4(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [benches.row("eager", 500.0, network=name) for name in ("resnet-152", "efficientnet-b1", "efficientnet-b7")]
    planted = benches.bench(rows, quoted=TABLE4)
    monkeypatch.setattr(
        "convscale.deploy.benching.bench_table4", lambda engines: planted if engines == ("eager",) else 0
    )
    found = run_json(capsys, "bench", "--table4")
    assert [(one["network"], one["seconds"]) for one in found["quoted"]] == [
        ("resnet-152", 0.554), ("efficientnet-b1", 0.098), ("gpipe", 19.0), ("efficientnet-b7", 3.1),
    ]  # fmt: skip
    code, out, _ = run(capsys, "bench", "--table4")
    assert code == 0 and "table 4, quoted" in out and "quoted only" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a network"),
        (("tiny-mbconv", "--batch", "0"), "0 is not in the range"),
        (("tiny-mbconv", "--threads", "0"), "0 is not in the range"),
        (("tiny-mbconv", "--seconds", "0"), "0"),
        (("tiny-mbconv", "--dtype", "float16"), "'float16' is not allowed"),
        (("tiny-mbconv", "--engine", "eager,"), "'' is not allowed"),
        (("tiny-mbconv", "--engine", "eagre"), "unknown engine 'eagre'"),
        (("tiny-mbcomv",), "unknown network"),
        (("tiny-mbconv", "-o", "nowhere/bench.json"), "no file can be written there"),
        (("tiny-mbconv", "--table4"), "--table4 has its own networks"),
        (("--table4", "--batch", "2"), "--table4 has its own networks"),
    ],
)
def test_what_is_refused(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str) -> None:
    code, out, err = run(capsys, "bench", *arguments)
    assert code == 2 and said in err and not out and "Traceback" not in err
