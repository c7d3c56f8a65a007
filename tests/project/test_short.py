"""What `make test` leaves out of all tests: more than three of a kind, and the longest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest

@pytest.mark.parametrize("n", range(7))
def test_of_seven(n): pass

@pytest.mark.parametrize("n", range(2))
def test_of_two(n): pass

@pytest.mark.long
def test_that_takes_long(): pass

@pytest.mark.parametrize("n", [pytest.param(0, marks=pytest.mark.long), 1, 2, 3, 4])
def test_with_a_long_member(n): pass

def test_alone(): pass
"""


@pytest.mark.long
def test_short_keeps_three_of_each_kind_and_none_of_the_longest(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "from tests.conftest import pytest_addoption, pytest_collection_modifyitems\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = long: takes long\n")
    (tmp_path / "test_kinds.py").write_text(TESTS)
    everything, short = collected(tmp_path), collected(tmp_path, "--short")
    assert {kind: len(members) for kind, members in everything.items()} == {
        "test_of_seven": 7, "test_of_two": 2, "test_that_takes_long": 1, "test_with_a_long_member": 5, "test_alone": 1,
    }  # fmt: skip
    assert short == {
        "test_of_seven": ["0", "3", "6"], "test_of_two": ["0", "1"], "test_with_a_long_member": ["1", "3", "4"],
        "test_alone": [""],
    }  # fmt: skip


def collected(folder: Path, *options: str) -> dict[str, list[str]]:
    """The members of each test that pytest would run there, by the name of the test."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *options, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    kinds = defaultdict(list)
    for line in done.stdout.splitlines():
        if "::" in line:
            kind, _, member = line.partition("::")[2].partition("[")
            kinds[kind].append(member.rstrip("]"))
    return dict(kinds)
