# SPDX-License-Identifier: Apache-2.0
"""Small crops to train on, drawn at random."""

from __future__ import annotations

import torch
from monai.data import Dataset

SIZE = (6, 5, 4, 5)


def crops(count: int) -> Dataset:
    """Each with one annotated frame at least, as the crops of a training have."""
    generator = torch.Generator().manual_seed(0)
    items = []
    for index in range(count):
        label = torch.full((1, *SIZE), 255, dtype=torch.uint8)
        label[..., : 1 + index % 3] = torch.randint(0, 3, (1, *SIZE[:3], 1), generator=generator).byte()
        items.append({"image": torch.randn(1, *SIZE, generator=generator), "label": label})
    return Dataset(items)
