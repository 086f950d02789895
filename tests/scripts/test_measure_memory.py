# SPDX-License-Identifier: Apache-2.0
"""Loading streams: the peak is that of the result and a few frames, not of the sequence."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from tests.helpers.process import run_python

SHAPE = (320, 320, 48, 12)
FRAMES_BESIDE_THE_RESULT = 6


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_peak_memory_is_that_of_the_result_and_a_few_frames(repo_root: Path) -> None:
    path = {"PYTHONPATH": str(repo_root / "bundle")}
    output = run_python("scripts/measure_memory.py", f"--shape={SHAPE}", cwd=repo_root, env=path)
    measured = {name: float(value) for name, value in (line.split(":") for line in output.splitlines() if ":" in line)}
    frame = math.prod(SHAPE[:3]) * 4 / 2**20
    assert measured["peak_rise_mib"] < measured["result_float32_mib"] + FRAMES_BESIDE_THE_RESULT * frame
    assert measured["peak_rise_mib"] > measured["result_float32_mib"], "the measurement missed the result itself"
