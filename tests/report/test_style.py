# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib import colors
from matplotlib.image import imread

from cardiac4d.report import save_png
from cardiac4d.report.style import DPI, OVERLAY_COLOURS, STRUCTURE_COLOURS, draw_scale_bar, new_figure


def test_save_png_writes_the_size_asked_for_and_makes_the_folder(tmp_path: Path) -> None:
    path = save_png(new_figure(2.0, 1.0), tmp_path / "new" / "picture.png")
    assert imread(path).shape[:2] == (DPI, 2 * DPI)
    assert [file.name for file in path.parent.iterdir()] == ["picture.png"]


def test_save_png_is_reproducible(tmp_path: Path) -> None:
    written = [save_png(new_figure(1.0, 1.0), tmp_path / f"{name}.png").read_bytes() for name in "ab"]
    assert written[0] == written[1]


def test_save_png_that_fails_leaves_the_old_picture_and_nothing_else(tmp_path: Path) -> None:
    path = save_png(new_figure(1.0, 1.0), tmp_path / "picture.png")
    before = path.read_bytes()
    figure = new_figure(1.0, 1.0)
    figure.text(0.5, 0.5, r"$\no_such_symbol$")
    with pytest.raises(ValueError, match="no_such_symbol"):
        save_png(figure, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_save_png_refuses_another_suffix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`path` must end in \.png"):
        save_png(new_figure(1.0, 1.0), tmp_path / "picture.jpg")


@pytest.mark.parametrize("palette", [STRUCTURE_COLOURS, OVERLAY_COLOURS])
def test_structures_differ_for_a_viewer_without_green_cones(palette: dict[str, str]) -> None:
    """Red and green merge with deuteranopia; the blue share alone must tell the two structures apart."""
    blue_share = {name: colors.to_rgb(value)[2] - sum(colors.to_rgb(value)[:2]) / 2 for name, value in palette.items()}
    assert abs(blue_share["LV"] - blue_share["LVM"]) > 0.5


def test_every_figure_says_what_it_may_be_used_for() -> None:
    assert new_figure(2.0, 1.0).get_supxlabel() == "Research use only"


@pytest.mark.parametrize(("width_mm", "length_mm"), [(130.0, 50.0), (60.0, 20.0), (4.0, 5.0)])
def test_scale_bar_is_as_long_as_it_says(width_mm: float, length_mm: float) -> None:
    axes = new_figure(2.0, 2.0).add_subplot()
    assert draw_scale_bar(axes, width_mm) == length_mm
    (bar,), (text,) = axes.get_lines(), axes.texts
    assert np.ptp(bar.get_xdata()) * width_mm == pytest.approx(length_mm)
    assert text.get_text() == f"{length_mm:.0f} mm"
