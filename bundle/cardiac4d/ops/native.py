# SPDX-License-Identifier: Apache-2.0
"""The native libraries: loaded once, on import, if they were built from the very sources beside them.

Loading registers ``torch.ops.cardiac4d.conv4d``, ``conv4d_input``, ``conv4d_weight`` and the fused operators; a second
library adds the kernels for CUDA. A missing, stale or foreign library is no error: :data:`PROBLEM` and
:data:`CUDA_PROBLEM` say what is wrong, and the composed backend computes.
"""

from pathlib import Path

import torch

from .fused_derivatives import register_fused
from .head_derivatives import register_head
from .registration import register
from .sources import CUDA_LIBRARY, LIBRARY, cuda_digest, digest, digest_of_library

REMEDY = "run `python -m cardiac4d.ops.build`"


def _staleness(library: Path, wanted_digest: str) -> str:
    """What is wrong with a library of other sources than these; "" if it was built from them."""
    if digest_of_library(library) == wanted_digest:
        return ""
    return f"stale: {library} was not built from the sources beside it; {REMEDY}"


def _open(library: Path) -> str:
    """Load a library, which registers its operators; returns what keeps it from it, or ""."""
    try:
        torch.ops.load_library(str(library))
    except OSError as error:
        return f"not loadable: {error}; {REMEDY}"
    return ""


def _load(library: Path) -> str:
    """Load the library and complete its operators in Python.

    Returns:
        What keeps it from being used; "" if nothing does.
    """
    if not library.is_file():
        return f"not built: {REMEDY}"
    if stale := _staleness(library, digest()):
        return stale
    if hasattr(torch.ops.cardiac4d, "conv4d"):
        # Registering an operator twice would end the process.
        return "taken: another copy of cardiac4d in this process has registered its operators"
    problem = _open(library)
    if not problem:
        register()
        register_fused()
        register_head()
    return problem


def _load_cuda(library: Path) -> str:
    """Load the kernels for CUDA behind the library that defines the operators; a torch without CUDA loads them, too.

    Returns:
        What keeps them from being used; "" if nothing does.
    """
    if PROBLEM:
        return f"not loaded: the native library is {PROBLEM}"
    if not library.is_file():
        return f"not built: where nvcc is, {REMEDY}"
    return _staleness(library, cuda_digest()) or _open(library)


PROBLEM = _load(LIBRARY)
"""Why the library is not in use; "" if it is."""

CUDA_PROBLEM = _load_cuda(CUDA_LIBRARY)
"""Why there are no native kernels for CUDA; "" if there are."""


def instruction_set() -> str:
    """What the CPU kernels were dispatched to: ``avx512``, ``avx2`` or ``portable``; ``none`` without the library."""
    return "none" if PROBLEM else torch.ops.cardiac4d.cpu_isa()
