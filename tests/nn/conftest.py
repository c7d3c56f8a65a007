"""What the tests of several processes share: photographs, the uninterrupted run, and a watch for leftovers."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images import digit_photos
from tests.nn.several import LIVELY, arguments, side_by_side, telling_states


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits of three classes as files: 84 to train on, 21 held out."""
    return digit_photos(tmp_path_factory.mktemp("photos"), 35)


@pytest.fixture
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """No process that has this test's folder in its command line outlives it."""
    yield
    for _ in range(100):
        left = subprocess.run(["pgrep", "-af", str(tmp_path)], capture_output=True, text=True).stdout
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(left)


@pytest.fixture(scope="session")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of two processes that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    assert side_by_side(telling_states(folder, arguments(photos, folder / "run", LIVELY))) == [0, 0]
    return folder / "run"
