# SPDX-License-Identifier: Apache-2.0
"""A beating-heart CT phantom with exact volumes, mass and wall thickness: training data and ground truth in one."""

from __future__ import annotations

from .dataset import write_dataset
from .presets import PRESETS, Preset

__all__ = ["PRESETS", "Preset", "write_dataset"]
