"""Fixtures for all tests. One thread a test process: several run at once."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "0")

import pytest
import torch
from hypothesis import settings

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
