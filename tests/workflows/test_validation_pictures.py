# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cardiac4d.workflows import ValidationPictures, validation_pictures


def case(name: str, lost: int = 0, **entry: float) -> dict:
    """A cavity of 8, 4, 6 voxels of which the prediction lacks some at end-systole; frame 2 is not annotated."""
    label = torch.zeros(1, 4, 4, 4, 3, dtype=torch.uint8)
    pred = torch.zeros_like(label)
    for t, count in enumerate((8, 4, 6)):
        label.view(-1, 3)[:count, t] = 1
        pred.view(-1, 3)[: count - (lost if t == 1 else 0), t] = 1
    label[..., 2] = 255
    tensors = {"image": torch.rand(1, 4, 4, 4, 3), "label": label, "pred": pred}
    affine = torch.diag(torch.tensor([10.0, 10, 10, 1]))
    return {"id": name, **{key: MetaTensor(value, affine=affine) for key, value in tensors.items()}, **entry}


def validate(cases: list[dict], *args) -> dict[str, float]:
    engine = Engine(lambda _engine, batch: batch)
    ValidationPictures(*args).attach(engine)
    engine.run([[each] for each in cases])
    return engine.state.metrics


def test_numbers_are_those_of_all_cases(tmp_path) -> None:
    metrics = validate([case("a"), case("b", lost=1), case("c", lost=2, ef_percent=90.0)], None, None)
    assert metrics["val_dice_lv"] == pytest.approx(np.mean([1, (1 + 6 / 7) / 2, (1 + 4 / 6) / 2]))
    assert metrics["val_dice_lvm"] == 1
    assert metrics["val_ef_mae_points"] == pytest.approx((0 + 12.5 + 15) / 3)
    assert metrics["val_ef_bias_points"] == pytest.approx((0 + 12.5 - 15) / 3)
    assert not list(tmp_path.iterdir())


def test_what_is_not_defined_is_left_out() -> None:
    blank = case("a")
    blank["label"][:] = 255
    assert validate([blank], None, None) == {}


def test_pictures_reach_files_and_tensorboard(tmp_path) -> None:
    validate([case("a"), case("b")], tmp_path / "pictures", tmp_path / "log")
    names = ["validation_case", "validation_ef", "validation_volumes"]
    assert sorted(path.stem for path in (tmp_path / "pictures").iterdir()) == names
    events = EventAccumulator(str(tmp_path / "log")).Reload()
    assert sorted(events.Tags()["images"]) == [f"pictures/{name}" for name in names]
    (image,) = events.Images("pictures/validation_case")
    assert (image.step, image.width, image.height) == (1, 1800, 735)


def test_only_the_main_process_draws(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(validation_pictures, "is_main_process", lambda: False)
    metrics = validate([case("a")], tmp_path / "pictures", tmp_path / "log")
    assert not math.isnan(metrics["val_ef_mae_points"])
    assert not list(tmp_path.iterdir())


def test_picture_that_cannot_be_drawn_does_not_end_the_training(tmp_path, monkeypatch, caplog) -> None:
    def broken(*_args, **_options) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(validation_pictures, "training_panel", broken)
    metrics = validate([case("a"), case("b", lost=1)], tmp_path / "pictures", None)
    assert metrics["val_dice_lv"] == pytest.approx(np.mean([1, (1 + 6 / 7) / 2]))
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["validation_ef.png"]
    assert "pictures of the validation: could not be written" in caplog.text
    assert "ZeroDivisionError" in caplog.text
