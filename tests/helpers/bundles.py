# SPDX-License-Identifier: Apache-2.0
"""A copy of this bundle elsewhere, with untrained weights: what a hub would hold before anyone trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from cardiac4d.networks import EncoderDecoder
from cardiac4d.workflows.hub import hub_files

ROOT = Path(__file__).resolve().parents[2]


def copy_bundle(target: Path, *, seed: int = 0) -> Path:
    """Copy what a hub archive holds to ``target`` and give it weights drawn with ``seed``; return ``target``."""
    for path in hub_files(ROOT):
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    torch.manual_seed(seed)
    (target / "models").mkdir(exist_ok=True)
    torch.save(EncoderDecoder().state_dict(), target / "models" / "model.pt")
    return target
