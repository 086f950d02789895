# SPDX-License-Identifier: Apache-2.0
"""DICOM results opened again: what an independent checker finds, and the voxels they hold."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest


def standard_errors(path: Path) -> list[str]:
    """The errors that ``dciodvfy`` of dicom3tools finds; skips the test where it is not installed."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    run = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
    return [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]


def dump(path: Path) -> str:
    """What ``dsrdump`` of dcmtk prints of a report, which it reads strictly; skips where it is not installed."""
    if shutil.which("dsrdump") is None:
        pytest.skip("dsrdump (dcmtk) is not installed")
    run = subprocess.run(["dsrdump", "+Pl", str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def random_labels(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Labels 0, 1 and 2 in every slice but the first, uint8."""
    labels = np.random.default_rng(seed).integers(0, 3, shape).astype(np.uint8)
    labels[:, :, 0] = 0
    return labels
