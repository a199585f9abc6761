"""Recipes made of the first names train to the bits that they always had, under the ids that they had."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

MADE_WITH = "2.15"
"""The torch that made these weights; another one may round another way."""
SAME_EVERYWHERE = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
}
GOLDEN = {
    "adam": ["4f4a5af93f17c8bd", "233bcbccc19034a9"],
    "adam, weight_decay": ["be51f7a62d3a4dc3", "278f19951bbb5b54"],
    "adamw": ["3dc6af24701db17a", "ee1c964e0e31c24b"],
    "sgd": ["9430089704284c64", "fb6fc758e096b06b"],
    "nesterov": ["2fa3ac58dbde3769", "9cb9d4a47b88a117"],
    "bf16": ["04412ae2ee47a08d", "db00ce9bbc90f927"],
}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors round another way")
@pytest.mark.skipif(not torch.__version__.startswith(MADE_WITH), reason=f"made with torch {MADE_WITH}")
def test_first_names_keep_their_ids_and_their_bits(tmp_path: Path) -> None:
    printed = subprocess.run(
        [sys.executable, Path(__file__).with_name("golden.py"), tmp_path],
        env={**os.environ, **SAME_EVERYWHERE, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert json.loads(printed) == GOLDEN
