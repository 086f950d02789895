# SPDX-License-Identifier: Apache-2.0
"""The problems on which every implementation of the 4D convolution is tried."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from cardiac4d.ops.layout import from_frames, to_frames

CASES: dict[str, dict[str, Any]] = {
    "pointwise": {"size": (3, 4, 2, 5), "channels": (3, 5), "kernel": (1, 1, 1, 1)},
    "cube": {"size": (4, 5, 3, 6), "channels": (2, 3), "kernel": (3, 3, 3, 3), "padding": 1},
    "cube_valid": {"size": (4, 5, 3, 6), "channels": (2, 3), "kernel": (3, 3, 3, 3)},
    "one_input_channel": {"size": (4, 3, 5, 6), "channels": (1, 3), "kernel": (3, 3, 3, 3), "padding": 1},
    "one_input_channel_strided": {
        "size": (4, 3, 5, 7),
        "channels": (1, 3),
        "kernel": (3, 3, 3, 3),
        "padding": 1,
        "stride": 2,
    },
    "wide": {"size": (3, 3, 2, 4), "channels": (32, 32), "kernel": (3, 3, 3, 3), "padding": 1},
    "unequal_kernel": {"size": (5, 5, 4, 6), "channels": (2, 3), "kernel": (1, 2, 3, 4), "padding": (0, 1, 1, 2)},
    "even_kernel": {"size": (4, 4, 3, 5), "channels": (2, 2), "kernel": (2, 2, 2, 2), "padding": 1},
    "space_only": {"size": (4, 5, 3, 6), "channels": (2, 3), "kernel": (3, 3, 3, 1), "padding": (1, 1, 1, 0)},
    "time_only": {"size": (4, 5, 3, 6), "channels": (2, 3), "kernel": (1, 1, 1, 3), "padding": (0, 0, 0, 1)},
    "stride_2_even_frames": {
        "size": (6, 5, 4, 8),
        "channels": (2, 3),
        "kernel": (3, 3, 3, 3),
        "padding": 1,
        "stride": 2,
    },
    "stride_2_odd_frames": {
        "size": (5, 6, 3, 7),
        "channels": (2, 3),
        "kernel": (3, 3, 3, 3),
        "padding": 1,
        "stride": 2,
    },
    "stride_in_time_only": {
        "size": (3, 4, 3, 9),
        "channels": (2, 3),
        "kernel": (3, 3, 3, 3),
        "padding": 1,
        "stride": (1, 1, 1, 3),
    },
    "stride_in_space_only": {
        "size": (5, 4, 6, 5),
        "channels": (2, 3),
        "kernel": (3, 3, 3, 3),
        "padding": 1,
        "stride": (2, 3, 2, 1),
    },
    "stride_beyond_kernel": {"size": (5, 5, 4, 9), "channels": (2, 3), "kernel": (2, 2, 2, 2), "stride": (3, 2, 3, 4)},
    "pointwise_strided_padded": {
        "size": (3, 4, 3, 6),
        "channels": (2, 3),
        "kernel": (1, 1, 1, 1),
        "padding": 1,
        "stride": 2,
    },
    "dilated": {"size": (5, 6, 5, 7), "channels": (2, 3), "kernel": (3, 3, 3, 3), "padding": 2, "dilation": 2},
    "dilated_unequal_strided": {
        "size": (5, 7, 4, 9),
        "channels": (2, 3),
        "kernel": (2, 3, 2, 3),
        "padding": (1, 2, 0, 3),
        "stride": (2, 1, 1, 2),
        "dilation": (1, 2, 3, 3),
    },
    "groups": {"size": (4, 3, 3, 5), "channels": (4, 6), "kernel": (3, 3, 3, 3), "padding": 1, "groups": 2},
    "depthwise": {"size": (4, 3, 3, 5), "channels": (3, 6), "kernel": (3, 2, 3, 3), "padding": 1, "groups": 3},
    "groups_strided_dilated": {
        "size": (5, 4, 5, 8),
        "channels": (4, 2),
        "kernel": (3, 2, 2, 3),
        "padding": (2, 1, 1, 2),
        "stride": (1, 2, 1, 2),
        "dilation": (2, 1, 2, 2),
        "groups": 2,
    },
    "wide_padding": {"size": (2, 3, 2, 3), "channels": (2, 3), "kernel": (2, 2, 3, 3), "padding": (2, 1, 3, 4)},
    "one_frame": {"size": (4, 3, 3, 1), "channels": (2, 3), "kernel": (3, 3, 3, 3), "padding": 1},
    "one_voxel": {"size": (1, 1, 1, 1), "channels": (2, 3), "kernel": (3, 3, 3, 3), "padding": 1},
    "fewer_frames_than_taps": {
        "size": (3, 3, 2, 2),
        "channels": (2, 3),
        "kernel": (3, 1, 1, 5),
        "padding": (1, 0, 0, 2),
    },
    "every_tap_reads_padding": {
        "size": (3, 2, 2, 2),
        "channels": (2, 3),
        "kernel": (1, 1, 2, 4),
        "padding": (0, 0, 0, 2),
    },
    "no_tap_reads_a_frame": {
        "size": (2, 2, 2, 1),
        "channels": (2, 3),
        "kernel": (1, 1, 1, 2),
        "padding": (0, 0, 0, 2),
        "stride": (1, 1, 1, 5),
        "dilation": (1, 1, 1, 4),
    },
    "few_frames_kept": {"size": (3, 3, 3, 7), "channels": (2, 3), "kernel": (2, 2, 2, 5)},
}


def channels_innermost(x: Tensor) -> Tensor:
    """The same tensor, physically N, T, H, W, D, C: the layout of the composed backend."""
    return from_frames(to_frames(x))


class Problem(NamedTuple):
    """Tensors and arguments of one case."""

    input: Tensor
    weight: Tensor
    bias: Tensor
    options: dict[str, Any]


def make_problem(name: str, *, batch: int = 2, requires_grad: bool = False) -> Problem:
    """Draw the float64 tensors of a case, the same at every call."""
    case = dict(CASES[name])
    size, kernel, (source, target) = case.pop("size"), case.pop("kernel"), case.pop("channels")
    generator = torch.Generator().manual_seed(len(name))

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_(requires_grad)

    weight = draw(target, source // case.get("groups", 1), *kernel)
    return Problem(draw(batch, source, *size), weight, draw(target), case)
