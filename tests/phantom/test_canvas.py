# SPDX-License-Identifier: Apache-2.0
"""Partial volume on anisotropic voxels, and painting in a rotated frame."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cardiac4d.geometry import Grid
from cardiac4d.phantom.anatomy.placement import Frame
from cardiac4d.phantom.anatomy.shapes import Ellipsoid, Tube
from cardiac4d.phantom.canvas import Canvas, axes_ras_mm, block_around, coverage

GRID = Grid((60, 60, 20), np.diag([-1.0, -1.0, 3.0, 1.0]))
FRAME = Frame(Rotation.from_euler("xyz", [25, -40, 10], degrees=True).as_matrix(), np.array([-30.0, -28.0, 30.0]))


def painted(solid: Ellipsoid | Tube) -> np.ndarray:
    hu = np.zeros(GRID.shape, np.float32)
    Canvas(hu, axes_ras_mm(GRID), FRAME).paint(solid, 100.0)
    return hu


def test_coverage_of_an_axis_aligned_plane_is_exact() -> None:
    z = np.arange(6.0)[None, None, :] + np.zeros((2, 2, 1))
    assert coverage(z - 2.7)[0, 0] == pytest.approx([1, 1, 1, 0.2, 0, 0], abs=1e-6)


def test_coverage_takes_an_axis_of_one_voxel_as_uniform() -> None:
    assert coverage(np.full((1, 1, 1), -0.1))[0, 0, 0] == 1
    assert coverage(np.full((1, 1, 1), 0.1))[0, 0, 0] == 0


@pytest.mark.parametrize(
    ("solid", "volume_mm3"),
    [(Ellipsoid((1.0, 2.0, 0.0), (9.0, 14.0, 18.0)), 4 / 3 * np.pi * 9 * 14 * 18),
     (Tube((0, 0, -12.0), (0, 0, 12.0), 6.0, 6.0), np.pi * 36 * 24 + 4 / 3 * np.pi * 216)],
    ids=["ellipsoid", "tube"],
)  # fmt: skip
def test_painted_volume_is_that_of_the_solid(solid: Ellipsoid | Tube, volume_mm3: float) -> None:
    # The ramp of width s across a surface of radius R adds a shell of s^2 / (12 R): 0.06 mm here.
    assert painted(solid).sum() / 100 * 3.0 == pytest.approx(1.02 * volume_mm3, rel=0.01)


def test_solid_outside_the_canvas_paints_nothing() -> None:
    assert not painted(Ellipsoid((500.0, 0.0, 0.0), (5.0, 5.0, 5.0))).any()


def test_paint_within_a_mask_and_with_a_map_of_values() -> None:
    hu, solid = np.zeros(GRID.shape, np.float32), Ellipsoid((0.0, 0.0, 0.0), (12.0, 12.0, 12.0))
    canvas = Canvas(hu, axes_ras_mm(GRID), FRAME)
    half = (np.arange(60) < 30)[:, None, None] * np.ones(GRID.shape, np.float32)
    canvas.paint(solid, np.broadcast_to(np.arange(20.0), GRID.shape), within=half)
    assert not hu[30:].any()
    inside = painted(solid)[:30] == 100
    assert np.array_equal(hu[:30][inside], np.broadcast_to(np.arange(20.0), (30, 60, 20))[inside])


def test_warped_height_moves_the_solid() -> None:
    hu, solid = np.zeros(GRID.shape, np.float32), Ellipsoid((0.0, 0.0, 0.0), (8.0, 8.0, 8.0))
    canvas = Canvas(hu, axes_ras_mm(GRID), FRAME)
    canvas.paint(solid, 100.0, z=canvas.z + 10.0, slack_mm=10.0)
    moved = painted(Ellipsoid((0.0, 0.0, -10.0), (8.0, 8.0, 8.0)))
    assert hu == pytest.approx(moved, abs=1e-2)


def test_block_holds_the_box_and_may_be_empty() -> None:
    axes = axes_ras_mm(GRID)
    rows, _, slices = block_around(axes, np.array([-10.0, -10.0, 30.0]), np.array([2.0, 2.0, 6.0]), margin=0)
    assert axes[0][rows].min() <= -12
    assert axes[0][rows].max() >= -8
    assert axes[2][slices].tolist() == [21, 24, 27, 30, 33, 36, 39]
    assert block_around(axes, np.array([99.0, 0, 0]), np.ones(3))[0] == slice(0, 0)


def test_a_single_slice_can_be_painted() -> None:
    hu = np.zeros((60, 60, 1), np.float32)
    x, y, z = axes_ras_mm(GRID)
    Canvas(hu, (x, y, z[10:11]), FRAME).paint(Ellipsoid((0.0, 0.0, 0.0), (12.0, 12.0, 12.0)), 100.0)
    assert hu.sum() / 100 == pytest.approx(np.pi * 12**2, rel=0.03)  # the slice runs through the centre
