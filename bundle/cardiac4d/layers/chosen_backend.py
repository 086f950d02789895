# SPDX-License-Identifier: Apache-2.0
"""The backend that a network asks for, for itself alone."""

from contextlib import AbstractContextManager, nullcontext

from ..ops import use_backend
from ..ops.settings import BACKENDS


def check_backend(name: str) -> str:
    """Return the name of a backend if there is one.

    Raises:
        ValueError: if it is not one of those of :func:`cardiac4d.ops.use_backend`.
    """
    if name not in BACKENDS:
        raise ValueError(f"`backend` (={name!r}) must be one of {', '.join(BACKENDS)}")
    return name


def chosen_backend(name: str) -> AbstractContextManager[None]:
    """A context in which this backend computes; ``"auto"`` leaves the choice to what is in force around it."""
    return nullcontext() if name == "auto" else use_backend(name)
