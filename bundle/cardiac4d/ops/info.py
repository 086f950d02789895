# SPDX-License-Identifier: Apache-2.0
"""What computes the operator on this machine, for people and for bug reports."""

import platform

import torch

from .. import __version__
from . import native
from .settings import active
from .sources import CUDA_LIBRARY, LIBRARY, architectures_of_library


def backend_info() -> dict[str, str]:
    """Say which backend computes the operator, and why; ``python -m cardiac4d.ops`` prints it.

    Returns:
        ``backend``: what serves tensors on the CPU in eager mode, ``native`` or ``composed``;
        ``cuda_backend``: the same for tensors on a CUDA device;
        ``other_devices``: what serves all others;
        ``native``: the state of the native library, with the remedy if it is not loaded;
        ``library``: where it lies or would lie;
        ``cuda``, ``cuda_library``: the same for the kernels for CUDA;
        ``cuda_architectures``: what they were built for, ``none`` if they are not loaded;
        ``instruction_set``: what its kernels were dispatched to, ``none`` if it is not loaded;
        ``requested``, ``precision``, ``strict``, ``fused``: the settings in force, see
            :func:`cardiac4d.ops.use_backend`;
        ``cardiac4d``, ``torch``, ``python``, ``machine``: the versions of all three, and the architecture.

    Example:
        >>> sorted(backend_info())[:3]
        ['backend', 'cardiac4d', 'cuda']
    """
    settings = active()
    return {
        "backend": "composed" if settings.backend == "composed" or native.PROBLEM else "native",
        "cuda_backend": _cuda_backend(settings.backend),
        "other_devices": "none: an error" if settings.backend == "native" else "composed",
        "native": native.PROBLEM or "loaded",
        "library": str(LIBRARY),
        "cuda": native.CUDA_PROBLEM or "loaded",
        "cuda_library": str(CUDA_LIBRARY),
        "cuda_architectures": "none" if native.CUDA_PROBLEM else architectures_of_library(CUDA_LIBRARY),
        "instruction_set": native.instruction_set(),
        "requested": settings.backend,
        "precision": settings.precision,
        "strict": "yes" if settings.strict else "no",
        "fused": "yes" if settings.fused else "no",
        "cardiac4d": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def _cuda_backend(backend: str) -> str:
    if backend != "native":
        return "composed"
    return "none: an error" if native.CUDA_PROBLEM else "native"
