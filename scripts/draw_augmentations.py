# SPDX-License-Identifier: Apache-2.0
"""Draw what the augmentations do: ``python scripts/draw_augmentations.py --output_png picture.png``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cardiac4d.command_line import run
from cardiac4d.io import load_datalist
from cardiac4d.report import png_path, save_png, variant_montage
from cardiac4d.transforms import (
    LoadSequenced,
    LoadSparseLabelsd,
    RandCyclicShiftd,
    RandDoseNoised,
    RandIntensityDriftd,
    RandSpatialWarpd,
    RandTimeReversald,
    SequenceCrop,
    TimeLastd,
)

KEYS = ("image", "truth")
COLUMNS = 4


def draw_augmentations(
    output_png: str, datalist: str = "data/phantom/dataset.json", spacing_mm: float = 2.0, size: int = 72, seed: int = 1
) -> str:
    """Draw one sequence with dense labels, before and after each augmentation.

    Args:
        output_png: the picture; replaced if it exists.
        datalist: its first training case is drawn.
        spacing_mm: voxel size.
        size: extent of the crop around the ventricle, voxels.
        seed: of the augmentations.
    """
    path = png_path(output_png)
    plain = _load(load_datalist(datalist, "training")[0], spacing_mm, size)
    augmentations: dict[str, Any] = {
        "warp": RandSpatialWarpd(KEYS, 1.0, elastic_mm=8.0),
        "drift": RandIntensityDriftd("image", 1.0, scaling=0.3, shift=60.0, gamma=0.3, drift=0.8),
        "dose": RandDoseNoised("image", 1.0, dose=(0.2, 0.2)),
        "shift": RandCyclicShiftd(KEYS),
        "reversal": RandTimeReversald(KEYS, 1.0),
    }
    changed = {name: change.set_random_state(seed)(dict(plain)) for name, change in augmentations.items()}
    variants = {name: _arrays(entry) for name, entry in {"as loaded": plain, **changed}.items()}
    frames = np.linspace(0, plain["image"].shape[-1], COLUMNS, endpoint=False).astype(int).tolist()
    return f"picture: {save_png(variant_montage(variants, frames), path)}"


def _load(entry: Mapping[str, Any], spacing_mm: float, size: int) -> dict[str, Any]:
    spacing = (spacing_mm,) * 3
    loaded: dict[str, Any] = {key: entry[key] for key in (*KEYS, "full_cycle")}
    for load in (LoadSequenced("image", spacing), LoadSparseLabelsd("truth", spacing_mm=spacing), TimeLastd(KEYS)):
        loaded = load(loaded)
    labels = loaded["truth"].as_tensor()
    starts = [int(c) - size // 2 for c in (labels[0, ..., 0] > 0).nonzero().double().mean(dim=0)]
    crop = SequenceCrop()
    return {key: crop(loaded[key], starts, [size] * 3, range(labels.shape[-1])) for key in KEYS}


def _arrays(entry: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    image, labels = (entry[key].as_tensor()[0].numpy() for key in KEYS)
    return image, labels


if __name__ == "__main__":
    run(draw_augmentations)
