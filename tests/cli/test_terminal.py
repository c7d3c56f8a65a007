"""What a person sees in a real terminal of 45, 80 and 200 columns: nothing is cut, nothing is lost, nothing scrolls."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import click
import pytest

import convscale as cs
from convscale.cli.parameters import Numbers
from convscale.studies.running import run_study
from convscale.studies.spec import read_study
from tests.forking import run_forked
from tests.images import digit_photos
from tests.terminals import CODES, Seen, convscale, on_terminal
from tests.works import Inline, odd

WIDTHS = (45, 80, 200)
PLAN = ("plan", "efficientnet-b0", "--macs", "1G", "--params", "9M", "--inference-memory", "64MB")
COMMANDS = [
    ("list",), ("show", "efficientnet-b0"), ("cost", "resnet-50"), PLAN, ("study", "list"), ("data", "sets"),
    ("family", "efficientnet-b0", "--phi", "0..3"), ("scale", "efficientnet-b0", "--phi", "1"),
    ("weights", "list", "efficientnet-b0"),
]  # fmt: skip
SLOW = [("data", "check", "digits"), ("doctor",)]


@cache
def piped(*arguments: object, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the same command writes where no terminal is."""
    return run_forked("-m", "convscale", *arguments, folder=folder, environment={"TERM": "xterm"} | environment)


def letters(text: str) -> Counter[str]:
    return Counter("".join(text.split()))


def assert_fits(seen: Seen, columns: int) -> None:
    """Every line that was written, drawn over or not, is at most as wide as the terminal."""
    assert seen.drawn and max(map(len, seen.drawn)) <= columns, max(seen.drawn, key=len)


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("arguments", [*COMMANDS, *SLOW], ids=" ".join)
def test_nothing_is_cut_or_lost(arguments: tuple[str, ...], columns: int, tmp_path: Path) -> None:
    seen, plain = convscale(columns, *arguments, folder=tmp_path), piped(*arguments)
    assert seen.code == plain.returncode == 0, seen.text
    assert_fits(seen, columns)
    assert "\u2026" not in seen.text and "\x1b" not in plain.stdout
    if arguments != ("doctor",):  # load and free memory change from one call to the next
        assert not letters(plain.stdout.split("\n", 1)[1]) - letters(seen.text)


def test_the_budget_that_is_broken_keeps_its_mark() -> None:
    for columns in WIDTHS:
        text = convscale(columns, *PLAN).text
        assert all(figure in text for figure in ("131.9%!", "117.4%!", "104.5%!", "x1.084", "79.2%"))
    assert len(convscale(80, *PLAN).text.rstrip().splitlines()) <= 22, "two lines a row at 80 columns"


def test_a_pipe_is_as_wide_as_needed() -> None:
    lines = piped("list").stdout.splitlines()
    assert max(map(len, lines)) > 100 and len(lines) > 30 and not CODES.search(piped(*PLAN).stdout)


