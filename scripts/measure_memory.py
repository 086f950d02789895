# SPDX-License-Identifier: Apache-2.0
"""Measure how much memory a study takes: ``python scripts/measure_memory.py`` (Linux, 1.1 GB of disk).

Writes a study of noise to a temporary folder and takes it through parts of ``configs/inference.json``, each in a fresh
process: ``load_image`` alone, all of ``preprocessing``, and ``prepared``, which writes its result as training does.
Compares the rise of the peak resident set with the limit: three times the result's float32 size plus one native frame.
"""

from __future__ import annotations

import math
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigParser
from monai.transforms import Compose

from cardiac4d.command_line import run
from cardiac4d.geometry import TimeAxis
from cardiac4d.io import write_prepared, write_sequence

MEBIBYTE = 2**20
ROOT = Path(__file__).resolve().parents[1]
PREPARED = "prepared"
STAGES = ("load_image", "preprocessing", PREPARED)
"""Ids in ``configs/inference.json``, and its preprocessing with the result written to a prepared study."""


def measure_memory(
    shape: Sequence[int] = (512, 512, 100, 20),
    spacing_mm: Sequence[float] = (0.35, 0.35, 2.0),
    target_mm: Sequence[float] = (1.0, 1.0, 1.0),
    compressed: bool = False,
) -> dict[str, float]:
    """Print sizes, the peak of each stage and their limit in MiB, and their times.

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
        measured = {stage: _in_fresh_process(stage, path, target_mm) for stage in STAGES}
    frame, result = math.prod(shape[:3]) * 2, 4 * measured["preprocessing"][2]
    sizes = {"native_frame": frame, "result_float32": result, "limit": 3 * result + frame}
    sizes |= {f"{stage}_peak_rise": rise for stage, (rise, _, _) in measured.items()}
    report = {f"{name}_mib": size / MEBIBYTE for name, size in sizes.items()}
    report |= {f"{stage}_seconds": seconds for stage, (_, seconds, _) in measured.items()}
    return {name: round(value, 1) for name, value in report.items()}


def _in_fresh_process(stage: str, path: Path, target_mm: Sequence[float]) -> tuple[int, float, int]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(run_and_measure, stage, str(path), tuple(target_mm)).result()


def write_noise(path: Path, shape: Sequence[int], spacing_mm: Sequence[float]) -> None:
    """Write int16 noise, the same in each frame, so that this process stays small too."""
    frame = np.random.default_rng(0).integers(-1024, 1024, shape[:3], dtype=np.int16)
    voxels = np.broadcast_to(frame[..., None], tuple(shape))
    write_sequence(path, voxels, np.diag([*spacing_mm, 1.0]), TimeAxis.uniform(shape[3], 0.05))


def run_and_measure(stage: str, path: str, target_mm: Sequence[float]) -> tuple[int, float, int]:
    """Rise of the peak resident set in bytes, seconds, and voxels of the result."""
    transform = stage_of_inference(stage, target_mm)
    transform({"image": path, "frames": [0]})  # what is imported and allocated once is not the study's
    before, start = peak_resident_bytes(reset=True), time.perf_counter()
    image = transform({"image": path})["image"]
    return peak_resident_bytes() - before, time.perf_counter() - start, image.numel()


def stage_of_inference(stage: str, target_mm: Sequence[float]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """One of :data:`STAGES` at ``target_mm``."""
    if stage == PREPARED:
        return Compose([stage_of_inference("preprocessing", target_mm), _written])
    parser = ConfigParser()
    parser.read_config(ROOT / "configs" / "inference.json")
    parser["bundle_root"], parser["spacing_mm"] = str(ROOT), list(target_mm)
    return parser.get_parsed_content(stage)


def _written(item: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        write_prepared(Path(folder) / "study.pt", {"image": item["image"]})
    return item


def peak_resident_bytes(*, reset: bool = False) -> int:
    """This process's peak resident set (VmHWM); ``reset`` starts counting anew from what is resident now."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])


if __name__ == "__main__":
    run(measure_memory)
