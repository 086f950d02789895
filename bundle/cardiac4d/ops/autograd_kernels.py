# SPDX-License-Identifier: Apache-2.0
"""What the dispatcher runs for autograd before a native kernel: derivatives, and an error where there is none.

An operator that knows nothing of a derivative gives none, without a word: its result has no tangent, and a gradient
misses what it should add. The functions of :mod:`cardiac4d.ops` never come here with such a call; ``torch.ops`` does.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad


class _Library(torch.library.Library):
    """Registers kernels for autograd that first refuse tangents."""

    def impl(self, op_name: str, fn: Any, dispatch_key: str = "", **options: Any) -> None:
        def kernel(keyset: Any, *arguments: Any) -> Any:
            _refuse_tangents(op_name, arguments)
            return fn(keyset, *arguments)

        super().impl(op_name, kernel if dispatch_key == "Autograd" else fn, dispatch_key, **options)


_library = _Library("cardiac4d", "FRAGMENT")  # what it registers lasts as long as it does


def register_derivative(name: str, backward: Callable[..., Any], setup: Callable[..., None] | None = None) -> None:
    """Register the gradient of an operator, as :func:`torch.library.register_autograd`; forward mode is an error."""
    torch.library.register_autograd(f"cardiac4d::{name}", backward, setup_context=setup, lib=_library)


def register_in_place(name: str) -> None:
    """Make every derivative of an operator an error that writes over its first argument, and tell autograd of that."""
    operator = getattr(torch.ops.cardiac4d, name).default

    def kernel(keyset: Any, *arguments: Any) -> Any:
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in _tensors(arguments)):
            raise RuntimeError(f"cardiac4d::{name} has no derivative: call it under torch.no_grad()")
        with torch._C._AutoDispatchBelowAutograd():
            result = operator.redispatch(keyset & torch._C._after_autograd_keyset, *arguments)
        torch.autograd.graph.increment_version(arguments[0])
        return result

    _library.impl(name, kernel, "Autograd", with_keyset=True)


def _refuse_tangents(name: str, arguments: Sequence[Any]) -> None:
    if forward_ad._current_level < 0:
        return
    if any(forward_ad.unpack_dual(tensor).tangent is not None for tensor in _tensors(arguments)):
        raise NotImplementedError(
            f"cardiac4d::{name} has no forward-mode derivative; the functions of cardiac4d.ops have one"
        )


def _tensors(arguments: Sequence[Any]) -> list[Tensor]:
    return [argument for argument in arguments if isinstance(argument, Tensor)]
