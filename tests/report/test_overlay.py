# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.contour import QuadContourSet

from cardiac4d.report import overlay
from cardiac4d.report.style import OVERLAY_COLOURS

AFFINE = np.diag([10.0, 10.0, 10.0, 1.0])


def sequence(num_frames: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A cube of cavity in a shell of myocardium, and an image that is brightest in the cavity."""
    labels = np.zeros((11, 11, 11, num_frames), np.uint8)
    labels[3:8, 3:8, 3:8], labels[4:7, 4:7, 4:7] = 2, 1
    return np.choose(labels, [-50.0, 400.0, 110.0]), labels


def contours(axes: Axes) -> dict[str, np.ndarray]:
    """Bounding box (left, top, right, bottom) of each contour, by its colour."""
    found = {}
    for artist in axes.collections:
        assert isinstance(artist, QuadContourSet)
        vertices = np.concatenate([path.vertices for path in artist.get_paths()])
        found[to_hex(artist.get_edgecolor()[0]).upper()] = np.concatenate([vertices.min(0), vertices.max(0)])
    return found


def test_contours_surround_the_structures_in_all_planes() -> None:
    image, labels = sequence()
    figure = overlay(image, labels, AFFINE, {"ED": 0})
    assert len(figure.axes) == 3
    for axes in figure.axes:  # the field of view starts 3 voxels before the myocardium: at the array's edge
        drawn = contours(axes)
        np.testing.assert_allclose(drawn[OVERLAY_COLOURS["LVM"]], [2.5, 2.5, 7.5, 7.5])
        np.testing.assert_allclose(drawn[OVERLAY_COLOURS["LV"]], [3.5, 3.5, 6.5, 6.5])


def test_panels_are_square_and_of_one_scale_whatever_the_voxels() -> None:
    image, labels = sequence()
    affine = np.diag([4.0, 4.0, 12.0, 1.0])
    pixels_mm = [(4, 4), (4, 12), (4, 12)]
    for axes, (across, down) in zip(overlay(image, labels, affine, {"ED": 0}).axes, pixels_mm, strict=True):
        width_mm, height_mm = np.ptp(axes.get_xlim()) * across, np.ptp(axes.get_ylim()) * down
        assert width_mm == pytest.approx(height_mm) == pytest.approx(11 * 12)
        assert np.mean(axes.get_xlim()) == pytest.approx((axes.get_images()[0].get_array().shape[1] - 1) / 2)
        assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first row is at the top"
        assert "50 mm" in [text.get_text() for text in axes.texts]


def test_pictures_show_the_image_of_their_frame() -> None:
    image, labels = sequence()
    image[..., 1] += 1000
    first, _, _, second, _, _ = overlay(image, labels, AFFINE, {"ED": 0, "ES": 1}).axes
    np.testing.assert_allclose(first.get_images()[0].get_array(), image[::-1, ::-1, 5, 0].T)
    np.testing.assert_allclose(second.get_images()[0].get_array(), image[::-1, ::-1, 5, 1].T)
    assert [axes.get_ylabel() for axes in (first, second)] == ["ED, frame 0", "ES, frame 1"]


def test_reference_is_drawn_where_it_is_annotated() -> None:
    image, labels = sequence()
    reference = labels.copy()
    reference[..., 1] = 255
    axes = overlay(image, labels, AFFINE, {"ED": 0, "ES": 1}, reference=reference).axes
    assert "#FFFFFF" in contours(axes[0])
    assert set(contours(axes[3])) == set(OVERLAY_COLOURS.values())
    assert axes[3].get_ylabel() == "ES, frame 1\nnot annotated"


def test_empty_prediction_shows_the_place_of_the_reference() -> None:
    image, labels = sequence()
    figure = overlay(image, np.zeros_like(labels), AFFINE, {"ED": 0}, reference=labels)
    assert set(contours(figure.axes[0])) == {"#FFFFFF"}


@pytest.mark.parametrize(("window", "limits"), [((-100.0, 300.0), (-100.0, 300.0)), (None, (-50.0, 400.0))])
def test_window_sets_black_and_white(window: tuple[float, float] | None, limits: tuple[float, float]) -> None:
    image, labels = sequence()
    picture = overlay(image, labels, AFFINE, {"ED": 0}, window=window).axes[0].get_images()[0]
    assert picture.get_clim() == limits


def test_study_of_one_slice_is_drawn() -> None:
    image, labels = sequence()
    figure = overlay(image[:, :, 5:6], labels[:, :, 5:6], AFFINE, {"ED": 0})
    assert contours(figure.axes[0])
    assert not contours(figure.axes[1])


@pytest.mark.parametrize(
    ("frames", "match"),
    [({}, "at least one frame"), ({"ES": 2}, "within 0 to 1, got {'ES': 2}"), ({"ES": -1}, "within 0 to 1")],
)
def test_frames_out_of_range_are_refused(frames: dict[str, int], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        overlay(*sequence(), AFFINE, frames)


def test_shapes_that_disagree_are_refused() -> None:
    image, labels = sequence()
    with pytest.raises(ValueError, match=r"`reference` must be \(H, W, D, T\) like `image`"):
        overlay(image, labels, AFFINE, {"ED": 0}, reference=labels[:-1])
