# SPDX-License-Identifier: Apache-2.0
import pytest
import torch.distributed as dist
from monai.data import Dataset

from cardiac4d.errors import InputError
from cardiac4d.workflows import case_sampler


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


def test_fewer_cases_than_processes_are_refused(two_processes):
    with pytest.raises(InputError, match="2 processes for 1 cases"):
        case_sampler(Dataset([0]), shuffle=False, even_divisible=False)
