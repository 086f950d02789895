# SPDX-License-Identifier: Apache-2.0
"""Studies are streamed: preprocessing stays under the limit, loading takes the result and a few frames."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.process import run_python
from tests.helpers.sequences import write_nifti

MEBIBYTE = 2**20
NO_PROC = pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
SMALL_SHAPE = (144, 144, 64, 12)
SHAPE = (320, 320, 48, 12)
FRAMES_BESIDE_THE_RESULT = 6


@NO_PROC
@pytest.mark.parametrize("stage", ["preprocessing", pytest.param("prepared", marks=pytest.mark.slow)])
def test_a_stage_needs_less_than_three_times_its_result(stage: str, repo_root: Path, tmp_path: Path) -> None:
    study = write_nifti(tmp_path / "study.nii", np.zeros(SMALL_SHAPE, np.int16), np.eye(4))
    code = "import sys; from measure_memory import run_and_measure as run; print(*run(*sys.argv[1:], (1.0, 1.0, 1.0)))"
    path = {"PYTHONPATH": f"{repo_root / 'bundle'}:{repo_root / 'scripts'}"}
    rise, _, voxels = map(float, run_python("-c", code, stage, study, cwd=tmp_path, env=path).split())
    assert voxels == math.prod(SMALL_SHAPE)
    result, native_frame = voxels * 4, math.prod(SMALL_SHAPE[:3]) * 2
    assert rise < 3 * result + native_frame
    assert rise > result, "the measurement missed the result itself"


@pytest.mark.slow
@NO_PROC
def test_peak_memory_of_loading_is_that_of_the_result_and_a_few_frames(repo_root: Path) -> None:
    path = {"PYTHONPATH": str(repo_root / "bundle")}
    output = run_python("scripts/measure_memory.py", f"--shape={SHAPE}", cwd=repo_root, env=path)
    measured = {name: float(value) for name, value in (line.split(":") for line in output.splitlines() if ":" in line)}
    frame = math.prod(SHAPE[:3]) * 4 / MEBIBYTE
    result, loading = measured["result_float32_mib"], measured["load_image_peak_rise_mib"]
    assert loading < result + FRAMES_BESIDE_THE_RESULT * frame
    assert loading > result, "the measurement missed the result itself"
    assert measured["preprocessing_peak_rise_mib"] < measured["limit_mib"]
