# SPDX-License-Identifier: Apache-2.0
"""How close is close: the largest admissible error relative to the largest expected value, per dtype."""

from __future__ import annotations

import torch
from torch import Tensor

from cardiac4d.ops import backend_info

RELATIVE_ERROR = {
    torch.float64: 1e-13,
    torch.float32: 5e-6,
    torch.float16: 4e-3,
    torch.bfloat16: 3e-2,
}
"""Some ten units in the last place: a convolution sums hundreds of products, and half types round every time tap."""

WINOGRAD4_ERROR = 2e-5
"""The bound of Winograd F(4x4) in float32, the native kernels' precision "fast"."""


def relative_error(dtype: torch.dtype) -> float:
    """The bound of the backend and precision in force."""
    info = backend_info()
    fast = info["backend"] == "native" and info["precision"] == "fast"
    return WINOGRAD4_ERROR if fast and dtype == torch.float32 else RELATIVE_ERROR[dtype]


def assert_near(actual: Tensor, expected: Tensor, dtype: torch.dtype | None = None, usual_size: float = 1e-3) -> None:
    """Compare with a float64 reference.

    ``dtype`` is that of the computation, by default that of ``actual``. Errors are relative to the largest value, or to
    ``usual_size`` where that is larger: sums may happen to cancel, their rounding does not.
    """
    assert actual.shape == expected.shape
    if expected.numel() == 0:
        return
    error = (actual.detach().double() - expected.detach().double()).abs().max()
    scale = expected.detach().double().abs().max().clamp(min=usual_size)
    assert error <= relative_error(dtype or actual.dtype) * scale, f"error {error:.2e} at scale {scale:.2e}"


MEASURES = {
    "volume_percent": 1.0,
    "thickness_voxels": 0.3,
    "phantom_ef_points": 1.0,
    "phantom_mass_percent": 2.0,
    "phantom_thickness_mm": 0.5,
    "phantom_segment_mm": 1.0,
    "axis_degrees": 3.0,
    "axis_voxels": 1.0,
}
"""How close measurements of a label map come to the truth: volumes and thickness of bodies known by formula, then of
the phantom at every size, thickness of rings and of AHA segments, and long axis. ``docs/measures.md`` has the same
table."""
