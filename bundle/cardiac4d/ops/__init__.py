# SPDX-License-Identifier: Apache-2.0
"""The 4D convolution operator. Needs torch alone."""

from .backend import backend_info
from .functional import conv4d

__all__ = ["backend_info", "conv4d"]
