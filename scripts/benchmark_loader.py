# SPDX-License-Identifier: Apache-2.0
"""Compare ways to feed a training: ``python scripts/benchmark_loader.py --dataset_dir data/phantom``.

The same studies, transforms and crops as ``configs/train.json``, one process, three ways: read and resampled for every
crop; kept in memory as float32 (MONAI's ``CacheDataset``); prepared once on disk. Prints crops per second and ratios.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.data import CacheDataset, Dataset
from monai.transforms import Compose

from cardiac4d.command_line import run
from cardiac4d.workflows import PreparedDataset

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
        crops_per_way: crops from memory and from disk.
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
        prepared = PreparedDataset(entries, preparation, random, folder=folder, dtype=prepared_dtype, progress=False)
        seconds, size = time.perf_counter() - start, sum(file.stat().st_size for file in prepared.files)
        whole = Compose([preparation, random]).flatten()  # of a nested one CacheDataset keeps nothing
        rates = {
            "on_the_fly": crops_per_second(Dataset(entries, whole), crops_on_the_fly),
            "in_memory": crops_per_second(CacheDataset(entries, whole, progress=False), crops_per_way),
            "prepared": crops_per_second(prepared, crops_per_way),
        }
    report = {"preparing_s_per_study": seconds / len(entries), "prepared_mb_per_study": size / 1e6 / len(entries)}
    report |= {f"{name}_crops_per_s": rate for name, rate in rates.items()}
    report |= {f"{name}_times_on_the_fly": rates[name] / rates["on_the_fly"] for name in ("in_memory", "prepared")}
    return {name: round(value, 2) for name, value in report.items()}


def crops_per_second(dataset: Any, num_crops: int) -> float:
    """Rate of drawing crops, study after study, after one that is not counted."""
    indices = itertools.cycle(range(len(dataset)))
    dataset[next(indices)]
    start = time.perf_counter()
    for index in itertools.islice(indices, num_crops):
        dataset[index]
    return num_crops / (time.perf_counter() - start)


def _config(dataset_dir: str, overlays: Sequence[str]) -> ConfigParser:
    parser = ConfigParser()
    names = ["train", *([overlays] if isinstance(overlays, str) else overlays)]
    parser.read_config([ROOT / "configs" / f"{name}.json" for name in names])
    parser["bundle_root"], parser["dataset_dir"] = str(ROOT), str(Path(dataset_dir).resolve())
    return parser


if __name__ == "__main__":
    run(benchmark_loader)
