# SPDX-License-Identifier: Apache-2.0
"""The sums over a softmax on CUDA against float64, in the emulation, and bugs planted in their kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cardiac4d.ops.layout import from_frames, to_frames
from tests.helpers.backends import needs_compiler
from tests.helpers.comparison import check
from tests.helpers.cuda_kernels import emulation_of
from tests.helpers.fused_cuda_kernels import EmulatedFusedKernels
from tests.helpers.planted_bugs import AssertCaught
from tests.helpers.softmax_sums import Head, draw_head, draw_seed, expected

pytestmark = needs_compiler

HEADS = {
    "paper": (2, (5, 6, 7, 3), 8, 3, torch.float32),
    "bfloat16": (4, (5, 9, 7, 4), 8, 3, torch.bfloat16),
    "float16_many_channels": (6, (3, 9, 5, 5), 24, 4, torch.float16),
    "ragged_channels": (8, (4, 3, 5, 2), 13, 8, torch.float32),
    "logits": (9, (4, 9, 8, 3), 3, 3, torch.bfloat16),
    "many_logits": (11, (4, 3, 8, 3), 7, 7, torch.float32),
    "one_frame": (13, (5, 6, 2, 1), 5, 2, torch.float32),
    "one_class": (14, (2, 1, 2, 3), 1, 1, torch.float32),
    "many_frames": (16, (1, 2, 1, 21), 16, 5, torch.float32),
    "several_stretches": (18, (20, 13, 4, 3), 8, 3, torch.float16),
}
"""Seed, size, channels, classes, dtype."""
SUM_LIMIT = 1e-5
GRADIENT_LIMITS = {torch.float32: 1e-5, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
"""Sums and the head's gradient are float32 inside whatever the dtype; that of the input is rounded once."""


def make(name: str) -> Head:
    seed, size, channels, classes, dtype = HEADS[name]
    head = draw_head(seed, size, channels, classes, dtype=dtype)
    if name == "ragged_channels":
        head.label[0, 0, 0, 0, 0, 0] = 9  # no class: counted, and else as any annotated voxel
    return head


def check_head(results: Any, head: Head, seed: torch.Tensor) -> None:
    sums, dx, dhead = results
    right, (by_x, *by_head) = expected(head, seed)
    check(sums, right, SUM_LIMIT)
    assert torch.equal(sums[..., -2:], right[..., -2:])
    check(dx, by_x, GRADIENT_LIMITS[head.x.dtype] + SUM_LIMIT)
    if by_head:
        check(dhead[:, :-1], by_head[0].flatten(1), SUM_LIMIT)
        if head.bias is not None:
            check(dhead[:, -1], by_head[1], SUM_LIMIT)


def run(kernels: EmulatedFusedKernels, library: Path, name: str) -> None:
    """Compute with threads in both orders; the same bits must come, and be right."""
    head = make(name)
    seed, results = draw_seed(head), []
    for backwards in (False, True):
        with emulation_of(library, reverse=backwards):
            results.append(kernels.softmax_sums(head, seed))
        check_head(results[-1], head, seed)
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ("paper", "logits") else pytest.mark.slow) for name in HEADS]
)
def test_sums_and_gradients_between_guards(name: str, cuda_library: Path) -> None:
    run(EmulatedFusedKernels(cuda_library), cuda_library, name)


def test_working_memory_is_bounded(cuda_library: Path) -> None:
    kernels = EmulatedFusedKernels(cuda_library)
    assert kernels.softmax_sums_workspace((128, 128, 96, 20), 8, 3) == 2060 * 3 * 9 * 8
    assert 50 << 20 < kernels.softmax_sums_workspace((64, 64, 64, 20), 512, 8) <= 64 << 20
    assert kernels.softmax_sums_workspace((2, 1, 1, 3000), 512, 8) == 3000 * 8 * 513 * 8  # one stretch of each frame


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_binding_gives_the_same_numbers_in_frames(operators: Any, cuda_library: Path, name: str) -> None:
    head = make(name)
    seed = draw_seed(head)
    sums, dx, dhead = EmulatedFusedKernels(cuda_library).softmax_sums(head, seed)
    x, weight, bias, label, squared = head
    operands = (x, weight, bias, label, squared)
    assert torch.equal(operators.softmax_sums(*operands), sums)
    by_x, by_head = operators.softmax_sums_backward(seed, *operands, 3)
    assert torch.equal(by_x, dx)
    assert by_x.permute(0, 5, 2, 3, 4, 1).is_contiguous()
    assert by_head.numel() == 0 if dhead is None else torch.equal(by_head, dhead)
    as_frames = from_frames(to_frames(x)), weight, bias, from_frames(to_frames(label)), squared
    assert torch.equal(operators.softmax_sums(*as_frames), sums)
    only_x, nothing = operators.softmax_sums_backward(seed, *operands, 1)
    assert torch.equal(only_x, dx)
    assert nothing.numel() == 0
    nothing, only_head = operators.softmax_sums_backward(seed, *operands, 2)
    assert torch.equal(only_head, by_head)
    assert nothing.numel() == 0
    assert operators.guards_alive() == 0


