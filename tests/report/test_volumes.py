# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cardiac4d.measure import LeftVentricleFunction, measure_left_ventricle
from cardiac4d.report import volume_curve

AFFINE = np.diag([5.0, 5.0, 4.0, 1.0])
"""A voxel holds 0.1 ml."""


def function(lv_voxels: list[int], annotated: list[int] | None = None) -> LeftVentricleFunction:
    """Measure a sequence with a cavity of so many voxels per frame, and 300 of myocardium."""
    labels = np.zeros((10, 10, 10, len(lv_voxels)), np.uint8)
    flat = labels.reshape(1000, -1)
    for frame, voxels in enumerate(lv_voxels):
        flat[:voxels, frame], flat[-300:, frame] = 1, 2
    if annotated is not None:
        labels[..., [frame for frame in range(len(lv_voxels)) if frame not in annotated]] = 255
    return measure_left_ventricle(labels, AFFINE)


def lines(figure: Figure) -> dict[str, Line2D]:
    return {str(line.get_label()): line for line in figure.axes[0].get_lines()}


def texts(figure: Figure) -> str:
    axes = figure.axes[0]
    return " | ".join([text.get_text() for text in axes.texts] + [axes.get_title(loc) for loc in ("left", "right")])


def test_lines_hold_the_measured_volumes_over_time() -> None:
    drawn = lines(volume_curve(function([600, 400, 240, 500]), [0.0, 50.0, 100.0, 150.0]))
    np.testing.assert_allclose(drawn["LV cavity"].get_ydata(), [60, 40, 24, 50])
    np.testing.assert_allclose(drawn["LV myocardium"].get_ydata(), [30] * 4)
    np.testing.assert_allclose(drawn["LV cavity"].get_xdata(), [0, 50, 100, 150])


def test_end_diastole_end_systole_and_ejection_fraction_are_marked() -> None:
    figure = volume_curve(function([600, 400, 240, 500]), [0.0, 50.0, 100.0, 150.0], title="case 7")
    guides = [line.get_xdata()[0] for name, line in lines(figure).items() if name.startswith("_")]
    assert guides == [0.0, 100.0]
    assert texts(figure) == "ED 60 mL | ES 24 mL | case 7 | EF 60.0 %"


def test_axes_name_their_units() -> None:
    axes = volume_curve(function([600, 240]), [0.0, 400.0]).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Time (ms)", "Volume (mL)")
    assert axes.get_ylim()[0] == 0


@pytest.mark.parametrize("times", [None, [0.0, float("nan")]])
def test_unknown_times_count_frames(times: list[float] | None) -> None:
    figure = volume_curve(function([600, 240]), times)
    assert figure.axes[0].get_xlabel() == "Frame (0-based)"
    np.testing.assert_allclose(lines(figure)["LV cavity"].get_xdata(), [0, 1])


def test_dense_reference_is_a_dashed_line() -> None:
    figure = volume_curve(function([600, 240, 500]), reference=function([600, 300, 500]))
    line = lines(figure)["LV cavity, reference"]
    np.testing.assert_allclose(line.get_ydata(), [60, 30, 50])
    assert (line.get_linestyle(), line.get_marker()) == ("--", "none")
    assert texts(figure).endswith("predicted EF 60.0 %, reference labels 50.0 %")
    assert texts(figure).startswith("predicted ED 60 mL | predicted ES 24 mL")


def test_sparse_reference_is_points() -> None:
    line = lines(volume_curve(function([600, 240, 500]), reference=function([600, 300, 500], [0, 1])))[
        "LV cavity, reference"
    ]
    np.testing.assert_allclose(line.get_ydata(), [60, 30, np.nan])
    assert (line.get_linestyle(), line.get_marker()) == ("None", "o")


def test_empty_segmentation_still_has_an_axis() -> None:
    figure = volume_curve(measure_left_ventricle(np.zeros((4, 4, 4, 3), np.uint8), AFFINE))
    assert figure.axes[0].get_ylim()[1] > 1
    assert texts(figure).startswith("ED 0 mL | ")
    assert "ES" not in texts(figure)


def test_wrong_number_of_times_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`frame_times_ms` must hold one time per frame \(2\)"):
        volume_curve(function([600, 240]), [0.0])


def test_reference_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="`reference` must have 2 frames, got 3"):
        volume_curve(function([600, 240]), reference=function([600, 240, 500]))
