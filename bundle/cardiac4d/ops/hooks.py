# SPDX-License-Identifier: Apache-2.0
"""Whether a module must be called as one, or may be passed over by an operator that computes what it does."""

from torch import nn
from torch.nn.modules.module import _has_any_global_hook


def has_hooks(layer: nn.Module) -> bool:
    """Tell whether something waits for the layer to be called: a hook, its own or one of all, or a patched forward."""
    own = layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks
    return bool(own) or "forward" in layer.__dict__ or _has_any_global_hook()
