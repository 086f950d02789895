# SPDX-License-Identifier: Apache-2.0
"""What a run shall measure. Needs the standard library alone, so that a command line is checked in no time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Size = tuple[int, int, int, int]

SECTIONS = ("layers", "network", "memory", "scaling")
PAPER_SIZE: Size = (96, 96, 64, 16)
"""The paper's crop, H, W, D, T."""
WHOLE_SCAN: Size = (112, 122, 80, 20)
"""The largest scan that is trained on uncropped."""


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        size: H, W, D, T of the network's input.
        sections: of :data:`SECTIONS`.
        seconds: for the alternating repetitions of one row.
        repetitions: to aim for.
        limits: instruction sets to limit all methods to, and measure the three levels again.
        levels_only: measure no layers but the three levels, no published algorithms and no bfloat16.
    """

    size: Size = PAPER_SIZE
    sections: Sequence[str] = SECTIONS
    seconds: float = 6.0
    repetitions: int = 5
    limits: Sequence[str] = ()
    levels_only: bool = False

    @property
    def whole_scan(self) -> Size:
        """The scan whose training step is measured in memory: as much larger than the crop as in the paper."""
        height, width, depth, frames = (
            -(-extent * scan // crop) for extent, scan, crop in zip(self.size, WHOLE_SCAN, PAPER_SIZE, strict=True)
        )
        return height, width, depth, frames
