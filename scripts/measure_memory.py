# SPDX-License-Identifier: Apache-2.0
"""Measure how much memory loading a study takes: ``python scripts/measure_memory.py`` (Linux, 1.1 GB of disk).

Writes a study of noise to a temporary folder, loads it with ``LoadSequenced`` in a fresh process and compares the rise
of the peak resident set with the limit: three times the result's float32 size plus one native frame.
"""

from __future__ import annotations

import math
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import fire
import numpy as np

from cardiac4d.geometry import TimeAxis
from cardiac4d.io import write_sequence
from cardiac4d.transforms import LoadSequenced

MEBIBYTE = 2**20


def measure_memory(
    shape: Sequence[int] = (512, 512, 100, 20),
    spacing_mm: Sequence[float] = (0.35, 0.35, 2.0),
    target_mm: Sequence[float] = (1.0, 1.0, 1.0),
    compressed: bool = False,
) -> dict[str, float]:
    """Print sizes, peak and limit in MiB, and the loading time.

    Args:
        shape: H, W, D, T of the study, int16.
        spacing_mm: its voxel spacing.
        target_mm: spacing to load it at.
        compressed: write .nii.gz instead of .nii (slow).

    Returns:
        What was printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("study.nii.gz" if compressed else "study.nii")
        write_noise(path, shape, spacing_mm)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            peak_rise, seconds, voxels = pool.submit(load_and_measure, str(path), tuple(target_mm)).result()
    sizes = {
        "native_frame_mib": math.prod(shape[:3]) * 2 / MEBIBYTE,
        "result_float32_mib": voxels * 4 / MEBIBYTE,
        "peak_rise_mib": peak_rise / MEBIBYTE,
    }
    limit = 3 * sizes["result_float32_mib"] + sizes["native_frame_mib"]
    return {name: round(value, 1) for name, value in {**sizes, "limit_mib": limit, "seconds": seconds}.items()}


def write_noise(path: Path, shape: Sequence[int], spacing_mm: Sequence[float]) -> None:
    """Write int16 noise, the same in each frame, so that this process stays small too."""
    frame = np.random.default_rng(0).integers(-1024, 1024, shape[:3], dtype=np.int16)
    voxels = np.broadcast_to(frame[..., None], tuple(shape))
    write_sequence(path, voxels, np.diag([*spacing_mm, 1.0]), TimeAxis.uniform(shape[3], 0.05))


def load_and_measure(path: str, target_mm: Sequence[float]) -> tuple[int, float, int]:
    """Rise of the peak resident set in bytes, seconds, and voxels of the result."""
    load = LoadSequenced("image", spacing_mm=target_mm)
    load({"image": path, "frames": [0]})
    before, start = peak_resident_bytes(reset=True), time.perf_counter()
    loaded = load({"image": path})["image"]
    return peak_resident_bytes() - before, time.perf_counter() - start, loaded.numel()


def peak_resident_bytes(*, reset: bool = False) -> int:
    """This process's peak resident set (VmHWM); ``reset`` starts counting anew from what is resident now."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])


if __name__ == "__main__":
    fire.Fire(measure_memory)
