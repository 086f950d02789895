# SPDX-License-Identifier: Apache-2.0
"""The compilers that build the native libraries: where they are, and how they are run. The standard library alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path


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


def run(command: list[str]) -> str:
    """Run a command; returns all that it printed.

    Raises:
        BuildError: if it fails; the message holds the command and what it printed to stderr.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"{command[0]} failed with exit code {done.returncode}\n{' '.join(command)}\n{done.stderr}")
    return done.stdout + done.stderr
