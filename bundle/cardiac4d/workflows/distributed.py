# SPDX-License-Identifier: Apache-2.0
"""One process or many: the few calls that a ``multi_gpu_*`` config needs, on GPUs (nccl) and on CPUs (gloo)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Events
from monai.data import Dataset, DistributedSampler
from monai.engines import Evaluator
from torch import nn
from torch.utils.data import Sampler

from ..errors import InputError


def default_device() -> torch.device:
    """The GPU of this process (``LOCAL_RANK`` under torchrun, else the first), or the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def init_process_group(device: torch.device) -> int:
    """Join the process group that torchrun describes in the environment.

    Args:
        device: nccl is used for a CUDA device, gloo for any other.

    Returns:
        The rank of this process.

    Raises:
        ValueError: if the process was not started by torchrun.
    """
    if "RANK" not in os.environ:
        raise ValueError(
            "a multi_gpu config needs one process per device: start it with "
            "`torchrun --nproc_per_node=N -m monai.bundle run ...`"
        )
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return dist.get_rank()


def leave_process_group() -> None:
    """Leave the process group, if there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def distributed_network(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to the device of this process and wrap it for data-parallel training."""
    network = network.to(device)
    return nn.parallel.DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)


def process_rank() -> int:
    """Rank of this process: that of its group, before it has joined that which torchrun announces, else 0."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank()
    return int(os.environ["RANK"]) if "TORCHELASTIC_RUN_ID" in os.environ else 0


def is_main_process() -> bool:
    """True in the process that writes files and prints."""
    return process_rank() == 0


def case_sampler(
    dataset: Dataset,
    *,
    shuffle: bool,
    even_divisible: bool,
    seed: int = 0,
    section: str = "cases",
    may_idle: bool = False,
) -> Sampler[int]:
    """Share the cases of a data set among the processes.

    Args:
        dataset: at least one case per process, unless ``may_idle``.
        shuffle: another order in every epoch.
        even_divisible: repeat cases so that every process gets equally many; training needs it, evaluation must not.
        seed: of the order; the same in all processes, which draw one order and share it out.
        section: name of the list of cases, for the message.
        may_idle: some processes may get no case at all; only :func:`run_evaluator` runs those. Takes the cases in their
            order and none twice, whatever the other arguments say.

    Raises:
        InputError: if there are fewer cases than processes: in training, and in its validation, one without a case
            would leave the others waiting for it.
    """
    num_cases, num_processes = len(dataset), dist.get_world_size()
    if may_idle:
        return _Shares(num_cases, dist.get_rank(), num_processes)
    if num_cases < num_processes:
        raise InputError(
            section,
            f"{num_processes} processes for {num_cases} case{'' if num_cases == 1 else 's'}",
            f"start at most --nproc_per_node={num_cases}, or add cases to this list of the data set",
        )
    return DistributedSampler(dataset, even_divisible=even_divisible, shuffle=shuffle, seed=seed)


class _Shares(Sampler[int]):
    """Every n-th case, which may be none: MONAI's and torch's samplers repeat cases then, or refuse."""

    def __init__(self, num_cases: int, rank: int, num_processes: int) -> None:
        self.share = range(rank, num_cases, num_processes)

    def __iter__(self) -> Iterator[int]:
        return iter(self.share)

    def __len__(self) -> int:
        return len(self.share)


def run_evaluator(evaluator: Evaluator) -> None:
    """Run an evaluator also where this process has no case.

    Ignite refuses empty data. The other processes gather results when they have completed, and would wait for this one:
    its handlers see the start and the end, and no case between them.
    """
    if len(evaluator.data_loader) > 0:  # type: ignore[arg-type]
        evaluator.run()
        return
    evaluator.fire_event(Events.STARTED)
    evaluator.fire_event(Events.COMPLETED)


def gather_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Collect the rows of all processes, in the order of the ranks; every process gets all of them."""
    if not dist.is_available() or not dist.is_initialized():
        return list(rows)
    gathered: list[Sequence[dict[str, Any]]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(gathered, list(rows))
    return [row for part in gathered for row in part]
