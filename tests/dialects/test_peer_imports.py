"""A library is imported beside a torchvision that works, and beside one that lacks its compiled part."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.forking import run_forked

DECLARES = """
from torch import library
KEPT = library.Library("torchvision", "DEF")  # as its compiled part does; a second time ends a process
KEPT.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
ASKS = """
import torch
if not hasattr(torch.ops.torchvision, "nms"):
    raise RuntimeError("operator torchvision::nms does not exist")
"""
CODE = """
import sys
sys.path.insert(0, sys.argv[1])
from convscale.dialects.peers import library
print(library("peer").torchvision.__name__, library("torchvision").__file__.startswith(sys.argv[1]))
"""


@pytest.mark.parametrize("torchvision", [DECLARES, ASKS], ids=["works", "lacks its operators"])
def test_torchvision_is_imported_first(tmp_path: Path, torchvision: str) -> None:
    (tmp_path / "torchvision.py").write_text(torchvision)
    (tmp_path / "peer.py").write_text("import torchvision\n")
    done = run_forked("-c", CODE, tmp_path)
    assert done.returncode == 0 and done.stdout == "torchvision True\n", done.stderr
