# SPDX-License-Identifier: Apache-2.0
"""The configs of the bundle: which there are, and how one reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
WORKFLOWS = {"train": "train", "train_3d": "train", "evaluate": "infer", "inference": "infer"}
"""The kind of workflow of each config that is complete in itself."""
OVERLAYS = {
    "quick": ("train", "train_3d", "evaluate", "inference"),
    "cine_mr": ("train", "train_3d", "evaluate", "inference"),
    "augment": ("train", "train_3d"),
    "baseline_3d": ("evaluate", "inference"),
    "multi_gpu_train": ("train", "train_3d"),
    "multi_gpu_evaluate": ("evaluate",),
    "multi_gpu_inference": ("inference",),
}
"""Which of these each other config is laid over."""


def load(name: str) -> dict[str, Any]:
    return json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))


def parse(*names: str, **values: Any) -> ConfigParser:
    """Configs laid over each other, as ``monai.bundle run`` lays them."""
    parser = ConfigParser()
    parser.read_config([CONFIGS / f"{name}.json" for name in names])
    for key, value in {"bundle_root": str(CONFIGS.parent), **values}.items():
        parser[key] = value
    return parser
