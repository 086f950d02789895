# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.distributed as dist
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from torch import nn

from cardiac4d.errors import InputError
from cardiac4d.workflows import case_sampler, run_evaluator
from cardiac4d.workflows.distributed import _Shares


@pytest.fixture
def two_processes(monkeypatch):
    """This is the first of two processes, as far as a sampler asks."""
    monkeypatch.setattr(dist, "get_world_size", lambda *_: 2)
    monkeypatch.setattr(dist, "get_rank", lambda *_: 0)


def order(seed: int, epoch: int) -> list[int]:
    sampler = case_sampler(Dataset(list(range(40))), shuffle=True, even_divisible=True, seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_order_follows_seed_and_epoch(two_processes):
    assert order(seed=1, epoch=2) == order(seed=1, epoch=2)
    assert order(seed=1, epoch=2) != order(seed=2, epoch=2)
    assert order(seed=1, epoch=2) != order(seed=1, epoch=3)


def test_order_without_shuffling_is_that_of_the_data(two_processes):
    sampler = case_sampler(Dataset(list(range(5))), shuffle=False, even_divisible=False)
    assert list(sampler) == [0, 2, 4]


def test_fewer_cases_than_processes_are_refused_by_the_name_of_their_list(two_processes):
    expected = r"training: 2 processes for 1 case\. Fix: start at most --nproc_per_node=1, or add cases to this list"
    with pytest.raises(InputError, match=expected):
        case_sampler(Dataset([0]), shuffle=False, even_divisible=False, section="training")


@pytest.mark.parametrize(("rank", "share"), [(0, [0]), (1, [])])
def test_process_may_idle_where_that_is_allowed(two_processes, monkeypatch, rank, share):
    monkeypatch.setattr(dist, "get_rank", lambda *_: rank)
    sampler = case_sampler(Dataset([7]), shuffle=False, even_divisible=False, may_idle=True)
    assert list(sampler) == share
    assert len(sampler) == len(share)
    assert len(DataLoader(Dataset([7]), sampler=sampler)) == len(share)


def evaluator_of(items: list[float], seen: list[object]) -> SupervisedEvaluator:
    network = nn.Identity()
    data = [{"image": torch.tensor([[item]]), "label": torch.zeros(1, 1)} for item in items]
    shares = _Shares(len(data), rank=0, num_processes=1)
    loader = DataLoader(Dataset(data), batch_size=1, sampler=shares)
    evaluator = SupervisedEvaluator(torch.device("cpu"), loader, network)
    evaluator.add_event_handler(Events.STARTED, lambda: seen.append("started"))
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda: seen.append("case"))
    evaluator.add_event_handler(Events.COMPLETED, lambda: seen.append("completed"))
    return evaluator


@pytest.mark.parametrize(
    ("items", "expected"),
    [([1.0, 2.0], ["started", "case", "case", "completed"]), ([], ["started", "completed"])],
)
def test_process_without_a_case_meets_the_others_where_they_gather(items, expected):
    seen: list[object] = []
    run_evaluator(evaluator_of(items, seen))
    assert seen == expected
