# SPDX-License-Identifier: Apache-2.0
"""Compile the native libraries: ``python -m cardiac4d.ops.build``.

The kernels for the CPU need no more than torch's headers and a C++17 compiler, and seconds; those for CUDA nvcc, too.
``setup.py`` calls the same functions when the package is installed, hence the standard library alone; nothing is ever
compiled when the package is imported. Nobody asks whether there is a GPU: a wheel is built where none is.

Environment:
    CARDIAC4D_BUILD: ``0`` leaves the libraries out when the package is installed, ``1`` makes a failed build an error.
        Unset: build if torch and a compiler are there, else install pure Python and say so.
    CXX: the compiler, ``g++`` by default.
    CARDIAC4D_CUDA: ``0`` leaves the CUDA library out, ``1`` makes it an error if that cannot be built. Unset: build it
        if nvcc is there; if that fails, say so and keep the kernels for the CPU.
    CARDIAC4D_CUDA_ARCHS: the GPU architectures, by default ``75;80;90+PTX``.
    CUDA_HOME: the CUDA toolkit to take; else ``nvcc`` on the ``PATH``, then ``/usr/local/cuda*``.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .cuda_build import build_cuda, find_wanted_nvcc
from .cuda_registers import REGISTERS_FILE
from .sources import CUDA_LIBRARY, LIBRARY, digest, units
from .toolchain import BuildError, compile_units, find_compiler, host_options, link

COMMAND = "python -m cardiac4d.ops.build"
STABLE_ABI = Path("include", "torch", "csrc", "stable", "c", "shim.h")
"""The header of torch's stable ABI; a torch before 2.10 does not have all of it."""


def build(output_dir: Path = LIBRARY.parent) -> Path:
    """Compile and link the library for the CPU.

    What an earlier build left is removed first, the library for CUDA included, so that a build that fails leaves
    nothing stale.

    Args:
        output_dir: the folder that receives the library.

    Returns:
        The path of the library.

    Raises:
        BuildError: if torch or the compiler is missing, a command fails, or the folder cannot be written.
    """
    library = output_dir / LIBRARY.name
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        _remove(output_dir)
    except OSError as error:
        raise BuildError(str(error)) from error
    if not sys.platform.startswith("linux"):
        raise BuildError(f"the native kernels are built on Linux only, not on {sys.platform}")
    torch_dir, compiler = find_torch(), find_compiler()
    with tempfile.TemporaryDirectory(dir=output_dir, prefix=".build-") as scratch:
        linked = Path(scratch) / library.name
        link(compiler, _compile(Path(scratch), torch_dir, compiler), linked, torch_dir, digest())
        linked.replace(library)  # in one step: a process that has the old file loaded keeps it
    return library


def build_all(output_dir: Path, nvcc: str | None) -> str:
    """Compile and link the library for the CPU, and with nvcc the one for CUDA.

    Returns:
        What was built, in one line for people.

    Raises:
        BuildError: as :func:`build`; if nvcc fails only where ``CARDIAC4D_CUDA`` is ``1``.
    """
    library = build(output_dir)
    if nvcc is None:
        return f"built {library}"
    try:
        return f"built {library} and {build_cuda(output_dir, find_torch(), find_compiler(), nvcc)}"
    except BuildError as error:
        if os.environ.get("CARDIAC4D_CUDA") == "1":
            raise
        reason = str(error).splitlines()[0]
        return f"built {library}, but no kernels for CUDA ({reason}; CARDIAC4D_CUDA=1 shows more)"


def build_if_possible(output_dir: Path = LIBRARY.parent) -> str:
    """Build as ``CARDIAC4D_BUILD`` says, for an installation that must not fail for want of a compiler.

    Returns:
        One line that says what became of it.

    Raises:
        BuildError: if the build fails and ``CARDIAC4D_BUILD`` or ``CARDIAC4D_CUDA`` is ``1``, or if one of them is
            neither ``0`` nor ``1``.
    """
    wish = os.environ.get("CARDIAC4D_BUILD", "")
    if wish not in {"", "0", "1"}:
        raise BuildError(f"CARDIAC4D_BUILD (={wish!r}) must be 0 or 1")
    if wish == "0":
        _remove(output_dir)
        return f"cardiac4d: native kernels not built (CARDIAC4D_BUILD=0). Build them later: {COMMAND}"
    nvcc = find_wanted_nvcc()
    try:
        return f"cardiac4d: {build_all(output_dir, nvcc)}"
    except BuildError as error:
        if "1" in (wish, os.environ.get("CARDIAC4D_CUDA")):
            raise
        reason = str(error).splitlines()[0]
        return f"cardiac4d: native kernels not built ({reason}); pure PyTorch runs instead. Build them later: {COMMAND}"


def _remove(output_dir: Path) -> None:
    """Remove what an earlier build left."""
    for file in (LIBRARY, CUDA_LIBRARY, REGISTERS_FILE):
        (output_dir / file.name).unlink(missing_ok=True)


def find_torch() -> Path:
    """Find the folder of the torch package without importing it.

    pip builds in an environment of its own, which hides the packages of the target, but runs the target's interpreter;
    so its paths still lead there.

    Raises:
        BuildError: if there is no torch, or one before 2.10.
    """
    spec = importlib.util.find_spec("torch")
    folders = [Path(spec.origin).parent] if spec is not None and spec.origin else []
    folders += [Path(sysconfig.get_path(name)) / "torch" for name in ("platlib", "purelib")]
    if "VIRTUAL_ENV" in os.environ:
        base = {"base": os.environ["VIRTUAL_ENV"], "platbase": os.environ["VIRTUAL_ENV"]}
        folders.append(Path(sysconfig.get_path("platlib", vars=base)) / "torch")
    for folder in folders:
        # Ask for the feature and not for the version.
        if (folder / STABLE_ABI).is_file() and "torch_parallel_for" in (folder / STABLE_ABI).read_text():
            return folder
    raise BuildError("torch 2.10 or newer was not found beside this Python")


def _compile(scratch: Path, torch_dir: Path, compiler: str) -> list[Path]:
    """Compile every translation unit; returns the object files."""
    common = host_options(torch_dir, digest())
    return list(compile_units({unit: [compiler, *flags, *common] for unit, flags in units().items()}, scratch))


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and say where the library is; returns the exit code."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Compile the native kernels of cardiac4d.")
    parser.add_argument("--output_dir", type=Path, default=LIBRARY.parent, help="default: beside the package's code")
    parser.add_argument("--optional", action="store_true", help="succeed without a compiler; heeds CARDIAC4D_BUILD")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    try:
        if options.optional:
            print(build_if_possible(options.output_dir))
        else:
            print(f"{build_all(options.output_dir, find_wanted_nvcc())} in {time.monotonic() - start:.0f} s")
    except BuildError as error:
        print(f"cardiac4d: native kernels not built: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
