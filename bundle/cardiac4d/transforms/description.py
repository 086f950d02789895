# SPDX-License-Identifier: Apache-2.0
"""What a transform is and how it is set, as plain data: two that are described alike do the same."""

from __future__ import annotations

import hashlib
import inspect
import threading
from collections.abc import Mapping
from enum import Enum
from functools import partial
from os import PathLike
from types import CodeType
from typing import Any

import numpy as np
import torch

_LIBRARIES = ("monai", "torch", "numpy", "builtins", "functools")
"""Packages whose version stands for their code; of any other class and function the source is described."""
_MOMENTARY = (np.random.RandomState, np.random.Generator, torch.Generator, threading.local)
"""State of the moment: random generators, and MONAI's switch of tracing, which appears with the first use."""


def describe(value: Any) -> Any:
    """Describe a transform, or anything that one may hold.

    Args:
        value: a transform, a composition, a number, a text, an array, a function, or a list or mapping of such.
            State of the moment, such as that of random generators, does not count. The source of classes and functions
            outside MONAI, PyTorch and NumPy does, so that a team's own transform is known as changed when its code is.

    Returns:
        Lists, dictionaries with text as keys, and plain values: what ``json.dumps`` takes.

    Raises:
        TypeError: if an object has no attributes to describe it by.

    Example:
        >>> from monai.transforms import ScaleIntensity
        >>> describe(ScaleIntensity(0, 1)) == describe(ScaleIntensity(0, 2))
        False
    """
    return _describe(value, ())


def _describe(value: Any, inside: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, (float, complex, np.generic, torch.dtype, np.dtype, torch.device, PathLike)):
        return repr(value)
    if id(value) in inside:
        return "itself"
    inside = (*inside, id(value))
    if isinstance(value, Mapping):
        return {repr(key): _describe(item, inside) for key, item in sorted(value.items(), key=lambda i: repr(i[0]))}
    if isinstance(value, (list, tuple)):
        return [_describe(item, inside) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(repr(_describe(item, inside)) for item in value)
    return _describe_object(value, inside)


def _describe_object(value: Any, inside: tuple[int, ...]) -> Any:
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return _of_array(value)
    if isinstance(value, partial):
        return {"partial": [_describe(part, inside) for part in (value.func, value.args, value.keywords)]}
    if inspect.isroutine(value) or inspect.isclass(value):
        return {"name": _name(value), "source": _source(value), "holds": _describe(_held(value), inside)}
    if hasattr(value, "__dict__"):
        attributes = {name: item for name, item in sorted(vars(value).items()) if not isinstance(item, _MOMENTARY)}
        described = {name: _describe(item, inside) for name, item in attributes.items()}
        return {"class": _name(type(value)), "source": _source(type(value)), "attributes": described}
    problem = f"a {type(value).__name__} cannot be described, so a change of it would not be noticed"
    raise TypeError(f"{problem}: keep what a transform is set to in numbers, texts, lists or functions")


def _held(function: Any) -> list[Any]:
    """Default arguments, and the variables of the surrounding function that an inner one uses."""
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    return [getattr(function, "__defaults__", None), getattr(function, "__kwdefaults__", None), cells]


def _of_array(value: np.ndarray | torch.Tensor) -> Any:
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
    return {"array": [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]}


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', repr(value))}"


def _source(value: Any) -> str | None:
    """Digest of the code, or ``None`` where the version of a library stands for it."""
    if str(getattr(value, "__module__", None) or "builtins").partition(".")[0] in _LIBRARIES:
        return None
    try:
        code = inspect.getsource(value)
    except (OSError, TypeError):  # written at a prompt, in a config, or compiled
        code = _of_code(getattr(value, "__code__", None))
    return hashlib.sha256(code.encode()).hexdigest()


def _of_code(code: CodeType | None) -> str:
    if code is None:
        return ""
    constants = [_of_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return repr((code.co_code, constants, code.co_names))
