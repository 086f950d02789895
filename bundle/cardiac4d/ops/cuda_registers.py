# SPDX-License-Identifier: Apache-2.0
"""What the assembler made of the CUDA kernels: the registers of each, and whether any had to be spilled.

The build keeps its words in a file beside the library, for tests and for whoever tunes a kernel: a spilled register is
memory traffic in the innermost loop that no source line shows. Needs the standard library alone, as the build does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from .sources import CUDA_LIBRARY, cuda_digest

PTXAS_VERBOSE = "-Xptxas=-v"
"""Makes nvcc say what this module reads."""
REGISTERS_FILE = CUDA_LIBRARY.with_name("_native_cuda_registers.json")

_KERNEL = re.compile(
    r"Compiling entry function '(?P<kernel>\w+)' for '(?P<architecture>\w+)'"
    r"(?:(?!Compiling entry).)*?(?P<spilled>\d+) bytes spill stores, (?P<reloaded>\d+) bytes spill loads"
    r"(?:(?!Compiling entry).)*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)


class Kernel(TypedDict):
    """One kernel on one architecture."""

    kernel: str
    """Its name as the linker has it; ``c++filt`` reads it."""
    architecture: str
    """Such as ``sm_90``."""
    registers: int
    """Of a thread."""
    spilled_bytes: int
    """Spill stores plus spill loads of a thread, for want of registers."""


def read_words(said: str) -> list[Kernel]:
    """Read what nvcc said of the kernels of a file; what is told in other words is left out."""
    return [
        Kernel(
            kernel=match["kernel"],
            architecture=match["architecture"],
            registers=int(match["registers"]),
            spilled_bytes=int(match["spilled"]) + int(match["reloaded"]),
        )
        for match in _KERNEL.finditer(said)
    ]


def write_registers(folder: Path, said: Iterable[str]) -> None:
    """Keep in a folder, beside the library, what nvcc said of each file.

    An nvcc that says it in other words does not fail the build: whoever asks later is told.
    """
    words = "\n".join(said)
    content = {"sources": cuda_digest(), "named": words.count("Compiling entry"), "kernels": read_words(words)}
    (folder / REGISTERS_FILE.name).write_text(json.dumps(content, indent=1))


def registers_of_library(library: Path = CUDA_LIBRARY) -> list[Kernel]:
    """Read what was kept beside a library.

    Raises:
        FileNotFoundError: if nothing was.
        ValueError: if it is of other sources than those beside this module, or nvcc named a kernel without telling its
            registers in the words that are known.
    """
    file = library.with_name(REGISTERS_FILE.name)
    if not file.is_file():
        raise FileNotFoundError(f"there is no {file}; build the library with nvcc: python -m cardiac4d.ops.build")
    content = json.loads(file.read_text())
    if content["sources"] != cuda_digest():
        raise ValueError(f"{file} is of other sources; build the library again: python -m cardiac4d.ops.build")
    kernels: list[Kernel] = content["kernels"]
    if len(kernels) != content["named"]:
        raise ValueError(
            f"{file} has the registers of {len(kernels)} of {content['named']} kernels: this nvcc words the rest "
            f"differently; adapt the pattern `_KERNEL` in {Path(__file__).name}, and build the library again"
        )
    return kernels
