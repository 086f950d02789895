# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from cardiac4d.report import phase_frames, training_panel

AFFINE = np.diag([10.0, 10.0, 10.0, 1.0])


def case(annotated: tuple[int, ...] = (1, 3)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, sparse label and prediction; the cavity is largest in frame 1, smallest in frame 3."""
    dense = np.zeros((11, 11, 11, 5), np.uint8)
    dense[2:9, 2:9, 2:9] = 2
    for t, half in enumerate((2, 3, 2, 1, 2)):
        dense[5 - half : 5 + half, 4:7, 4:7, t] = 1
    label = np.full_like(dense, 255)
    label[..., list(annotated)] = dense[..., list(annotated)]
    image = np.arange(5.0) * 100 + np.random.default_rng(0).random(dense.shape)
    return image, label, np.roll(dense, 1, axis=-1)  # the prediction is one frame late


def rows(figure) -> list[list]:
    return [figure.axes[:6], figure.axes[6:]]


def test_label_says_which_frames_are_shown_where_it_can() -> None:
    _, label, pred = case()
    assert phase_frames(label, pred) == {"Reference ED": 1, "Reference ES": 3}
    _, alone, _ = case(annotated=(3,))
    assert phase_frames(alone, pred) == {"Predicted ED": 2, "Predicted ES": 4}


def test_slices_run_through_the_ventricle_at_both_frames() -> None:
    image, label, pred = case()
    figure = training_panel(image, label, pred, AFFINE)
    for frame, row in zip((1, 3), rows(figure), strict=True):
        for axes, plane in zip(row, (2, 2, 2, 1, 1, 1), strict=True):
            cut = np.take(image[..., frame], 5, axis=plane)[::-1, ::-1].T
            np.testing.assert_allclose(axes.get_images()[0].get_array(), cut)
        for axes, labels in ((row[1], label), (row[2], pred)):
            veil = axes.get_images()[1].get_array()
            shown = np.take(labels[..., frame], 5, axis=2)[::-1, ::-1].T
            assert ((veil[..., 3] > 0) == np.isin(shown, (1, 2))).all()
        assert len(row[0].get_images()) == 1, "the image stands bare"
    assert [row[0].get_ylabel() for row in rows(figure)] == ["Reference ED, frame 1", "Reference ES, frame 3"]


def test_a_frame_that_is_not_annotated_says_so() -> None:
    image, label, pred = case(annotated=())
    figure = training_panel(image, label, pred, AFFINE)
    for row in rows(figure):
        told = ["not annotated" in [text.get_text() for text in axes.texts] for axes in row]
        assert told == [False, True, False, False, True, False]
        assert len(row[1].get_images()) == 1, "no label is drawn"


def test_an_empty_prediction_is_drawn_and_shapes_are_checked() -> None:
    image, label, pred = case()
    assert len(training_panel(image, label, 0 * pred, AFFINE).axes) == 12
    with pytest.raises(ValueError, match="shapes must agree"):
        training_panel(image[..., :3], label, pred, AFFINE)
