# SPDX-License-Identifier: Apache-2.0
"""Drives the C++ CPU kernels through their C interface, without the torch binding; see ``test_cpu_kernels.py``."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

SOURCES = Path(__file__).resolve().parents[2] / "bundle/cardiac4d/ops/csrc/cpu"
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
PRECISIONS = {"fast": 0, "exact": 1, "direct": 2}
CODES = {**PRECISIONS, "tf32": 3}
"""TF32 is for GPUs."""
OPERATIONS = {"forward": 0, "grad_input": 1, "grad_weight": 2}
ISA_FLAGS = {
    "_avx512": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma"],
    "_avx2": ["-mavx2", "-mfma"],
}
GUARD = 64
"""Elements before and behind every result that no kernel may touch."""

_Job = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
_ParallelFor = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
_Axes = ctypes.c_int64 * 4


class _CProblem(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "in_channels", "out_channels", "groups")),
        *((name, _Axes) for name in ("in_", "out", "kernel", "stride", "padding", "dilation")),
        ("dtype", ctypes.c_int32),
        ("precision", ctypes.c_int32),
    ]


def _four(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value,) * 4 if isinstance(value, int) else tuple(value)


@dataclass(frozen=True)
class Shape:
    """A problem without its numbers."""

    size: tuple[int, ...]
    channels: tuple[int, int]
    batch: int = 1
    kernel: int | tuple[int, ...] = 3
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] = 0
    dilation: int | tuple[int, ...] = 1
    groups: int = 1

    @property
    def out(self) -> tuple[int, ...]:
        rows = zip(self.size, *map(_four, (self.padding, self.dilation, self.kernel, self.stride)), strict=True)
        return tuple((i + 2 * p - d * (k - 1) - 1) // s + 1 for i, p, d, k, s in rows)

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.batch, self.channels[0], *self.size)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return (self.batch, self.channels[1], *self.out)

    @property
    def w_shape(self) -> tuple[int, ...]:
        return (self.channels[1], self.channels[0] // self.groups, *_four(self.kernel))

    def to_c(self, dtype: torch.dtype, precision: str) -> _CProblem:
        axes = (_Axes(*_four(v)) for v in (self.size, self.out, self.kernel, self.stride, self.padding, self.dilation))
        numbers = (self.batch, *self.channels, self.groups)
        return _CProblem(*numbers, *axes, DTYPES.index(dtype), CODES[precision])


def threads(count: int) -> Callable[[int, Callable[[int], None]], None]:
    """A parallel_for on ``count`` threads: each takes every count-th job, the last jobs first."""

    def run(num_jobs: int, job: Callable[[int], None]) -> None:
        if count == 1:
            for index in range(num_jobs):
                job(index)
            return

        def share(first: int) -> None:
            for index in reversed(range(first, num_jobs, count)):
                job(index)

        with ThreadPoolExecutor(count) as pool:
            list(pool.map(share, range(count)))

    return run


class Kernels:
    """The compiled kernels at one instruction set."""

    def __init__(self, library: Path, isa: str) -> None:
        self._library: Any = ctypes.CDLL(str(library))
        for name in ("c4d_cpu_error", "c4d_cpu_isa", "c4d_cpu_algorithm"):
            getattr(self._library, name).restype = ctypes.c_char_p
        before = os.environ.get("CARDIAC4D_CPU_ISA")
        os.environ["CARDIAC4D_CPU_ISA"] = isa
        self.isa = self._library.c4d_cpu_isa().decode()  # dispatch happens once, now
        if before is None:
            del os.environ["CARDIAC4D_CPU_ISA"]
        else:
            os.environ["CARDIAC4D_CPU_ISA"] = before

    def algorithm(self, shape: Shape, operation: str, dtype: torch.dtype, precision: str = "fast") -> str:
        problem = shape.to_c(dtype, precision)
        return self._library.c4d_cpu_algorithm(ctypes.byref(problem), OPERATIONS[operation]).decode()

    def error(self, status: int) -> str:
        return self._library.c4d_cpu_error(status).decode()

    def status(self, operation: str, problem: _CProblem, *pointers: int | None, num_threads: int = 1) -> int:
        """Call one of the three operations; the status it returns."""
        run = threads(num_threads)
        call = _ParallelFor(lambda count, job, context: run(count, lambda i: _Job(job)(context, i)))
        function = getattr(self._library, f"c4d_cpu_{operation}")
        return function(ctypes.byref(problem), *(ctypes.c_void_p(p) for p in pointers), call)

    def run(
        self, operation: str, shape: Shape, *tensors: Tensor | None, precision: str = "fast", num_threads: int = 1
    ) -> Tensor:
        """Compute ``forward(x, w, bias)``, ``grad_input(dy, w)`` or ``grad_weight(x, dy)``."""
        results = {"forward": shape.y_shape, "grad_input": shape.x_shape, "grad_weight": shape.w_shape}
        dtype = tensors[0].dtype
        count = int(np.prod(results[operation]))
        guarded = torch.full((count + 2 * GUARD,), 77.0, dtype=dtype)
        result = guarded[GUARD : GUARD + count]
        pointers = [None if t is None else t.data_ptr() for t in tensors]
        problem = shape.to_c(dtype, precision)
        status = self.status(operation, problem, *pointers, result.data_ptr(), num_threads=num_threads)
        assert status == 0, self.error(status)
        assert (guarded[:GUARD] == 77).all(), "written before the result"
        assert (guarded[GUARD + count :] == 77).all(), "written behind the result"
        return result.view(results[operation])


LIBRARY = "conv4d_cpu.so"
COMMAND = ["g++", "-std=c++17", "-O3", "-fPIC", "-Wall", "-Wextra", "-Werror"]


def _extra_flags() -> list[str]:
    return os.environ.get("CARDIAC4D_TEST_CXXFLAGS", "").split()


def _fingerprint() -> str:
    """Of everything that decides what :func:`build` compiles: sources, flags, compiler and machine."""
    version = subprocess.run(["g++", "--version"], check=True, capture_output=True).stdout
    known = hashlib.sha256(repr([COMMAND, ISA_FLAGS, _extra_flags(), platform.machine(), version]).encode())
    for source in sorted(path for path in (*SOURCES.iterdir(), *SOURCES.parent.glob("*.h")) if path.is_file()):
        known.update(f"{source.name}\n{source.stat().st_size}\n".encode() + source.read_bytes())
    return known.hexdigest()


def build_or_reuse(folder: Path, cache: Path) -> Path:
    """The same as :func:`build`, but not compiled if ``cache`` holds what became of the very same sources and flags."""
    kept = cache / _fingerprint()
    if kept.is_dir():
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        return folder / LIBRARY
    library = build(folder)
    for old in cache.iterdir():
        shutil.rmtree(old, ignore_errors=True)
    whole = Path(tempfile.mkdtemp(dir=cache))
    shutil.copytree(folder, whole, dirs_exist_ok=True)
    with suppress(OSError):  # a run beside this one was faster
        whole.rename(kept)  # at once: nobody finds half of it
    return library


def build(folder: Path) -> Path:
    """Compile every unit as the package does, but with visible symbols; CARDIAC4D_TEST_CXXFLAGS adds flags."""
    extra = _extra_flags()
    x86 = platform.machine() in ("x86_64", "AMD64")
    units = [unit for unit in sorted(SOURCES.glob("*.cpp")) if x86 or "_avx" not in unit.stem]

    def compile_unit(unit: Path) -> Path:
        target = folder / f"{unit.stem}.o"
        isa = next((flags for suffix, flags in ISA_FLAGS.items() if unit.stem.endswith(suffix)), [])
        subprocess.run([*COMMAND, *isa, *extra, "-c", str(unit), "-o", str(target)], check=True)
        return target

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_unit, units))
    library = folder / LIBRARY
    subprocess.run(["g++", "-shared", *extra, *map(str, objects), "-o", str(library)], check=True)
    return library


def load(library: Path, isa: str) -> Kernels:
    """A copy of the library with its own dispatch."""
    copy = library.with_name(f"conv4d_cpu_{isa}.so")
    if not copy.exists():
        shutil.copy(library, copy)
    return Kernels(copy, isa)


def _windows(shape: Shape, padded: np.ndarray) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """For every tap a view of the padded input: the voxels it meets, as large as the output."""
    steps, gaps = _four(shape.stride), _four(shape.dilation)
    views = []
    for tap in itertools.product(*map(range, _four(shape.kernel))):
        spans = [
            slice(k * gap, k * gap + (out - 1) * step + 1, step)
            for k, gap, out, step in zip(tap, gaps, shape.out, steps, strict=True)
        ]
        views.append((tap, padded[(slice(None), slice(None), slice(None), *spans)]))
    return views


def _pad(shape: Shape, x: np.ndarray) -> np.ndarray:
    """Zeros around the four axes, and the channels cut into groups: N, G, C/G, H, W, D, T."""
    margins = [(0, 0), (0, 0), *((p, p) for p in _four(shape.padding))]
    return np.pad(x, margins).reshape(shape.batch, shape.groups, -1, *np.pad(x, margins).shape[2:])


def _split(shape: Shape, array: np.ndarray, axis: int) -> np.ndarray:
    return array.reshape(*array.shape[:axis], shape.groups, array.shape[axis] // shape.groups, *array.shape[axis + 1 :])


def reference(operation: str, shape: Shape, *tensors: Tensor | None) -> Tensor:
    """The same three operations in float64, tap by tap, from the definition."""
    first, second = (t.double().numpy() for t in tensors[:2])
    if operation == "forward":
        total = np.zeros((shape.batch, shape.groups, shape.channels[1] // shape.groups, *shape.out))
        for tap, window in _windows(shape, _pad(shape, first)):
            matrix = _split(shape, second[(slice(None), slice(None), *tap)], 0)
            total += np.einsum("ngchwdt,goc->ngohwdt", window, matrix, optimize=True)
        bias = 0 if tensors[2] is None else tensors[2].double().numpy().reshape(1, -1, 1, 1, 1, 1)
        return torch.from_numpy(total.reshape(shape.y_shape) + bias)
    if operation == "grad_input":
        padded = _pad(shape, np.zeros(shape.x_shape))
        for tap, window in _windows(shape, padded):  # views: adding to them adds to `padded`
            matrix = _split(shape, second[(slice(None), slice(None), *tap)], 0)
            window += np.einsum("ngohwdt,goc->ngchwdt", _split(shape, first, 1), matrix, optimize=True)
        whole = padded.reshape(*shape.x_shape[:2], *padded.shape[3:])
        inner = [slice(p, p + size) for p, size in zip(_four(shape.padding), shape.size, strict=True)]
        return torch.from_numpy(np.ascontiguousarray(whole[(slice(None), slice(None), *inner)]))
    result = np.zeros(shape.w_shape)
    for tap, window in _windows(shape, _pad(shape, first)):
        matrix = np.einsum("ngohwdt,ngchwdt->goc", _split(shape, second, 1), window, optimize=True)
        result[(slice(None), slice(None), *tap)] = matrix.reshape(shape.w_shape[:2])
    return torch.from_numpy(result)
