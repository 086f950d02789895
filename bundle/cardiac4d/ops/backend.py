# SPDX-License-Identifier: Apache-2.0
"""Which implementation computes :func:`cardiac4d.ops.conv4d`."""

import torch


def backend_info() -> dict[str, str]:
    """Say which backend computes the operator, and why.

    Returns:
        ``backend``: the name of the backend in use, on every device; ``native``: the state of the native kernels;
        ``torch``: the version of torch that the backend runs on.

    Example:
        >>> backend_info()["backend"]
        'composed'
    """
    return {
        "backend": "composed",
        "native": "not built: this release has no native kernels; every device runs the composed backend",
        "torch": torch.__version__,
    }
