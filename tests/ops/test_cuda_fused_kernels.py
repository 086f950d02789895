# SPDX-License-Identifier: Apache-2.0
"""The fused CUDA kernels between guards and in any order of threads, and bugs planted in them. No GPU is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cardiac4d.ops.backend import TF32
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.backends import needs_compiler
from tests.helpers.comparison import check, sums_of
from tests.helpers.cpu_kernels import Shape, reference
from tests.helpers.cuda_kernels import draw, emulation_of
from tests.helpers.fused_cuda_calls import LIMITS, TF32_LIMIT, draw_block, expected_block, upsampled
from tests.helpers.fused_cuda_kernels import EmulatedFusedKernels
from tests.helpers.planted_bugs import AssertCaught

pytestmark = needs_compiler

Pairs = Iterator[tuple[Tensor, Tensor, float]]
"""Results, what they should be, and how near they must come."""


@pytest.fixture
def kernels(cuda_library: Path) -> EmulatedFusedKernels:
    return EmulatedFusedKernels(cuda_library)


def _sums(kernels: EmulatedFusedKernels) -> Pairs:
    for channels, dtype in ((8, torch.bfloat16), (3, torch.float16), (20, torch.float32), (136, torch.float32)):
        x = torch.randn(2, channels, 9, 7, 10, 3).to(dtype)
        yield kernels.channel_sums(x), sums_of(x), 1e-6


def _layer_sums(kernels: EmulatedFusedKernels, shape: Shape, dtype: torch.dtype, precision: str = "fast") -> Pairs:
    """A convolution and the sums of its rounded result."""
    operands = draw("forward", shape, dtype)
    for bias in (operands[2], None):
        y, sums = kernels.conv4d_sums(shape, *operands[:2], bias, precision)
        limit = TF32_LIMIT if precision == "tf32" else LIMITS[dtype]
        yield y, reference("forward", shape, *operands[:2], bias), limit
        yield sums, sums_of(y), 1e-6


def _layers_with_sums(kernels: EmulatedFusedKernels) -> Pairs:
    yield from _layer_sums(kernels, Shape((2, 3, 4, 3), (3, 5), padding=1, batch=2), torch.bfloat16)
    yield from _layer_sums(kernels, Shape((2, 3, 4, 3), (8, 8), padding=1), torch.float32)
    yield from _layer_sums(kernels, Shape((2, 3, 4, 3), (8, 8), padding=1, batch=2), torch.float16)


def _sums_on_tensor_cores(kernels: EmulatedFusedKernels) -> Pairs:
    for shape in (
        Shape((9, 5, 18, 5), (8, 8), batch=2, padding=1),
        Shape((3, 9, 5, 5), (8, 24), padding=(1, 0, 2, 1)),  # more output channels than warps for them
        Shape((2, 3, 4, 3), (40, 16), padding=1),
    ):
        yield from _layer_sums(kernels, shape, torch.bfloat16)
    yield from _layer_sums(kernels, Shape((2, 5, 4, 5), (8, 16), padding=1), torch.float32, "tf32")


def _upsampling(kernels: EmulatedFusedKernels) -> Pairs:
    for size, channels in (((7, 6, 5, 3), 8), ((1, 2, 3, 1), 3), ((8, 4, 2, 6), 24)):
        skip = torch.randn(2, channels, *size)
        x = torch.randn(2, channels, *((extent + 1) // 2 for extent in size))
        yield kernels.upsample_add(x, skip), upsampled(x, skip), 0.0
        exact = x.double().requires_grad_()
        by_x = torch.autograd.grad(upsampled(exact, skip.double()), exact, skip.double())[0]
        yield kernels.upsample_grad(skip), by_x, 1e-6
        weight, bias = torch.randn(channels, channels, 1, 1, 1, 1), torch.randn(channels)
        y, sums = kernels.upsample_conv_add(x, weight, bias, skip)
        yield y, upsampled(conv4d_reference(x, weight, bias), skip.double()), 1e-6
        yield sums, sums_of(y), 1e-6


def _softmax(kernels: EmulatedFusedKernels) -> Pairs:
    for channels, classes, scale in ((8, 3, 1.0), (5, 2, 100.0), (24, 8, 1.0)):
        x, bias = torch.randn(2, channels, 3, 5, 7, 2) * scale, torch.randn(classes)
        weight = torch.randn(classes, channels, 1, 1, 1, 1)
        right = conv4d_reference(x, weight, bias).softmax(1)
        yield kernels.pointwise_softmax(x, weight, bias), right, 1e-6 * scale


def _block(kernels: EmulatedFusedKernels, shape: tuple[int, ...], groups: int, dtype: torch.dtype, tf32: bool) -> Pairs:
    block, seed = draw_block(shape, groups, dtype), torch.randn(shape).to(dtype)
    block = block._replace(precision=TF32 if tf32 else 0)
    out, y, x_sums, y_sums, out_sums, *gradients = kernels.block(block, seed)
    right, limit = expected_block(block, seed, y), TF32_LIMIT if tf32 else LIMITS[dtype]
    yield y, right.hidden, limit
    yield out, right.out, limit
    for sums, of in ((x_sums, block.tensors[0]), (y_sums, y), (out_sums, out)):
        yield sums, sums_of(of), 1e-6
    for actual, theirs in zip(gradients, right.gradients[:-1], strict=True):
        yield actual, theirs, limit
    yield kernels.block(block, seed, in_place=True)[0], out, 0.0


def _separate_block(kernels: EmulatedFusedKernels) -> Pairs:
    yield from _block(kernels, (2, 6, 3, 4, 5, 3), 3, torch.float32, tf32=False)


def _block_on_tensor_cores(kernels: EmulatedFusedKernels) -> Pairs:
    yield from _block(kernels, (2, 16, 9, 5, 3, 5), 2, torch.float16, tf32=False)


def _streamed_block(kernels: EmulatedFusedKernels) -> Pairs:
    yield from _block(kernels, (1, 40, 2, 3, 3, 5), 5, torch.float16, tf32=False)


def _block_in_float32(kernels: EmulatedFusedKernels) -> Pairs:
    yield from _block(kernels, (2, 16, 9, 5, 3, 5), 2, torch.float32, tf32=False)


def _block_in_tf32(kernels: EmulatedFusedKernels) -> Pairs:
    yield from _block(kernels, (2, 8, 4, 9, 18, 5), 2, torch.float32, tf32=True)


CHECKS: dict[str, Callable[[EmulatedFusedKernels], Pairs]] = {
    "sums": _sums,
    "upsampling": _upsampling,
    "softmax": _softmax,
    "separate_block": _separate_block,
    "tensor_cores": _block_on_tensor_cores,
    "streamed": _streamed_block,
    "tf32": _block_in_tf32,
    "tiled": _block_in_float32,
    "layers_with_sums": _layers_with_sums,
    "sums_on_tensor_cores": _sums_on_tensor_cores,
}


def run(kernels: EmulatedFusedKernels, library: Path, name: str) -> None:
    """Compute with threads in both orders; the same bits must come, and be right."""
    results = []
    for backwards in (False, True):
        torch.manual_seed(0)
        with emulation_of(library, reverse=backwards, eager=backwards):
            pairs = list(CHECKS[name](kernels))
        for actual, right, limit in pairs:
            check(actual, right, limit)
        results.append([actual for actual, _, _ in pairs])
    assert all(torch.equal(there, back) for there, back in zip(*results, strict=True))


@pytest.mark.parametrize("name", ["sums", "upsampling", "softmax", "separate_block", "layers_with_sums"])
def test_kernels_between_guards(kernels: EmulatedFusedKernels, cuda_library: Path, name: str) -> None:
    run(kernels, cuda_library, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tensor_cores", "streamed", "tf32", "tiled", "sums_on_tensor_cores"])
def test_kernels_on_tensor_cores_between_guards(kernels: EmulatedFusedKernels, cuda_library: Path, name: str) -> None:
    run(kernels, cuda_library, name)


COPIES, TILED = "mma_grad_weight_copies.h", "tiled_correlate.cu"
SUMS = "sums_on_tensor_cores"
MUTANTS = {
    "rows that nobody waits for": ("channel_work.h", "    __syncthreads();\n    if (static", "    if (static", "sums"),
    "no barrier before the next job": ("channel_work.h", "__syncthreads();  // before", "// before", "sums"),
    "a piece too long": (
        "channel_work.h",
        "end = (piece + 1) * cut.share",
        "end = (piece + 1) * cut.share + 1",
        "sums",
    ),
    "a row left out": ("channel_work.h", "item += work.cut.rows", "item += work.cut.rows + 1", "sums"),
    "channels that are not there": ("channel_work.h", "octet * kOctet >= cut.channels ? 0 : ", "", "upsampling"),
    "too little shared memory": ("channel_work.h", "2 * kOctet * kWorkThreads *", "kOctet * kWorkThreads *", "sums"),
    "pieces that nobody waits for": ("channel_sums.cu", "      __syncthreads();\n", "", "sums"),
    "a piece left out": ("channel_sums.cu", "piece = threadIdx.x;", "piece = threadIdx.x + 1;", "sums"),
    "a channel too many": ("octets.h", "if (i < octet.count) to[i]", "to[i]", "upsampling"),
    "a frame too many": ("upsampling.cu", "t < e.large[kT]", "t <= e.large[kT]", "upsampling"),
    "a copy too many": ("upsampling.cu", "extents.large[kD] ? 2 : 1", "extents.large[kD] ? 2 : 2", "upsampling"),
    "the first octet's weights": ("pointwise.h", "(to.first + i) * in_channels", "i * in_channels", "upsampling"),
    "logits that overflow": ("pointwise_softmax.cu", "expf(numbers[i] - largest)", "expf(numbers[i])", "softmax"),
    "classes that are not there": ("pointwise_softmax.cu", "i < classes.count ? expf", "i < 8 ? expf", "softmax"),
    "a gradient through the ReLU": (
        "group_norm.cu",
        "normal <= 0 ? 0.0f : dz",
        "normal <= 0 ? dz : dz",
        "separate_block",
    ),
    "no mean in the variance": ("group_norm.cu", "square / count - mean * mean", "square / count", "separate_block"),
    "a shift of another channel": ("group_norm.cu", "abc + 2 * all + place", "abc + all + place", "separate_block"),
    "no identity in the gradient": (
        "group_norm.cu",
        "if (add != nullptr) others",
        "if (false) others",
        "separate_block",
    ),
    "the input is lost": ("residual_block.cu", "out == x ? y : out", "out", "separate_block"),
    "padding that is normalised": ("mma_tile.h", "(inside & 1) == 0", "false", "tensor_cores"),
    "planes of padding": ("mma_tile.h", "(h < 0 || h >= work.sizes.from[kH])", "(h < 0)", "tensor_cores"),
    "the bit of another vector": ("mma_tile.h", "i += kThreads, inside >>= 1", "i += kThreads", "tensor_cores"),
    "the norm of the first block": ("mma_tile.h", "+ block + first_block", "+ block + 0 * first_block", "streamed"),
    "the norm of the first sample": (
        "mma_tile.h",
        "(int64_t(tile.n) * work",
        "(0 * int64_t(tile.n) * work",
        "tensor_cores",
    ),
    "totals that nobody waits for": ("mma_tile.h", "    __syncthreads();\n    // 16", "    // 16", "tensor_cores"),
    "totals of the next tile": ("mma_tile.h", "    __syncthreads();\n  }\n}", "  }\n}", "tensor_cores"),
    "totals of one warp": ("mma_tile.h", "i < kWarpsOfBlock * 8", "i < 8", "tensor_cores"),
    "a norm before its copy": (
        "mma_kernels.h",
        "      wait_for_copies();\n      for (int plane = step",
        "      for (int plane = step",
        "tensor_cores",
    ),
    "one plane for all": ("mma_kernels.h", "tile, first + plane, inside", "tile, first, inside", "tensor_cores"),
    "a weight gradient of padding": (COPIES, "    if (!source.is_inside) continue;\n", "", "tensor_cores"),
    "a weight gradient of the first block's norm": (
        COPIES,
        ".blocks + block) *",
        ".blocks + 0 * block) *",
        "tensor_cores",
    ),
    "a weight gradient of the first sample's norm": (
        COPIES,
        "number = (int64_t(n) *",
        "number = (0 * int64_t(n) *",
        "tensor_cores",
    ),
    "a weight gradient of other channels' norm": (
        COPIES,
        ".blocks + block) * kBlock + part",
        ".blocks + block) * kBlock + 0 * part",
        "tf32",
    ),
    "a weight gradient of the first step's norm": (
        "mma_grad_weight.cu",
        "prepare_step(next, count)",
        "prepare_step(step_at(work, first), count)",
        "tensor_cores",
    ),
    "a weight gradient without a norm": (
        COPIES,
        "      normalise<typename Work::Storage>(work.fusion",
        "      if (false) normalise<typename Work::Storage>(work.fusion",
        "tensor_cores",
    ),
    "a norm in the slot of the step before": (
        COPIES,
        "in_block, count % 2 *",
        "in_block, (count + 1) % 2 *",
        "tensor_cores",
    ),
    "padding that is normalised in float32": (TILED, "if (voxel < 0) return;", "if (voxel < -1) return;", "tiled"),
    "the norm of the first block in float32": (
        TILED,
        "in_blocks + block) * kIn;",
        "in_blocks + 0 * block) * kIn;",
        "tiled",
    ),
    "the norm of the first sample in float32": (
        TILED,
        "(int64_t(tile.n) * work",
        "(0 * int64_t(tile.n) * work",
        "tiled",
    ),
    "a norm before its copy in float32": (
        TILED,
        "      wait_for_copies();\n      prepare_stage(work, tile, stage);\n",
        "      prepare_stage(work, tile, stage);\n      wait_for_copies();\n",
        "tiled",
    ),
    "no residual in float32": (TILED, "(work.fusion.beside == nullptr) return;", "(true) return;", "tiled"),
    "a weight gradient in float32 without a norm": (
        "tiled_grad_weight.cu",
        "      copier.prepare_step(next, count);\n",
        "",
        "tiled",
    ),
    "no residual": ("mma_fusion.h", "pair[0] += residual[0], pair", "pair", "tensor_cores"),
    "the residual of the first row": ("mma_tile.h", "].read(from + j * row);", "].read(from);", "tensor_cores"),
    "the residual of another voxel": ("mma_tile.h", "+ 8 * voxel);\n", "+ 0 * voxel);\n", "tf32"),
    "the residual of the first voxel in float32": (TILED, "++i, from +=", "++i, from += 0 *", "tiled"),
    "sums of several blocks in one": ("mma_kernels.h", "sizes.out_blocks <= Work::kWarpsOut", "true", SUMS),
    "sums of what is not stored": ("mma_tile.h", "pair[0] = rounded<typename Work::Storage>(pair[0]), ", "", SUMS),
    "sums of the neighbour": ("mma_fusion.h", "sums[i] += pair[i], sums", "sums[i] += pair[0], sums", SUMS),
    "pieces in the convolution's memory": (
        "fused.cu",
        "C4D_CUDA_FORWARD) + 15) / 16 * 16",
        "C4D_CUDA_FORWARD) + 15) * 0",
        SUMS,
    ),
    "sums in front of the ReLU": (
        "mma_fusion.h",
        "normal <= 0 ? 0.0f : pair",
        "normal <= 0 ? pair[i] : pair",
        "tensor_cores",
    ),
}
"""Planted bugs: file, what stands there, what shall stand there, and the check that must notice."""


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bug_is_caught(mutant: str, assert_caught: AssertCaught) -> None:
    *bug, name = MUTANTS[mutant]
    assert_caught(bug, lambda library: run(EmulatedFusedKernels(library), library, name))
