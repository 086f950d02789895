# SPDX-License-Identifier: Apache-2.0
"""Crops as a training loads them, from synthetic studies that stay on the device. Needs MONAI and Ignite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import CastToTyped, Compose

from cardiac4d.conventions import NOT_ANNOTATED
from cardiac4d.geometry import TimeAxis
from cardiac4d.transforms import RandSparseCropd
from cardiac4d.workflows import PrefetchingLoader, PreparedDataset, StudyMemory

from .plan import Size


def make_loader(device: str, folder: Path, crop: Size, study: Size, num_studies: int) -> PrefetchingLoader:
    """Prepare studies, and load crops of them as ``configs/train.json`` does on a GPU.

    Args:
        device: where studies stay and crops are cut.
        folder: where prepared studies are written, three bytes per voxel.
        crop: H, W, D, T.
        study: H, W, D, T.
        num_studies: how many.
    """
    at = torch.device(device, torch.cuda.current_device()) if device == "cuda" else torch.device(device)
    entries = [{"id": f"synthetic{seed}", "seed": seed, "shape": list(study)} for seed in range(num_studies)]
    random = Compose([RandSparseCropd(roi_size=crop), CastToTyped("image", torch.float32)])
    memory = StudyMemory(at)
    dataset = PreparedDataset(entries, draw_study, random, folder=folder, progress=False, memory=memory)
    return PrefetchingLoader(dataset, device=at, batch_size=1, shuffle=True)


def draw_study(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Draw a bright ball that beats in a wall, in noise; two frames are annotated."""
    height, width, depth, frames = entry["shape"]
    generator = torch.Generator().manual_seed(entry["seed"])
    axes = [torch.linspace(-1, 1, extent) for extent in (height, width, depth)]
    distance = torch.stack(torch.meshgrid(*axes, indexing="ij")).norm(dim=0)[..., None]
    radius = 0.35 + 0.1 * torch.cos(2 * torch.pi * torch.arange(frames) / frames)
    truth = (distance < radius + 0.15).byte() + (distance < radius).byte()
    image = truth * 0.3 + 0.1 * torch.randn(truth.shape, generator=generator)
    label = torch.full_like(truth, NOT_ANNOTATED)
    for frame in {0, frames // 2}:
        label[..., frame] = (3 - truth[..., frame]) % 3  # 2 for the wall, 1 for the ball
    meta = TimeAxis.uniform(frames, 0.05, full_cycle=True).to_meta()
    return {
        "id": entry["id"],
        "image": MetaTensor(image[None], meta=dict(meta)),
        "label": MetaTensor(label[None], meta=dict(meta)),
    }
