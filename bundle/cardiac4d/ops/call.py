# SPDX-License-Identifier: Apache-2.0
"""The way into the native operators, for the door, the derivatives and the batching rules alike."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

FUNCTIONS: dict[str, Any] = {}
"""Each operator again as an autograd function, filled by :func:`add_function`."""


def call(name: str, *arguments: Any) -> Tensor:
    """Call ``torch.ops.cardiac4d.<name>``, differentiable in every mode.

    The derivatives that ``torch.library.register_autograd`` gives to an operator are refused by the transforms of
    ``torch.func``; those of an autograd function are not.
    """
    if not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active():
        return FUNCTIONS[name].apply(*arguments)
    return call_operator(name, *arguments)


def call_operator(name: str, *arguments: Any) -> Tensor:
    """Call ``torch.ops.cardiac4d.<name>`` and nothing else."""
    return getattr(torch.ops.cardiac4d, name)(*arguments)


def add_function(name: str, setup: Callable[..., None], backward: Callable[..., Any], vmap: Callable[..., Any]) -> None:
    """Make an operator's autograd function of the same parts that are registered with the operator."""
    members = {
        "forward": staticmethod(partial(call_operator, name)),
        "setup_context": staticmethod(setup),
        "backward": staticmethod(backward),
        "vmap": staticmethod(partial(vmap, call)),
    }
    FUNCTIONS[name] = type(f"Native_{name}", (torch.autograd.Function,), members)
