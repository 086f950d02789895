# SPDX-License-Identifier: Apache-2.0
"""Painting solids on a voxel block with partial volume.

A voxel's share of a solid follows from the field and its change across the voxel: with ``g`` the change per voxel
along each array axis, the field spans ``s = |g_x| + |g_y| + |g_z|`` in the voxel and ``clip(1/2 - field / s)`` is the
share. This honours anisotropic voxels (thick slices blur slanted walls, thin pixels do not) without supersampling.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..geometry import Grid
from .anatomy.placement import Frame
from .anatomy.shapes import Array, Solid

Block = tuple[slice, slice, slice]
Float32 = NDArray[np.float32]


def axes_ras_mm(grid: Grid) -> tuple[Float32, Float32, Float32]:
    """RAS coordinate of the voxel centres along each array axis of an axis-aligned grid, ``(H,), (W,), (D,)``."""
    x, y, z = (grid.affine[a, 3] + grid.affine[a, a] * np.arange(grid.shape[a]) for a in range(3))
    return x.astype(np.float32), y.astype(np.float32), z.astype(np.float32)


def block_around(axes_mm: Sequence[Float32], center_mm: Array, half_mm: Array, margin: int = 1) -> Block:
    """Voxels whose centres lie in a box, and ``margin`` more on each side; an axis may come out empty."""
    slices = []
    for axis, center, half in zip(axes_mm, center_mm, half_mm, strict=True):
        step = np.abs(axis[1] - axis[0]) if axis.size > 1 else np.inf  # a lone slice may always be touched
        inside = np.flatnonzero(np.abs(axis - center) <= half + step)
        first, last = (inside[0], inside[-1] + 1) if inside.size else (0, 0)
        slices.append(slice(max(0, first - margin), min(axis.size, last + margin)) if inside.size else slice(0, 0))
    return slices[0], slices[1], slices[2]


def coverage(field: Array) -> Array:
    """Share of each voxel inside the solid, ``(H, W, D)`` in [0, 1]; an axis of extent one is taken as uniform."""
    span = np.full_like(field, 1e-6)
    for axis in range(field.ndim):
        if field.shape[axis] > 1:
            _add_change(np.moveaxis(span, axis, 0), np.moveaxis(field, axis, 0))
    np.divide(field, span, out=span)
    np.subtract(0.5, span, out=span)
    return np.clip(span, 0, 1, out=span)


def _add_change(span: Array, field: Array) -> None:
    """Add the absolute change per voxel along the first axis: central differences, one-sided at both ends."""
    inner = field[2:] - field[:-2]
    np.abs(inner, out=inner)
    inner *= 0.5
    span[1:-1] += inner
    span[0] += np.abs(field[1] - field[0])
    span[-1] += np.abs(field[-1] - field[-2])


class Canvas:
    """A block of voxels in Hounsfield units, seen in a rigid frame.

    Args:
        hu: ``(H, W, D)`` float32, painted in place.
        axes_mm: RAS coordinates of the block's voxels along each axis.
        frame: frame of the solids to be painted.
    """

    def __init__(self, hu: Float32, axes_mm: Sequence[Float32], frame: Frame) -> None:
        self.hu, self.axes_mm, self.frame = hu, axes_mm, frame
        columns = np.ix_(*axes_mm)
        self.x, self.y, self.z = (np.broadcast_to(c, hu.shape) for c in frame.to_local(*columns))

    def paint(
        self,
        solid: Solid,
        hu: Array | float,
        *,
        z: Array | None = None,
        slack_mm: float = 0.0,
        within: Array | None = None,
    ) -> None:
        """Paint a solid.

        Args:
            solid: what to paint, in the canvas's frame.
            hu: its attenuation, one number or ``(H, W, D)``.
            z: replaces the third coordinate, ``(H, W, D)``: the solid is warped along its axis.
            slack_mm: largest difference between ``z`` and the third coordinate.
            within: share of each voxel that may be painted, ``(H, W, D)``.
        """
        block = self.block(solid, slack_mm)
        if 0 in self.hu[block].shape:
            return
        share = coverage(solid.field(self.x[block], self.y[block], (self.z if z is None else z)[block]))
        share = share if within is None else share * within[block]
        self.blend(block, share, hu[block] if isinstance(hu, np.ndarray) else hu)

    def blend(self, block: Block, share: Array, hu: Array | float) -> None:
        """Mix ``hu`` into a block by its share of each voxel."""
        view = self.hu[block]
        view += share * (hu - view)

    def block(self, solid: Solid, slack_mm: float = 0.0) -> Block:
        """Voxels that a solid may touch."""
        center, half = solid.bounds(self.frame.rotation)
        reach = half + np.abs(self.frame.rotation[:, 2]) * slack_mm
        return block_around(self.axes_mm, self.frame.to_ras(center), reach)
