# SPDX-License-Identifier: Apache-2.0
"""Drives the emulated fused CUDA kernels through their C interface, with guards around all memory."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cardiac4d.ops.layout import from_frames, to_frames
from tests.helpers.cpu_kernels import DTYPES, Shape
from tests.helpers.cuda_kernels import GUARD, guarded
from tests.helpers.fused_calls import EPS
from tests.helpers.fused_cuda_calls import Block
from tests.helpers.softmax_sums import Head


class _CFrames(ctypes.Structure):
    _fields_ = [
        ("batch", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("size", ctypes.c_int64 * 4),
        ("dtype", ctypes.c_int32),
    ]


class _CHead(ctypes.Structure):
    _fields_ = [
        ("x", _CFrames),
        ("classes", ctypes.c_int64),
        ("w", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("label", ctypes.c_void_p),
        ("is_squared", ctypes.c_int32),
    ]


class _CHalfBlock(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("norm_weight", "norm_bias", "weight", "bias")]


class _CBlock(ctypes.Structure):
    _fields_ = [
        ("x", _CFrames),
        ("groups", ctypes.c_int64),
        ("precision", ctypes.c_int32),
        ("eps", ctypes.c_double),
        ("first", _CHalfBlock),
        ("second", _CHalfBlock),
    ]


class _CPointers(ctypes.Structure):
    """Three sums, or four gradients."""

    _fields_ = [(f"p{i}", ctypes.c_void_p) for i in range(4)]


def _frames(x: Tensor) -> _CFrames:
    return _CFrames(x.shape[0], x.shape[1], (ctypes.c_int64 * 4)(*x.shape[2:]), DTYPES.index(x.dtype))


class _Memory:
    """What a call reads, between NaN, and what it writes, full of NaN between numbers that must stay."""

    def __init__(self) -> None:
        self.alive: list[Tensor] = []
        self.written: list[Tensor] = []

    def put(self, tensor: Tensor | None) -> int | None:
        if tensor is None:
            return None
        laid = to_frames(tensor) if tensor.dim() == 6 and tensor.shape[2:] != (3, 3, 3, 3) else tensor
        self.alive.append(guarded(laid, torch.nan if laid.is_floating_point() else 3))
        return self.alive[-1][GUARD:].data_ptr()

    def take(self, size: Sequence[int], dtype: torch.dtype = torch.float64) -> tuple[Tensor, int]:
        laid = [size[0], *size[5:], *size[2:5], size[1]] if len(size) == 6 else list(size)
        whole = guarded(torch.full(laid, torch.nan, dtype=dtype), 77.0)
        self.written.append(whole)
        values = whole[GUARD:-GUARD].view(laid)
        return from_frames(values) if len(size) == 6 else values, values.data_ptr()

    def workspace(self, count: int) -> int:
        return self.take([count // 8 + 1])[1]

    def check(self) -> None:
        for whole in self.written:
            assert (whole[:GUARD] == 77).all(), "written before the memory"
            assert (whole[-GUARD:] == 77).all(), "written behind the memory"


class EmulatedFusedKernels:
    """The emulated kernels; tensors go in and come out as ``(N, C, H, W, D, T)`` of any strides."""

    def __init__(self, library: Path) -> None:
        self._library: Any = ctypes.CDLL(str(library))
        self._library.c4d_cuda_error.restype = ctypes.c_char_p
        for name in ("fused_workspace", "block_workspace", "conv4d_sums_workspace", "softmax_sums_workspace"):
            getattr(self._library, f"c4d_cuda_{name}").restype = ctypes.c_int64

    def _call(self, name: str, memory: _Memory, *arguments: Any) -> None:
        converted = [
            a if isinstance(a, ctypes.Structure | ctypes.c_int64 | ctypes.c_int) else ctypes.c_void_p(a)
            for a in arguments
        ]
        converted = [ctypes.byref(a) if isinstance(a, ctypes.Structure) else a for a in converted]
        status = getattr(self._library, f"c4d_cuda_{name}")(*converted, None)
        assert status == 0, self._library.c4d_cuda_error(status).decode()
        memory.check()

    def _workspace(self, memory: _Memory, frames: _CFrames) -> int:
        return memory.workspace(self._library.c4d_cuda_fused_workspace(ctypes.byref(frames)))

    def block_workspace(self, block: Block, *, is_for_gradient: bool) -> int:
        """Bytes of working memory that a residual block needs."""
        struct = self._struct(_Memory(), block)
        return self._library.c4d_cuda_block_workspace(ctypes.byref(struct), ctypes.c_int(is_for_gradient))

    def softmax_sums_workspace(self, size: Sequence[int], channels: int, classes: int) -> int:
        """Bytes of working memory that the sums over a softmax need for one sequence of this size."""
        frames = _CFrames(1, channels, (ctypes.c_int64 * 4)(*size), DTYPES.index(torch.float32))
        head = _CHead(frames, classes, w=ctypes.addressof(frames))  # a weight: of the pointer nothing is read
        return self._library.c4d_cuda_softmax_sums_workspace(ctypes.byref(head))

    def channel_sums(self, x: Tensor) -> Tensor:
        memory, frames = _Memory(), _frames(x)
        sums, to = memory.take([*x.shape[:2], 2])
        self._call("channel_sums", memory, frames, memory.put(x), to, self._workspace(memory, frames))
        return sums

    def conv4d_sums(
        self, shape: Shape, x: Tensor, w: Tensor, bias: Tensor | None, precision: str = "fast"
    ) -> tuple[Tensor, Tensor]:
        memory, problem = _Memory(), shape.to_c(x.dtype, precision)
        (y, to), (sums, to_sums) = memory.take(shape.y_shape, x.dtype), memory.take([*shape.y_shape[:2], 2])
        workspace = memory.workspace(self._library.c4d_cuda_conv4d_sums_workspace(ctypes.byref(problem)))
        self._call(
            "conv4d_sums", memory, problem, memory.put(x), memory.put(w), memory.put(bias), to, to_sums, workspace
        )
        return y, sums

    def upsample_add(self, x: Tensor, skip: Tensor) -> Tensor:
        memory = _Memory()
        y, to = memory.take(skip.shape, x.dtype)
        self._call("upsample_add", memory, _frames(skip), memory.put(x), memory.put(skip), to)
        return y

    def upsample_grad(self, dy: Tensor) -> Tensor:
        memory = _Memory()
        dx, to = memory.take([*dy.shape[:2], *((extent + 1) // 2 for extent in dy.shape[2:])], dy.dtype)
        self._call("upsample_grad", memory, _frames(dy), memory.put(dy), to)
        return dx

    def upsample_conv_add(self, x: Tensor, w: Tensor, bias: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        memory, frames = _Memory(), _frames(skip)
        (y, to), (sums, to_sums) = memory.take(skip.shape, x.dtype), memory.take([*skip.shape[:2], 2])
        operands = memory.put(x), memory.put(w.flatten()), memory.put(bias), memory.put(skip)
        workspace = self._workspace(memory, frames)
        channels = ctypes.c_int64(x.shape[1])
        self._call("upsample_conv_add", memory, frames, channels, *operands, to, to_sums, workspace)
        return y, sums

    def pointwise_softmax(self, x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        memory, classes = _Memory(), w.shape[0]
        y, to = memory.take([x.shape[0], classes, *x.shape[2:]], torch.float32)
        operands = memory.put(x), memory.put(w.flatten()), memory.put(bias)
        self._call("pointwise_softmax", memory, _frames(x), ctypes.c_int64(classes), *operands, to)
        return y

    def softmax_sums(self, head: Head, seed: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The sums, the gradient of ``x`` and that of the head, ``(classes, C + 1)``."""
        memory, (n, _, *_, frames) = _Memory(), head.x.shape
        classes = seed.shape[2] // 2 - 1
        w = None if head.weight is None else head.weight.flatten()
        operands = (None if t is None else memory.put(t.detach()) for t in (w, head.bias, head.label))
        struct, x = _CHead(_frames(head.x), classes, *operands, head.squared), memory.put(head.x.detach())
        workspace = memory.workspace(self._library.c4d_cuda_softmax_sums_workspace(ctypes.byref(struct)))
        sums, to = memory.take([n, frames, 2 * classes + 3])
        self._call("softmax_sums", memory, struct, x, to, workspace)
        dx, to_dx = memory.take(head.x.shape, head.x.dtype)
        dhead, to_dhead = (None, None) if w is None else memory.take([classes, head.x.shape[1] + 1], torch.float32)
        self._call("softmax_sums_grad", memory, struct, x, memory.put(seed), to_dx, to_dhead, workspace)
        return sums, dx, dhead

    def block(self, block: Block, seed: Tensor, *, in_place: bool = False) -> list[Tensor]:
        """The output, that of the first convolution, the three sums and the gradients of all but the last bias."""
        memory = _Memory()
        struct = self._struct(memory, block)
        x, dtype, shape = block.tensors[0], seed.dtype, seed.shape
        (out, to), (y, to_y) = memory.take(shape, dtype), memory.take(shape, dtype)
        sums = [memory.take([*shape[:2], 2]) for _ in range(3)]
        from_x = memory.put(x)
        if in_place:
            out.copy_(x)
            from_x = to
        workspace = memory.workspace(self._library.c4d_cuda_block_workspace(ctypes.byref(struct), 0))
        pointers = _CPointers(*(pointer for _, pointer in sums))
        self._call("residual_block", memory, struct, from_x, ctypes.c_int(0), to, to_y, pointers, workspace)
        results = [out, y, *(values for values, _ in sums)]
        return results if in_place else results + self._gradients(memory, struct, block, seed, from_x, to_y, sums)

    def _gradients(
        self, memory: _Memory, struct: _CBlock, block: Block, seed: Tensor, x: int, y: int, sums: Any
    ) -> list[Tensor]:
        shape, channels = seed.shape, seed.shape[1]
        dx, to_dx = memory.take(shape, seed.dtype)
        _, inner = memory.take(shape, seed.dtype)
        results, structs = [dx], []
        for weight in (block.tensors[3], block.tensors[7]):
            parts = [memory.take([channels], torch.float32) for _ in range(2)]
            whole = memory.take([weight.numel()], seed.dtype)
            parts += [(whole[0].view(weight.shape), whole[1]), memory.take([channels], torch.float32)]
            results += [values for values, _ in parts]
            structs.append(_CPointers(*(pointer for _, pointer in parts)))
        workspace = memory.workspace(self._library.c4d_cuda_block_workspace(ctypes.byref(struct), 1))
        operands = memory.put(seed), x, y, sums[0][1], sums[1][1], inner, to_dx
        self._call("residual_block_grad", memory, struct, *operands, *structs, workspace)
        return results[:-1]

    def _struct(self, memory: _Memory, block: Block) -> _CBlock:
        x, *parameters = block.tensors
        halves = [_CHalfBlock(*map(memory.put, parameters[i : i + 4])) for i in (0, 4)]
        return _CBlock(_frames(x), block.groups, block.precision, EPS, *halves)
