# SPDX-License-Identifier: Apache-2.0
"""Ask a tensor once what does not change as long as nobody writes to it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch.multiprocessing.reductions import StorageWeakRef

P = ParamSpec("P")
Result = TypeVar("Result")
PerTensor = Callable[Concatenate[torch.Tensor, P], Result]


def once_per_tensor(compute: PerTensor[P, Result]) -> PerTensor[P, Result]:
    """Decorate a function of a tensor, so that it computes once per tensor, and not at every call.

    For studies that stay in memory, of which many crops are drawn. A result is known for the same part of the same
    memory, whichever tensor or subclass shows it; it is computed anew once torch has written there, and forgotten with
    the memory. What NumPy writes through a shared array is not noticed.

    Args:
        compute: takes a tensor, then arguments that can be hashed.
    """
    known: dict[Any, tuple[StorageWeakRef, Result]] = {}
    lock = threading.Lock()

    @functools.wraps(compute)
    def ask(tensor: torch.Tensor, *args: P.args, **kwargs: P.kwargs) -> Result:
        if tensor.is_inference():  # has no count of what was written to it
            return compute(tensor, *args, **kwargs)
        memory = StorageWeakRef(tensor.untyped_storage())
        part = (tensor.dtype, tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor._version)
        key = (memory, part, args, tuple(kwargs.items()))
        with lock:
            if key in known:
                return known[key][1]
        result = compute(tensor, *args, **kwargs)
        with lock:
            for old in [old for old, (place, _) in known.items() if place.expired()]:
                del known[old]
            known[key] = memory, result
        return result

    return ask
