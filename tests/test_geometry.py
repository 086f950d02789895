# SPDX-License-Identifier: Apache-2.0
"""Affines, grids and the time axis."""

from __future__ import annotations

import math

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor, decollate_batch, list_data_collate
from monai.transforms import Orientation, Spacing

from cardiac4d.geometry import Grid, TimeAxis, axis_codes, plan_grid, spacing_from_affine, voxel_volume_ml
from tests.helpers.sequences import AFFINES

SHAPE = (9, 11, 6)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_voxel_volume_is_the_product_of_spacings_for_orthogonal_axes(affine: np.ndarray) -> None:
    assert voxel_volume_ml(torch.from_numpy(affine)) == pytest.approx(np.prod(spacing_from_affine(affine)) / 1000)


def test_voxel_volume_of_sheared_axes_is_smaller_than_the_product() -> None:
    sheared = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]])
    assert voxel_volume_ml(sheared) == pytest.approx(0.002)
    assert np.prod(spacing_from_affine(sheared)) == pytest.approx(2 * math.sqrt(2))


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_axis_codes_are_those_of_nibabel(affine: np.ndarray) -> None:
    assert axis_codes(affine) == "".join(nib.aff2axcodes(affine))


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "AIR", None])
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_target_grid_is_that_of_monai(affine: np.ndarray, orientation: str | None) -> None:
    spacing = (1.0, 1.1, 0.9)
    volume = MetaTensor(torch.zeros(1, *SHAPE), affine=torch.from_numpy(affine))
    if orientation is not None:
        volume = Orientation(axcodes=orientation, labels=(("L", "R"), ("P", "A"), ("I", "S")))(volume)
    expected = Spacing(spacing)(volume)
    target = plan_grid(Grid(SHAPE, affine), spacing, orientation).target
    assert target.shape == tuple(expected.shape[1:])
    np.testing.assert_allclose(target.affine, expected.affine.numpy(), atol=1e-9)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_coordinates_are_the_same_point_in_both_grids(affine: np.ndarray) -> None:
    grid_map = plan_grid(Grid(SHAPE, affine), (1.0, 1.3, 0.9), "LAI")
    index = np.array([1, 2, 3])
    in_source = np.empty(3)
    in_source[list(grid_map.axes)] = [grid_map.coordinates(k)[index[k]] for k in range(3)]
    np.testing.assert_allclose(affine @ [*in_source, 1], grid_map.target.affine @ [*index, 1], atol=1e-9)
    back = grid_map.inverse()
    assert back.target is grid_map.source
    again = np.empty(3)
    again[list(back.axes)] = [back.offsets[k] + back.steps[k] * in_source[k] for k in range(3)]
    np.testing.assert_allclose(again, index, atol=1e-9)


def test_spacing_of_none_keeps_an_axis() -> None:
    target = plan_grid(Grid(SHAPE, AFFINES["plain"]), (1.6, None, None)).target
    assert target.shape == (5, 11, 6)
    np.testing.assert_allclose(target.spacing_mm, (1.6, 0.8, 2.0))


def test_spacing_and_orientation_of_none_keep_the_grid_exactly() -> None:
    source = Grid(SHAPE, AFFINES["oblique"])
    target = plan_grid(source, None, None).target
    assert target.shape == SHAPE
    np.testing.assert_array_equal(target.affine, source.affine)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (1.0, math.nan, 1.0)])
def test_bad_spacing_is_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="`spacing_mm` must hold three positive numbers"):
        plan_grid(Grid(SHAPE, np.eye(4)), spacing)


@pytest.mark.parametrize("orientation", ["RA", "RRS", "XYZ", ""])
def test_bad_orientation_is_refused(orientation: str) -> None:
    with pytest.raises(ValueError, match="`orientation` must name each"):
        plan_grid(Grid(SHAPE, np.eye(4)), None, orientation)


def test_grid_distance_is_that_of_the_farthest_corner() -> None:
    affine = np.eye(4)
    affine[0, 0] = 1.01
    assert Grid((11, 3, 3), np.eye(4)).distance_mm(Grid((11, 3, 3), affine)) == pytest.approx(0.1)
    assert Grid((11, 3, 3), np.eye(4)).distance_mm(Grid((11, 3, 4), np.eye(4))) == math.inf


