# SPDX-License-Identifier: Apache-2.0
"""Memory around operands and results that nothing may depend on, and nothing may touch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .formulations import FRAMES
from .gpu_device import is_cuda

LAYOUTS = ("frames", "plain", "every second")
"""How an operand lies: as the kernels want it, as a user has it, and as part of something larger."""
MARGIN = 4096
"""Numbers before and behind an operand: its address stays a multiple of 16 bytes."""
ZONE = 1 << 14
"""Bytes of a guard zone."""
MARK, POISON = 0xA5, 0xFF
"""What a zone is filled with; bytes that make NaN in every dtype."""
COPIES = 3
"""So many places of every size: kernels need working memory, too."""


def lay_between_nan(x: Tensor, layout: str) -> Tensor:
    """Lay out a tensor of six axes in a larger one of NaN, in a way of :data:`LAYOUTS`; the same numbers."""
    physical = x
    if layout == "frames":
        physical = x.permute(FRAMES)
    elif layout == "every second":
        physical = torch.stack([x, torch.full_like(x, torch.nan)], -1)
    around = torch.full([physical.numel() + 2 * MARGIN], torch.nan, dtype=x.dtype, device=x.device)
    inner = around[MARGIN:-MARGIN].view(physical.shape).copy_(physical)
    if layout == "every second":
        return inner[..., 0]
    return inner.permute(FRAMES) if layout == "frames" else inner


class GuardZones:
    """Places full of NaN between guard zones, where torch's allocator on a GPU is likely to put the results of a call.

    It keeps what is freed and hands out the smallest free piece that is large enough. Where it does otherwise, nothing
    is shown, which :meth:`count` tells; a CPU's allocator promises nothing.

    Args:
        device: where the results will be.
        sizes: of the results, in bytes.
    """

    def __init__(self, device: str, sizes: Iterable[int]) -> None:
        if is_cuda(device):
            torch.cuda.empty_cache()  # else pieces that were freed before would serve as well
        places: list[Tensor] = []
        self._zones = [_bytes(ZONE, MARK, device)]
        for size in sizes:
            for _ in range(COPIES):
                places.append(_bytes(size, POISON, device))
                self._zones.append(_bytes(ZONE, MARK, device))
        self._places = [(place.data_ptr(), place.data_ptr() + place.numel()) for place in places]

    def count(self, results: Sequence[Tensor]) -> int:
        """How many of the results lie in one of the places."""
        return sum(any(begin <= result.data_ptr() < end for begin, end in self._places) for result in results)

    def check(self) -> None:
        """Look at the zones.

        Raises:
            AssertionError: if one is not as it was.
        """
        touched = sum(bool((zone != MARK).any()) for zone in self._zones)
        assert not touched, f"{touched} of {len(self._zones)} guard zones were written to"


def _bytes(count: int, value: int, device: str) -> Tensor:
    return torch.full([max(count, 1)], value, dtype=torch.uint8, device=device)
