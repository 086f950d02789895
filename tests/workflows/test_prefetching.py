# SPDX-License-Identifier: Apache-2.0
"""The loader is one batch ahead, gives what the plain one gives, and hides no error."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor

from cardiac4d.errors import InputError
from cardiac4d.workflows import PrefetchingLoader, prefetching

CPU = torch.device("cpu")


class Slow(Dataset):
    """Says which items it was asked for, and by which thread."""

    def __init__(self, size: int) -> None:
        super().__init__(list(range(size)))
        self.asked: list[int] = []
        self.is_asked = threading.Event()

    def _transform(self, index: int) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        self.asked.append(index)
        self.is_asked.set()
        return {"image": torch.full((1, 2), float(index))}


def test_next_batch_is_made_while_this_one_is_used() -> None:
    dataset = Slow(3)
    loader = iter(PrefetchingLoader(dataset, device=CPU, batch_size=1))
    dataset.is_asked.clear()
    assert next(loader)["image"].tolist() == [[[0.0, 0.0]]]
    for _ in range(2000):  # two seconds
        if dataset.asked == [0, 1]:
            break
        threading.Event().wait(0.001)
    assert dataset.asked == [0, 1]
    assert [batch["image"][0, 0, 0].item() for batch in loader] == [1.0, 2.0]
    assert dataset.asked == [0, 1, 2]


def test_every_epoch_begins_anew() -> None:
    loader = PrefetchingLoader(Slow(3), device=CPU, batch_size=2)
    assert len(loader) == 2
    for _ in range(2):
        assert [len(batch["image"]) for batch in loader] == [2, 1]


def test_error_of_a_study_reaches_the_training() -> None:
    class Damaged(Slow):
        def _transform(self, index: int) -> Any:
            if index:
                raise InputError("b.nii", "it is damaged", "copy it again")
            return super()._transform(index)

    loader = iter(PrefetchingLoader(Damaged(3), device=CPU, batch_size=1))
    next(loader)
    with pytest.raises(InputError, match=r"b\.nii: it is damaged"):
        next(loader)


def test_without_a_device_it_is_the_plain_loader() -> None:
    dataset = Dataset([{"image": torch.zeros(1)}])
    loader = PrefetchingLoader(dataset, batch_size=1)
    assert type(iter(loader)) is type(iter(DataLoader(dataset, batch_size=1)))


def test_epoch_that_is_broken_off_leaves_no_thread() -> None:
    before = threading.active_count()
    loader = iter(PrefetchingLoader(Slow(5), device=CPU, batch_size=1))
    next(loader)
    assert threading.active_count() == before + 1
    del loader
    assert threading.active_count() == before


def test_allocator_is_told_of_every_tensor_that_the_training_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, str]] = []
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: told.append((tensor.numel(), stream)))
    tensors = [torch.zeros(size) for size in (1, 2, 3)]
    prefetching._lend({"image": MetaTensor(tensors[0]), "more": [tensors[1], (tensors[2],)], "id": "a"}, "training")
    assert told == [(1, "training"), (2, "training"), (3, "training")]


@pytest.mark.needs_cuda
def test_batches_are_whole_where_training_and_loading_overlap() -> None:
    """The training is kept busy, so that a batch whose memory were reused too soon would show."""

    class OnGpu(Dataset):
        def _transform(self, index: int) -> Any:
            return {"image": torch.full((1, 1 << 22), float(index), device="cuda")}

    device = torch.device("cuda", torch.cuda.current_device())
    sums = []
    for batch in PrefetchingLoader(OnGpu(list(range(20))), device=device, batch_size=1):
        torch.cuda._sleep(20_000_000)
        sums.append(batch["image"].as_subclass(torch.Tensor).double().mean())
        del batch
    assert [total.item() for total in sums] == [float(index) for index in range(20)]
