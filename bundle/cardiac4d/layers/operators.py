# SPDX-License-Identifier: Apache-2.0
"""What networks take from the operators: they import layers alone."""

from ..ops.head_input import HeadInput
from ..ops.hooks import has_hooks
from ..ops.settings import check_backend, chosen_backend

__all__ = ["HeadInput", "check_backend", "chosen_backend", "has_hooks"]
