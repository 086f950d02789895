# SPDX-License-Identifier: Apache-2.0
"""The compilers that build the native libraries: where they are, and how both libraries are compiled and linked.

Needs the standard library alone, since ``setup.py`` uses it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .sources import CSRC, digest_of_library


class BuildError(RuntimeError):
    """A library cannot be built here; the message says why."""


def find_compiler() -> str:
    """Find the C++ compiler.

    Raises:
        BuildError: if there is none.
    """
    name = os.environ.get("CXX") or "g++"
    compiler = shutil.which(name)
    if compiler is None:
        raise BuildError(f"the C++ compiler {name} was not found; CXX names another")
    return compiler


def find_nvcc() -> str | None:
    """Find CUDA's compiler: in ``CUDA_HOME``, on the ``PATH``, in ``/usr/local/cuda*``; ``None`` if there is none."""
    homes = [Path(os.environ["CUDA_HOME"])] if os.environ.get("CUDA_HOME") else []
    usual = sorted(Path("/usr/local").glob("cuda*"), reverse=True)
    found = [shutil.which("nvcc", path=str(home / "bin")) for home in homes]
    found += [shutil.which("nvcc"), *(shutil.which("nvcc", path=str(home / "bin")) for home in usual)]
    return next((nvcc for nvcc in found if nvcc), None)


def find_cuda_runtime(nvcc: str) -> Path:
    """Find the static CUDA runtime that belongs to a compiler.

    Asks the compiler where its toolkit is: what stands on the ``PATH`` may be a wrapper that lies elsewhere.

    Raises:
        BuildError: if the compiler does not tell, or its toolkit has no such library.
    """
    top = re.search(r"^#\$ TOP=(.+)$", run([nvcc, "--dryrun", "-x", "cu", "-c", os.devnull]), re.MULTILINE)
    if top is None:
        raise BuildError(f"{nvcc} does not tell where its toolkit is")
    toolkit = Path(top[1].strip()).resolve()
    for folder in (toolkit / "lib64", toolkit / "lib", *sorted(toolkit.glob("targets/*/lib"))):
        if (folder / "libcudart_static.a").is_file():
            return folder / "libcudart_static.a"
    raise BuildError(f"the CUDA toolkit {toolkit} has no libcudart_static.a")


def host_options(torch_dir: Path, digest: str) -> list[str]:
    """What every C++ file is compiled with: torch's headers, the digest of the sources, names of files.

    Error messages name the source file: as it is called here, and not where it lay on the building machine.
    """
    names = [f"-ffile-prefix-map={CSRC}/=", f"-ffile-prefix-map={torch_dir}/=torch/"]
    return [f'-DC4D_SOURCES="{digest}"', "-isystem", str(torch_dir / "include"), *names]


def compile_units(commands: Mapping[Path, Sequence[str]], scratch: Path) -> dict[Path, str]:
    """Compile translation units, as many at a time as there are cores.

    Args:
        commands: for every source file the compiler and its options.
        scratch: the folder that receives the object files.

    Returns:
        The object files, and what the compiler said of each.

    Raises:
        BuildError: if a compiler fails.
    """

    def compile_unit(source: Path) -> tuple[Path, str]:
        target = scratch / f"{source.stem}.o"
        return target, run([*commands[source], "-c", str(source), "-o", str(target)])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(pool.map(compile_unit, commands))


def link(compiler: str, objects: Iterable[Path], library: Path, torch_dir: Path, digest: str, *more: str) -> None:
    """Link objects with torch's libraries by name alone: whichever torch is running resolves them.

    ``libtorch.so`` is but an umbrella: nothing in it is used, yet it brings the others along, those for CUDA where they
    are, hence ``--no-as-needed``.

    Args:
        compiler: the C++ compiler.
        objects: the object files.
        library: the file to write.
        torch_dir: the folder of the torch package.
        digest: of the sources, as it must have been compiled in.
        more: further libraries, before torch's.

    Raises:
        BuildError: if the linker fails, or the sources have changed since.
    """
    torch_libraries = ["-Wl,--no-as-needed", f"-L{torch_dir / 'lib'}", "-ltorch", "-ltorch_cpu", "-Wl,--as-needed"]
    strict = ["-Wl,-z,defs", "-Wl,--exclude-libs,ALL"]
    system = ["-lpthread", "-ldl", "-lrt"]
    files = [*map(str, objects), *more]
    run([compiler, "-shared", "-o", str(library), *files, *strict, *torch_libraries, *system])
    if digest_of_library(library) != digest:
        raise BuildError("the sources changed while they were being compiled")


def run(command: list[str]) -> str:
    """Run a command; returns all that it printed.

    Raises:
        BuildError: if it fails; the message holds the command and what it printed to stderr.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"{command[0]} failed with exit code {done.returncode}\n{' '.join(command)}\n{done.stderr}")
    return done.stdout + done.stderr
