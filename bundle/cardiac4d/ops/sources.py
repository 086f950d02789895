# SPDX-License-Identifier: Apache-2.0
"""What the native libraries are made of: their source files, how each is compiled, and a digest of both.

The digest is compiled into a library. One that was built from anything else than the sources beside it is stale: it
is neither loaded nor shipped. Needs the standard library alone, since ``setup.py`` uses it where torch may be missing.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
CSRC = HERE / "csrc"
LIBRARY = HERE / "_native.so"
"""Where the library lies once it is built: beside the Python code that loads it."""
CUDA_LIBRARY = HERE / "_native_cuda.so"
"""The kernels for CUDA, a library of their own: the first one is built without nvcc."""

MARK = b"cardiac4d-sources:"
"""What stands before the digest in a library, see ``binding.cpp``."""
ARCHITECTURES_MARK = b"cardiac4d-architectures:"
"""What stands before the list of architectures in the CUDA library, see ``binding_cuda.cpp``."""

CXX_FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden")
TORCH_FLAGS = ("-DTORCH_TARGET_VERSION=0x020a000000000000", "-DTORCH_STABLE_ONLY")
"""The stable ABI of torch 2.10; a torch header that does not belong to it becomes an error."""
NVCC_FLAGS = ("-std=c++17", "-O3", "-Xcompiler=-fPIC,-fvisibility=hidden")
INSTRUCTION_SETS = {
    "avx512": ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma"),
    "avx2": ("-mavx2", "-mfma"),
}
"""Flags of the files named ``*_avx512.cpp`` and ``*_avx2.cpp``. All others keep to what every machine of the
architecture has: which file runs is decided at run time."""


def units() -> dict[Path, tuple[str, ...]]:
    """The translation units that this machine's architecture compiles, each with its flags."""
    found: dict[Path, tuple[str, ...]] = dict.fromkeys(sorted(CSRC.glob("*.cpp")), CXX_FLAGS + TORCH_FLAGS)
    for path in sorted((CSRC / "cpu").glob("*.cpp")):
        instruction_set = path.stem.rpartition("_")[2]
        if instruction_set not in INSTRUCTION_SETS:
            found[path] = CXX_FLAGS
        elif platform.machine() in {"x86_64", "AMD64"}:
            found[path] = CXX_FLAGS + INSTRUCTION_SETS[instruction_set]
    return found


def cuda_units() -> dict[Path, tuple[str, ...]]:
    """The translation units of the CUDA library, each with its flags; nvcc compiles ``*.cu``."""
    kernels = dict.fromkeys(sorted((CSRC / "cuda").glob("*.cu")), NVCC_FLAGS)
    return {**kernels, **dict.fromkeys(sorted((CSRC / "cuda").glob("*.cpp")), CXX_FLAGS + TORCH_FLAGS)}


def digest() -> str:
    """Sum up every file of the CPU library and the flags of its units, in 32 hexadecimal digits."""
    return _digest([*CSRC.glob("*"), *(CSRC / "cpu").glob("*")], units())


def cuda_digest() -> str:
    """Sum up every file of the CUDA library and the flags of its units, in 32 hexadecimal digits."""
    return _digest([*CSRC.glob("*.h"), *(CSRC / "cuda").glob("*")], cuda_units())


def _digest(files: Iterable[Path], flags_of_units: dict[Path, tuple[str, ...]]) -> str:
    total = hashlib.sha256()
    for path in sorted(path for path in files if path.suffix in {".cpp", ".cu", ".h"}):
        total.update(f"{path.relative_to(CSRC).as_posix()} {path.stat().st_size}\n".encode())
        total.update(path.read_bytes())
    for path, flags in flags_of_units.items():
        total.update(f"{path.name} {' '.join(flags)}\n".encode())
    return total.hexdigest()[:32]


def digest_of_library(library: Path) -> str:
    """Read from a library, without loading it, the digest of the sources that it was built from; "" if it has none."""
    _, mark, rest = library.read_bytes().partition(MARK)
    return rest[:32].decode("ascii", "replace") if mark else ""


def architectures_of_library(library: Path) -> str:
    """Read from a CUDA library, without loading it, what architectures it was built for; "" if it does not tell."""
    _, mark, rest = library.read_bytes().partition(ARCHITECTURES_MARK)
    return rest.partition(b"\0")[0].decode("ascii", "replace") if mark else ""
