# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib

import pytest
import torch
from ignite.engine import Engine, Events

from cardiac4d.workflows import TrainingSummary
from cardiac4d.workflows.training_summary import _duration, read_history


def train(folder, max_epochs: int, *, done: int = 0, **options) -> None:
    """A training that validates every second epoch; its numbers follow from the epoch."""
    trainer, evaluator = Engine(lambda *_: None), Engine(lambda *_: None)

    def validate(engine) -> None:
        if engine.state.epoch % 2 == 0:
            evaluator.run([0])

    def measure(engine) -> None:
        engine.state.metrics["train_loss"] = 1 / engine.state.epoch

    evaluator.add_event_handler(
        Events.EPOCH_COMPLETED, lambda e: e.state.metrics.update(val_mean_dice=trainer.state.epoch / 10)
    )
    trainer.add_event_handler(Events.STARTED, lambda e: setattr(e.state, "epoch", done))
    trainer.add_event_handler(Events.EPOCH_COMPLETED, measure)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    TrainingSummary(folder, evaluator=evaluator, **options).attach(trainer)
    trainer.run([0], max_epochs=max_epochs)


def test_history_holds_what_each_epoch_measured(tmp_path) -> None:
    train(tmp_path, 3)
    rows = read_history(tmp_path / "history.csv")
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["train_loss"] for row in rows] == pytest.approx([1, 1 / 2, 1 / 3])
    assert [row.get("val_mean_dice") for row in rows] == [None, 0.2, None]
    assert all(row["seconds"] >= 0 for row in rows)


def test_resumed_training_goes_on_in_the_history(tmp_path) -> None:
    train(tmp_path, 3)
    train(tmp_path, 5, done=2)  # killed before the checkpoint of epoch 3
    assert [row["epoch"] for row in read_history(tmp_path / "history.csv")] == [1, 2, 3, 4, 5]
    train(tmp_path, 1)
    assert len(read_history(tmp_path / "history.csv")) == 1, "a training from the start forgets the one before"


def test_page_states_result_settings_and_provenance(tmp_path) -> None:
    model = tmp_path / "checkpoints" / "model_last.pt"
    model.parent.mkdir()
    model.write_bytes(b"weights")
    options = {"settings": {"roi_size": [8, 8, 4], "seed": 3}, "data": {"cases": 2}, "network": torch.nn.Linear(9, 1)}
    train(tmp_path, 4, ckpt_dir=model.parent, title="A training", **options)
    assert (tmp_path / "training_summary.png").is_file()
    page = (tmp_path / "training_summary.html").read_text()
    for text in ("A training", "4 epochs in", "8 x 8 x 4", "0.4000, epoch 4", hashlib.sha256(b"weights").hexdigest()):
        assert text in page, text
    assert "<th scope='row'>parameters</th><td>10</td>" in page


def test_training_without_an_epoch_left_writes_nothing(tmp_path) -> None:
    train(tmp_path, 2, done=2)
    assert not list(tmp_path.iterdir())


def test_durations_carry_over() -> None:
    found = [_duration(seconds) for seconds in (0.84, 59.4, 119.7, 3599.6, 3720)]
    assert found == ["0.8 s", "59.4 s", "2 min 0 s", "1 h 00 min", "1 h 02 min"]
