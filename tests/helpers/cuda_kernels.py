# SPDX-License-Identifier: Apache-2.0
"""Drives the CUDA kernels without a GPU: their very sources, compiled by g++ against ``cuda_emulation``.

Called through their C interface, without the torch binding; see ``test_cuda_kernels.py``.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cardiac4d.ops.layout import from_frames, to_frames
from cardiac4d.ops.sources import TORCH_FLAGS
from tests.helpers.cpu_kernels import OPERATIONS, Shape

EMULATION = Path(__file__).resolve().parent / "cuda_emulation"
CSRC = Path(__file__).resolve().parents[2] / "bundle/cardiac4d/ops/csrc"
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")
GUARD = 4096
"""Elements before and behind every tensor: more than a row, so that a planted bug harms nothing but its test."""
LIE_AS_FRAMES = {"forward": (True, False, False), "grad_input": (True, False), "grad_weight": (True, True)}
"""Which operands lie as frames: not weight and bias."""
OPERATORS = (
    "conv4d",
    "conv4d_input",
    "conv4d_weight",
    "conv4d_sums",
    "residual_block",
    "residual_block_",
    "residual_block_backward",
    "upsample_conv_add",
    "upsample_add",
    "upsample_backward",
    "pointwise_softmax",
    "softmax_sums",
    "softmax_sums_backward",
)
"""The torch operators that have CUDA kernels."""
MAX_BLOCKS = 7
"""So few blocks per launch, that each has several jobs: no test could reach the limit of a GPU."""


class EmulatedKernels:
    """The emulated kernels; tensors go in and come out as ``(N, C, H, W, D, T)`` of any strides."""

    def __init__(self, library: Path) -> None:
        self._library: Any = ctypes.CDLL(str(library))
        self._library.c4d_cuda_error.restype = ctypes.c_char_p
        self._library.c4d_cuda_algorithm.restype = ctypes.c_char_p
        self._library.c4d_cuda_workspace.restype = ctypes.c_int64

    def error(self, status: int) -> str:
        return self._library.c4d_cuda_error(status).decode()

    def status(self, operation: str, problem: Any, *pointers: int | None) -> int:
        """Call one of the three operations on the null stream; the status it returns."""
        function = getattr(self._library, f"c4d_cuda_{operation}")
        return function(ctypes.byref(problem), *(ctypes.c_void_p(p) for p in pointers), None)

    def algorithm(
        self, operation: str, shape: Shape, dtype: torch.dtype, architecture: int = 90, precision: str = "fast"
    ) -> str:
        """What computes an operation on a GPU, whose driver has loaded code for this architecture."""
        problem = shape.to_c(dtype, precision)
        self._library.c4d_emulation_architecture(architecture)
        name = self._library.c4d_cuda_algorithm(ctypes.byref(problem), OPERATIONS[operation]).decode()
        self._library.c4d_emulation_architecture(90)
        return name

    def workspace(self, operation: str, shape: Shape, dtype: torch.dtype, precision: str = "fast") -> int:
        """Bytes of working memory that an operation needs."""
        return self._library.c4d_cuda_workspace(ctypes.byref(shape.to_c(dtype, precision)), OPERATIONS[operation])

    def run(
        self,
        operation: str,
        shape: Shape,
        *tensors: Tensor | None,
        reverse: bool = False,
        eager: bool = False,
        architecture: int = 90,
        precision: str = "fast",
    ) -> Tensor:
        """Compute ``forward(x, w, bias)``, ``grad_input(dy, w)`` or ``grad_weight(x, dy)``.

        Operands lie between NaN, which no result may depend on; the result lies between numbers that must stay.
        ``reverse`` runs blocks and threads in the opposite order; ``eager`` makes asynchronous copies at once, and
        not as late as they may be; ``architecture`` is that of the GPU.
        """
        dtype = tensors[0].dtype
        is_weight = operation == "grad_weight"
        size = {"forward": shape.y_shape, "grad_input": shape.x_shape, "grad_weight": shape.w_shape}[operation]
        if not is_weight:
            size = size[0], size[5], *size[2:5], size[1]
        problem = shape.to_c(dtype, precision)
        result = guarded(torch.full(size, torch.nan, dtype=dtype), 77.0)
        laid = [to_frames(t) if frames else t for t, frames in zip(tensors, LIE_AS_FRAMES[operation], strict=True)]
        operands = [None if t is None else guarded(t, torch.nan) for t in laid]
        pointers = [None if t is None else t[GUARD:].data_ptr() for t in [*operands, result]]
        count = self.workspace(operation, shape, dtype, precision) // 8 + 1
        workspace = guarded(torch.full([count], torch.nan, dtype=torch.float64), 77.0)
        pointers.append(workspace[GUARD:].data_ptr())
        self._library.c4d_emulation_reverse(int(reverse))
        self._library.c4d_emulation_eager(int(eager))
        self._library.c4d_emulation_architecture(architecture)
        status = self.status(operation, problem, *pointers)
        self._library.c4d_emulation_architecture(90)
        assert status == 0, self.error(status)
        for written in (result, workspace):
            assert (written[:GUARD] == 77).all(), "written before the memory"
            assert (written[-GUARD:] == 77).all(), "written behind the memory"
        values = result[GUARD:-GUARD].view(size)
        return values if is_weight else from_frames(values)


@contextmanager
def emulation_of(
    library: Path, *, reverse: bool = False, eager: bool = False, architecture: int = 90
) -> Iterator[None]:
    """How a library with emulated kernels runs, see :meth:`EmulatedKernels.run`."""
    functions = ctypes.CDLL(str(library))
    functions.c4d_emulation_reverse(int(reverse))
    functions.c4d_emulation_eager(int(eager))
    functions.c4d_emulation_architecture(architecture)
    try:
        yield
    finally:
        functions.c4d_emulation_reverse(0)
        functions.c4d_emulation_eager(0)
        functions.c4d_emulation_architecture(90)


def build(folder: Path, csrc: Path = CSRC) -> Path:
    """Compile the kernels below a ``csrc`` folder for the emulation; units whose objects lie there are left as is."""
    units = [*sorted((csrc / "cuda").glob("*.cu")), EMULATION / "emulation.cpp"]
    includes = [f"-DC4D_MAX_BLOCKS={MAX_BLOCKS}", f"-I{EMULATION}", f"-I{csrc}"]

    def compile_unit(unit: Path) -> str:
        target = folder / f"{unit.name}.o"
        if not target.exists():
            subprocess.run(["g++", "-x", "c++", *FLAGS, *includes, "-c", str(unit), "-o", str(target)], check=True)
        return str(target)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_unit, units))
    library = folder / "conv4d_cuda.so"
    subprocess.run(["g++", "-shared", *objects, "-Wl,-z,defs", "-o", str(library)], check=True)
    return library


def build_with_bug(folder: Path, kernels: Path, file: str, right: str, wrong: str) -> Path:
    """Plant a bug: in one file, the one place that reads ``right`` reads ``wrong``.

    Units that cannot have changed are taken from the library that :func:`build` made of the right sources.
    """
    shutil.copytree(CSRC, folder / "csrc")
    source = folder / "csrc" / "cuda" / file
    text = source.read_text()
    assert text.count(right) == 1
    source.write_text(text.replace(right, wrong))
    for unit in kernels.parent.glob("*.c*.o"):
        if file not in _included(source.with_name(unit.stem)):
            shutil.copy(unit, folder)
    return build(folder, folder / "csrc")


def _included(source: Path) -> set[str]:
    """The files of a folder that a source is compiled from, by name; none if there is no such source."""
    if not source.exists():
        return set()
    names = {source.name}
    for name in re.findall(r'#include "(\w+\.h)"', source.read_text()):
        names |= _included(source.with_name(name))
    return names


def build_binding(kernels: Path) -> Path:
    """Compile the torch binding, and link it with the emulated kernels that :func:`build` made."""
    (torch_dir,) = torch.__path__
    folder, library = kernels.parent, kernels.with_name("binding.so")
    includes = [f"-I{CSRC}", "-isystem", f"{torch_dir}/include"]
    for unit in ("binding", "binding_fused"):
        command = ["g++", *FLAGS, "-fvisibility=hidden", *TORCH_FLAGS, *includes, "-c", str(EMULATION / f"{unit}.cpp")]
        subprocess.run([*command, "-o", f"{folder}/{unit}.o"], check=True)
    torch_libraries = ["-Wl,--no-as-needed", f"-L{torch_dir}/lib", "-ltorch", "-ltorch_cpu", "-Wl,-z,defs"]
    # Symbolic: what the emulation answers in torch's place is called here and nowhere else.
    command = ["g++", "-shared", "-Wl,-Bsymbolic", *map(str, folder.glob("*.o")), *torch_libraries, "-o", str(library)]
    subprocess.run(command, check=True)
    return library


def assert_rounded_once(actual: Tensor, right: Tensor) -> None:
    """Summed in float32: half a unit in the last place, and a little for the sums."""
    error = (actual.double() - right).abs().max()
    assert error <= 0.6 * torch.finfo(actual.dtype).eps * right.abs().max()


def rounded_to_tf32(x: Tensor) -> Tensor:
    """To the nearest number with 13 bits fewer, ties away from zero."""
    return ((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def guarded(x: Tensor, guard: float) -> Tensor:
    """The numbers of a tensor between guards."""
    margin = torch.full([GUARD], guard, dtype=x.dtype)
    return torch.cat([margin, x.flatten(), margin])


def draw(operation: str, shape: Shape, dtype: torch.dtype) -> list[Tensor | None]:
    """The operands of an operation, a bias included."""
    generator = torch.Generator().manual_seed(sum(shape.size))

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, dtype=torch.float64, generator=generator).to(dtype)

    x, w, dy, bias = (normal(*size) for size in (shape.x_shape, shape.w_shape, shape.y_shape, shape.channels[1:]))
    return {"forward": [x, w, bias], "grad_input": [dy, w], "grad_weight": [x, dy]}[operation]
