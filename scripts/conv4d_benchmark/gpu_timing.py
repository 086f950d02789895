# SPDX-License-Identifier: Apache-2.0
"""How long one call takes on a GPU, by the GPU's own clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from .gpu_device import is_cuda

REPETITIONS, WARM_UP = 20, 3
ENOUGH, LIMIT_S = 5, 4.0
"""So many repetitions are enough where all of them would take longer."""
HEAD_START = 2_000_000
"""Cycles that a GPU waits before a repetition, about a millisecond."""


def time_ms(run: Callable[[], object], device: str) -> float:
    """Time one call in milliseconds, by the device's own clock: the median of several.

    The device is kept waiting before each, so that the host has queued the first kernels when its clock starts: else a
    short call would take as long as its launch. A CPU, which is there to try the scripts out, takes what the host's
    clock says of one call.
    """
    if not is_cuda(device):
        start = time.perf_counter()
        run()
        return 1e3 * (time.perf_counter() - start)
    for _ in range(WARM_UP):
        run()
    measured: list[float] = []
    start = time.perf_counter()
    while len(measured) < (REPETITIONS if time.perf_counter() - start < LIMIT_S else ENOUGH):
        begin, end = (torch.Event(device, enable_timing=True) for _ in range(2))
        torch.cuda._sleep(HEAD_START)
        begin.record()
        run()
        end.record()
        end.synchronize()
        measured.append(begin.elapsed_time(end))
    return statistics.median(measured)
