# SPDX-License-Identifier: Apache-2.0
"""Variants of one sequence side by side."""

from __future__ import annotations

import numpy as np
import pytest

from cardiac4d.report import variant_montage


def _pair(frames: int = 3) -> tuple[np.ndarray, np.ndarray]:
    image, labels = np.zeros((8, 6, 4, frames)), np.zeros((8, 6, 4, frames), np.uint8)
    image[6, 1, 2] = 300.0  # to the right of the picture, near its foot
    labels[2:5, 2:4, 2] = 2
    labels[3, 2:4, 2, 1:] = 1
    return image, labels


def test_each_variant_is_a_row_and_each_frame_a_column() -> None:
    figure = variant_montage({"one": _pair(), "two": _pair()}, [0, 2])
    panels = figure.axes
    assert len(panels) == 4
    assert [axes.get_ylabel() for axes in panels] == ["one", "", "two", ""]
    assert [axes.get_title() for axes in panels] == ["frame 0", "frame 2", "", ""]
    assert panels[0].images[0].get_array()[4, 6] == 300.0
    assert [len(axes.collections) for axes in panels] == [1, 2, 1, 2], "contours of the myocardium, and of a cavity"


def test_nothing_to_draw_and_labels_of_another_shape_are_refused() -> None:
    image, labels = _pair()
    for variants, frames in (({}, [0]), ({"one": (image, labels)}, []), ({"one": (image, labels[..., :2])}, [0])):
        with pytest.raises(ValueError, match="`variants` and `frames`"):
            variant_montage(variants, frames)
