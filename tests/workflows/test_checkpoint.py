# SPDX-License-Identifier: Apache-2.0
import json
import logging

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from cardiac4d.errors import InputError
from cardiac4d.workflows import PolySchedule
from cardiac4d.workflows.checkpoint import Checkpoints, list_checkpoints


def make_training(folder, *, resume=False, max_epochs=4, interval=1, **options):
    torch.manual_seed(0)
    network = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    scheduler = PolySchedule(optimizer, total_iters=max_epochs, power=0.9)

    def step(_engine, batch):
        optimizer.zero_grad()
        network(batch).square().mean().backward()
        optimizer.step()

    trainer = Engine(step)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: scheduler.step())
    Checkpoints(folder, network, optimizer, scheduler, interval=interval, resume=resume, **options).attach(trainer)
    return trainer, network, optimizer


DATA = [torch.ones(3, 2), -torch.ones(3, 2)]


class Killed(BaseException):
    pass


def test_two_newest_checkpoints_are_kept(tmp_path):
    trainer, *_ = make_training(tmp_path)
    trainer.run(DATA, max_epochs=4)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint_epoch=4.pt", "checkpoint_epoch=3.pt"]
    assert (tmp_path / "model_last.pt").is_file()


def test_interrupted_and_resumed_training_equals_uninterrupted(tmp_path):
    trainer, expected, _ = make_training(tmp_path / "whole")
    trainer.run(DATA, max_epochs=4)

    trainer, *_ = make_training(tmp_path / "parts")

    def kill(engine):
        if engine.state.epoch == 3:
            raise Killed

    trainer.add_event_handler(Events.ITERATION_COMPLETED, kill)
    with pytest.raises(Killed):
        trainer.run(DATA, max_epochs=4)
    trainer, resumed, optimizer = make_training(tmp_path / "parts", resume=True)
    epochs = []
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda engine: epochs.append(engine.state.epoch))
    trainer.run(DATA, max_epochs=4)
    assert epochs == [3, 4]
    torch.testing.assert_close(resumed.weight, expected.weight, rtol=0, atol=0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0)


@pytest.mark.parametrize(("planned", "done"), [(4, 4), (4, 2)])
def test_resuming_with_more_epochs_follows_the_longer_schedule(tmp_path, planned, done):
    """From a finished training, whose learning rate is zero, and from the middle of one."""
    trainer, *_ = make_training(tmp_path, max_epochs=planned)
    trainer.run(DATA, max_epochs=done)
    trainer, network, optimizer = make_training(tmp_path, resume=True, max_epochs=8)
    rates, weights = [], []

    @trainer.on(Events.EPOCH_STARTED)
    def note():
        rates.append(optimizer.param_groups[0]["lr"])
        weights.append(network.weight.detach().clone())

    trainer.run(DATA, max_epochs=8)
    assert rates == pytest.approx([0.1 * (1 - epoch / 8) ** 0.9 for epoch in range(done, 8)])
    assert not torch.equal(weights[0], weights[1]), "the resumed epochs train"


def damage(path):
    path.write_bytes(path.read_bytes()[:100])
    return path.read_bytes()


def test_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path, caplog):
    trainer, *_ = make_training(tmp_path, max_epochs=3)
    trainer.run(DATA, max_epochs=3)
    newest = list_checkpoints(tmp_path)[0]
    left = damage(newest)
    trainer, *_ = make_training(tmp_path, resume=True)
    epochs = []
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda engine: epochs.append(engine.state.epoch))
    with caplog.at_level(logging.WARNING):
        trainer.run(DATA, max_epochs=4)
    assert epochs == [3, 4]
    assert "checkpoint_epoch=3.pt cannot be read (RuntimeError)" in caplog.text
    assert "weights_only" not in caplog.text, "torch's advice would run code from the file"
    assert (tmp_path / "checkpoint_epoch=3.pt.unreadable").read_bytes() == left, "kept, under another name"
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint_epoch=4.pt", "checkpoint_epoch=3.pt"]


def test_unreadable_file_put_aside_replaces_no_earlier_one(tmp_path):
    trainer, *_ = make_training(tmp_path, max_epochs=2)
    trainer.run(DATA, max_epochs=2)
    (tmp_path / "checkpoint_epoch=2.pt.unreadable").write_bytes(b"from an earlier accident")
    left = damage(list_checkpoints(tmp_path)[0])
    trainer, *_ = make_training(tmp_path, resume=True, max_epochs=2)
    trainer.run(DATA, max_epochs=2)
    contents = sorted(path.read_bytes() for path in tmp_path.glob("*.unreadable*"))
    assert contents == sorted([b"from an earlier accident", left])


