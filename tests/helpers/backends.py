# SPDX-License-Identifier: Apache-2.0
"""What this machine has for the 4D convolution; the tests of a missing backend or tool skip and say why."""

from __future__ import annotations

import shutil

import pytest
import torch

from cardiac4d.ops import native

needs_native = pytest.mark.skipif(bool(native.PROBLEM), reason=f"the native library is {native.PROBLEM}")
needs_cuda_library = pytest.mark.skipif(bool(native.CUDA_PROBLEM), reason=f"the CUDA library is {native.CUDA_PROBLEM}")
needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
needs_nm = pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm, of the GNU binutils")

BACKENDS = [pytest.param("composed"), pytest.param("native", marks=needs_native)]
"""To parametrize a test; give the value to ``use_backend``, which makes a fallback an error."""
