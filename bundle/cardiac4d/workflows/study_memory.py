# SPDX-License-Identifier: Apache-2.0
"""Keep prepared studies where the training computes, so that a crop is cut there and nothing waits for a disk."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from monai.data import MetaTensor
from torch.utils.data import get_worker_info
from tqdm import tqdm

from ..errors import InputError

logger = logging.getLogger(__name__)

GIB = 1024**3
HALF_OF_IT = -1
"""As a budget: half of the GPU's memory that is free; on a CPU, all that is needed."""
RESERVE = 8 * GIB
"""Stays free all the same, for steps on crops of the paper's size: on a small GPU, studies had better be elsewhere."""

Study = dict[str, Any]
Change = Callable[[torch.Tensor], torch.Tensor]


@dataclass(eq=False)
class _Place:
    """A kind of memory, what it may hold in bytes, and what it holds."""

    name: str
    budget: float
    keep: Change
    lend: Change
    bytes_of: Callable[[torch.Tensor], int]
    sizes: list[int] = field(default_factory=list)

    def takes(self, size: int) -> bool:
        return sum(self.sizes) + size <= self.budget

    def __str__(self) -> str:
        limit = f" of {self.budget / GIB:.2f}" if math.isfinite(self.budget) else ""
        return f"{len(self.sizes)} {self.name} ({sum(self.sizes) / GIB:.2f}{limit} GiB)"


class StudyMemory:
    """Holds studies on a device as far as a budget goes, then in pinned memory, and reads the others from disk.

    Whichever it is, a study comes on the device: from pinned memory or from disk it is copied there whole, for every
    crop. So all transforms compute on one device, and where a study was kept makes no difference to them. They need to
    take tensors of that device, which those of this package do.

    Args:
        device: where transforms and training compute.
        device_gib: of the device's memory, in GiB; -1 for half of what is free, as long as 8 are left, and on a CPU for
            all that is needed.
        pinned_gib: of the machine's memory, in GiB; its processes share it evenly (``LOCAL_WORLD_SIZE`` of torchrun).

    Raises:
        ValueError: if a budget is negative, but for -1 of the device.

    Example:
        >>> memory = StudyMemory(torch.device("cpu"))
        >>> memory.fill(1, lambda index: {"image": torch.zeros(1, 4, 4, 4, 2)})
        >>> with memory.study(0) as item:
        ...     item["image"].shape
        torch.Size([1, 4, 4, 4, 2])
    """

    def __init__(self, device: torch.device, device_gib: float = HALF_OF_IT, pinned_gib: float = 16.0) -> None:
        if pinned_gib < 0 or (device_gib < 0 and device_gib != HALF_OF_IT):
            raise ValueError(f"budgets must not be negative, got `device_gib` {device_gib}, `pinned_gib` {pinned_gib}")
        self.device, self.device_gib, self.pinned_gib = device, device_gib, pinned_gib
        self._kept: list[tuple[_Place, Study]] = []
        self._read: Callable[[int], Study]

    def fill(self, count: int, read: Callable[[int], Study], *, progress: bool = False) -> None:
        """Read all studies, and keep those that fit; what was held before is dropped.

        Args:
            count: of the studies.
            read: gives a study by its index: MetaTensors, tensors and plain values by key.
            progress: show a progress bar.

        Raises:
            InputError: if the device has less memory than it shall give.
        """
        self._read, self._kept = read, []
        places = self._places()
        for index in tqdm(range(count), "loading studies", disable=not progress, leave=False):
            self._keep(read(index), places)
        torch.get_device_module(self.device).synchronize(self.device)  # crops may be cut on another stream
        logger.info("%d studies: %s", count, ", ".join(map(str, places)))
        left = len(places[-1].sizes)
        if left:
            fix = (
                "raise --resident_gib or --pinned_gib, or pass --resident False to cut crops in data-loading processes"
            )
            logger.warning("%d studies are read whole from disk for every crop. Fix: %s", left, fix)

    def _places(self) -> list[_Place]:
        """From the fastest to that which takes everything."""
        on_gpu = self.device.type == "cuda"
        budget = self.device_gib * GIB
        if self.device_gib == HALF_OF_IT:
            free = torch.cuda.mem_get_info(self.device)[0] if on_gpu else math.inf
            budget = max(0, min(free / 2, free - RESERVE))
        pinned = self.pinned_gib * GIB / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        pin: Change = torch.Tensor.pin_memory if on_gpu else torch.clone
        return [
            _Place(f"on {self.device}", budget, self._sent, torch.Tensor.detach, _num_bytes),
            _Place("in pinned memory", pinned, pin, self._sent, _num_bytes_pinned),
            _Place("on disk", math.inf, torch.Tensor.detach, self._sent, _num_bytes),
        ]

    def _sent(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.device, non_blocking=tensor.is_pinned(), copy=True)

    def _keep(self, study: Study, places: list[_Place]) -> None:
        sizes = [sum(map(place.bytes_of, _tensors(study))) for place in places]
        place, size = next((place, size) for place, size in zip(places, sizes, strict=True) if place.takes(size))
        place.sizes.append(size)
        try:
            self._kept.append((place, {} if place is places[-1] else _copied(study, place.keep)))
        except torch.OutOfMemoryError as error:
            problem = f"{len(self._kept)} studies fit into the memory of {self.device}, and no more"
            raise InputError("--resident_gib", problem, "give less, or pass --resident False") from error

    @contextmanager
    def study(self, index: int) -> Iterator[Study]:
        """Lend a study on the device for the time of its transforms, which must not write into its tensors.

        Raises:
            RuntimeError: if they did; in a data-loading process, which must not touch the memory of a GPU.
        """
        if get_worker_info() is not None:
            raise RuntimeError(
                "studies that stay in memory cannot go to data-loading processes: `num_workers` must be 0"
            )
        place, kept = self._kept[index]
        before = [tensor._version for tensor in _tensors(kept)]
        yield _copied(kept or self._read(index), place.lend)
        if [tensor._version for tensor in _tensors(kept)] != before:
            fix = "let it work on a copy (`clone()`), or pass --resident False"
            raise RuntimeError(
                f"a transform wrote into study {index}, which stays in memory for all its crops. Fix: {fix}"
            )


def _tensors(study: Study) -> list[torch.Tensor]:
    return [value for value in study.values() if isinstance(value, torch.Tensor)]


def _copied(study: Study, change: Change) -> Study:
    """The study with changed voxels, and metadata of its own."""
    return {key: _copied_value(value, change) for key, value in study.items()}


def _copied_value(value: Any, change: Change) -> Any:
    if isinstance(value, MetaTensor):
        meta, operations = _fresh(value.meta), _fresh(value.applied_operations)
        return MetaTensor(change(value.as_tensor()), meta=meta, applied_operations=operations)
    return change(value) if isinstance(value, torch.Tensor) else _fresh(value)


def _fresh(value: Any) -> Any:
    """What ``deepcopy`` gives, of metadata in a fraction of its time: it is needed for every crop."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict):
        return {key: _fresh(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_fresh, value))
    return value.clone() if isinstance(value, torch.Tensor) else deepcopy(value)


def _num_bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _num_bytes_pinned(tensor: torch.Tensor) -> int:
    """What torch's allocator of pinned memory takes: the next power of two."""
    return 1 << max(_num_bytes(tensor) - 1, 0).bit_length()