def test_resuming_from_damaged_checkpoints_alone_is_refused_and_touches_nothing(tmp_path):
    trainer, *_ = make_training(tmp_path)
    trainer.run(DATA, max_epochs=4)
    for path in list_checkpoints(tmp_path):
        damage(path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    trainer, *_ = make_training(tmp_path, resume=True)
    expected = r"checkpoint_epoch=4\.pt \(RuntimeError\), checkpoint_epoch=3\.pt \(RuntimeError\).*Fix: move them away"
    with pytest.raises(InputError, match=expected):
        trainer.run(DATA, max_epochs=4)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_resuming_in_an_empty_folder_starts_at_the_first_epoch(tmp_path):
    trainer, *_ = make_training(tmp_path, resume=True)
    trainer.run(DATA, max_epochs=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint_epoch=2.pt", "checkpoint_epoch=1.pt"]


def test_checkpoint_just_written_outlives_higher_numbers(tmp_path):
    trainer, *_ = make_training(tmp_path)
    trainer.run(DATA, max_epochs=4)
    trainer, *_ = make_training(tmp_path)
    trainer.run(DATA, max_epochs=1)
    assert (tmp_path / "checkpoint_epoch=1.pt").is_file()


def test_resuming_with_another_recipe_is_refused_before_anything_is_restored(tmp_path):
    trainer, *_ = make_training(tmp_path, max_epochs=2, recipe={"spacing_mm": [3.0, 3.0, 3.0]})
    trainer.run(DATA, max_epochs=2)
    damage(list_checkpoints(tmp_path)[0])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    trainer, network, _ = make_training(tmp_path, resume=True, recipe={"spacing_mm": (1.0, 1.0, 1.0)})
    weight = network.weight.clone()
    match = r"checkpoint_epoch=1\.pt: .*trained with spacing_mm \[3.0, 3.0, 3.0\], this run uses \[1.0, 1.0, 1.0\]"
    with pytest.raises(InputError, match=match):
        trainer.run(DATA, max_epochs=4)
    assert torch.equal(network.weight, weight)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_resuming_with_the_same_recipe_and_seed_goes_on_silently(tmp_path, caplog):
    recipe = {"spacing_mm": (1.0, 1.0, 1.0)}
    for max_epochs in (1, 2):
        trainer, *_ = make_training(tmp_path, resume=True, max_epochs=max_epochs, recipe=recipe, seed=3)
        trainer.run(DATA, max_epochs=max_epochs)
    assert trainer.state.epoch == 2
    assert json.loads((tmp_path / "model_last.json").read_text()) == {"spacing_mm": [1.0, 1.0, 1.0]}
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_resuming_with_another_seed_says_so(tmp_path, caplog):
    trainer, *_ = make_training(tmp_path, max_epochs=1, seed=0)
    trainer.run(DATA, max_epochs=1)
    trainer, *_ = make_training(tmp_path, resume=True, seed=7)
    trainer.run(DATA, max_epochs=2)
    assert "begun with seed 0: its weights are kept, order and crops are drawn with 7" in caplog.text


def test_finished_training_resumes_to_nothing(tmp_path):
    trainer, network, _ = make_training(tmp_path)
    trainer.run(DATA, max_epochs=4)
    weight = network.weight.clone()
    trainer, network, _ = make_training(tmp_path, resume=True)
    trainer.run(DATA, max_epochs=4)
    torch.testing.assert_close(network.weight, weight, rtol=0, atol=0)


def test_keeping_one_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`keep` must be at least 2"):
        Checkpoints(tmp_path, nn.Linear(1, 1), None, None, keep=1)


def test_resuming_where_an_epoch_is_shorter_trains_every_epoch(tmp_path):
    """More processes, or a shorter data list: the iterations done before would look like the end of the training."""
    trainer, *_ = make_training(tmp_path, max_epochs=10)
    trainer.run(DATA * 4, max_epochs=3)
    trainer, *_ = make_training(tmp_path, resume=True, max_epochs=10)
    epochs = []
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda engine: epochs.append(engine.state.epoch))
    trainer.run(DATA, max_epochs=10)
    assert epochs == list(range(4, 11))
