# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from cardiac4d.report import as_pixels, save_png, training_curves, write_training_summary
from cardiac4d.report.style import new_figure

HISTORY = [
    {"epoch": 1, "train_loss": 0.9, "train_dice_loss": 0.8, "train_smoothness_loss": 0.1, "learning_rate": 1e-3},
    {"epoch": 2, "train_loss": 0.7, "train_smoothness_loss": 0.1, "val_mean_dice": 0.5, "val_ef_mae_points": 20.0},
    {"epoch": 3, "train_loss": 0.6, "train_dice_loss": float("nan"), "val_mean_dice": 0.7},
]


def lines(axes) -> dict[str, list[list[float]]]:
    return {line.get_label(): [list(line.get_xdata()), list(line.get_ydata())] for line in axes.lines}


def test_curves_show_each_term_at_the_epochs_that_measured_it() -> None:
    losses, dice, ef, rate = training_curves(HISTORY).axes
    assert lines(losses)["loss"] == [[1, 2, 3], [0.9, 0.7, 0.6]]
    assert lines(losses)["Dice term"] == [[1], [0.8]]
    assert lines(dice) == {"mean": [[2, 3], [0.5, 0.7]]}
    assert lines(ef)["mean absolute error"] == [[2], [20.0]]
    assert lines(rate)["learning rate"] == [[1], [1e-3]]


@pytest.mark.parametrize(("num_epochs", "marker"), [(3, "o"), (300, "")])
def test_points_are_marked_where_they_are_few(tmp_path, num_epochs, marker) -> None:
    figure = training_curves([{"epoch": epoch, "train_loss": 1 / epoch} for epoch in range(1, num_epochs + 1)])
    assert [line.get_marker() for line in figure.axes[0].lines] == [marker]
    assert save_png(figure, tmp_path / "curves.png").is_file()


def test_what_was_never_measured_is_said() -> None:
    _, dice, _, _ = training_curves(HISTORY[:1]).axes
    assert [text.get_text() for text in dice.texts] == ["not measured"]
    with pytest.raises(ValueError, match="at least one epoch"):
        training_curves([])


class Page(HTMLParser):
    """Tags that were opened and not closed, and addresses of pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        self.open += [tag] if tag not in ("meta", "img") else []

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def test_page_holds_everything_and_needs_nothing_else(tmp_path) -> None:
    picture = save_png(new_figure(1.0, 1.0), tmp_path / "a.png")
    facts = {"Settings": {"name": "<b>&", "long": "x" * 200}, "Provenance": {}}
    pictures = {"One": picture, "Missing": tmp_path / "b.png"}
    png, html = write_training_summary(tmp_path, HISTORY, facts, pictures, title="T <1>", subtitle="3 epochs")
    assert [png.name, html.name] == ["training_summary.png", "training_summary.html"]
    assert png.read_bytes()[:4] == b"\x89PNG"
    text = html.read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert [source[:22] for source in page.sources] == ["data:image/png;base64,"] * 2
    assert base64.b64decode(page.sources[1][22:]) == picture.read_bytes()
    assert "&lt;b&gt;&amp;" in text
    assert "x" * 200 in text
    assert "Missing" not in text
    assert not re.search(r"https?://|<script", text)


def test_pixels_are_those_of_the_file(tmp_path) -> None:
    figure = new_figure(1.0, 0.5)
    figure.patch.set_facecolor("#102030")
    pixels = as_pixels(figure)
    assert (pixels.shape, pixels.dtype) == ((75, 150, 3), np.uint8)
    assert pixels[0, 0].tolist() == [16, 32, 48]
