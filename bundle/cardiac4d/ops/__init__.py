# SPDX-License-Identifier: Apache-2.0
"""The 4D convolution operator. Needs torch alone."""

from .backend import BackendError, BackendWarning
from .functional import conv4d
from .gradients import conv4d_input, conv4d_weight
from .info import backend_info
from .settings import use_backend

__all__ = ["BackendError", "BackendWarning", "backend_info", "conv4d", "conv4d_input", "conv4d_weight", "use_backend"]