@pytest.mark.parametrize(("unit", "step"), [("sec", 0.043), ("msec", 43.0), ("usec", 43000.0)])
def test_frame_times_are_in_milliseconds(unit: str, step: float) -> None:
    axis = TimeAxis.uniform(4, step, unit=unit, offset=2 * step, full_cycle=True)
    np.testing.assert_allclose(axis.frame_times_ms, [86, 129, 172, 215])
    assert axis.frame_duration_ms == pytest.approx(43)
    assert axis.cycle_length_ms == pytest.approx(172)


@pytest.mark.parametrize(("unit", "step"), [("unknown", 1.0), ("unknown", 0.05), ("sec", 0.0), ("sec", math.nan)])
def test_times_that_are_not_known_are_nan_but_the_header_is_kept(unit: str, step: float) -> None:
    axis = TimeAxis.uniform(3, step, unit=unit, full_cycle=True)
    assert np.isnan(axis.frame_times_ms).all()
    assert math.isnan(axis.frame_duration_ms)
    assert math.isnan(axis.cycle_length_ms)
    np.testing.assert_equal(axis.to_nifti(), (step, 0.0) if math.isfinite(step) else (math.nan, math.nan))


def test_cycle_length_is_not_known_without_full_cycle() -> None:
    assert math.isnan(TimeAxis.uniform(4, 0.05).cycle_length_ms)


def test_selection_keeps_exact_header_times() -> None:
    axis = TimeAxis.uniform(20, 0.043, offset=0.5)
    assert axis.select([3, 4, 5]).to_nifti() == (0.043, 0.5 + 0.043 * 3)
    assert axis.select([2, 7, 12]).to_nifti() == (0.043 * 5, 0.5 + 0.043 * 2)
    assert axis.select([7]).to_nifti() == (0.043, 0.5 + 0.043 * 7)
    assert axis.select([0, 7, 9]).to_nifti() == (0.0, 0.5)
    assert math.isnan(axis.select([0, 7, 9]).frame_duration_ms)


def test_selection_of_a_selection_counts_in_source_frames() -> None:
    assert TimeAxis.uniform(20, 0.05).select(range(4, 12)).select([1, 3]).indices == (5, 7)


def test_selection_outside_is_refused_unless_full_cycle() -> None:
    with pytest.raises(ValueError, match=r"`positions` must lie in 0\.\.3"):
        TimeAxis.uniform(4, 0.05).select([3, 4])
    wrapped = TimeAxis.uniform(4, 0.05, full_cycle=True).select([3, 4])
    np.testing.assert_allclose(wrapped.frame_times_ms, [150, 200])


def test_only_a_whole_run_of_a_full_cycle_is_a_full_cycle() -> None:
    axis = TimeAxis.uniform(4, 0.05, full_cycle=True)
    assert axis.full_cycle
    assert axis.select([2, 3, 4, 5]).full_cycle
    assert not axis.select([0, 1, 2]).full_cycle
    assert not axis.select([0, 1, 2, 2]).full_cycle
    assert not axis.select(range(8)).full_cycle
    assert not TimeAxis.uniform(4, 0.05).full_cycle


def test_every_second_frame_of_a_full_cycle_is_a_full_cycle_if_it_closes_evenly() -> None:
    axis = TimeAxis.uniform(6, 0.05, full_cycle=True)
    halved = axis.select([1, 3, 5])
    assert halved.full_cycle
    assert halved.frame_duration_ms == pytest.approx(100)
    assert halved.select([2, 3, 4]).indices == (5, 7, 9)
    assert not TimeAxis.uniform(5, 0.05, full_cycle=True).select([0, 2, 4]).full_cycle


def test_a_reversed_cycle_stays_a_cycle_and_its_times_fall() -> None:
    axis = TimeAxis.uniform(4, 0.05, full_cycle=True).select([3, 2, 1, 0])
    assert axis.full_cycle
    np.testing.assert_allclose(axis.frame_times_ms, [150, 100, 50, 0])
    assert axis.frame_duration_ms == pytest.approx(50)
    assert axis.select([2, 3, 4, 5]).indices == (1, 0, -1, -2)
    assert axis.to_nifti() == (0.0, 0.05 * 3), "a header cannot say that time runs back"


def test_window_wraps_only_a_full_cycle() -> None:
    wrapped = TimeAxis.uniform(3, 0.05, full_cycle=True).window(2, 5)
    assert wrapped.tolist() == [2, 3, 4, 5, 6]
    assert np.issubdtype(wrapped.dtype, np.integer), "positions index arrays"
    assert TimeAxis.uniform(3, 0.05).window(0, 5).tolist() == [0, 1, 2, 2, 2]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 19), min_size=1, max_size=8, unique=True), st.sampled_from(["sec", "unknown"]))
