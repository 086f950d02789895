# SPDX-License-Identifier: Apache-2.0
"""Compile the CUDA library with nvcc, behind the CPU library; see ``build.py``, which has the environment variables.

Needs nvcc and no GPU, nor a torch with CUDA: a machine without a GPU builds the same library.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .sources import CSRC, CUDA_LIBRARY, cuda_digest, cuda_units, digest_of_library
from .toolchain import BuildError, find_cuda_runtime, find_nvcc, run

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
    """Compile and link the CUDA library.

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
    device = [nvcc, "-ccbin", compiler, *architecture_flags(architectures)]
    host = [compiler, f'-DC4D_SOURCES="{cuda_digest()}"', f'-DC4D_ARCHITECTURES="{architectures}"']
    host += [
        "-isystem",
        str(torch_dir / "include"),
        f"-ffile-prefix-map={CSRC}/=",
        f"-ffile-prefix-map={torch_dir}/=torch/",
    ]

    def compile_unit(unit: tuple[Path, tuple[str, ...]]) -> Path:
        source, flags = unit
        target = scratch / f"{source.stem}.o"
        run([*(device if source.suffix == ".cu" else host), *flags, "-c", str(source), "-o", str(target)])
        return target

    with (
        tempfile.TemporaryDirectory(dir=output_dir, prefix=".build-") as name,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        scratch = Path(name)
        objects = list(pool.map(compile_unit, cuda_units().items()))
        linked = _link(objects, scratch / library.name, torch_dir, compiler, find_cuda_runtime(nvcc))
        linked.replace(library)
    return library


def _link(objects: Sequence[Path], library: Path, torch_dir: Path, compiler: str, runtime: Path) -> Path:
    """Link with CUDA's runtime, which is kept inside, and with torch's libraries by name alone.

    A torch without CUDA loads the result as well: ``libtorch.so`` is but an umbrella, which brings along the libraries
    of CUDA where they are.
    """
    torch_libraries = ["-Wl,--no-as-needed", f"-L{torch_dir / 'lib'}", "-ltorch", "-ltorch_cpu"]
    libraries = [str(runtime), *torch_libraries, "-Wl,--as-needed", "-lpthread", "-ldl", "-lrt"]
    strict = ["-Wl,-z,defs", "-Wl,--exclude-libs,ALL"]
    run([compiler, "-shared", "-o", str(library), *map(str, objects), *strict, *libraries])
    if digest_of_library(library) != cuda_digest():
        raise BuildError("the sources changed while they were being compiled")
    return library
