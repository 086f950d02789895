# SPDX-License-Identifier: Apache-2.0
"""Resampling of single frames: exactness, agreement with MONAI where MONAI is right, anti-aliasing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, Spacing

from cardiac4d.geometry import Grid, plan_grid
from cardiac4d.transforms.resample import FrameResampler, interpolation_matrix
from tests.helpers.sequences import AFFINES, noise

SHAPE = (9, 12, 7)


def _frame(order: str = "F") -> torch.Tensor:
    return torch.from_numpy(np.asarray(noise(SHAPE).astype(np.float32), order=order).T).permute(2, 1, 0)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_a_frame_is_resampled_as_by_monai(affine: np.ndarray, mode: str) -> None:
    spacing = (1.03, 0.87, 1.21)
    volume = MetaTensor(_frame()[None].clone(), affine=torch.from_numpy(affine))
    volume = Orientation("RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))(volume)
    expected = Spacing(spacing, mode=mode, padding_mode="border", align_corners=True)(volume)[0].as_tensor()
    resample = FrameResampler(plan_grid(Grid(SHAPE, affine), spacing), mode, anti_aliasing=False)
    torch.testing.assert_close(resample(_frame()), expected, atol=2e-2, rtol=0)


@pytest.mark.parametrize("order", ["F", "C"])
def test_the_order_in_memory_does_not_matter(order: str) -> None:
    resample = FrameResampler(plan_grid(Grid(SHAPE, AFFINES["permuted"]), (1.0, 1.2, 0.9)))
    torch.testing.assert_close(resample(_frame(order)), resample(_frame().contiguous()), atol=1e-3, rtol=0)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_flips_and_permutations_alone_are_exact(mode: str) -> None:
    resample = FrameResampler(plan_grid(Grid(SHAPE, AFFINES["permuted"]), None, "RAS"), mode)
    expected = Orientation("RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))(
        MetaTensor(_frame()[None], affine=torch.from_numpy(AFFINES["permuted"]))
    )
    assert torch.equal(resample(_frame()), expected[0].as_tensor())


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_a_ramp_in_millimetres_is_reproduced(affine: np.ndarray) -> None:
    """Linear interpolation is exact on a linear function of position, up to the border that is clamped."""
    shape = (20, 21, 15)
    grid_map = plan_grid(Grid(shape, affine), (0.9, 1.3, 0.7))

    def ramp(grid: Grid) -> np.ndarray:
        index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
        return (index @ grid.affine[:3, :3].T + grid.affine[:3, 3]) @ np.array([1.0, -2.0, 0.5])

    resample = FrameResampler(grid_map, anti_aliasing=False)
    moved = resample(torch.from_numpy(ramp(grid_map.source).astype(np.float32)))
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(moved.numpy()[inner], ramp(grid_map.target)[inner], atol=2e-4)


def test_labels_keep_their_values_and_type() -> None:
    labels = torch.randint(0, 3, SHAPE, dtype=torch.uint8)
    labels[0] = 255
    resample = FrameResampler(plan_grid(Grid(SHAPE, AFFINES["oblique"]), (0.6, 1.3, 1.1)), "nearest")
    assert resample(labels).dtype == torch.uint8
    assert set(resample(labels).unique().tolist()) == {0, 1, 2, 255}


def test_anti_aliasing_removes_what_the_coarse_grid_cannot_show() -> None:
    """0.3 to 1 mm: stripes of one voxel alias to half their height by interpolation alone (MONAI issue 178)."""
    stripes = (1000.0 * (torch.arange(60) % 2)).view(60, 1, 1).expand(60, 4, 4)
    grid_map = plan_grid(Grid((60, 4, 4), np.diag([0.3, 1.0, 1.0, 1.0])))
    plain, smooth = (FrameResampler(grid_map, anti_aliasing=on)(stripes)[4:-4].std().item() for on in (False, True))
    assert plain > 250
    assert smooth < 10


@pytest.mark.parametrize("spacing", [0.5, 1.0])
def test_anti_aliasing_leaves_axes_alone_that_are_not_down_sampled(spacing: float) -> None:
    grid_map = plan_grid(Grid(SHAPE, np.eye(4)), (spacing,) * 3)
    smooth, plain = (FrameResampler(grid_map, anti_aliasing=on)(_frame()) for on in (True, False))
    assert torch.equal(smooth, plain)


@pytest.mark.parametrize("sigma", [0.0, 0.93])
def test_weights_sum_to_one_even_outside(sigma: float) -> None:
    matrix = interpolation_matrix(np.array([-3.0, 0.0, 1.25, 8.0, 12.0]), 9, sigma)
    assert matrix.shape == (5, 9)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)


def test_gaussian_has_the_standard_deviation_asked_for() -> None:
    weights = interpolation_matrix(np.array([50.0]), 101, 1.5)[0]
    assert np.sqrt(weights @ (np.arange(101) - 50.0) ** 2) == pytest.approx(1.5, abs=0.01)


def test_wrong_shapes_and_modes_are_refused() -> None:
    grid_map = plan_grid(Grid(SHAPE, np.eye(4)))
    with pytest.raises(ValueError, match="`frame` must have shape"):
        FrameResampler(grid_map)(torch.zeros(3, 3, 3))
    with pytest.raises(ValueError, match="`mode` must be"):
        FrameResampler(grid_map, "bicubic")
