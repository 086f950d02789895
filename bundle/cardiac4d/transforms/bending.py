# SPDX-License-Identifier: Apache-2.0
"""Smooth displacement of space by a lattice of control points: uniform cubic B-splines, as in Rueckert et al. 1999.

The lattice has three more points than intervals along each axis, so that every voxel lies within four of them. No
displacement exceeds that of the control points. With control points that move by less than 0.403 of an interval along
each axis the map ``x + u(x)`` does not fold (Choi and Lee 2000, uniform cubic B-splines in 3D).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

from .warp import sample_channels

DEGREE: Final = 3
FOLDING_LIMIT: Final = 0.4
"""Largest displacement of a control point, in intervals of the lattice."""
_INVERSION_STEPS: Final = 30
_INVERSION_VOXELS: Final = 1e-3


def lattice_intervals(shape: Sequence[int], spacing_mm: Sequence[float], control_spacing_mm: float) -> list[int]:
    """Intervals of at least ``control_spacing_mm`` per axis, one where the array is thinner than that."""
    return [max(1, int(n * size / control_spacing_mm)) for n, size in zip(shape, spacing_mm, strict=True)]


def lattice_step_mm(shape: Sequence[int], spacing_mm: Sequence[float], lattice: Sequence[int]) -> list[float]:
    """Distance of control points per axis, of a ``lattice`` of so many points over an array of ``shape``."""
    return [n * size / (points - DEGREE) for n, size, points in zip(shape, spacing_mm, lattice, strict=True)]


def bending_field(control: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Displacement of every voxel.

    Args:
        control: ``(3, A, B, C)`` displacement of the control points, at least four per axis.
        shape: ``(H, W, D)``.

    Returns:
        ``(3, H, W, D)`` in the unit of ``control``, float32.
    """
    bases = [_basis(n, points) for n, points in zip(shape, control.shape[1:], strict=True)]
    return torch.einsum("dabc,ia,jb,kc->dijk", control.to(torch.float32), *bases)


def _basis(size: int, points: int) -> torch.Tensor:
    """``(size, points)``: weight of each control point at each voxel; rows sum to one."""
    position = (torch.arange(size, dtype=torch.float64) + 0.5) / size * (points - DEGREE)
    cell = position.floor().clamp_(max=points - DEGREE - 1)
    t = position - cell
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    basis = torch.zeros(size, points, dtype=torch.float64)
    for offset, weight in enumerate(weights):
        basis[torch.arange(size), cell.long() + offset] = weight / 6
    return basis.to(torch.float32)


def unbent(points: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """The points that ``x + field(x)`` takes to ``points``, to a thousandth of a voxel, by fixed-point iteration.

    Args:
        points: ``(3, *space)`` voxels from the centre of ``field``.
        field: ``(3, H, W, D)`` displacement in voxels; goes on with its border value outside.
    """
    origin = points
    for _ in range(_INVERSION_STEPS):
        last, origin = origin, points - sample_channels(field, origin)
        if bool((origin - last).abs().max() < _INVERSION_VOXELS):
            break
    return origin
