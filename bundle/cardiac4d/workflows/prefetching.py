# SPDX-License-Identifier: Apache-2.0
"""Make the next batch ready while the training computes with this one, in a thread of the same process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from monai.data import DataLoader, Dataset

_END = object()


class PrefetchingLoader(DataLoader):
    """MONAI's ``DataLoader``, one batch ahead where the data are on a device already.

    A data-loading process could not hand over what lies on a GPU. A thread can: it cuts the next crop on a stream of
    its own, so that neither the training waits for the crop nor the thread for the training. Batches, their order and
    their random numbers are those of the plain loader, as long as transforms draw from generators of their own, as
    MONAI's do.

    Args:
        dataset: of which batches are made.
        num_workers: data-loading processes; 0 with ``device``.
        device: where the data are; ``None`` for a plain loader.
        options: further arguments of the loader.

    Raises:
        ValueError: for ``num_workers`` together with ``device``.
    """

    def __init__(
        self, dataset: Dataset, num_workers: int = 0, *, device: torch.device | None = None, **options: Any
    ) -> None:
        if device is not None and num_workers:
            raise ValueError(f"`num_workers` must be 0 where data are on a device, got {num_workers}")
        super().__init__(dataset, num_workers=num_workers, **options)
        self.device = device

    def __iter__(self) -> Any:
        """Iterate over the batches of an epoch."""
        batches = super().__iter__()
        return batches if self.device is None else self._ahead(batches, self.device)

    def _ahead(self, batches: Iterator[Any], device: torch.device) -> Iterator[Any]:
        backend = torch.get_device_module(device)
        stream = backend.Stream(device)

        def fetch() -> Any:
            with backend.stream(stream):
                return next(batches, _END)

        with ThreadPoolExecutor(1, "prefetching") as thread:
            coming = thread.submit(fetch)
            while (batch := coming.result()) is not _END:
                training = backend.current_stream(device)
                training.wait_stream(stream)
                _lend(batch, training)
                coming = thread.submit(fetch)
                yield batch


def _lend(batch: Any, stream: Any) -> None:
    """Tell the allocator that a stream reads these tensors: it must not give their memory to a later batch too soon."""
    if isinstance(batch, torch.Tensor):
        if batch.is_cuda:
            batch.as_subclass(torch.Tensor).record_stream(stream)
    elif isinstance(batch, (dict, list, tuple)):
        for item in batch.values() if isinstance(batch, dict) else batch:
            _lend(item, stream)
