"""Fixtures for all tests. One thread a test process: several run at once."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start, too
os.environ.setdefault("GOMP_SPINCOUNT", "0")
if not os.environ.get("CONVSCALE_GPU"):  # most tests ask for the same bits twice, which a GPU does not promise
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("KERAS_BACKEND", "torch")  # read when Keras is imported, whichever test does it first
# Hugging Face datasets reads this when it is imported: nothing is written to the real home.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="convscale-hub-")

import pytest
import torch
from hypothesis import settings

# Their asserts say what failed, as those of test files do.
HELPERS = (
    "tests.cli.calling", "tests.planning.measures", "tests.trials.small_trials", "tests.training.small_runs",
    "tests.nn.several", "tests.studies.planted",
)  # fmt: skip
pytest.register_assert_rewrite(*HELPERS)

atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)
torch.set_num_threads(1)
settings.register_profile("here", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("here")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets that CONVSCALE_TEST_DATA names; tests that need it skip without."""
    folder = os.environ.get("CONVSCALE_TEST_DATA")
    if not folder:
        pytest.skip("CONVSCALE_TEST_DATA is not set: no real data sets here")
    return Path(folder)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--short", action="store_true", help="three members of each kind, and no test marked `long`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of trials come first: they wait for other processes, beside which the rest computes."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/trials/"))
    if config.getoption("--short"):
        kept = short_selection(items)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = [item for item in items if item in kept]


def short_selection(items: Sequence[pytest.Item]) -> set[pytest.Item]:
    """Of each test with parameters its first, its middle and its last member; nothing that is marked `long`."""
    kinds: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("long") is None:
            kinds.setdefault(item.nodeid.partition("[")[0], []).append(item)
    return {of_a_kind[at] for of_a_kind in kinds.values() for at in (0, len(of_a_kind) // 2, -1)}
