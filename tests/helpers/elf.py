# SPDX-License-Identifier: Apache-2.0
"""What a native library asks of others, as ``nm`` lists it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

KNOWN = re.compile(
    r"(?:aoti_torch|torch)_\w+|\w+@(?:GLIBC|GLIBCXX|CXXABI|GCC)_[\d.]+|__gmon_start__|_ITM_(?:de)?registerTMCloneTable"
)
"""What a library may leave to others: torch's stable C interface, the C and C++ libraries, the start-up of a process.
Not torch's C++ interface, which changes from version to version, nor Python's."""


def undefined_symbols(library: Path) -> dict[str, str]:
    """Names that others must define, and their kind: ``U``, or ``w`` for those that may be missing."""
    command = ["nm", "-D", "--undefined-only", str(library)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: kind for kind, name in (line.split() for line in lines)}
