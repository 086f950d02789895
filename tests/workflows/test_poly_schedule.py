# SPDX-License-Identifier: Apache-2.0
import logging

import pytest
import torch
from torch import nn

from cardiac4d.workflows import PolySchedule


def make_schedule(total_iters: int, *, lr: float = 1e-3, power: float = 0.9) -> tuple[PolySchedule, torch.optim.Adam]:
    optimizer = torch.optim.Adam(nn.Linear(1, 1).parameters(), lr=lr)
    return PolySchedule(optimizer, total_iters, power), optimizer


def rates(schedule: PolySchedule, optimizer: torch.optim.Optimizer, num_epochs: int) -> list[float]:
    """The learning rate that each of the next epochs trains with."""
    seen = []
    for _ in range(num_epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def poly(epoch: int, num_epochs: int, *, lr: float = 1e-3, power: float = 0.9) -> float:
    return lr * (1 - epoch / num_epochs) ** power


def resume(before: PolySchedule, after: PolySchedule) -> None:
    """Optimizer first, as :class:`Checkpoints` does: its state brings the old learning rate."""
    after.optimizer.load_state_dict(before.optimizer.state_dict())
    after.load_state_dict(before.state_dict())


def test_every_epoch_has_the_rate_of_the_formula():
    schedule, optimizer = make_schedule(8)
    assert rates(schedule, optimizer, 8) == pytest.approx([poly(epoch, 8) for epoch in range(8)], rel=1e-14)
    assert schedule.get_last_lr() == [0.0]


def test_rate_stays_zero_after_the_end():
    schedule, optimizer = make_schedule(2)
    assert rates(schedule, optimizer, 5)[2:] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("done", "planned"), [(4, 4), (2, 4), (3, 8)])
def test_resumed_for_longer_follows_the_longer_curve_from_where_it_is(done, planned):
    before, optimizer = make_schedule(planned)
    rates(before, optimizer, done)
    after, optimizer = make_schedule(8)
    resume(before, after)
    assert after.get_last_lr() == [pytest.approx(poly(done, 8), rel=1e-14)]
    expected = [poly(epoch, 8) for epoch in range(done, 8)]
    assert rates(after, optimizer, 8 - done) == pytest.approx(expected, rel=1e-14)


def test_rate_and_power_of_the_checkpoint_win_and_say_so(caplog):
    before, optimizer = make_schedule(4, lr=1e-3, power=0.9)
    rates(before, optimizer, 1)
    after, optimizer = make_schedule(4, lr=5e-2, power=2.0)
    with caplog.at_level(logging.WARNING):
        resume(before, after)
    assert rates(after, optimizer, 3) == pytest.approx([poly(epoch, 4) for epoch in (1, 2, 3)])
    assert "learning rate 0.001 with power 0.9" in caplog.text
    assert "not 0.05 with power 2.0" in caplog.text


def test_same_rate_and_power_need_no_warning(caplog):
    before, optimizer = make_schedule(4)
    rates(before, optimizer, 1)
    resume(before, make_schedule(8)[0])
    assert caplog.text == ""


def test_checkpoint_of_the_recursive_schedule_of_torch_goes_on():
    optimizer = torch.optim.Adam(nn.Linear(1, 1).parameters(), lr=1e-3)
    before = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=4, power=0.9)
    rates(before, optimizer, 2)
    after, optimizer = make_schedule(8)
    resume(before, after)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(poly(2, 8))


def test_length_below_one_is_refused():
    with pytest.raises(ValueError, match="`total_iters` must be at least 1, got 0"):
        make_schedule(0)
