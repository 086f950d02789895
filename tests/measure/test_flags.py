# SPDX-License-Identifier: Apache-2.0
"""Each rule fires where it should, names the frames, and is silent on what is in order."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cardiac4d.measure import lost_cavity, mass_variation, measure_study
from cardiac4d.measure.cycle import smooth_curve
from cardiac4d.measure.flags import (
    PLAUSIBLE_EF_PERCENT,
    Flag,
    implausible_heart_rate,
    implausible_value,
    listed,
    missing_frames,
    no_muscle,
    phases_too_close,
    several_minima,
)
from cardiac4d.measure.shape_flags import (
    few_slices,
    hole_area_mm2,
    holes_in_wall,
    labels_swapped,
    no_valve_plane,
    several_pieces,
    touches_field_of_view,
)
from cardiac4d.measure.tissue import Body, largest_body
from tests.helpers.shapes import TURN, cup, sphere_in_sphere

CUP = ((24.0, 50.0), (32.0, 55.0), 22.0, (2.0, 2.0, 2.0), TURN)


def codes(*flags: Flag | None) -> list[str]:
    return [flag.code for flag in flags if flag is not None]


@pytest.mark.parametrize(
    ("volumes", "code", "words"),
    [
        ([100.0, 0, 50, 0, 80], "lost_cavity", "no cavity in frames 1, 3 of 0..4: the end-systolic volume is 0"),
        ([100.0, 60, 0], "lost_cavity", "no cavity in frame 2 of 0..2"),
        ([0.0, np.nan, 0], "no_cavity", "no cavity in any frame"),
    ],
)
def test_frames_without_cavity_are_named(volumes: list[float], code: str, words: str) -> None:
    flag = lost_cavity(np.array(volumes))
    assert (flag.code, flag.severity) == (code, "error")
    assert words in flag.reason


def test_a_cavity_in_every_measured_frame_needs_no_flag() -> None:
    assert lost_cavity(np.array([100.0, 50, np.nan])) is None


@pytest.mark.parametrize(("variation", "flagged"), [(20.0, False), (20.5, True), (math.nan, False)])
def test_myocardium_that_varies_beyond_the_tolerance_is_flagged(variation: float, flagged: bool) -> None:
    assert (mass_variation(variation) is not None) == flagged


def test_reason_states_value_and_tolerance() -> None:
    reason = mass_variation(31.4).reason
    assert "varies by 31 %" in reason
    assert "more than 20 %" in reason


@pytest.mark.parametrize(
    ("frames", "words"),
    [([3], "frame 3"), ([2, 4], "frames 2, 4"), ([2, 3], "frames 2, 3"), ([0, 1, 2, 3, 9], "frames 0 to 3, 9")],
)
def test_frames_in_words(frames: list[int], words: str) -> None:
    assert listed(frames) == words


def test_missing_frames_are_worth_knowing() -> None:
    flag = missing_frames(np.array([np.nan, 3.0, np.nan]))
    assert (flag.severity, flag.frames) == ("info", (0, 2))
    assert flag.reason.startswith("frames 0, 2 of 0..2 are not annotated")
    assert missing_frames(np.array([1.0, 2.0])) is None


def test_two_beats_have_two_minima() -> None:
    times = np.arange(20.0)
    for beats, expected in ((1, []), (2, ["several_minima"])):
        curve = smooth_curve(times, 100 + 30 * np.cos(2 * np.pi * beats * times / 20), 20.0)
        assert codes(several_minima(curve, 60.0)) == expected
    assert several_minima(None, 60.0) is None
    assert several_minima(curve, 0.0) is None


@pytest.mark.parametrize(
    ("ed", "es", "full_cycle", "flagged"),
    [(0, 5, True, False), (0, 4, True, True), (18, 1, True, True), (0, 4, False, False), (2, 17, True, False)],
)
def test_systole_is_longer_than_a_quarter_of_the_cycle(ed: int, es: int, full_cycle: bool, flagged: bool) -> None:
    assert (phases_too_close(ed, es, 20, full_cycle=full_cycle) is not None) == flagged


@pytest.mark.parametrize(("value", "flagged"), [(9.0, True), (60.0, False), (80.4, True), (math.nan, False)])
def test_implausible_value(value: float, flagged: bool) -> None:
    flag = implausible_value("implausible_ef", "an ejection fraction", value, "%", PLAUSIBLE_EF_PERCENT)
    assert (flag is not None) == flagged
    assert flag is None or f"an ejection fraction of {value:.3g} % is outside 10 to 80 %" in flag.reason


@pytest.mark.parametrize(("rate", "flagged"), [(0.07, True), (70.0, False), (70000.0, True), (math.nan, False)])
def test_frame_times_in_another_unit_are_flagged_by_the_heart_rate(rate: float, flagged: bool) -> None:
    flag = implausible_heart_rate(rate)
    assert (flag is not None) == flagged
    assert flag is None or "check the unit of the frame times" in flag.reason


def test_study_without_muscle_is_flagged_and_has_no_wall() -> None:
    labels, affine = cup(*CUP)
    found = measure_study(np.where(labels == 2, 0, labels)[..., None], affine)
    assert "no_muscle" in codes(*found.flags)
    assert found.wall_ed is None
    assert no_muscle(np.array([np.nan, 0.0])).frames == (1,)
    assert no_muscle(np.array([0.0, 5.0])) is None
    assert no_muscle(np.array([np.nan])) is None


def test_swapped_labels_are_flagged() -> None:
    labels, affine = cup(*CUP)
    swapped = np.array([0, 2, 1], np.uint8)[labels]
    bodies = {0: largest_body(labels, affine), 4: largest_body(swapped, affine)}
    flag = labels_swapped(bodies)
    assert (flag.code, flag.severity, flag.frames) == ("labels_swapped", "error", (4,))
    assert labels_swapped({0: largest_body(np.where(labels == 2, 0, labels), affine)}) is None, "no muscle at all"


def test_ventricle_of_hardly_any_slices_is_flagged_and_has_no_wall() -> None:
    labels, affine = cup(*CUP)
    middle = labels.shape[2] // 2
    found = measure_study(labels[:, :, middle : middle + 2, None], affine)
    assert "few_slices" in codes(*found.flags)
    assert found.wall_ed is None
    thick = cup((24.0, 50.0), (32.0, 55.0), 22.0, (2.0, 2.0, 20.0))
    rough = measure_study(thick[0][..., None], thick[1])
    assert "few_slices" not in codes(*rough.flags)
    assert rough.wall_ed.mean_mm == pytest.approx(7, abs=1.0)
    assert few_slices({}) is None


def test_whole_ventricle_within_the_field_of_view_has_no_flag() -> None:
    bodies = {0: largest_body(*cup(*CUP))}
    assert codes(touches_field_of_view(bodies), several_pieces(bodies), holes_in_wall(bodies)) == []


def test_ventricle_at_the_border_is_flagged() -> None:
    labels, affine = cup(*CUP)
    edge = np.flatnonzero((labels > 0).any(axis=(1, 2)))[0]
    bodies = {0: largest_body(labels, affine), 3: largest_body(labels[edge:], affine)}
    flag = touches_field_of_view(bodies)
    assert (flag.code, flag.frames) == ("touches_field_of_view", (3,))


def test_pieces_are_flagged_and_specks_are_not() -> None:
    labels, affine = cup(*CUP)
    speck, pieces = labels.copy(), labels.copy()
    speck[0, 0, 0], pieces[:6, :6, :6] = 2, 2
    flag = several_pieces({1: largest_body(speck, affine), 2: largest_body(pieces, affine)})
    assert (flag.code, flag.frames) == ("several_pieces", (2,))


def with_window(labels: np.ndarray, half_voxels: int) -> np.ndarray:
    """A window through the side of the wall, filled with cavity."""
    open_ = labels.copy()
    middle = tuple(np.round(np.argwhere(labels == 1).mean(axis=0)).astype(int))
    rows = slice(middle[0] - half_voxels, middle[0] + half_voxels)
    columns = slice(middle[1] - half_voxels, middle[1] + half_voxels)
    block = open_[rows, columns, : middle[2]]
    block[block == 2] = 1
    return open_


def test_hole_in_the_wall_is_flagged_with_its_area() -> None:
    labels, affine = sphere_in_sphere(20.0, 26.0, (2.0, 2.0, 2.0))
    assert hole_area_mm2(largest_body(labels, affine)) == 0
    holed = largest_body(with_window(labels, 2), affine)
    assert hole_area_mm2(holed) == pytest.approx(64, rel=0.05)
    assert holes_in_wall({4: holed}).frames == (4,)


def test_gap_between_cavity_and_wall_is_flagged() -> None:
    labels, affine = sphere_in_sphere(20.0, 28.0, (2.0, 2.0, 2.0))
    middle = labels.shape[0] // 2
    first = np.flatnonzero(labels[middle, middle] == 1)[0]
    labels[middle - 2 : middle + 2, middle - 2 : middle + 2, first : first + 2] = 0
    assert hole_area_mm2(largest_body(labels, affine)) > 50


def test_mouth_and_its_uneven_rim_are_no_hole() -> None:
    labels, affine = cup((24.0, 50.0), (32.0, 55.0), 22.0, (2.0, 2.0, 2.0))
    rim = np.flatnonzero((labels > 0).any(axis=(0, 1)))[-1]
    labels[: labels.shape[0] // 3, :, rim][labels[: labels.shape[0] // 3, :, rim] == 2] = 0
    assert hole_area_mm2(largest_body(labels, affine)) == 0
    assert hole_area_mm2(largest_body(with_window(labels, 3), affine)) > 50


def test_closed_cavity_has_no_valve_plane() -> None:
    assert no_valve_plane({0: None, 7: None}).frames == (0, 7)
    assert no_valve_plane({}) is None


def test_body_is_cropped_and_keeps_its_place() -> None:
    labels, affine = cup(*CUP)
    body = largest_body(labels, affine)
    assert isinstance(body, Body)
    np.testing.assert_allclose(
        body.centers_mm(body.labels == 1).mean(axis=0),
        (np.argwhere(labels == 1) @ affine[:3, :3].T + affine[:3, 3]).mean(axis=0),
    )
    assert largest_body(np.zeros((3, 3, 3), np.uint8), affine) is None
