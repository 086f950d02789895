# SPDX-License-Identifier: Apache-2.0
"""Results of fused operators beside those of the layers, and the sums of channels that both are asked for."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def check(actual: Tensor, expected: Tensor, limit: float) -> None:
    """Compare relative to the largest value."""
    assert actual.shape == expected.shape
    error = (actual.detach().double() - expected.detach().double()).abs().max().item()
    scale = expected.detach().abs().max().clamp(min=1e-2).item()
    assert error <= limit * scale, f"error {error:.2e} at scale {scale:.2e}"


def check_each(actual: Iterable[Tensor], expected: Iterable[Tensor], limit: float) -> None:
    """Compare each tensor relative to its own largest value."""
    for ours, theirs in zip(actual, expected, strict=True):
        check(ours, theirs, limit)


def sums_of(x: Tensor) -> Tensor:
    """Sum and sum of squares of every channel, ``(N, C, 2)`` in float64."""
    wide = x.detach().double()
    return torch.stack([wide.sum((2, 3, 4, 5)), wide.square().sum((2, 3, 4, 5))], -1)
