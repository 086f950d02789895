# SPDX-License-Identifier: Apache-2.0
"""Keep conv3d off torch's slow path, and off a fault, on a CPU.

torch hands float32 convolutions to oneDNN, except for a batch of one small volume, which goes to an unfolding loop that
is several times slower (the rule is ``use_mkldnn`` in ATen's ``Convolution.cpp``). A second volume of zeros doubles the
arithmetic and still wins; it adds nothing to the gradients.

In bfloat16 oneDNN's weight gradient (3.12, in torch 2.13, with AVX-512 BF16) reads and writes beyond its memory where
the padding covers much of the kernel at every position, as it does on an axis of extent 2: wrong numbers, or a crash.
Zeros that are part of the input keep clear of that, and take a copy.
"""

import torch
from torch import Tensor

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


def misreads_padding(x: Tensor) -> bool:
    """Tell whether the gradients of a conv3d of ``x`` could be wrong unless its padding is part of ``x``."""
    return x.is_cpu and x.dtype == torch.bfloat16


def pad_batch(x: Tensor) -> Tensor:
    """Append one volume of zeros to the batch."""
    return torch.cat([x, torch.zeros_like(x)])
