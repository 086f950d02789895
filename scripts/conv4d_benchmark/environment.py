# SPDX-License-Identifier: Apache-2.0
"""The environment in which is measured: allocator settings, and a limit to the instruction set.

glibc gives large blocks back to the system at once and gets them anew, page by page; in a virtual machine that takes as
long as the convolutions. The settings below keep memory and use large pages. They must stand before a process starts,
and they serve every method: torch gains more from them than the native kernels.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

TUNED = {
    "THP_MEM_ALLOC_ENABLE": "1",
    "GLIBC_TUNABLES": ":".join(
        (
            "glibc.malloc.hugetlb=1",
            "glibc.malloc.mmap_threshold=17179869184",
            "glibc.malloc.trim_threshold=34359738368",
            "glibc.malloc.top_pad=67108864",
        )
    ),
}

LIMITED = {
    "avx2": {"CARDIAC4D_CPU_ISA": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}
"""What limits the native kernels, torch and oneDNN to an instruction set."""


def tuned(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the allocator settings."""
    return {**environment, **TUNED}


def untuned(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without them, for measurements of memory: a heap that keeps all is larger than needed."""
    return {name: value for name, value in environment.items() if name not in TUNED}


def is_tuned(environment: Mapping[str, str]) -> bool:
    """Tell whether the settings are in force."""
    return all(environment.get(name) == value for name, value in TUNED.items())


def restart_tuned() -> None:
    """Replace this process by one with the allocator settings; returns only if they are in force already."""
    if not is_tuned(os.environ):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], tuned(os.environ))


def for_child(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which a child finds the modules that this process finds."""
    return {**environment, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
