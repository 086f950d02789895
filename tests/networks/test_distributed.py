# SPDX-License-Identifier: Apache-2.0
"""Data-parallel training over the operator and the fused blocks: the gradients are those of one process on all samples.

Buckets so small that there are many, a static graph, gradient accumulation with and without exchange in between,
checkpointed blocks, the last convolution in the loss: one process with gloo quickly, two of them as a slow test, with
nccl where there are two GPUs.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
from torch import nn

from cardiac4d import EncoderDecoder
from cardiac4d.losses import SparseSequenceLoss
from cardiac4d.ops import use_backend
from cardiac4d.ops.backend import BackendWarning
from tests.helpers.backends import BACKENDS
from tests.helpers.process import run_python

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = 4


class Way(NamedTuple):
    """Options of the wrapper, whether gradients are exchanged once per step, and of the network."""

    options: dict[str, Any]
    once: bool = False
    checkpoint_blocks: bool = False
    head_in_loss: bool = False


SMALL = {"bucket_cap_mb": 0.002}
WAYS = {
    "many buckets": Way(SMALL),
    "many buckets, exchanged once": Way(SMALL, once=True),
    "checkpointed, exchanged once": Way(SMALL, once=True, checkpoint_blocks=True),
    "static graph": Way({**SMALL, "static_graph": True}),  # of which torch refuses `no_sync` in the first step
    "static, checkpointed, views": Way({**SMALL, "static_graph": True, "gradient_as_bucket_view": True}, False, True),
    "head in the loss, exchanged once": Way(SMALL, once=True, head_in_loss=True),
    "head in the loss, static graph": Way({**SMALL, "static_graph": True}, head_in_loss=True),
    "head in the loss, unused looked for": Way({**SMALL, "find_unused_parameters": True}, head_in_loss=True),
}


def build(device: str, **options: bool) -> EncoderDecoder:
    torch.manual_seed(5)
    sizes: dict[str, Any] = {"init_filters": 8, "num_groups": 4, "blocks_down": (1, 1), "blocks_up": (1,)}
    return EncoderDecoder(**sizes, **options).to(device)


def images(device: str) -> torch.Tensor:
    return torch.randn(SAMPLES, 1, 6, 5, 4, 5, generator=torch.Generator().manual_seed(1)).to(device)


def loss_of(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The loss of a batch is the mean of those of its samples, since all of them are annotated."""
    return SparseSequenceLoss()(network(x), (x > 0.5).byte())


def step(network: nn.parallel.DistributedDataParallel, share: torch.Tensor, *, once: bool) -> None:
    """Add up the gradients of the samples of a share, one after the other."""
    network.zero_grad(set_to_none=True)
    for number, sample in enumerate(share.split(1), 1):
        with network.no_sync() if once and number < len(share) else nullcontext():
            (loss_of(network, sample) / len(share)).backward()


def gradients(device: str) -> Iterator[tuple[str, list[torch.Tensor]]]:
    """The gradients of the second of two steps, as this process has them, by the way that was taken."""
    rank, share = dist.get_rank(), SAMPLES // dist.get_world_size()
    x = images(device)[rank * share : (rank + 1) * share]
    ids = [rank] if device.startswith("cuda") else None
    for name, way in WAYS.items():
        network = build(device, checkpoint_blocks=way.checkpoint_blocks, head_in_loss=way.head_in_loss)
        parallel = nn.parallel.DistributedDataParallel(network, device_ids=ids, **way.options)
        for _ in range(2):  # the buckets of the second are in the order of the first
            step(parallel, x, once=way.once)
        yield name, [p.grad.detach().clone() for p in network.parameters() if p.grad is not None]
        del parallel


def check_all(device: str) -> int:
    """Compare with one process that sees all samples; the number of comparisons."""
    expected = torch.autograd.grad(loss_of(network := build(device), images(device)), list(network.parameters()))
    count = 0
    for name, found in gradients(device):
        assert len(found) == len(expected), name
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours - theirs).abs().max() <= 2e-4 * theirs.abs().max(), name
        count += 1
    gc.collect()  # a wrapper that outlives its process group can wait forever for the group's threads
    return count


@pytest.mark.parametrize("backend", [pytest.param("composed", marks=pytest.mark.slow), *BACKENDS[1:]])
def test_one_process_computes_the_gradients_of_all_samples(backend: str, tmp_path: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        with use_backend(backend), warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", BackendWarning)  # without the native library
            assert check_all("cpu") == len(WAYS)
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda)])
def test_two_processes_average_the_gradients_of_their_samples(device: str, backend: str, tmp_path: Path) -> None:
    if device == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices: nccl takes one for each process")
    environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}

    def run(rank: int) -> str:
        arguments = (device, backend, str(rank), str(tmp_path / "store"))
        return run_python("-m", "tests.networks.test_distributed", *arguments, cwd=ROOT, env=environment)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(2))) == 2 * [f"{len(WAYS)}\n"]


def _run_as_rank(device: str, backend: str, rank: str, store: str) -> None:
    kind, where = ("nccl", f"cuda:{rank}") if device == "cuda" else ("gloo", "cpu")
    if device == "cuda":
        torch.cuda.set_device(int(rank))
    dist.init_process_group(kind, init_method=f"file://{store}", rank=int(rank), world_size=2)
    with use_backend(backend):
        count = check_all(where)
    dist.barrier()
    dist.destroy_process_group()
    sys.stdout.write(f"{count}\n")


if __name__ == "__main__":
    _run_as_rank(*sys.argv[1:])
