# SPDX-License-Identifier: Apache-2.0
"""The backend that a network asks for, for itself alone."""

from ..ops.settings import BACKENDS, chosen_backend

__all__ = ["check_backend", "chosen_backend"]


def check_backend(name: str) -> str:
    """Return the name of a backend if there is one.

    Raises:
        ValueError: if it is not one of those of :func:`cardiac4d.ops.use_backend`.
    """
    if name not in BACKENDS:
        raise ValueError(f"`backend` (={name!r}) must be one of {', '.join(BACKENDS)}")
    return name
