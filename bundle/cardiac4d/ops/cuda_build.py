# SPDX-License-Identifier: Apache-2.0
"""Compile the CUDA library with nvcc, behind the CPU library; see ``build.py``, which has the environment variables.

Needs nvcc and no GPU, nor a torch with CUDA: a machine without a GPU builds the same library.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from .cuda_registers import PTXAS_VERBOSE, write_registers
from .sources import CUDA_LIBRARY, cuda_digest, cuda_units
from .toolchain import BuildError, compile_units, find_cuda_runtime, find_nvcc, host_options, link

ARCHITECTURES = "75;80;90+PTX"
"""Turing, Ampere and Hopper; what comes later compiles the PTX at its first use."""


def find_wanted_nvcc() -> str | None:
    """Find nvcc unless ``CARDIAC4D_CUDA`` forbids it; ``None`` if there is to be no CUDA library.

    Raises:
        BuildError: if ``CARDIAC4D_CUDA`` demands a library and there is no nvcc, or has no admissible value.
    """
    wish = os.environ.get("CARDIAC4D_CUDA", "")
    if wish not in {"", "0", "1"}:
        raise BuildError(f"CARDIAC4D_CUDA (={wish!r}) must be 0 or 1")
    nvcc = None if wish == "0" else find_nvcc()
    if nvcc is None and wish == "1":
        raise BuildError("CARDIAC4D_CUDA=1, but nvcc was not found; CUDA_HOME names the folder of the CUDA toolkit")
    return nvcc


def architecture_flags(architectures: str) -> list[str]:
    """Spell out a list such as ``"75;80;90+PTX"`` for nvcc.

    Raises:
        BuildError: if an entry is not a number, with ``a`` or ``f`` and ``+PTX`` behind it or without.
    """
    flags = []
    for entry in architectures.split(";"):
        parts = re.fullmatch(r"(\d{2,3}[af]?)(\+PTX)?", entry.strip())
        if parts is None:
            raise BuildError(f"CARDIAC4D_CUDA_ARCHS (={architectures!r}) must be a list such as {ARCHITECTURES}")
        number = parts[1]
        flags.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        if parts[2]:
            flags.append(f"-gencode=arch=compute_{number},code=compute_{number}")
    return flags


def build_cuda(output_dir: Path, torch_dir: Path, compiler: str, nvcc: str) -> Path:
    """Compile and link the CUDA library, and keep beside it what nvcc said of its kernels, see ``cuda_registers.py``.

    Args:
        output_dir: the folder that receives it; there must be none of an earlier build.
        torch_dir: the folder of the torch package.
        compiler: the C++ compiler, for nvcc as well.
        nvcc: CUDA's compiler.

    Returns:
        The path of the library.

    Raises:
        BuildError: if a command fails, or the list of architectures is not one.
    """
    library = output_dir / CUDA_LIBRARY.name
    architectures = os.environ.get("CARDIAC4D_CUDA_ARCHS") or ARCHITECTURES
    device = [nvcc, "-ccbin", compiler, PTXAS_VERBOSE, *architecture_flags(architectures)]
    host = [compiler, f'-DC4D_ARCHITECTURES="{architectures}"', *host_options(torch_dir, cuda_digest())]
    commands = {unit: [*(device if unit.suffix == ".cu" else host), *flags] for unit, flags in cuda_units().items()}
    with tempfile.TemporaryDirectory(dir=output_dir, prefix=".build-") as scratch:
        linked = Path(scratch) / library.name
        runtime = str(find_cuda_runtime(nvcc))  # kept inside
        objects = compile_units(commands, Path(scratch))
        link(compiler, objects, linked, torch_dir, cuda_digest(), runtime)
        write_registers(output_dir, objects.values())
        linked.replace(library)
    return library