def test_colours_are_for_terminals_that_want_them(tmp_path: Path) -> None:
    wrong = ("cost", "efficientnet-b9")
    seen = convscale(80, *wrong)
    assert seen.code == 2 and "\x1b[31merror:\x1b[0m" in seen.raw and "\x1b[2mhint: " in seen.raw
    assert "\x1b[1m" in convscale(80, "list").raw
    without = convscale(80, *wrong, NO_COLOR="1").raw
    assert "\x1b[31m" not in without and "error: " in without
    for arguments in (wrong, ("list",)):
        assert not CODES.search(convscale(80, *arguments, TERM="dumb").raw)
        plain = piped(*arguments)
        assert not CODES.search(plain.stdout + plain.stderr)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    done = piped(*TRAIN, "-o", "run", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


TRAIN = ("train", "small-resnet", "--data", "digits", "--recipe", "digits", "--epochs", "1", "--resolution", "16")


@pytest.mark.parametrize("columns", (45, 80))
def test_the_live_line_of_a_training_never_scrolls(columns: int, tmp_path: Path) -> None:
    seen = convscale(columns, *TRAIN, "-o", "run", folder=tmp_path)
    assert seen.code == 0, seen.text
    assert_fits(seen, columns)
    drawings = [line for line in seen.drawn if line.startswith("epoch 1/1  [") or re.match(r"epoch 1/1  \d+%", line)]
    assert len(drawings) >= 3, "the live line was drawn"
    assert any("[#" in line for line in drawings) or columns == 45
    assert all(re.search(r"\d+%  [\d.]+k? images/s", line) for line in drawings)
    shown = [line for line in seen.lines if line]
    assert not [line for line in shown if line in drawings], "a drawing stayed on the screen"
    (ended,) = [line for line in shown if line.startswith("epoch ")]
    assert ended.startswith("epoch 1/1  loss ") and not re.search(r"left(?! out).*note", seen.text)
    notes = [line for line in shown if "note:" in line]
    assert notes and all(line.startswith("note: ") for line in notes)


def test_a_fit_says_its_notes_and_plan_above_the_live_line(tmp_path: Path) -> None:
    digit_photos(tmp_path / "photos", 40)
    (tmp_path / "photos" / "film.mov").touch()
    fit = ("fit", "photos", "--macs", "300k", "--epochs", "2", "--batch", "4", "--recipe", "small-images", "-o", "run")
    seen = convscale(45, *fit, folder=tmp_path)
    assert seen.code == 0, seen.text
    assert all(len(line) <= 45 or str(tmp_path) in line for line in seen.drawn), "a path is one word"
    shown = [line for line in seen.lines if line]
    labels = [line.split()[0] for line in shown if re.match(r"[a-z]+:? ", line)]
    plan = ["data", "baseline", "law", "network", "budget"]
    assert labels[:7] == ["note:", *plan, "run"] and shown[0].startswith("note: 1 file not read: .mov (1)")
    assert labels[-9:] == [*plan, "training", "accuracy", "run", "next"]
    drawings = [line for line in seen.drawn if re.match(r"epoch \d/2  (\[|\d+%)", line)]
    assert len(drawings) >= 3 and not [line for line in shown if line in drawings], "a drawing stayed on the screen"
    assert all(line.startswith("note: ") for line in shown if "note:" in line)


@pytest.mark.parametrize(
    ("columns", "arguments"),
    [
        (45, ("eval", "run", "--data", "digits")),
        (80, ("eval", "run", "--data", "digits", "--resolution", "8,16", "--crop", "1,0.8")),
        (45, ("show", "run/weights.safetensors")),
    ],
)
def test_what_is_said_of_a_run_fits(trained: Path, columns: int, arguments: tuple[str, ...]) -> None:
    seen = convscale(columns, *arguments, folder=trained)
    assert seen.code == 0, seen.text
    assert_fits(seen, columns)
    assert "evaluating" not in seen.text, "the live line is taken away"
    pace = re.compile(r"[\d,]+(?= images per second)|[\d,]+$", re.MULTILINE)  # another one each time
    assert not letters(pace.sub("", piped(*arguments, folder=trained).stdout)) - letters(seen.text)


def test_an_error_after_a_live_line_begins_a_line() -> None:
    code = """
import time
from convscale import terminal
from convscale.cli.main import _fail
from convscale.progress import Progress, print_note
progress = Progress(100)
for step in range(4):
    time.sleep(0.21)
    progress.step("a text that is far too long for this narrow terminal " * 2, pace="3 images/s")
    if step == 1:
        print_note("short")
_fail("broken", "mend it", 1)
"""
    seen = on_terminal(45, "-c", code)
    assert [line for line in seen.lines if line] == ["note: short", "error: broken", "hint: mend it"]
    assert_fits(seen, 45)


def test_the_board_of_a_study_stays_where_it_is(tmp_path: Path) -> None:
    """More trials at once than the terminal has rows: drawn again and again, gone at the end."""
    seen = on_terminal(45, "-c", BOARD, str(tmp_path))
    assert seen.code == 0, seen.text
    assert_fits(seen, 45)
    assert len([line for line in seen.drawn if "of 40 trials" in line]) >= 3
    assert [line for line in seen.lines if line] == ["trial 3 failed: no memory", "done"]


BOARD = """
import sys, time
from pathlib import Path
import convscale as cs
from convscale.records import DataChoice
from convscale.recipes import recipe
from convscale.trials.executor import Attempt
from convscale.trials.live_board import TrialBoard
from convscale.trials.trial import Trial, TrialRecord
data = DataChoice(source="digits", train_images=100, test_images=100)
network = cs.network("small-mbconv").at_resolution(16)
trials = {n: Trial(network=network, recipe=recipe("digits"), seed=n, data=data) for n in range(40)}
with TrialBoard(trials, 40, quiet=False) as board:
    for number, trial in trials.items():
        board.begin(Attempt(trial_number=number, number=1, trial=trial, run=Path(sys.argv[1]) / str(number)))
    for turn in range(4):
        time.sleep(0.51)
        board.show()
        if turn == 1:
            board.end(TrialRecord(number=3, key="k", run="", attempts=1, result=None, failure="no memory"))
print("done")
"""


@pytest.mark.long
def test_the_status_of_a_study_with_failures_fits(tmp_path: Path) -> None:
    run_study(read_study("demo"), tmp_path / "study", Inline(odd), quiet=True)
    status = ("study", "status", tmp_path / "study")
    plain = piped(*status).stdout
    assert "the accuracy is inf" in plain
    for columns in WIDTHS:
        seen = convscale(columns, *status)
        assert_fits(seen, columns)
        # what no row has is left out, heading and all, where each cell has a line of its own
        assert not letters(plain.partition("\n")[2]) - letters(seen.text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("study", "run", "demo", "--dry-run"),
        ("coefficients", "small-mbconv", "--data", "digits", "--resolution", "16", "--images", "100", "--test-images",
         "100", "--lengths", "1,2", "--dry-run"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_dry_runs_fit(arguments: tuple[str, ...]) -> None:
    seen = convscale(45, *arguments)
    assert seen.code == 0, seen.text
    assert_fits(seen, 45)


def test_completion() -> None:
    script = run_forked("-m", "convscale", environment={"_CONVSCALE_COMPLETE": "bash_source"})
    assert "complete -o nosort -F _convscale_completion convscale" in script.stdout
    for words, wanted in (("pl", "plan"), ("study st", "status"), ("cost --res", "--resolution")):
        typed = {"COMP_WORDS": f"convscale {words}", "COMP_CWORD": str(words.count(" ") + 1)}
        found = run_forked("-m", "convscale", environment={"_CONVSCALE_COMPLETE": "bash_complete"} | typed)
        assert found.stdout.split() == [f"plain,{wanted}"], found.stderr


NUMBERS = Numbers(int, "2,6,18")
SIDES = Numbers(float, "0.5, or 0.4,0.5,0.6", counts=(1, 3))
BOUND = Numbers(int, "224,256", between=(1, 512))


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        (NUMBERS, "2,6,18", (2, 6, 18)), (NUMBERS, " 2, 6", (2, 6)), (SIDES, "0.5", (0.5,)),
        (SIDES, "1,2,3e-1", (1, 2, 0.3)), (BOUND, "512", (512,)),
        (NUMBERS, "", "'' is not a whole number"), (NUMBERS, "2,", "'' is not"),
        (NUMBERS, "2.5", "'2.5' is not a whole number; write several like 2,6,18"), (NUMBERS, "0..3", "'0..3' is not"),
        (SIDES, "1,2", "'1,2' has 2 numbers, which is not allowed; write 0.5, or"), (BOUND, "513", "from 1 to 512"),
        (BOUND, "nan", "'nan' is not a whole number from 1"),
    ],
)  # fmt: skip
def test_lists_of_numbers(kind: Numbers, text: str, found: tuple[float, ...] | str) -> None:
    if isinstance(found, tuple):
        numbers = kind.convert(text, None, None)
        assert numbers == found and all(type(number) is kind.kind for number in numbers)
        return
    with pytest.raises(click.BadParameter) as raised:
        kind.convert(text, None, None)
    assert found in raised.value.message


def test_the_number_of_networks_is_that_of_the_catalog() -> None:
    from convscale.catalog import CATALOG

    text = convscale(45, "list").text
    assert all(name in text for name in CATALOG) and cs.cost(cs.network("resnet-50")).params == 25557032
