# SPDX-License-Identifier: Apache-2.0
"""Keep conv3d off torch's slow path, and off a fault, on a CPU.

torch hands float32 convolutions to oneDNN, except for a batch of one small volume, which goes to an unfolding loop that
is several times slower (the rule is ``use_mkldnn`` in ATen's ``Convolution.cpp``). A second volume of zeros doubles the
arithmetic and still wins; it adds nothing to the gradients.

Where on some axis every position of the kernel reaches into the padding, as a kernel of 3 does on an extent of 2,
oneDNN's weight gradient in ``channels_last_3d`` (3.12, in torch 2.13, with AVX-512) reads and writes beyond its memory:
wrong numbers of any size, or a crash; in bfloat16 with every such kernel, in float32 with some. Zeros that are part of
the input keep clear of that, and small volumes are copied fast.
"""

import torch
from torch import Tensor
from torch.nn import functional

_HAS_ONEDNN = torch.backends.mkldnn.is_available()  # asked here, because the question breaks a compiled graph


def misses_onednn(x: Tensor, weight: Tensor) -> bool:
    """Tell whether torch would compute this conv3d of ``(N, C, H, W, D)`` on its slow path."""
    if not torch.jit.is_scripting():  # noqa: SIM102  (TorchScript leaves out what stands under this condition alone)
        if not _HAS_ONEDNN:
            return False
    one_volume = x.shape[0] == 1 and x.shape[1] * x.shape[2] * x.shape[3] <= 20480
    one_group = weight.shape[1] == x.shape[1]
    wide_kernel = weight.shape[2] * weight.shape[3] * weight.shape[4] > 1
    return x.is_cpu and x.dtype == torch.float32 and one_volume and one_group and wide_kernel


def pad_batch(x: Tensor) -> Tensor:
    """Append one volume of zeros to the batch."""
    return torch.cat([x, torch.zeros_like(x)])


def pad_if_misread(
    x: Tensor, weight: Tensor, stride: list[int], padding: list[int], dilation: list[int]
) -> tuple[Tensor, list[int]]:
    """Make the padding part of ``(N, C, H, W, D)`` where its gradients would be wrong; also returns what is left."""
    # TorchScript knows no generators.
    misread = any([_always_reaches_out(x, weight, i, stride[i], padding[i], dilation[i]) for i in range(3)])  # noqa: C419
    if x.is_cpu and misread:
        return functional.pad(x, [padding[2], padding[2], padding[1], padding[1], padding[0], padding[0]]), [0, 0, 0]
    return x, padding


def _always_reaches_out(x: Tensor, weight: Tensor, axis: int, stride: int, padding: int, dilation: int) -> bool:
    first = (padding + stride - 1) // stride * stride - padding  # the first position that does not begin in the padding
    return first + dilation * (weight.shape[2 + axis] - 1) >= x.shape[2 + axis]
