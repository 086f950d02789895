# SPDX-License-Identifier: Apache-2.0
"""Compare ways to feed a training: ``python scripts/benchmark_loader.py --dataset_dir data/phantom``.

The same studies, transforms and crops as ``configs/train.json``, one process, four ways: read and resampled for every
crop; kept in memory as float32 (MONAI's ``CacheDataset``); prepared once on disk; prepared, and resident in the memory
of the GPU, or of the CPU where there is none. Prints crops per second and ratios. The ways take turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import CacheDataset, Dataset
from monai.transforms import Compose

from cardiac4d.command_line import run
from cardiac4d.workflows import PreparedDataset, StudyMemory, default_device

ROOT = Path(__file__).resolve().parents[1]


def benchmark_loader(
    dataset_dir: str = "data/phantom",
    overlays: Sequence[str] = (),
    num_studies: int = 2,
    crops_per_way: int = 40,
    crops_on_the_fly: int = 6,
    prepared_dtype: str = "float16",
) -> dict[str, float]:
    """Measure.

    Args:
        dataset_dir: a data set with ``dataset.json``.
        overlays: configs of the bundle that change spacing, crop or augmentation, such as ``cine_mr``.
        num_studies: so many of its training studies are used.
        crops_per_way: crops of each way but the first, all from the same studies in turn.
        crops_on_the_fly: crops with reading and resampling, which are slow.
        prepared_dtype: how prepared studies are stored.

    Returns:
        What is printed: seconds and bytes, crops per second, and the ratios to reading every time.
    """
    parser = _config(dataset_dir, overlays)
    entries = parser.get_parsed_content("train_data")[:num_studies]
    preparation, random = (parser.get_parsed_content(f"train::{name}") for name in ("preparation", "preprocessing"))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        prepare = partial(PreparedDataset, entries, preparation, random, folder=folder, dtype=prepared_dtype)
        prepared = prepare(progress=False)
        seconds, size = time.perf_counter() - start, sum(file.stat().st_size for file in prepared.files)
        whole = Compose([preparation, random]).flatten()  # of a nested one CacheDataset keeps nothing
        ways = {
            "on_the_fly": Dataset(entries, whole),
            "in_memory": CacheDataset(entries, whole, progress=False),
            "prepared": prepared,
            "resident": prepare(progress=False, memory=StudyMemory(default_device())),
        }
        rates = crops_per_second(ways, dict.fromkeys(ways, crops_per_way) | {"on_the_fly": crops_on_the_fly})
    report = {"preparing_s_per_study": seconds / len(entries), "prepared_mb_per_study": size / 1e6 / len(entries)}
    report |= {f"{name}_crops_per_s": rate for name, rate in rates.items()}
    report |= {f"{name}_times_on_the_fly": rates[name] / rates["on_the_fly"] for name in list(ways)[1:]}
    report["resident_times_prepared"] = rates["resident"] / rates["prepared"]
    return {name: round(value, 2) for name, value in report.items()}


def crops_per_second(ways: Mapping[str, Any], num_crops: Mapping[str, int]) -> dict[str, float]:
    """Rate of each way to draw a crop, in turns, study after study; the first of each study is not counted.

    Of the median time, so that what else runs on the machine counts little.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    num_studies = min(len(dataset) for dataset in ways.values())
    for turn in range(max(num_crops.values()) + num_studies):
        for name, dataset in ways.items():
            if turn < num_crops[name] + num_studies:
                seconds[name].append(_seconds(dataset, turn % num_studies))
    return {name: 1 / statistics.median(taken[num_studies:]) for name, taken in seconds.items()}


def _seconds(dataset: Any, index: int) -> float:
    start = time.perf_counter()
    dataset[index]
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _config(dataset_dir: str, overlays: Sequence[str]) -> ConfigParser:
    parser = ConfigParser()
    names = ["train", *([overlays] if isinstance(overlays, str) else overlays)]
    parser.read_config([ROOT / "configs" / f"{name}.json" for name in names])
    parser["bundle_root"], parser["dataset_dir"] = str(ROOT), str(Path(dataset_dir).resolve())
    return parser


if __name__ == "__main__":
    run(benchmark_loader)
