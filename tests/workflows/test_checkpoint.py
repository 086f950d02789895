# SPDX-License-Identifier: Apache-2.0
import logging

import pytest
import torch
from cardiac4d.errors import InputError
from cardiac4d.workflows.checkpoint import (
    CheckpointWriter,
    Resume,
    WeightsLoader,
    list_checkpoints,
    load_weights,
    save_atomically,
)
from ignite.engine import Engine, Events
from torch import nn


def make_training(folder, *, resume=False, max_epochs=4, interval=1):
    torch.manual_seed(0)
    network = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=max_epochs, power=0.9)

    def step(_engine, batch):
        optimizer.zero_grad()
        network(batch).square().mean().backward()
        optimizer.step()

    trainer = Engine(step)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: scheduler.step())
    writer = CheckpointWriter(folder, network, optimizer, scheduler, interval=interval)
    Resume(writer, resume).attach(trainer)
    writer.attach(trainer)
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


def test_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path, caplog):
    trainer, *_ = make_training(tmp_path, max_epochs=3)
    trainer.run(DATA, max_epochs=3)
    newest = list_checkpoints(tmp_path)[0]
    newest.write_bytes(newest.read_bytes()[:100])
    trainer, *_ = make_training(tmp_path, resume=True)
    epochs = []
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda engine: epochs.append(engine.state.epoch))
    with caplog.at_level(logging.WARNING):
        trainer.run(DATA, max_epochs=4)
    assert epochs == [3, 4]
    assert "cannot be read" in caplog.text


def test_finished_training_resumes_to_nothing(tmp_path):
    trainer, network, _ = make_training(tmp_path)
    trainer.run(DATA, max_epochs=4)
    weight = network.weight.clone()
    trainer, network, _ = make_training(tmp_path, resume=True)
    trainer.run(DATA, max_epochs=4)
    torch.testing.assert_close(network.weight, weight, rtol=0, atol=0)


def test_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    save_atomically({"a": torch.ones(2)}, path)

    def fail(_content, file):
        file.write(b"half")
        raise Killed

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(Killed):
        save_atomically({"a": torch.zeros(2)}, path)
    assert torch.load(path, weights_only=True)["a"].tolist() == [1.0, 1.0]


def test_keeping_one_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`keep` must be at least 2"):
        CheckpointWriter(tmp_path, nn.Linear(1, 1), None, None, keep=1)


def test_weights_of_another_network_name_file_and_difference(tmp_path):
    network, other = nn.Linear(2, 1), nn.Linear(3, 1)
    before = network.weight.clone()
    with pytest.raises(InputError, match=r"other\.pt: these weights belong to another network: weight \(1, 3\)"):
        load_weights(network, other.state_dict(), tmp_path / "other.pt")
    assert torch.equal(network.weight, before)


@pytest.mark.parametrize("content", [None, b"not a model"])
def test_missing_or_unreadable_weights_name_the_file(tmp_path, content):
    path = tmp_path / "model.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.pt: .*Fix: "):
        WeightsLoader(path, nn.Linear(1, 1))(Engine(lambda *_: None))


def test_weights_load_from_a_training_checkpoint_too(tmp_path):
    trainer, network, _ = make_training(tmp_path)
    trainer.run(DATA, max_epochs=4)
    fresh = nn.Linear(2, 1)
    WeightsLoader(list_checkpoints(tmp_path)[0], fresh)(Engine(lambda *_: None))
    assert torch.equal(fresh.weight, network.weight)
