# SPDX-License-Identifier: Apache-2.0
"""Keep a batch of one small volume off torch's slow path for conv3d.

On a CPU torch hands float32 convolutions to oneDNN, except for a batch of one small volume, which goes to an unfolding
loop that is several times slower (the rule is ``use_mkldnn`` in ATen's ``Convolution.cpp``). A second volume of zeros
doubles the arithmetic and still wins; it adds nothing to the gradients.
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


def pad_batch(x: Tensor) -> Tensor:
    """Append one volume of zeros to the batch."""
    return torch.cat([x, torch.zeros_like(x)])
