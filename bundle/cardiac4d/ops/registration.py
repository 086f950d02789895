# SPDX-License-Identifier: Apache-2.0
"""What the native operators get from Python: fake kernels here, derivatives and batching rules from their modules."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from . import batching, derivatives
from .arguments import output_size
from .autograd_kernels import register_derivative
from .call import add_function, call_operator
from .layout import new_empty_for_kernels


def register() -> None:
    """Complete the operators of the library, which must be loaded. Call it once."""
    for name, fake, setup, backward, vmap in (
        ("conv4d", _fake, derivatives.setup, derivatives.backward, batching.vmap),
        ("conv4d_input", _fake_input, derivatives.setup_input, derivatives.backward_input, batching.vmap_input),
        ("conv4d_weight", _fake_weight, derivatives.setup_weight, derivatives.backward_weight, batching.vmap_weight),
    ):
        operator = f"cardiac4d::{name}"
        torch.library.register_fake(operator, fake)
        register_derivative(name, backward, setup)
        torch.library.register_vmap(operator, partial(vmap, call_operator))
        add_function(name, setup, backward, vmap)


# Fake kernels: sizes and strides without values, those of the kernels for the device.


def _fake(input: Tensor, weight: Tensor, bias: Tensor | None, *options: Any) -> Tensor:
    stride, padding, dilation, _, _ = options
    extents = output_size(list(input.shape[2:]), list(weight.shape[2:]), stride, padding, dilation)
    return new_empty_for_kernels(input, [input.shape[0], weight.shape[0], *extents])


def _fake_input(input_size: Sequence[int], weight: Tensor, grad_output: Tensor, *options: Any) -> Tensor:
    return new_empty_for_kernels(weight, input_size)


def _fake_weight(input: Tensor, weight_size: Sequence[int], grad_output: Tensor, *options: Any) -> Tensor:
    return input.new_empty(list(weight_size))
