# SPDX-License-Identifier: Apache-2.0
"""Pictures show what lies at their place, and contours enclose what was segmented."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread

from cardiac4d.report.beating_pictures import choose_window, sample_cuts
from cardiac4d.report.contours import TOLERANCE_PIXELS, contour_path, path_lines
from cardiac4d.report.cut_planes import CutPlane, unit
from cardiac4d.report.heart_views import Cut
from cardiac4d.report.overlay import CONTRAST_CT_WINDOW_HU
from cardiac4d.report.sprites import BLOCK, jpeg_uri, sprite_columns, sprites

TURN = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])
SPACING = np.array([1.0, 1.5, 2.0])
SHAPE = (60, 40, 30)
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN * SPACING
AFFINE[:3, 3] = [-10.0, 20.0, 5.0]
CENTER_MM = AFFINE[:3, :3] @ ((np.array(SHAPE) - 1) / 2) + AFFINE[:3, 3]
OBLIQUE = CutPlane("oblique", unit(np.array([1.0, 2.0, 0.5])), unit(np.array([2.0, -1.0, 0.0])), 14.0)


def positions_mm() -> np.ndarray:
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), -1)
    return grid @ AFFINE[:3, :3].T + AFFINE[:3, 3]


def sample(image: np.ndarray, labels: np.ndarray, num_pixels: int = 57) -> tuple[np.ndarray, list]:
    cuts = [Cut("there", CENTER_MM, OBLIQUE)]
    found = sample_cuts([image], labels[..., None], AFFINE, cuts, num_pixels, (0.0, 255.0))
    return found.pixels[0, 0], found.contours[0][0]


def test_oblique_cut_of_an_oblique_study_shows_each_point_at_its_place() -> None:
    """A picture of a linear function is that function, whatever the resampling."""
    slope = np.array([1.5, -2.0, 1.0])
    ramp = 128 + (positions_mm() - CENTER_MM) @ slope
    picture, _ = sample(ramp, np.zeros(SHAPE, np.uint8))
    ticks = np.linspace(-14, 14, 57)
    expected = 128 + ticks[None, :] * (OBLIQUE.right @ slope) + ticks[:, None] * (OBLIQUE.down @ slope)
    assert np.abs(picture - expected).max() <= 1


def test_contours_of_a_ball_are_circles_of_its_size() -> None:
    away = np.linalg.norm(positions_mm() - CENTER_MM, axis=-1)
    labels = np.where(away < 7, 1, np.where(away < 11, 2, 0)).astype(np.uint8)
    _, paths = sample(np.zeros(SHAPE), labels)
    for path, radius_mm in zip(paths, (7, 11), strict=True):
        (line,) = path_lines(path)
        radii_mm = np.linalg.norm(line - 28, axis=1) * 0.5
        assert radii_mm.mean() == pytest.approx(radius_mm, abs=0.35)
        assert np.abs(radii_mm - radius_mm).max() < 1.2


def test_frames_that_are_not_annotated_have_no_contour() -> None:
    _, paths = sample(np.zeros(SHAPE), np.full(SHAPE, 255, np.uint8))
    assert paths == ("", "")


def test_outside_the_study_is_black() -> None:
    far = [Cut("far", CENTER_MM + 500, OBLIQUE)]
    found = sample_cuts([np.full(SHAPE, 255.0)], np.zeros((*SHAPE, 1), np.uint8), AFFINE, far, 16, (-100.0, 255.0))
    assert not found.pixels.any()


def test_a_single_slice_can_be_cut() -> None:
    cut = [Cut("flat", np.zeros(3), CutPlane("axial", np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), 2.0))]
    image, labels = np.full((5, 5, 1), 100.0), np.zeros((5, 5, 1, 1), np.uint8)
    affine = np.diag([1.0, 1.0, 8.0, 1.0])
    affine[:2, 3] = -2
    assert sample_cuts([image], labels, affine, cut, 5, (0.0, 200.0)).pixels[0, 0, 2, 2] == 128


def test_window_is_that_of_ct_only_for_hounsfield_units(rng: np.random.Generator) -> None:
    assert choose_window(rng.normal(-400, 500, (20, 20, 20))) == CONTRAST_CT_WINDOW_HU
    low, high = choose_window(rng.uniform(0, 1000, (40, 40, 40)))
    assert (low, high) == pytest.approx((10, 995), abs=5)
    assert choose_window(np.zeros((4, 4, 4))) == (0.0, 1.0)


def test_path_strays_less_than_its_tolerance_from_the_contour() -> None:
    rows, columns = np.mgrid[:64, :64]
    share = np.clip(20.5 - np.hypot(rows - 30, columns - 33), 0, 1).astype(np.float32)
    (line,) = path_lines(contour_path(share))
    assert (line[0] == line[-1]).all()
    middles = (line[1:] + line[:-1]) / 2
    for points in (line, middles):
        assert np.abs(np.hypot(points[:, 1] - 30, points[:, 0] - 33) - 20).max() < TOLERANCE_PIXELS + 0.25
    assert len(line) < 60, "a point per pixel would be 125"


def test_outline_that_meets_the_edge_stays_open() -> None:
    share = np.zeros((8, 8), np.float32)
    share[:, :4] = 1
    assert contour_path(share) == "M28 0l0 56"
    assert contour_path(np.zeros((8, 8), np.float32)) == ""


def test_speck_too_small_to_see_gives_no_path() -> None:
    """A line without length would be a mistake in the page."""
    share = np.zeros((8, 8), np.float32)
    share[4, 4] = 0.501
    assert contour_path(share) == ""


def decoded(uri: str) -> np.ndarray:
    head, data = uri.split(",")
    assert head == "data:image/jpeg;base64"
    return imread(io.BytesIO(base64.b64decode(data)), format="jpeg")[..., 0]


def test_sprite_holds_the_frames_in_reading_order() -> None:
    levels = np.array([10, 60, 110, 160, 210], np.uint8)
    pixels = np.broadcast_to(levels[None, :, None, None], (1, 5, BLOCK, BLOCK)).copy()
    (uri,) = sprites(pixels, 10**6)
    sheet, across = decoded(uri), sprite_columns(5)
    assert sheet.shape == (2 * BLOCK, 3 * BLOCK)
    for t, level in enumerate(levels):
        row, column = divmod(t, across)
        tile = sheet[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
        assert np.abs(tile.astype(int) - int(level)).max() <= 3, "frames must not bleed into each other"


def test_quality_falls_until_the_pictures_fit(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 255, (1, 1, 128, 128), dtype=np.uint8)
    best = len(jpeg_uri(pixels[0, 0]))
    (fitting,) = sprites(pixels, int(0.6 * best))
    assert len(fitting) <= 0.6 * best
    (smallest,) = sprites(pixels, 1)
    assert smallest == jpeg_uri(pixels[0, 0], 20), "and not further than 20"
