# SPDX-License-Identifier: Apache-2.0
"""Problems of stride 2 for the emulated CUDA kernels, and how their results are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch

from tests.helpers.comparison import check as check_sums
from tests.helpers.comparison import sums_of
from tests.helpers.cpu_kernels import Shape
from tests.helpers.cuda_kernels import EmulatedKernels, draw, emulation_of
from tests.helpers.cuda_layers import Layer, check
from tests.helpers.fused_cuda_kernels import EmulatedFusedKernels

OPERATIONS = ["forward", "grad_input"]
UNEQUAL: dict[str, Any] = {"padding": (1, 0, 2, 1), "stride": 2}
SMALL = Shape((4, 5, 6, 5), (8, 16), padding=1, stride=2)
"""Less than a tile of each kernel."""
NETWORK = Shape((96, 96, 64, 16), (8, 16), padding=1, stride=2)
"""The first layer of stride 2 at the full crop."""


class Case(NamedTuple):
    """A problem of stride 2, and how it runs."""

    operation: str
    shape: Shape
    precision: str = "fast"
    architecture: int = 90
    has_sums: bool = False


def check_case(library: Path, case: Case) -> None:
    """Compute it in either order; with sums, these as well, of the very result without.

    In the precision "fast" it is of bfloat16, else of float32.
    """
    dtype = torch.bfloat16 if case.precision == "fast" else torch.float32
    layer = Layer(case.operation, "tiled_strided" if case.precision == "exact" else "mma_strided", case.shape)
    alone = check(EmulatedKernels(library), layer, dtype, case.precision, case.architecture)
    if not case.has_sums:
        return
    fused, operands, results = EmulatedFusedKernels(library), draw("forward", case.shape, dtype), []
    for backwards in (False, True):
        with emulation_of(library, reverse=backwards, eager=backwards, architecture=case.architecture):
            results.append(fused.conv4d_sums(case.shape, *operands, case.precision))
    for y, sums in results:
        assert torch.equal(y, alone)
        assert torch.equal(sums, results[0][1])
        check_sums(sums, sums_of(y), 1e-6)
