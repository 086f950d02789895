# SPDX-License-Identifier: Apache-2.0
import json
import math
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from cardiac4d.errors import InputError
from cardiac4d.workflows import Checkpoints, FiniteTraining, PolySchedule

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DATA = [1.0, 1.0]


def make_training(folder: Path, losses: dict[int, float], *, spoil_weights_at: int | None = None) -> Engine:
    """A trainer whose loss is 1 but for the given iterations, with checkpoints, in the order of the configs."""
    network = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)

    def step(engine, _batch):
        if engine.state.iteration == spoil_weights_at:
            with torch.no_grad():
                network.weight.fill_(math.nan)
        return [{"loss": torch.tensor(losses.get(engine.state.iteration, 1.0))}]

    trainer = Engine(step)
    FiniteTraining(network).attach(trainer)
    Checkpoints(folder, network, optimizer, PolySchedule(optimizer, 4)).attach(trainer)
    return trainer


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_loss_that_is_not_finite_stops_before_a_checkpoint_is_written(tmp_path, value):
    trainer = make_training(tmp_path, {6: value})
    with pytest.raises(InputError, match=rf"loss is {value} in epoch 3, iteration 2 of 2\. Fix: .*--learning_rate"):
        trainer.run(DATA, max_epochs=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint_epoch=1.pt", "checkpoint_epoch=2.pt"]


def test_weights_spoilt_by_the_last_step_of_an_epoch_stop_before_a_checkpoint_is_written(tmp_path):
    """The loss was still finite: it is that of the weights before the step."""
    trainer = make_training(tmp_path, {}, spoil_weights_at=4)
    with pytest.raises(InputError, match=r"weight is not finite after epoch 2"):
        trainer.run(DATA, max_epochs=4)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_epoch=1.pt"]


def test_finite_training_reaches_its_end(tmp_path):
    make_training(tmp_path, {}).run(DATA, max_epochs=4)
    assert (tmp_path / "model_last.pt").is_file()


def test_second_case_of_a_batch_and_undivided_outputs_count_too():
    for output in ([{"loss": torch.tensor(1.0)}, {"loss": torch.tensor(math.nan)}], {"loss": torch.tensor(math.nan)}):
        trainer = Engine(lambda *_, output=output: output)
        FiniteTraining(nn.Linear(1, 1)).attach(trainer)
        with pytest.raises(InputError, match="loss is nan in epoch 1, iteration 1"):
            trainer.run(DATA, max_epochs=1)


@pytest.mark.parametrize("name", ["train", "train_3d"])
def test_training_looks_before_it_writes(name):
    """Handlers of one event run in the order of the list."""
    handlers = json.loads((CONFIGS / f"{name}.json").read_text())["train"]["handlers"]
    targets = [handler["_target_"].rsplit(".", 1)[-1] for handler in handlers]
    assert targets.index("FiniteTraining") < min(targets.index(n) for n in ("ValidationHandler", "Checkpoints"))