@pytest.mark.slow
def test_binding_refuses_what_does_not_fit(operators: Any) -> None:
    x, weight, bias, label, squared = make("paper")
    for arguments, words in (
        ((x, weight, bias, label.short(), squared), "label must be uint8, on the device of the input"),
        ((x, weight, bias, label[..., :1], squared), "label has the wrong size"),
        ((x, weight[:, :3], bias, label, squared), "weight has the wrong size"),
        ((x, weight.half(), bias, label, squared), "weight must be"),
        ((x.double(), weight.double(), None, label, squared), "float64"),
        ((x, torch.cat([weight] * 3), None, label, squared), "weight must have 1 to 8 classes, got 9"),
        ((x[:, :1].expand(-1, 9, -1, -1, -1, -1), None, None, label, squared), "input must have 1 to 8 classes, got 9"),
        ((x, None, bias, label, squared), "a bias needs a weight"),
        ((torch.cat([x] * 171, 1), torch.cat([weight] * 171, 1), None, label, squared), "at most 4096, got 4104"),
    ):
        with pytest.raises(RuntimeError, match=words):
            operators.softmax_sums(*arguments)


MUTANTS = {
    "weights that nobody waits for": ("softmax_sums.cu", "  __syncthreads();\n  for", "  for", "paper"),
    "rows that nobody waits for": (
        "softmax_head.h",
        "    __syncthreads();\n    if (row < kRows",
        "    if (row < kRows",
        "paper",
    ),
    "parts that nobody waits for": (
        "softmax_head.h",
        "    __syncthreads();\n    if (thread < kRows",
        "    if (thread < kRows",
        "paper",
    ),
    "a part left out": ("softmax_head.h", "i = 0; i < kParts", "i = 1; i < kParts", "paper"),
    "one round for all": ("softmax_head.h", "numbers[first + i];", "numbers[i];", "ragged_channels"),
    "a voxel too many": (
        "softmax_head.h",
        "if (end > cut.voxels) end = cut.voxels;",
        "if (end > cut.voxels) end = cut.voxels + 1;",
        "paper",
    ),
    "a stretch too long": (
        "softmax_head.h",
        "(index + 1) * cut.share;",
        "(index + 2) * cut.share;",
        "several_stretches",
    ),
    "the first stretch again": ("softmax_head.h", "job / cut.frames % cut.count", "0 * job", "several_stretches"),
    "no bias": ("softmax_head.h", "bias == nullptr ? 0.0f :", "bias != nullptr ? 0.0f :", "paper"),
    "channels that are not there": (
        "softmax_head.h",
        "c < channels ? value(",
        "c <= channels ? value(",
        "ragged_channels",
    ),
    "logits that overflow": ("softmax_head.h", "expf(logits[i] - largest)", "expf(40 * logits[i] - largest)", "paper"),
    "the frame itself as the next": ("softmax_sums.cu", "(at.t + 1) % cut.frames", "at.t % cut.frames", "paper"),
    "no frame behind the last": ("softmax_sums.cu", "(at.t + 1) % cut.frames;", "(at.t + 1);", "paper"),
    "sizes of everything": ("softmax_sums.cu", "if (is_annotated) sums[kMost + i]", "sums[kMost + i]", "paper"),
    "wrong labels uncounted": ("softmax_sums.cu", "y >= head.classes", "y > head.classes + 1", "ragged_channels"),
    "pieces of another sample": (
        "softmax_sums.cu",
        "(at.index * work.cut.batch + at.n)",
        "(at.index * work.cut.batch)",
        "paper",
    ),
    "too little shared memory": (
        "softmax_sums.cu",
        "sizeof(float) + kBlockSumBytes;",
        "sizeof(float) + kBlockSumBytes / 2;",
        "paper",
    ),
    "seeds that nobody waits for": (
        "softmax_sums_gradient.cu",
        "    work.copy_seeds(at, seeds);\n    __syncthreads();\n",
        "    work.copy_seeds(at, seeds);\n",
        "paper",
    ),
    "seeds of the next job": (
        "softmax_sums_gradient.cu",
        "    __syncthreads();  // before these",
        "    // before these",
        "logits",
    ),
    "the change before for that behind": (
        "softmax_sums_gradient.cu",
        "i == 2 * kMost ? before : at.t",
        "i == 2 * kMost ? at.t : before",
        "paper",
    ),
    "no frame before the first": (
        "softmax_sums_gradient.cu",
        "at.t == 0 ? (frames - 1) * frame",
        "at.t == 0 ? 0",
        "paper",
    ),
    "no mean through the softmax": ("softmax_sums_gradient.cu", "(by_logits[i] - mean)", "(by_logits[i])", "paper"),
    "Dice where nothing is annotated": (
        "softmax_sums_gradient.cu",
        "y == C4D_CUDA_NOT_ANNOTATED ? 0.0f :",
        "y == 254 ? 0.0f :",
        "paper",
    ),
    "the first octet for all": (
        "softmax_sums_gradient.cu",
        "dx + place + in.first",
        "dx + place",
        "float16_many_channels",
    ),
    "heads of one frame": (
        "softmax_sums_gradient.cu",
        "AddStretches<float>{work.cut.jobs(),",
        "AddStretches<float>{1,",
        "paper",
    ),
}
"""Planted bugs: file, what stands there, what shall stand there, and the head that must notice."""


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bug_is_caught(mutant: str, assert_caught: AssertCaught) -> None:
    *bug, name = MUTANTS[mutant]
    assert_caught(bug, lambda library: run(EmulatedFusedKernels(library), library, name))
