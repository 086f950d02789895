# SPDX-License-Identifier: Apache-2.0
"""The way into the native operators, for the door, the derivatives and the batching rules alike."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

FUNCTIONS: dict[str, type[torch.autograd.Function]] = {}
"""Each operator again as an autograd function, filled by :func:`add_function`."""


def call(name: str, *arguments: Any) -> Tensor:
    """Call ``torch.ops.cardiac4d.<name>``, differentiable in every mode.

    The derivatives that ``torch.library.register_autograd`` gives to an operator are refused by the transforms of
    ``torch.func``; those of an autograd function are not.
    """
    if not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active():
        return FUNCTIONS[name].apply(*arguments)
    return getattr(torch.ops.cardiac4d, name)(*arguments)


def add_function(name: str, setup: Callable[..., None], backward: Callable[..., Any], vmap: Callable[..., Any]) -> None:
    """Make an operator's autograd function of the same parts that are registered with the operator."""

    def forward(*arguments: Any) -> Tensor:
        return getattr(torch.ops.cardiac4d, name)(*arguments)

    parts = {"forward": forward, "setup_context": setup, "backward": backward, "vmap": vmap}
    members = {part: staticmethod(function) for part, function in parts.items()}
    FUNCTIONS[name] = type(f"Native_{name}", (torch.autograd.Function,), members)
