# SPDX-License-Identifier: Apache-2.0
"""Measure how long a report takes and how much memory: ``python scripts/benchmark_report.py`` (Linux, 0.4 GB of disk).

Writes a beating ventricle in noise to a temporary folder, measures and reports it in a fresh process, and prints wall
time, processor time, the peak resident set of the process and the size of the page. Noise compresses worst.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from cardiac4d.command_line import run
from cardiac4d.geometry import TimeAxis
from cardiac4d.io import write_sequence
from cardiac4d.workflows import report_label_maps

CAVITY_HU, WALL_HU, AROUND_HU, NOISE_HU = 420, 110, -300, 30
WALL_MM, SHORTENING, THICKENING = 8.0, 0.3, 0.4


def benchmark_report(
    shape: Sequence[int] = (200, 200, 140, 20),
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    num_threads: int = 2,
    *,
    with_reference: bool = False,
) -> dict[str, float]:
    """Print what the report of one study takes.

    Args:
        shape: H, W, D, T of the study, int16.
        spacing_mm: its voxel spacing.
        num_threads: that torch may use.
        with_reference: compare with a label map of every frame too, as an evaluation does.

    Returns:
        Seconds of wall and processor time, peak memory in MiB, and the size of the page in MB.
    """
    with tempfile.TemporaryDirectory() as folder:
        image, labels = write_ventricle(Path(folder), shape, spacing_mm)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            reference = labels if with_reference else None
            files = (image, labels, reference, Path(folder) / "reports")
            found = pool.submit(report_and_measure, *files, num_threads).result()
    return {name: round(value, 1) for name, value in found.items()}


def write_ventricle(folder: Path, shape: Sequence[int], spacing_mm: Sequence[float]) -> tuple[Path, Path]:
    """Write image and label map of a half ellipsoid that contracts and thickens; return their paths."""
    rng, time_axis = np.random.default_rng(0), TimeAxis.uniform(shape[3], 0.9 / shape[3], full_cycle=True)
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape[:3], spacing_mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    labels = np.zeros(shape, np.uint8)
    for t in range(shape[3]):
        systole = 0.5 - 0.5 * np.cos(2 * np.pi * t / shape[3])
        radius, length = 25 * (1 - SHORTENING * systole), 70 * (1 - 0.15 * systole)
        wall, depth = WALL_MM * (1 + THICKENING * systole), length / 2 - z
        across = np.hypot(x, y)
        outside = (across / (radius + wall)) ** 2 + (depth / (length + wall)) ** 2
        inside = (across / radius) ** 2 + (depth / length) ** 2
        labels[..., t] = np.where(depth < 0, 0, np.where(inside < 1, 1, np.where(outside < 1, 2, 0)))
    image = np.array([AROUND_HU, CAVITY_HU, WALL_HU], np.int16)[labels]
    for t in range(shape[3]):
        image[..., t] += (NOISE_HU * rng.standard_normal(shape[:3], np.float32)).astype(np.int16)
    affine = np.diag([*spacing_mm, 1.0])
    return (
        write_sequence(folder / "study.nii", image, affine, time_axis),
        write_sequence(folder / "study_labels.nii", labels, affine, time_axis),
    )


def report_and_measure(
    image: Path, labels: Path, reference: Path | None, output_dir: Path, num_threads: int
) -> dict[str, float]:
    """Report one study in this process, whose whole memory counts, that of the imports too."""
    torch.set_num_threads(num_threads)
    start, processor = time.perf_counter(), time.process_time()
    page = report_label_maps(image, labels, output_dir, reference=reference, full_cycle=True)
    return {
        "seconds": time.perf_counter() - start,
        "processor_seconds": time.process_time() - processor,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "page_mb": page.stat().st_size / 1e6,
    }


if __name__ == "__main__":
    run(benchmark_report)
