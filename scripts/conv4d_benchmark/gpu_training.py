# SPDX-License-Identifier: Apache-2.0
"""Real training steps on a GPU, with loading: how long they take, and what of that is waiting for data."""

from __future__ import annotations

import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cardiac4d.ops import use_backend

from .gpu_device import describe, is_cuda
from .gpu_network import GIGABYTE, NATIVE, WAYS, TrainingStep, build, draw
from .gpu_precision import precision
from .plan import PAPER_SIZE, Size
from .tables import number, table

STUDY: Size = (160, 160, 110, 20)
NUM_STUDIES = 4
STEPS, PAPER_STEPS = 200, 24_500
"""What is run, and what the paper's training takes: 49 sequences, 500 epochs."""
ENDS = 10
"""So many losses at either end are averaged."""
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class TrainingRun:
    """What so many steps took, in milliseconds per step, and whether they trained.

    Attributes:
        steps: how many were run.
        step_ms: median, loading included, until the loss was read.
        waiting_ms: median of the part that waited for a crop.
        slowest_ms: the longest step after the first.
        first_loss: mean of the first ten.
        last_loss: mean of the last ten.
        gigabytes: peak of the GPU's memory, studies included.
        loading: where the crops came from.
    """

    steps: int
    step_ms: float
    waiting_ms: float
    slowest_ms: float
    first_loss: float
    last_loss: float
    gigabytes: float
    loading: str

    @property
    def minutes_of_the_paper(self) -> float:
        """The paper's training at this rate, without validation: a calculation, no measurement."""
        return PAPER_STEPS * self.step_ms / 60_000


def measure(
    device: str,
    seconds_left: Callable[[], float] = lambda: math.inf,
    *,
    crop: Size = PAPER_SIZE,
    study: Size = STUDY,
    steps: int = STEPS,
) -> TrainingRun:
    """Train in bfloat16 with the native kernels, as many steps as there is time for.

    Args:
        device: where to.
        seconds_left: no further step starts once it gives less than nothing.
        crop: H, W, D, T of a step.
        study: H, W, D, T of the synthetic studies that crops are cut from.
        steps: at most.

    Raises:
        RuntimeError: if a loss is not finite.
    """
    with tempfile.TemporaryDirectory() as folder:
        batches, loading = _batches(device, Path(folder), crop, study)
        step = TrainingStep(build(WAYS[NATIVE], device), *draw(crop, device), "bfloat16", device)
        if is_cuda(device):
            torch.cuda.reset_peak_memory_stats()
        with precision("bfloat16"), use_backend("native"):
            losses, taken, waited = _train(step, itertools.islice(batches, steps), seconds_left)
    peak = torch.cuda.max_memory_allocated() / GIGABYTE if is_cuda(device) else math.nan
    for index, loss in enumerate(losses, 1):
        if not math.isfinite(loss):
            raise RuntimeError(f"the loss of step {index} of {len(losses)} is {loss}")
    first, last = statistics.fmean(losses[:ENDS]), statistics.fmean(losses[-ENDS:])
    medians = statistics.median(taken[1:] or taken), statistics.median(waited[1:] or waited)
    return TrainingRun(len(losses), *medians, max(taken[1:] or taken), first, last, peak, loading)


def _batches(device: str, folder: Path, crop: Size, study: Size) -> tuple[Iterator[Batch], str]:
    """Crops without end and where they come from; one and the same crop where MONAI is missing."""
    try:
        from .gpu_loading import make_loader
    except ImportError as error:
        return itertools.repeat(draw(crop, device)), f"nothing is loaded: {describe(error)}"
    loader = make_loader(device, folder, crop, study, NUM_STUDIES)
    return _epochs(loader), f"{NUM_STUDIES} studies that stay on {device}, crops of PrefetchingLoader"


def _epochs(loader: Iterable[dict[str, Tensor]]) -> Iterator[Batch]:
    while True:
        for batch in loader:
            yield batch["image"].as_subclass(Tensor), batch["label"].as_subclass(Tensor)


def _train(
    step: TrainingStep, batches: Iterator[Batch], seconds_left: Callable[[], float]
) -> tuple[list[float], list[float], list[float]]:
    """Losses, milliseconds per step, and those that waited for data."""
    losses, taken, waited = [], [], []
    start = time.perf_counter()
    for step.image, step.label in batches:
        loaded = time.perf_counter()
        losses.append(step().item())  # a training reads it too, to stop when it is not finite
        end = time.perf_counter()
        waited.append(1e3 * (loaded - start))
        taken.append(1e3 * (end - start))
        if seconds_left() < 0:
            break
        start = time.perf_counter()
    return losses, taken, waited


def to_table(run: TrainingRun) -> str:
    """Write a Markdown table."""
    body = [
        ["steps, bfloat16, native", str(run.steps)],
        ["milliseconds per step, with loading, median", number(run.step_ms)],
        ["of these waiting for data", number(run.waiting_ms)],
        ["slowest step", number(run.slowest_ms)],
        ["loss, first and last ten", f"{number(run.first_loss)}, {number(run.last_loss)}"],
        ["peak of memory, GB", number(run.gigabytes)],
        [f"minutes for {PAPER_STEPS} steps at this rate, calculated", number(run.minutes_of_the_paper)],
    ]
    return table(["Training", run.loading], body)