def test_metadata_round_trip_is_lossless(frames: list[int], unit: str) -> None:
    axis = TimeAxis.uniform(20, 0.043, unit=unit, offset=0.1, full_cycle=True).select(frames)
    assert TimeAxis.from_meta(axis.to_meta()) == axis


UNEVEN_MS = [5.0, 305.0, 355.0, 705.0]


def test_listed_times_follow_selections_into_the_next_beat() -> None:
    axis = TimeAxis.irregular(UNEVEN_MS, cycle_length_ms=800, full_cycle=True)
    assert axis.frame_times_ms.tolist() == UNEVEN_MS
    assert axis.cycle_length_ms == 800
    assert math.isnan(axis.frame_duration_ms)
    shifted = axis.select([2, 3, 4, 5])
    assert shifted.frame_times_ms.tolist() == [355, 705, 805, 1105]
    assert shifted.full_cycle
    assert shifted.select([4]).frame_times_ms.tolist() == [1155]
    assert axis.window(3, 3).tolist() == [3, 4, 5]


def test_times_of_the_next_beat_are_not_known_without_the_length_of_the_cycle() -> None:
    axis = TimeAxis.irregular(UNEVEN_MS, full_cycle=True)
    assert math.isnan(axis.cycle_length_ms)
    np.testing.assert_array_equal(axis.select([3, 4]).frame_times_ms, [705, math.nan])
    assert axis.select([4]).to_nifti() == (0.0, 0.0)


def test_a_stated_cycle_is_known_without_a_full_cycle() -> None:
    axis = TimeAxis.irregular([300, 350, 400], cycle_length_ms=800)
    assert axis.cycle_length_ms == 800
    assert not axis.full_cycle
    assert axis.window(1, 4).tolist() == [1, 2, 2, 2]


def test_unequal_steps_are_step_0_in_nifti() -> None:
    axis = TimeAxis.irregular(UNEVEN_MS, cycle_length_ms=800)
    assert axis.to_nifti() == (0.0, 5.0)
    assert axis.unit == "msec"
    assert axis.select([1, 2]).to_nifti() == (0.0, 305.0)


def test_listed_times_that_are_even_but_for_rounding_have_a_step() -> None:
    axis = TimeAxis.irregular([0, 33, 67, 100], full_cycle=True)
    assert axis.frame_times_ms.tolist() == [0, 33, 67, 100]
    assert axis.frame_duration_ms == pytest.approx(100 / 3)
    assert axis.cycle_length_ms == pytest.approx(400 / 3)
    assert axis.select([2, 3]).to_nifti() == (pytest.approx(100 / 3), 67)
    assert TimeAxis.irregular([7]).to_nifti() == (0.0, 7.0)


@pytest.mark.parametrize("times", [[], [0, 0], [50, 0], [0, math.nan], [[0, 1]]])
def test_listed_times_that_do_not_ascend_are_refused(times: list[float]) -> None:
    with pytest.raises(ValueError, match="`times_ms` must be finite numbers that ascend"):
        TimeAxis.irregular(times)


def test_a_cycle_shorter_than_its_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="`cycle_length_ms` must exceed the span of the frames, 700, got 700"):
        TimeAxis.irregular(UNEVEN_MS, cycle_length_ms=700)


@pytest.mark.parametrize("positions", [[0, 1, 2, 3], [2, 3, 4, 5], [1]])
def test_metadata_round_trip_of_listed_times_is_lossless(positions: list[int]) -> None:
    axis = TimeAxis.irregular(UNEVEN_MS, cycle_length_ms=800, full_cycle=True).select(positions)
    assert TimeAxis.from_meta(axis.to_meta()) == axis


def test_metadata_of_even_and_uneven_sequences_collates() -> None:
    axes = [TimeAxis.irregular(UNEVEN_MS).select([0, 1, 2]), TimeAxis.uniform(20, 0.05).select([3, 4, 5])]
    batch = decollate_batch(list_data_collate([{"time": axis.to_meta()} for axis in axes]))
    assert [TimeAxis.from_meta(item["time"]) for item in batch] == axes


def test_metadata_of_other_loaders_is_refused() -> None:
    with pytest.raises(KeyError, match="no time axis"):
        TimeAxis.from_meta({"affine": np.eye(4)})


def test_unknown_unit_name_is_refused() -> None:
    with pytest.raises(ValueError, match="`unit` must be one of"):
        TimeAxis.uniform(3, 0.05, unit="minutes")
